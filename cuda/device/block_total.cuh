// Sums over the threads of a block in a fixed order.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

// The sum, in thread 0. Called by all threads; `partial` has a place for each warp, and may be used again
// after the next barrier.
__device__ inline double block_total(double value, const Shared<double>& partial) {
#pragma unroll
  for (int by = kWarp / 2; by > 0; by >>= 1) value += __shfl_xor_sync(kAllLanes, value, by);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == 0) partial[warp] = value;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0) {
    for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) sum += partial[w];
  }
  return sum;
}

}  // namespace fluxion::cuda
