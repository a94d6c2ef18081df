// Factors of (I - r D) x = b along lines of constant coefficient, D the 3-point second difference, for lines
// cut into segments of kSegment cells (device/line_segment.cuh):
//     e_i = b_i + c_{i-1} e_{i-1},   x_i = m_i e_i + c_i x_{i+1}
// Open lines: Thomas elimination, m_i = 1 / (q_i + r), c_i = r m_i, where q_{i+1} = ((1 + r) q_i + r) / (q_i + r)
// is a Moebius map with positive entries: any q_i follows from a power of its matrix, so that all cells
// are computed at once, and nothing cancels. Closed lines (rings): the matrix is the product
// (1 - c E^-1)(1 - c E) / m with the cyclic shift E exactly, c the root below 1 of r c^2 - (1 + 2 r) c + r and
// m = (1 - c)^2; a sweep once around is closed by 1 / (1 - c^n).
// c is rounded to T first and m follows from the rounded c, as 1 - c = q m: so every column of the matrix
// that is really solved sums to 1, and means are kept to rounding however large r is.
// Source: Press et al., Numerical Recipes, 2.4; Nehab and Maximo, ACM TOG 35(6), 2016 (cyclic recursions).
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kSegment = 16;

// Cells of whole segments.
__host__ __device__ inline int64_t room_of(int64_t n) {
  return (n + kSegment - 1) / kSegment * kSegment;
}

// What stands outside of a line.
enum LineEnds : int { kMirrorEnds, kZeroEnds, kRingEnds };

// (I - r D) along lines of n cells; `filled` where their segments have more.
struct LineOperator {
  double r;
  int64_t n;
  int ends;
  bool filled;
};

// The power of two that brings x into [1, 2); x is a positive normal number.
__device__ __forceinline__ double power_scale(double x) {
  const long long exponent = (__double_as_longlong(x) >> 52) & 0x7ff;
  return __longlong_as_double((0x7fe - exponent) << 52);
}

// q_i. Powers of the map's matrix have the form [[d + c, r c], [c, d]].
__device__ inline double pivot_rest(double r, double first, int64_t i) {
  double c = 1, d = r, x = first, y = 1;
  for (; i > 0; i >>= 1) {
    if (i & 1) {
      const double next = (d + c) * x + r * c * y;
      y = c * x + d * y;
      const double scale = power_scale(y);
      x = next * scale;
      y *= scale;
    }
    const double square = r * c * c + d * d;
    c = c * (2 * d + c);
    const double scale = power_scale(square + c);
    c *= scale;
    d = square * scale;
  }
  return x / y;
}

template <class T>
struct CellFactors {
  T c, m;
};

// The largest T below 1.
template <class T>
__device__ __forceinline__ constexpr T below_one() {
  return sizeof(T) == 4 ? T(1) - T(5.9604644775390625e-8) : T(1) - T(1.1102230246251565e-16);
}

template <class T>
__device__ __forceinline__ T ring_factor(double r) {
  const T c = static_cast<T>(2 * r / (1 + 2 * r + sqrt(1 + 4 * r)));
  return c > below_one<T>() ? below_one<T>() : c;
}

// Of cell i; also of cells outside, where sweeps of whole segments pass. A ring hands its carry through the
// cells that fill its segments: then c of the last cell is met going into them, and c_{-1} is 1. Their m is 0,
// so that the backward sweep finds nothing in them.
template <class T>
__device__ inline CellFactors<T> cell_factors(const LineOperator& line, int64_t i) {
  if (line.ends == kRingEnds) {
    const T c = ring_factor<T>(line.r);
    const double rest = 1 - static_cast<double>(c);
    const T m = static_cast<T>(rest * rest);
    if (i < 0) return {line.filled ? T(1) : c, T(0)};
    if (i >= line.n) return {T(1), T(0)};
    return {c, m};
  }
  if (i < 0 || i >= line.n) return {T(0), T(0)};
  const double wall = line.ends == kZeroEnds ? line.r : 0;
  const double q = pivot_rest(line.r, 1 + wall, i);
  if (i + 1 == line.n) return {T(0), static_cast<T>(1 / (q + wall))};
  T c = static_cast<T>(line.r / (q + line.r));
  if (c > below_one<T>()) c = below_one<T>();
  return {c, static_cast<T>((1 - static_cast<double>(c)) / q)};
}

// 1 / (1 - c^n): what closes a sweep around a ring; 0 for open lines.
template <class T>
__device__ inline T ring_gain(const LineOperator& line) {
  if (line.ends != kRingEnds) return T(0);
  double power = static_cast<double>(ring_factor<T>(line.r)), rest = 1 - power;
  double all = 1, missing = 0;  // c^k and 1 - c^k of the cells so far
  for (int64_t i = line.n; i > 0; i >>= 1) {
    if (i & 1) {
      missing += all * rest;
      all *= power;
    }
    rest += power * rest;
    power *= power;
  }
  return static_cast<T>(1 / missing);
}

// Factors of the segments [first, first + segments) of a line, in shared memory. Segments stand 2 x 17 apart,
// so that lanes with different segments meet different banks: c_{-1} .. c_15, then m_0 .. m_15. Behind
// them the products of c_{-1} .. c_14 and of c_0 .. c_15 of each segment, and the gain of a ring.
template <class T>
struct LineTable {
  static constexpr int kPitch = 2 * (kSegment + 1);

  static constexpr __host__ __device__ int size(int segments) { return segments * (kPitch + 2) + 1; }

  Shared<T> at;
  int segments;

  __device__ __forceinline__ T c(int s, int i) const { return at[s * kPitch + 1 + i]; }
  // m_0 .. m_15.
  __device__ __forceinline__ const T* scales(int s) const {
    return at.data() + s * kPitch + kSegment + 1;
  }
  __device__ __forceinline__ T forth(int s) const { return at[segments * kPitch + s]; }
  __device__ __forceinline__ T back(int s) const { return at[segments * (kPitch + 1) + s]; }
  __device__ __forceinline__ T gain() const { return at[segments * (kPitch + 2)]; }

  // By all threads of the block; close() after a barrier. A line of several tables is closed elsewhere: without
  // gain.
  __device__ void fill(const LineOperator& line, int64_t first, bool whole) const {
    const int cells = segments * kSegment;
    for (int t = static_cast<int>(threadIdx.x) - 1; t < cells; t += static_cast<int>(blockDim.x)) {
      const CellFactors<T> f = cell_factors<T>(line, first * kSegment + t);
      const int s = t / kSegment, i = t % kSegment;
      if (t >= 0) {
        at[s * kPitch + 1 + i] = f.c;
        at[s * kPitch + kSegment + 1 + i] = f.m;
      }
      if (t < 0) {
        at[0] = f.c;
      } else if (i == kSegment - 1 && s + 1 < segments) {
        at[(s + 1) * kPitch] = f.c;
      }
    }
    if (threadIdx.x == 0) at[segments * (kPitch + 2)] = whole ? ring_gain<T>(line) : T(0);
  }

  __device__ void close() const {
    for (int s = static_cast<int>(threadIdx.x); s < segments; s += static_cast<int>(blockDim.x)) {
      T forth = 1, back = 1;
      for (int i = 0; i < kSegment; ++i) {
        forth *= c(s, i - 1);
        back *= c(s, i);
      }
      at[segments * kPitch + s] = forth;
      at[segments * (kPitch + 1) + s] = back;
    }
  }
};

}  // namespace fluxion::cuda
