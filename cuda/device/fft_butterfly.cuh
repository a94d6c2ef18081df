// Transforms of 2, 3, 4, 5 and 8 points in registers: x_k becomes sum_j x_j e^(-2 pi i j k / r).
#pragma once

#include "fft_point.cuh"

namespace fluxion::cuda {

template <class T>
__device__ __forceinline__ void butterfly_2(Point<T>& a, Point<T>& b) {
  const Point<T> sum = a + b;
  b = a - b;
  a = sum;
}

template <class T>
__device__ __forceinline__ void butterfly_4(Point<T>& a, Point<T>& b, Point<T>& c, Point<T>& d) {
  const Point<T> p = a + c, q = a - c, r = b + d, s = turned(b - d);
  a = p + r;
  b = q + s;
  c = p - r;
  d = q - s;
}

// Odd radices: with s_j = x_j + x_(r-j), d_j = x_j - x_(r-j) and C, S the cosines and sines of 2 pi j k / r,
// X_k = x_0 + sum_j C s_j - i sum_j S d_j, X_(r-k) its counterpart with +i, 1 <= j, k <= r / 2.
template <int R>
struct OddRoots;
template <>
struct OddRoots<3> {
  static constexpr double cosine[1] = {-0.5};
  static constexpr double sine[1] = {0.86602540378443864676};
};
template <>
struct OddRoots<5> {
  static constexpr double cosine[2] = {0.30901699437494742410, -0.80901699437494742410};
  static constexpr double sine[2] = {0.95105651629515357212, 0.58778525229247312917};
};
// cos and sin of 2 pi (j k) / R, 1 <= j, k <= R / 2.
template <int R>
__host__ __device__ constexpr double odd_cosine(int j, int k) {
  const int at = j * k % R;
  return OddRoots<R>::cosine[(at > R / 2 ? R - at : at) - 1];
}
template <int R>
__host__ __device__ constexpr double odd_sine(int j, int k) {
  const int at = j * k % R;
  return at > R / 2 ? -OddRoots<R>::sine[R - at - 1] : OddRoots<R>::sine[at - 1];
}

template <int R, int J, int K, class T>
__device__ __forceinline__ void add_odd(const Point<T> (&s)[R / 2], const Point<T> (&d)[R / 2],
                                        Point<T>& even, Point<T>& odd) {
  constexpr T c = static_cast<T>(odd_cosine<R>(J, K)), t = static_cast<T>(odd_sine<R>(J, K));
  even = even + c * s[J - 1];
  odd = odd + t * d[J - 1];
  if constexpr (J < R / 2) add_odd<R, J + 1, K>(s, d, even, odd);
}

template <int R, int K, class T>
__device__ __forceinline__ void odd_outputs(Point<T> first, const Point<T> (&s)[R / 2],
                                            const Point<T> (&d)[R / 2], Point<T> (&x)[R]) {
  Point<T> even = first, odd{T(0), T(0)};
  add_odd<R, 1, K>(s, d, even, odd);
  x[K] = even + turned(odd);
  x[R - K] = even - turned(odd);
  if constexpr (K < R / 2) odd_outputs<R, K + 1>(first, s, d, x);
}

template <int R, class T>
__device__ __forceinline__ void butterfly_odd(Point<T> (&x)[R]) {
  Point<T> s[R / 2], d[R / 2];
  const Point<T> first = x[0];
#pragma unroll
  for (int j = 1; j <= R / 2; ++j) {
    s[j - 1] = x[j] + x[R - j];
    d[j - 1] = x[j] - x[R - j];
    x[0] = x[0] + s[j - 1];
  }
  odd_outputs<R, 1>(first, s, d, x);
}

template <class T>
__device__ __forceinline__ void butterfly_8(Point<T> (&x)[8]) {
  constexpr T h = static_cast<T>(0.70710678118654752440);
  butterfly_4(x[0], x[2], x[4], x[6]);  // the even points: outputs in places 0, 2, 4, 6
  butterfly_4(x[1], x[3], x[5], x[7]);
  x[3] = {h * (x[3].re + x[3].im), h * (x[3].im - x[3].re)};
  x[5] = turned(x[5]);
  x[7] = {h * (x[7].im - x[7].re), -h * (x[7].re + x[7].im)};
  const Point<T> e[4] = {x[0], x[2], x[4], x[6]}, o[4] = {x[1], x[3], x[5], x[7]};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    x[k] = e[k] + o[k];
    x[k + 4] = e[k] - o[k];
  }
}

template <int R, class T>
__device__ __forceinline__ void butterfly(Point<T> (&x)[R]) {
  if constexpr (R == 2) {
    butterfly_2(x[0], x[1]);
  } else if constexpr (R == 4) {
    butterfly_4(x[0], x[1], x[2], x[3]);
  } else if constexpr (R == 8) {
    butterfly_8(x);
  } else {
    butterfly_odd<R>(x);
  }
}

}  // namespace fluxion::cuda
