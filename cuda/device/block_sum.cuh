// Sums and maxima over the threads of a block, in a fixed order.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

// The sum over the block, in all threads; `room` has one element for each warp. Ends with a barrier.
template <class T>
__device__ inline T block_sum(T value, const Shared<T>& room) {
  const int warps = blockDim.x / kWarp;
  for (int step = kWarp / 2; step > 0; step /= 2)
    value += __shfl_xor_sync(kAllLanes, value, step);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = room[0];
  for (int i = 1; i < warps; ++i) sum += room[i];
  __syncthreads();
  return sum;
}

// The largest over the block; likewise.
template <class T>
__device__ inline T block_max(T value, const Shared<T>& room) {
  const int warps = blockDim.x / kWarp;
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, step);
    value = other > value ? other : value;
  }
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = value;
  __syncthreads();
  T most = room[0];
  for (int i = 1; i < warps; ++i) most = room[i] > most ? room[i] : most;
  __syncthreads();
  return most;
}

}  // namespace fluxion::cuda
