// Philox 4x32-10: ten rounds of a keyed bijection of 128-bit counters. Salmon, Moraes, Dror, Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011; the constants are theirs. The words are those of the CPU.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

// Four words of 32 bits, or two of 64.
struct PhiloxBlock {
  uint32_t word[4];

  __device__ __forceinline__ uint64_t wide(int i) const {
    return word[2 * i] | uint64_t{word[2 * i + 1]} << 32;
  }
};

__device__ __forceinline__ PhiloxBlock philox(uint64_t seed, uint64_t counter) {
  uint32_t x0 = static_cast<uint32_t>(counter), x1 = static_cast<uint32_t>(counter >> 32);
  uint32_t x2 = 0, x3 = 0;
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * x0, b = uint64_t{0xCD9E8D57u} * x2;
    x0 = static_cast<uint32_t>(b >> 32) ^ x1 ^ key0;
    x2 = static_cast<uint32_t>(a >> 32) ^ x3 ^ key1;
    x1 = static_cast<uint32_t>(b);
    x3 = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9u;  // golden ratio
    key1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return {{x0, x1, x2, x3}};
}

// floor(w n / 2^64).
__device__ __forceinline__ uint64_t scale_word(uint64_t w, uint64_t n) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(w, n);
#else
  return static_cast<uint64_t>(static_cast<unsigned __int128>(w) * n >> 64);
#endif
}

}  // namespace fluxion::cuda
