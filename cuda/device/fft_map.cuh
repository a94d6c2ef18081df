// Transforms of lines as complex transforms between two maps, both in gather form: the points that go in from
// the numbers of the line, the numbers that come out from the points. Notation and sources as on the CPU
// (docs/numerics/fourier.md): x the numbers given, v a real line of `period` numbers, V its transform,
// Z the complex transform of `points` points.
//     real line of even period   z_j = v_2j + i v_(2j+1), V_k from Z_k and Z_(period/2-k); odd: z_j = v_j
//     half spectrum              the same backwards
//     cos-2 (Makhoul), cos-3 its transpose, cos-4 by n / 2 points between two rotations (n even) or a
//     permutation (n odd; Chan and Ho), cos-1 and sin-1 by even and odd extension
//     sin-2, sin-3, sin-4        the cosine transforms with lines reversed on one side, signs alternating on the other
// An inverse transform is the forward one between exchanged real and imaginary parts.
#pragma once

#include "fft_point.cuh"

namespace fluxion::cuda {

enum class LineKind : int {
  complex_line,
  to_half,
  from_half,
  cos1,
  cos2,
  cos3,
  cos4,
  sin1,
  sin2,
  sin3,
  sin4,
  waves,  // a real line to 2 Re V_k (k <= n/2; its own mirror: Re V_k) and 2 Im V_(n-k) (beyond)
  from_waves  // sum_k V_k e^(2 pi i j k / n) for V_k = y_k + i y_(n-k), real where it is its own mirror
};

template <class T>
struct LineMap {
  LineKind kind;
  bool inverse;  // of complex_line
  int n;
  int points;
  int period;    // 0: none
  int from, to;  // numbers (or points) given, and wanted: cropped, or padded with zeros
  T scale, mirrored, end_in, end_out;
  const Point<T>* halves;  // e^(-2 pi i k / period), k <= period / 2; even periods
  const Point<T>* roots;   // cos-2, cos-3: e^(-pi i k / (2 n)); cos-4, n even: both rotations
  const int* permuted;     // cos-4, n odd
};

// Whether inputs and outputs are complex.
template <class T>
__host__ __device__ __forceinline__ bool complex_in(const LineMap<T>& map) {
  return map.kind == LineKind::complex_line || map.kind == LineKind::from_half;
}
template <class T>
__host__ __device__ __forceinline__ bool complex_out(const LineMap<T>& map) {
  return map.kind == LineKind::complex_line || map.kind == LineKind::to_half;
}

__device__ __forceinline__ bool is_sine(LineKind kind) {
  return kind >= LineKind::sin1 && kind <= LineKind::sin4;
}
// 1 to 4 for cosine and sine transforms.
__device__ __forceinline__ int type_of(LineKind kind) {
  return (static_cast<int>(kind) - static_cast<int>(LineKind::cos1)) % 4 + 1;
}
__device__ __forceinline__ LineKind cosine_of(LineKind kind) {
  return is_sine(kind) ? static_cast<LineKind>(static_cast<int>(kind) - 4) : kind;
}

// The numbers of a line in global memory.
template <class T>
struct LineInput {
  const T* first;
  int64_t step;
  __device__ __forceinline__ T real(int i) const { return first[i * step]; }
  __device__ __forceinline__ Point<T> point(int i) const {
    return *reinterpret_cast<const Point<T>*>(first + i * step);
  }
};

// Number i of the cosine transform.
template <class T>
__device__ __forceinline__ T cosine_input(const LineMap<T>& map, const LineInput<T>& in, int i) {
  const bool sine = is_sine(map.kind);
  const int type = type_of(map.kind), last = map.n - 1;
  const int at = sine && type > 2 ? last - i : i;
  T value = at < map.from ? in.real(at) : T(0);
  const bool first_end = !sine && (type == 1 || type == 3);
  const bool last_end = (!sine && type == 1) || (sine && type == 3);
  if ((first_end && at == 0) || (last_end && at == last)) value *= map.end_in;
  return sine && type == 2 && i % 2 == 1 ? -value : value;
}

// v_i
template <class T>
__device__ __forceinline__ T real_input(const LineMap<T>& map, const LineInput<T>& in, int i) {
  const int n = map.n;
  switch (map.kind) {
    case LineKind::to_half:
    case LineKind::waves:
      return i < map.from ? in.real(i) : T(0);
    case LineKind::cos1: {
      const T value = cosine_input(map, in, i < n ? i : map.period - i);
      return i == 0 || i == n - 1 ? T(2) * value : value;
    }
    case LineKind::sin1:
      if (i == 0 || i == n + 1) return T(0);
      return i <= n ? cosine_input(map, in, i - 1) : -cosine_input(map, in, map.period - i - 1);
    case LineKind::cos2:
    case LineKind::sin2:
      return cosine_input(map, in, 2 * i < n ? 2 * i : 2 * (n - 1 - i) + 1);
    default: {  // cos-4 and sin-4 of odd n
      const int at = map.permuted[i];
      const T value = cosine_input(map, in, at / 2);
      return at % 2 ? -value : value;
    }
  }
}

// V_k of a half spectrum that is given, k <= period / 2.
template <class T>
__device__ __forceinline__ Point<T> half_input(const LineMap<T>& map, const LineInput<T>& in,
                                               int k) {
  const bool own_mirror = k == 0 || 2 * k == map.period;
  Point<T> z{T(0), T(0)};
  if (map.kind == LineKind::from_half) {
    if (k < map.from) z = in.point(k);
    if (!own_mirror) z = (map.mirrored * T(0.5)) * z;
  } else if (map.kind == LineKind::from_waves) {
    z = {in.real(k), own_mirror ? T(0) : in.real(map.n - k)};
  } else if (k == 0) {
    z.re = cosine_input(map, in, 0);
  } else {
    const Point<T> pair{cosine_input(map, in, k), -cosine_input(map, in, map.n - k)};
    z = T(0.5) * (pair * conjugate(fetch(map.roots + k)));
  }
  if (own_mirror) z.im = T(0);
  return z;
}

// Point j that goes into the transform.
template <class T>
__device__ __forceinline__ Point<T> gather_point(const LineMap<T>& map, const LineInput<T>& in,
                                                 int j) {
  const LineKind kind = cosine_of(map.kind);
  if (kind == LineKind::complex_line) {
    const Point<T> z = j < map.from ? in.point(j) : Point<T>{T(0), T(0)};
    return map.inverse ? exchanged(z) : z;
  }
  if (kind == LineKind::cos4 && map.n % 2 == 0) {
    const Point<T> z{cosine_input(map, in, 2 * j), cosine_input(map, in, map.n - 1 - 2 * j)};
    return z * fetch(map.roots + j);
  }
  const bool pairs = map.period % 2 == 0;
  if (kind != LineKind::from_half && kind != LineKind::cos3 && kind != LineKind::from_waves) {
    if (!pairs) return {real_input(map, in, j), T(0)};
    return {real_input(map, in, 2 * j), real_input(map, in, 2 * j + 1)};
  }
  if (!pairs) {
    const bool upper = 2 * j > map.period;
    const Point<T> z = half_input(map, in, upper ? map.period - j : j);
    return exchanged(upper ? conjugate(z) : z);
  }
  const Point<T> a = half_input(map, in, j);
  const Point<T> b = conjugate(half_input(map, in, map.points - j));
  const Point<T> odd = (a - b) * conjugate(fetch(map.halves + j));
  return exchanged(a + b - turned(odd));
}

// V_k of a real line from its points; z(j) reads Z_j.
template <class T, class Z>
__device__ __forceinline__ Point<T> unfolded(const LineMap<T>& map, const Z& z, int k) {
  if (map.period % 2) return z(k);
  const int m = map.points;
  const Point<T> a = z(k == m ? 0 : k), b = z(k == 0 ? 0 : m - k);
  const Point<T> even{(a.re + b.re) * T(0.5), (a.im - b.im) * T(0.5)};
  const Point<T> odd{(a.im + b.im) * T(0.5), (b.re - a.re) * T(0.5)};
  return even + odd * fetch(map.halves + k);
}

// Number i of the real line behind a half spectrum.
template <class T, class Z>
__device__ __forceinline__ T real_output(const LineMap<T>& map, const Z& z, int i) {
  if (map.period % 2) return z(i).im;
  const Point<T> pair = z(i / 2);
  return i % 2 ? pair.re : pair.im;
}

// Number k of the cosine transform.
template <class T, class Z>
__device__ __forceinline__ T cosine_output(const LineMap<T>& map, const Z& z, int k) {
  const int n = map.n;
  switch (cosine_of(map.kind)) {
    case LineKind::cos1:
      if (is_sine(map.kind)) return T(-0.5) * unfolded(map, z, k + 1).im;
      return T(0.5) * unfolded(map, z, k).re;
    case LineKind::cos2: {
      const bool upper = 2 * k > n;
      const int at = upper ? n - k : k;
      const Point<T> value = unfolded(map, z, at) * fetch(map.roots + at);
      return upper ? -value.im : value.re;
    }
    case LineKind::cos3:
      return real_output(map, z, k % 2 ? n - 1 - k / 2 : k / 2);
    default:
      break;
  }
  if (n % 2 == 0) {
    const int at = k % 2 ? (n - 1 - k) / 2 : k / 2;
    const Point<T> value = z(at) * fetch(map.roots + n / 2 + at);
    return k % 2 ? -value.im : value.re;
  }
  // +-Re e^(-i phi) V_t, phi = pi alpha / 4, alpha = 1 / n mod 8 = n mod 8
  constexpr T h = static_cast<T>(0.70710678118654752440);
  const T c = n % 8 == 1 || n % 8 == 7 ? h : -h, s = n % 8 == 1 || n % 8 == 3 ? h : -h;
  const int at = map.permuted[n + k];
  const Point<T> value = z(at / 2);
  const T sum = value.re * c + value.im * s;
  return at % 2 ? -sum : sum;
}

// Result i < to; its imaginary part counts for complex results alone.
template <class T, class Z>
__device__ __forceinline__ Point<T> line_result(const LineMap<T>& map, const Z& z, int i) {
  const int n = map.n;
  const int known = map.kind == LineKind::to_half ? n / 2 + 1 : n;
  if (i >= known) return {T(0), T(0)};
  switch (map.kind) {
    case LineKind::complex_line: {
      const Point<T> value = map.scale * z(i);
      return map.inverse ? exchanged(value) : value;
    }
    case LineKind::to_half: {
      const Point<T> value = map.scale * unfolded(map, z, i);
      return i > 0 && 2 * i < n ? map.mirrored * value : value;
    }
    case LineKind::from_half:
    case LineKind::from_waves:
      return {map.scale * real_output(map, z, i), T(0)};
    case LineKind::waves: {
      const bool own_mirror = i == 0 || 2 * i == n, upper = 2 * i > n;
      const Point<T> value = unfolded(map, z, upper ? n - i : i);
      return {(own_mirror ? map.scale : 2 * map.scale) * (upper ? value.im : value.re), T(0)};
    }
    default:
      break;
  }
  const bool sine = is_sine(map.kind);
  const int type = type_of(map.kind);
  T value = map.scale * cosine_output(map, z, sine && type == 2 ? n - 1 - i : i);
  if (sine && type > 2 && i % 2) value = -value;
  const bool first_end = !sine && type <= 2;
  const bool last_end = (!sine && type == 1) || (sine && type == 2);
  if ((first_end && i == 0) || (last_end && i == n - 1)) value *= map.end_out;
  return {value, T(0)};
}

}  // namespace fluxion::cuda
