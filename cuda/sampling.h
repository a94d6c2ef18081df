// Sampling at positions and its transposes, for the ops that need them (semi_lagrangian.cu, adr_step*.cu).
#pragma once

#include "device/sampling.cuh"
#include "kernel.h"
#include "ops/semi_lagrangian.h"

namespace fluxion::cuda {

// Sizes and positions; `points` has the shape of what is gathered, [N, C, ...].
template <class T>
Sampling<T> sampling_of(const Shape& image, const Shape& points, const T* positions,
                        int64_t position_batch_stride) {
  Sampling<T> s{};
  s.axes = image.ndim - 2;
  s.batch = image[0];
  s.channels = image[1];
  s.cells = s.points = 1;
  for (int axis = 0; axis < 3; ++axis) {
    s.in[axis] = axis < s.axes ? static_cast<int>(image[image.ndim - 1 - axis]) : 1;
    s.out[axis] = axis < s.axes ? static_cast<int>(points[points.ndim - 1 - axis]) : 1;
    s.cells *= s.in[axis];
    s.points *= s.out[axis];
  }
  s.by_x = Divisor(s.out[0]);
  s.by_y = Divisor(s.out[1]);
  s.positions = positions;
  s.position_batch_stride = position_batch_stride;
  return s;
}

inline Padding padding_of(SampleBoundary boundary) {
  constexpr Padding kPaddings[] = {Padding::zeros, Padding::border, Padding::reflect,
                                   Padding::periodic};
  return kPaddings[static_cast<int>(boundary)];
}

// Enqueues what is wanted: gathered, scattered and position_gradient are null where nobody asked.
template <class T>
void run_sampling(const Kernel& call, const Sampling<T>& sampling);

// Parts of it: one plane a block in shared memory where it fits (2-D), else points of global memory.
template <class T>
void gather_planes(const Kernel& call, const Sampling<T>& s);
template <class T>
bool gather_planes_fit(const Kernel& call, const Sampling<T>& s);
template <class T>
void scatter_planes(const Kernel& call, const Sampling<T>& s, bool slopes);
template <class T>
bool scatter_planes_fit(const Kernel& call, const Sampling<T>& s);
template <class T>
void gather_points(const Kernel& call, const Sampling<T>& s, bool slopes);
template <class T>
void scatter_points(const Kernel& call, const Sampling<T>& s);

// Calls f with the taps of an axis as a constant.
template <class F>
void dispatch_taps(int taps, F&& f) {
  if (taps == 1) return f(std::integral_constant<int, 1>{});
  if (taps == 2) return f(std::integral_constant<int, 2>{});
  f(std::integral_constant<int, 4>{});
}

}  // namespace fluxion::cuda
