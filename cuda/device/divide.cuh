// Division of indices by numbers that are known at the launch: a product and a shift instead of the tens of
// instructions that the hardware's division is made of.
//
// q = (high(n m) + n) >> s with s = ceil(log2 d), m = floor(2^32 (2^s - d) / d) + 1, exact for n, d < 2^31.
// Granlund & Montgomery, "Division by invariant integers using multiplication", PLDI 1994, section 4.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

struct Divisor {
  uint32_t by, factor, shift;

  Divisor() = default;
  explicit Divisor(int64_t divisor)
      : by(static_cast<uint32_t>(divisor < 1 ? 1 : divisor)), shift(0) {
    while ((uint64_t{1} << shift) < by) ++shift;
    factor = static_cast<uint32_t>((((uint64_t{1} << shift) - by) << 32) / by + 1);
  }
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const {
    return (__umulhi(n, factor) + n) >> shift;
  }
  // The quotient of n; n becomes the remainder.
  __device__ __forceinline__ int split(int& n) const {
    const uint32_t given = static_cast<uint32_t>(n), found = quotient(given);
    n = static_cast<int>(given - found * by);
    return static_cast<int>(found);
  }
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
