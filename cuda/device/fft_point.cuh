// Complex points of Fourier transforms, and division by the constants of a plan.
#pragma once

#include "machine.cuh"

// Parameters of kernels whose address is taken: they are read where they are.
#if !defined(__CUDACC__)
#define __grid_constant__
#endif

namespace fluxion::cuda {

// As the elements of complex tensors lie in memory.
template <class T>
struct alignas(2 * sizeof(T)) Point {
  T re, im;
};

template <class T>
__device__ __forceinline__ Point<T> operator+(Point<T> a, Point<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
__device__ __forceinline__ Point<T> operator-(Point<T> a, Point<T> b) {
  return {a.re - b.re, a.im - b.im};
}
template <class T>
__device__ __forceinline__ Point<T> operator*(Point<T> a, Point<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class T>
__device__ __forceinline__ Point<T> operator*(T a, Point<T> b) {
  return {a * b.re, a * b.im};
}
template <class T>
__device__ __forceinline__ Point<T> conjugate(Point<T> a) {
  return {a.re, -a.im};
}
// Real and imaginary part exchanged: the inverse transform is the forward one between two of these.
template <class T>
__device__ __forceinline__ Point<T> exchanged(Point<T> a) {
  return {a.im, a.re};
}
// -i a
template <class T>
__device__ __forceinline__ Point<T> turned(Point<T> a) {
  return {a.im, -a.re};
}

// A point of a table that no kernel writes.
__device__ __forceinline__ Point<float> fetch(const Point<float>* at) {
  const float2 pair = __ldg(reinterpret_cast<const float2*>(at));
  return {pair.x, pair.y};
}
__device__ __forceinline__ Point<double> fetch(const Point<double>* at) {
  const double2 pair = __ldg(reinterpret_cast<const double2*>(at));
  return {pair.x, pair.y};
}

// Division of a >= 0 by by >= 1 as a product, magic = 2^32 / by rounded up: exact while a by < 2^32.
struct Divisor {
  unsigned by, magic;
  Divisor() = default;
  __host__ __device__ explicit Divisor(int value)
      : by(static_cast<unsigned>(value)),
        magic(value == 1 ? 0u : 0xffffffffu / static_cast<unsigned>(value) + 1u) {}
  __device__ __forceinline__ int of(int a) const {
    return by == 1u ? a : static_cast<int>(__umulhi(static_cast<unsigned>(a), magic));
  }
};

}  // namespace fluxion::cuda
