// Positions of elements in strided tensors: a row-major index becomes coordinates and an offset.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kMaxAxes = 8;

// Axes of an iteration space with the strides of kTensors tensors in it; slowest first.
template <int kTensors>
struct StridedSpace {
  int ndim;
  int64_t size[kMaxAxes];
  int64_t stride[kTensors][kMaxAxes];
};

// Offsets of element `index` in each tensor.
template <int kTensors>
__device__ __forceinline__ void offsets_of(const StridedSpace<kTensors>& space, int64_t index,
                                           int64_t (&offset)[kTensors]) {
#pragma unroll
  for (int t = 0; t < kTensors; ++t) offset[t] = 0;
  for (int axis = space.ndim - 1; axis >= 0; --axis) {
    const int64_t next = index / space.size[axis];
    const int64_t at = index - next * space.size[axis];
    index = next;
#pragma unroll
    for (int t = 0; t < kTensors; ++t) offset[t] += at * space.stride[t][axis];
  }
}

}  // namespace fluxion::cuda
