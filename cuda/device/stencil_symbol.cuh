// The symbol of a 3 x 3 stencil at a bin, L(k) = sum_p L(p) e^(-i w_k . p), p the offset from the centre, and
// sums over bins for its gradient. Exponentials wrap of themselves: planes of less than 3 cells are no special case.
#pragma once

#include "fft_point.cuh"

namespace fluxion::cuda {

// As a function of ky at one kx: from the three rows summed along x.
template <class T>
struct StencilRow {
  Point<T> zero, sum, difference;

  // l[9] by rows; w = e^(-i wx).
  __device__ __forceinline__ StencilRow(const T (&l)[9], Point<T> w) {
    Point<T> row[3];
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      row[i] = {l[3 * i + 1] + (l[3 * i] + l[3 * i + 2]) * w.re, (l[3 * i + 2] - l[3 * i]) * w.im};
    }
    zero = row[1];
    sum = row[0] + row[2];
    difference = row[0] - row[2];
  }
  // w = e^(-i wy)
  __device__ __forceinline__ Point<T> at(Point<T> w) const {
    return {zero.re + sum.re * w.re + difference.im * w.im,
            zero.im + sum.im * w.re - difference.re * w.im};
  }
};

template <class T>
__device__ __forceinline__ T stencil_factor(T dt, Point<T> l) {
  return T(1) / (T(1) + dt * (l.re * l.re + l.im * l.im));
}

// Sums over ky at one kx of r, r cos wy and r sin wy.
template <class T>
struct StencilSums {
  Point<T> plain{T(0), T(0)}, cosine{T(0), T(0)}, sine{T(0), T(0)};
  __device__ __forceinline__ void add(Point<T> r, Point<T> w) {
    plain = plain + r;
    cosine = cosine + w.re * r;
    sine = sine - w.im * r;
  }
  // Adds Re(r e^(i (y wy + x wx))) for the offsets y, x = -1, 0, 1 to nine sums.
  __device__ __forceinline__ void spread(Point<T> w, T (&sums)[9]) const {
#pragma unroll
    for (int y = -1; y <= 1; ++y) {
      const Point<T> r =
          y == 0 ? plain : Point<T>{cosine.re - T(y) * sine.im, cosine.im + T(y) * sine.re};
#pragma unroll
      for (int x = -1; x <= 1; ++x) {
        sums[3 * (y + 1) + x + 1] += x == 0 ? r.re : r.re * w.re + T(x) * r.im * w.im;
      }
    }
  }
};

}  // namespace fluxion::cuda
