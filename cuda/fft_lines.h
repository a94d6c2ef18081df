// Transforms of many lines of a tensor, of any length: see fft_lines.cu.
#pragma once

#include "device/fft_map.cuh"
#include "fft_plan.h"

namespace fluxion::cuda {

// Lines of [outer, n, inner], in numbers (a point is two).
struct LineSpace {
  int64_t outer, inner;
  int64_t in_outer, in_inner, in_step;
  int64_t out_outer, out_inner, out_step;
  int64_t lines() const { return outer * inner; }
};

// Lines along the middle axis of contiguous arrays [outer, from, inner] and [outer, to, inner], whose
// elements are from_parts and to_parts numbers.
LineSpace line_space(int64_t outer, int64_t inner, int64_t from, int64_t to, int from_parts,
                     int to_parts);

// The map of a kind with its tables; scale, mirrored and ends are 1.
template <class T>
LineMap<T> line_map(const Kernel& call, LineKind kind, bool inverse, int64_t n, int64_t from,
                    int64_t to);

template <class T>
void transform_lines(const Kernel& call, const LineMap<T>& map, const LineSpace& space, const T* in,
                     T* out);

}  // namespace fluxion::cuda
