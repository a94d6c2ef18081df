// Sorting keys in scratch memory (device/sort.cuh).
#pragma once

#include "device/sort.cuh"
#include "kernel.h"

namespace fluxion::cuda {

// Keys that a sort of n takes: a power of two; those behind n must be all ones.
inline int64_t sorted_keys(int64_t n) {
  int64_t size = kSortKeys;
  while (size < n) size *= 2;
  return size;
}

inline void sort_keys(const Kernel& call, uint64_t* keys, int64_t size) {
  const uint32_t n = static_cast<uint32_t>(size);
  const Grid block{size / kSortKeys, kSortThreads, shared_bytes<uint64_t>(kSortKeys)};
  call.launch(sort_block, block, keys, 2u, static_cast<uint32_t>(kSortKeys), 1u);
  for (uint32_t run = 2 * kSortKeys; run <= n && run != 0; run *= 2) {
    uint32_t step = run / 2;
    for (; step >= kSortKeys; step /= 2) {
      call.launch(sort_step, {size / 2 / kSortThreads, kSortThreads}, keys, run, step);
    }
    call.launch(sort_block, block, keys, run, run, step);
  }
}

}  // namespace fluxion::cuda
