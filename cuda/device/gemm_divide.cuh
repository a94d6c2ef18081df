// Division of a 32-bit index by a number that the host knows: a multiplication and a shift.
//
// With s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1, n / d = (mulhi(n, m) + n) >> s for all
// n < 2^31 (Granlund & Montgomery, "Division by invariant integers using multiplication", 1994).
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

struct GemmDivider {
  uint32_t divisor = 1, factor = 1, shift = 0;

  GemmDivider() = default;
  explicit GemmDivider(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    while ((uint64_t{1} << shift) < divisor) ++shift;
    factor = static_cast<uint32_t>(
        ((uint64_t{1} << 32) * ((uint64_t{1} << shift) - divisor)) / divisor + 1);
  }

  // For n < 2^31.
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const {
    return (__umulhi(n, factor) + n) >> shift;
  }
};

}  // namespace fluxion::cuda
