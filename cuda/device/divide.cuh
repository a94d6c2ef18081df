// Division of indices by a number that the launcher knows: a multiplication and a shift.
//     n / d = (mulhi(n, m) + n) >> s,   s = ceil(log2 d),   m = floor(2^32 (2^s - d) / d) + 1,   0 <= n < 2^31
// Source: T. Granlund and P. Montgomery, PLDI 1994.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

class FastDivide {
 public:
  FastDivide() = default;
  __host__ explicit FastDivide(int64_t divisor) {
    divisor_ = static_cast<unsigned>(divisor < 1 ? 1 : divisor);
    shift_ = 0;
    while ((uint64_t{1} << shift_) < divisor_) ++shift_;
    factor_ = static_cast<unsigned>(
        ((uint64_t{1} << 32) * ((uint64_t{1} << shift_) - divisor_)) / divisor_ + 1);
  }
  // The quotient of n; n becomes the remainder.
  __device__ __forceinline__ int split(int& n) const {
    const unsigned given = static_cast<unsigned>(n);
    const unsigned quotient = (__umulhi(given, factor_) + given) >> shift_;
    n = static_cast<int>(given - quotient * divisor_);
    return static_cast<int>(quotient);
  }

 private:
  unsigned divisor_ = 1, factor_ = 1;
  int shift_ = 0;
};

// An index in parts of `by`, both below 2^32: 64-bit divisions are many instructions.
struct Split {
  int64_t whole;
  int rest;
};
__device__ __forceinline__ Split split(int64_t index, int64_t by) {
  const unsigned given = static_cast<unsigned>(index), divisor = static_cast<unsigned>(by);
  const unsigned quotient = given / divisor;
  return {quotient, static_cast<int>(given - quotient * divisor)};
}

}  // namespace fluxion::cuda
