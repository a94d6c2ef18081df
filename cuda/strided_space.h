// Building the iteration space of a kernel from views: axes of one element vanish and neighbours merge where
// all tensors allow it, so that contiguous tensors have one axis.
#pragma once

#include "core/tensor_view.h"
#include "device/strided.cuh"

namespace fluxion::cuda {

// `shape` is the iteration space; each view has its shape or broadcasts to it (aligned at the last axis).
template <int kTensors>
StridedSpace<kTensors> strided_space(const Shape& shape,
                                     const TensorView* const (&views)[kTensors]) {
  StridedSpace<kTensors> space{};
  for (int axis = 0; axis < shape.ndim; ++axis) {
    if (shape[axis] == 1) continue;
    int64_t stride[kTensors];
    bool merges = space.ndim > 0;
    for (int t = 0; t < kTensors; ++t) {
      const int own = axis - (shape.ndim - views[t]->shape.ndim);
      const bool moves = own >= 0 && views[t]->shape[own] != 1;
      stride[t] = moves ? views[t]->strides[own] : 0;
      if (merges && space.stride[t][space.ndim - 1] != stride[t] * shape[axis]) merges = false;
    }
    const int at = merges ? space.ndim - 1 : space.ndim++;
    space.size[at] = merges ? space.size[at] * shape[axis] : shape[axis];
    for (int t = 0; t < kTensors; ++t) space.stride[t][at] = stride[t];
  }
  if (space.ndim == 0) {
    space.ndim = 1;
    space.size[0] = 1;
  }
  return space;
}

}  // namespace fluxion::cuda
