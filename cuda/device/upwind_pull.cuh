// The adjoint of a second-order upwind stage along one axis, (dt L)^T g: a thread walks a segment of a line
// and keeps the cotangents of the five cells around it in registers, so that each limiter is evaluated once,
// every cell is written by one thread, and nothing depends on an order.
#pragma once

#include "upwind.cuh"

namespace fluxion::cuda {

// What the terms of a cell (advective) or of the face above it (conservative) give to the cells at offsets
// -2..2, and to the velocity.
template <class T>
struct Pulled {
  T e[5];
  T ga;
};

// From the cotangent g of a cell and its velocity a.
template <Reconstruction R, class T>
__device__ __forceinline__ Pulled<T> pull_cell(const T (&u)[5], T a, T g, T courant) {
  const bool forward = a > T(0);
  const T w1 = forward ? u[1] : u[3], w2 = forward ? u[0] : u[4], wf = forward ? u[3] : u[1];
  const T d1 = u[2] - w1, d2 = w1 - w2, df = wf - u[2];
  const Slope<T> at = limited_slope<R>(d1, df), behind = limited_slope<R>(d2, d1);
  const T h = g * magnitude(a) * -courant;
  const T by_d1 = h * (T(1) + (at.by_behind - behind.by_before) * T(0.5));
  const T by_df = h * at.by_before * T(0.5), by_d2 = h * behind.by_behind * T(-0.5);
  const T to_w1 = by_d2 - by_d1;
  const T ga = g * (d1 + (at.value - behind.value) * T(0.5)) * courant;
  return {{forward ? -by_d2 : T(0), forward ? to_w1 : by_df, by_d1 - by_df,
           forward ? by_df : to_w1, forward ? T(0) : -by_d2},
          forward ? -ga : ga};
}

// From the difference of the cotangents of both sides of a face, and twice its velocity.
template <Reconstruction R, class T>
__device__ __forceinline__ Pulled<T> pull_face(const T (&u)[5], T velocity, T g_face, T courant) {
  const T half = courant / 2, a = velocity * half;
  const bool forward = a > T(0);
  const T w0 = forward ? u[2] : u[3], wf = forward ? u[3] : u[2], w1 = forward ? u[1] : u[4];
  const Slope<T> at = limited_slope<R>(w0 - w1, wf - w0);
  const T h = g_face * a;
  const T to_w0 = h * (T(1) + (at.by_behind - at.by_before) * T(0.5));
  const T to_wf = h * at.by_before * T(0.5), to_w1 = h * at.by_behind * T(-0.5);
  return {{T(0), forward ? to_w1 : T(0), forward ? to_w0 : to_wf, forward ? to_wf : to_w0,
           forward ? T(0) : to_w1},
          g_face * (w0 + at.value * T(0.5)) * half};
}

// Terms for cells beyond a wall go to the edge cell, of which those were copies, or nowhere.
template <class T>
__device__ __forceinline__ void fold_walls(Pulled<T>& terms, int j, int n, bool to_edge) {
#pragma unroll
  for (int q = 0; q < 5; ++q) {
    const int to = j + q - 2;
    if (to >= 0 && to < n) continue;
    const int edge = (to < 0 ? 0 : n - 1) - j + 2;
#pragma unroll
    for (int p = 0; p < 5; ++p) {
      if (to_edge && p == edge) terms.e[p] += terms.e[q];
    }
    terms.e[q] = T(0);
  }
}

// A line along an axis: the cell at its beginning.
struct UpwindLine {
  int number, place;
};

template <class T>
__device__ __forceinline__ UpwindLine line_of(const UpwindGrid<T>& grid, int k, int index,
                                              const int (&step)[3]) {
  if (k == 0) {
    int y = index;
    const int z = grid.dims > 2 ? grid.by_height.split(y) : 0;
    return {index * grid.n[0], y * step[1] + z * step[2]};
  }
  int x = index;
  const int row = grid.by_width.split(x);  // z, or y for lines along z
  return k == 1 ? UpwindLine{x + row * grid.step[2], x + row * step[2]}
                : UpwindLine{x + row * grid.step[1], x + row * step[1]};
}

// Calls give(number, place, sum) for the cells [begin, end) of a line with what (dt L)^T g adds to them, and
// give_velocity(number, gradient) with the gradient of the velocity component.
template <Reconstruction R, class T, class Field, class Give, class GiveVelocity>
__device__ __forceinline__ void pull_segment(const UpwindGrid<T>& grid, const Flow<T>& flow,
                                             const Field& u, const Field& g, int k,
                                             const int (&step)[3], const UpwindLine& line,
                                             int begin, int end, const Give& give,
                                             const GiveVelocity& give_velocity) {
  const int n = grid.n[k];
  const T courant = grid.courant[k];
  const auto value = [&](int j) {
    return value_at<T>(u, line.place, 0, n, step[k], j, grid.field);
  };
  T window[5], sum[5] = {}, below = T(0);
#pragma unroll
  for (int q = 0; q < 5; ++q) window[q] = value(begin - 4 + q);
  for (int j = begin - 2; j < end + 2; ++j) {
    if (grid.periodic || (j >= 0 && j < n)) {
      const int real = wrapped(j, n), number = line.number + real * grid.step[k];
      const T own = g[line.place + real * step[k]];
      Pulled<T> terms;
      if (grid.conservative) {
        const T above = value_at<T>(g, line.place, 0, n, step[k], j + 1, grid.cotangent);
        terms = pull_face<R>(window, face_velocity(grid, flow, k, number, real), above - own,
                             courant);
      } else {
        terms = pull_cell<R>(window, flow.at(k, number), own, courant);
      }
      if (!grid.periodic && (j < 2 || j >= n - 2))
        fold_walls(terms, j, n, grid.field == Ghost::edge);
#pragma unroll
      for (int q = 0; q < 5; ++q) sum[q] += terms.e[q];
      if (j >= begin && j < end)
        give_velocity(number, grid.conservative ? terms.ga + below : terms.ga);
      below = terms.ga;
    }
    const int done = j - 2;
    if (done >= begin)
      give(line.number + done * grid.step[k], line.place + done * step[k], sum[0]);
#pragma unroll
    for (int q = 0; q < 4; ++q) sum[q] = sum[q + 1], window[q] = window[q + 1];
    sum[4] = T(0);
    window[4] = value(j + 3);
  }
}

}  // namespace fluxion::cuda
