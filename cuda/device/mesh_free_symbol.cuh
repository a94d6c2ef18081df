// The symbol of a mesh-free convolution at a bin:
//     c(w) = (a0 + i a1 wx + i a2 wy - a3 wx^2 - a4 wx wy - a5 wy^2) E,   E = exp(-t)
//     t = (p1 wx + p2 wy)^2 + (p3 wy)^2 = w^T P P^T w >= 0, a sum of squares so that nothing cancels
// Whatever is odd in wx or wy is left out where that mode is the Nyquist mode of an even number of cells, in t too:
// both signs of w are the same mode there, and the result has to be real.
#pragma once

#include "fft_point.cuh"
#include "spectral_symbol.cuh"

namespace fluxion::cuda {

// A mode of an axis. odd: 2 pi n / length, 0 at the Nyquist mode; square: its true square; edge: square - odd^2.
template <class T>
struct AxisMode {
  T odd, square, edge;
};

template <class T>
struct Mode {
  AxisMode<T> x, y;
  T weight;  // bins of the whole spectrum that it stands for
};

// Weights of the last axis of a weight tensor: moments, then (unless a Gaussian is shared) p1, p2, p3; of lines
// a0, a1, [a2] and p1.
struct SymbolLayout {
  bool line, second, shared;
  __host__ __device__ __forceinline__ int moments() const {
    return line ? (second ? 3 : 2) : (second ? 6 : 3);
  }
  __host__ __device__ __forceinline__ int widths() const { return line ? 1 : 3; }
  __host__ __device__ __forceinline__ int last() const {
    return moments() + (shared ? 0 : widths());
  }
};

template <class T>
struct Widths {
  T p1, p2, p3;
  __device__ __forceinline__ Widths(const SymbolLayout& layout, const T* at)
      : p1(at[0]), p2(layout.line ? T(0) : at[1]), p3(layout.line ? T(0) : at[2]) {}
  __device__ __forceinline__ T sum(const Mode<T>& m) const { return p1 * m.x.odd + p2 * m.y.odd; }
  __device__ __forceinline__ T damping(const Mode<T>& m) const {
    const T s = sum(m), r = p3 * p3 * m.y.square;
    return exponential_of(-(s * s + r + p1 * p1 * m.x.edge + p2 * p2 * m.y.edge));
  }
};

template <class T>
__device__ __forceinline__ Point<T> polynomial(const SymbolLayout& layout, const T* a,
                                               const Mode<T>& m) {
  Point<T> q{a[0], a[1] * m.x.odd};
  if (layout.line) {
    if (layout.second) q.re -= a[2] * m.x.square;
    return q;
  }
  q.im += a[2] * m.y.odd;
  if (layout.second) {
    q.re -= a[3] * m.x.square + a[4] * (m.x.odd * m.y.odd) + a[5] * m.y.square;
  }
  return q;
}

// Sums over bins of one pair for the gradients of its coefficients, from its cross spectrum: moments a0 .. a5,
// then p1, p2, p3. Lines use places 0, 1, 3 and 6.
inline constexpr int kPairSums = 9;

template <class T>
__device__ __forceinline__ void add_pair(const SymbolLayout& layout, const T* weight,
                                         const T* gaussian, const Mode<T>& m, Point<T> cross,
                                         T (&sums)[kPairSums]) {
  const Widths<T> p(layout, layout.shared ? gaussian : weight + layout.moments());
  const Point<T> s = (m.weight * p.damping(m)) * cross;
  sums[0] += s.re;
  sums[1] += m.x.odd * s.im;
  sums[2] += m.y.odd * s.im;
  if (layout.second) {
    sums[3] -= m.x.square * s.re;
    sums[4] -= (m.x.odd * m.y.odd) * s.re;
    sums[5] -= m.y.square * s.re;
  }
  if (layout.shared) return;
  const Point<T> a = polynomial(layout, weight, m);
  const T q = a.re * s.re + a.im * s.im, along = p.sum(m);
  sums[6] -= T(2) * q * (along * m.x.odd + p.p1 * m.x.edge);
  sums[7] -= T(2) * q * (along * m.y.odd + p.p2 * m.y.edge);
  sums[8] -= T(2) * q * p.p3 * m.y.square;
}

}  // namespace fluxion::cuda
