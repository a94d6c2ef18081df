// Sorting of different 64-bit keys: bitonic merges, in shared memory for partners within a block of keys and
// through global memory beyond. Batcher, "Sorting networks and their applications", AFIPS 1968. The result is
// the same whatever the schedule. n log2(n) (log2(n) + 1) / 2 comparisons; keys of all ones pad to a power of two.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kSortThreads = 512;
inline constexpr int kSortKeys = 2 * kSortThreads;  // of a block

__device__ __forceinline__ void order_pair(uint64_t& low, uint64_t& high, bool ascending) {
  if ((low > high) == ascending) {
    const uint64_t kept = low;
    low = high;
    high = kept;
  }
}

// Steps `step`, step / 2, ..., 1 of the stages from `run` to `last_run`, which all stay within a block of keys.
__global__ inline void sort_block(uint64_t* keys, uint32_t run, uint32_t last_run, uint32_t step) {
  SharedMemory memory;
  const Shared<uint64_t> own = memory.take<uint64_t>(kSortKeys);
  const uint32_t begin = blockIdx.x * kSortKeys, t = threadIdx.x;
  own[static_cast<int>(t)] = keys[begin + t];
  own[static_cast<int>(t + kSortThreads)] = keys[begin + t + kSortThreads];
  for (; run <= last_run; run *= 2, step = run / 2) {
    for (; step > 0; step /= 2) {
      __syncthreads();
      const uint32_t low = 2 * t - (t & (step - 1));
      order_pair(own[static_cast<int>(low)], own[static_cast<int>(low + step)],
                 ((begin + low) & run) == 0);
    }
  }
  __syncthreads();
  keys[begin + t] = own[static_cast<int>(t)];
  keys[begin + t + kSortThreads] = own[static_cast<int>(t + kSortThreads)];
}

// One step of a stage through global memory.
__global__ inline void sort_step(uint64_t* keys, uint32_t run, uint32_t step) {
  const uint32_t t = blockIdx.x * blockDim.x + threadIdx.x;
  const uint32_t low = 2 * t - (t & (step - 1));
  order_pair(keys[low], keys[low + step], (low & run) == 0);
}

// The first of n sorted keys that is not below `key`.
__device__ __forceinline__ uint32_t lower_bound(const uint64_t* keys, uint32_t n, uint64_t key) {
  uint32_t low = 0;
  while (n > 0) {
    const uint32_t half = n / 2;
    if (keys[low + half] < key) {
      low += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return low;
}

}  // namespace fluxion::cuda
