// Sums in fixed point: integers add in any order to the same bits, so that threads may scatter with atomics
// and stay deterministic.
//
// The values of a plane are scaled by a power of two 2^s such that no sum can overflow: with the largest
// finite magnitude below 2^E, at most `points` values each of which gives its cells less than 4 times itself in
// all, s = B - ceil(log2 points) - 2 - E for accumulators of B + 2 bits. Rounding to a whole number makes an
// error of at most 2^(-s - 1) a term:
//     float32  B = 62: a term is exact to 2^-61 points 2^E, 2^-47 of the largest value of 128 x 128 points,
//              below the 2^-24 with which float32 itself rounds sums of that size
//     float64  B = 126: exact to 2^-111 of the largest value, below the rounding of any term above 2^-58 of it
// Infinite and NaN terms are marked in two bits of their cell.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

template <class T>
struct FixedPoint;

template <>
struct FixedPoint<float> {
  using Word = unsigned;
  using Bits = unsigned;  // of |x|, which order as |x| does
  static constexpr int kBits = 62, kMantissa = 23, kBias = 127, kInfinite = 255;
  __device__ static Bits bits_of(float x) { return __float_as_uint(x) & 0x7fffffffu; }
  __device__ static float power(int e) {  // -126 <= e <= 127
    return __uint_as_float(static_cast<unsigned>(e + kBias) << kMantissa);
  }
  __device__ static float infinity() { return __uint_as_float(0x7f800000u); }
  __device__ static float nan() { return __uint_as_float(0x7fc00000u); }
  __device__ static void split(float x, Word& low, Word& high) {
    const long long q = llrintf(x);
    low = static_cast<Word>(q);
    high = static_cast<Word>(static_cast<unsigned long long>(q) >> 32);
  }
  __device__ static float join(Word low, Word high) {
    return static_cast<float>(static_cast<long long>(
        (static_cast<unsigned long long>(high) << 32) | low));
  }
};

template <>
struct FixedPoint<double> {
  using Word = unsigned long long;
  using Bits = unsigned long long;
  static constexpr int kBits = 126, kMantissa = 52, kBias = 1023, kInfinite = 2047;
  __device__ static Bits bits_of(double x) {
    return static_cast<Bits>(__double_as_longlong(x)) & 0x7fffffffffffffffull;
  }
  __device__ static double power(int e) {
    return __longlong_as_double(static_cast<long long>(e + kBias) << kMantissa);
  }
  __device__ static double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }
  __device__ static double nan() { return __longlong_as_double(0x7ff8000000000000ll); }
  __device__ static void negate(Word& low, Word& high) {
    low = ~low + 1;
    high = ~high + (low == 0 ? 1 : 0);
  }
  __device__ static void split(double x, Word& low, Word& high) {
    constexpr double kTwo64 = 18446744073709551616.0;
    const double size = rint(x < 0 ? -x : x), upper = floor(size * (1 / kTwo64));
    high = static_cast<Word>(upper);
    low = static_cast<Word>(size - upper * kTwo64);  // exact
    if (x < 0) negate(low, high);
  }
  __device__ static double join(Word low, Word high) {
    const bool negative = static_cast<long long>(high) < 0;
    if (negative) negate(low, high);
    const double size =
        static_cast<double>(high) * 18446744073709551616.0 + static_cast<double>(low);
    return negative ? -size : size;
  }
};

// Scale of a plane: 2^s as a product of two normal numbers.
template <class T>
struct FixedScale {
  T up[2], down[2];

  // From the largest finite pattern of |value|.
  __device__ static FixedScale of(typename FixedPoint<T>::Bits largest, int points) {
    using F = FixedPoint<T>;
    int count = 0;
    while ((int64_t{1} << count) < points) ++count;
    // largest < 2^exponent; those of subnormal numbers count as that of the smallest normal one.
    const int field = static_cast<int>(largest >> F::kMantissa);
    const int exponent = (field > 0 ? field : 1) - F::kBias + 1;
    const int s = F::kBits - count - 2 - exponent, half = s / 2;
    return {{F::power(half), F::power(s - half)}, {F::power(-half), F::power(half - s)}};
  }
  __device__ T scaled(T x) const { return x * up[0] * up[1]; }
  __device__ T restored(T x) const { return x * down[0] * down[1]; }
};

template <class T>
__device__ __forceinline__ bool finite_value(T x) {
  return FixedPoint<T>::bits_of(x) >> FixedPoint<T>::kMantissa !=
         static_cast<typename FixedPoint<T>::Bits>(FixedPoint<T>::kInfinite);
}

// Cells whose marks share a word.
inline constexpr int kMarksPerWord = 16;

// 1: + infinity, 2: - infinity, 3: not a number.
template <class T>
__device__ inline unsigned mark_of(T x, int cell) {
  const unsigned mark = x != x ? 3u : x > T(0) ? 1u : 2u;
  return mark << (2 * (cell % kMarksPerWord));
}

// The sum of a cell from its words and the word of its marks.
template <class T>
__device__ __forceinline__ T finished(typename FixedPoint<T>::Word low,
                                      typename FixedPoint<T>::Word high, unsigned marks, int cell,
                                      const FixedScale<T>& scale) {
  const unsigned mark = (marks >> (2 * (cell % kMarksPerWord))) & 3u;
  if (mark == 0) return scale.restored(FixedPoint<T>::join(low, high));
  if (mark == 3) return FixedPoint<T>::nan();
  return mark == 1 ? FixedPoint<T>::infinity() : -FixedPoint<T>::infinity();
}

// Accumulators: fields of low words, high words and marks, in shared or global memory. The high word takes the
// carries of the low one, which are the same however the additions are ordered.
template <class T, class Words, class Marks>
struct FixedSink {
  Words low, high;
  Marks marks;

  __device__ __forceinline__ void add(int cell, T value) const {
    if (!finite_value(value)) {
      atomicOr(&marks[cell / kMarksPerWord], mark_of(value, cell));
      return;
    }
    typename FixedPoint<T>::Word lower, upper;
    FixedPoint<T>::split(value, lower, upper);
    if (lower != 0) {
      const auto before = atomicAdd(&low[cell], lower);
      if (before + lower < before) ++upper;
    }
    if (upper != 0) atomicAdd(&high[cell], upper);
  }
};

}  // namespace fluxion::cuda
