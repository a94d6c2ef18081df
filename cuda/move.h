// Launching strided copies (device/move.cuh) from one view to another.
#pragma once

#include "device/move.cuh"
#include "map.h"

namespace fluxion::cuda {

// `from` and `to` are views of one dtype, and `from` broadcasts to the shape of `to`. Neither overlaps.
void move_view(const Kernel& call, const TensorView& from, const TensorView& to);

// A view on part of the memory of another, whose elements it counts.
inline TensorView part_of(const TensorView& view, const Shape& shape, const Shape& strides,
                          int64_t offset) {
  TensorView part = view;
  part.data = view.as<char>() + offset * static_cast<int64_t>(size_of(view.dtype));
  part.shape = shape;
  part.strides = strides;
  return part;
}

}  // namespace fluxion::cuda
