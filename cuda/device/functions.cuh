// Functions of one number, for every kernel that has an activation, and their slopes.
//
// exp, log, tanh, erf, ... are those of the CUDA library without fast-math. Largest errors in ulp for float
// and double (CUDA C++ programming guide, mathematical functions): exp 1, 1; expm1 1, 1; log 1, 1; log1p 1, 1;
// tanh 2, 1; erf 2, 2; erfc 4, 5; sin and cos 2, 2; pow 4, 2; atan2 3, 2; hypot 3, 2; sqrt and / are rounded
// correctly. What is built of them here adds 2 ulp at most, except where a comment says otherwise; the values
// at 0, infinities and NaN are those of native/cpu/vector_math.h.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "machine.cuh"

namespace fluxion::cuda {

template <class T>
__device__ __forceinline__ T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

template <class T>
__device__ __forceinline__ T silu(T x) {
  return x / (T(1) + std::exp(-x));
}
template <class T>
__device__ __forceinline__ T silu_slope(T x) {
  const T s = sigmoid(x);
  return s * (T(1) + x * (T(1) - s));
}

// log(1 + e^x) without overflow.
template <class T>
__device__ __forceinline__ T softplus(T x) {
  return (x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

// The normal distribution: cdf(x) = erfc(-x / sqrt 2) / 2 and its density, which share one exponential.
template <class T>
struct Normal {
  T cdf, density;
};

// For t = |x|: cdf(-t) = exp(-t^2 / 2) w P(w), w = 1 / (1 + 0.35 t), the polynomial of native/cpu/vector_math.h:
// 5 ulp, where erfcf(-x / sqrt 2) loses digits with the rounding of its argument. The square is taken in two
// parts, or its rounding would be multiplied by t^2 / 2.
__device__ __forceinline__ Normal<float> normal_at(float x) {
  const float t = std::fabs(x), w = 1.0f / (1.0f + 0.35f * t);
  const float u = t > 15.0f ? 15.0f : t;  // a NaN passes
  const float head = __uint_as_float(__float_as_uint(u) & 0xFFFFF000u), tail = u - head;
  const float square = u * u, lost = (head * head - square) + (2.0f * head + tail) * tail;
  const float bell = std::exp(-0.5f * square) * (1.0f - 0.5f * lost);
  float p = -2.914591815e-2f * w + 1.439716387e-1f;
  p = p * w - 2.557141326e-1f;
  p = p * w + 1.591740224e-1f;
  p = p * w - 2.310974149e-2f;
  p = p * w + 1.055079653e-1f;
  p = p * w + 1.198328772e-1f;
  p = p * w + 1.398618684e-1f;
  p = p * w + 1.396214044e-1f;
  const float below = bell * w * p;
  return {x < 0.0f ? below : 1.0f - below, bell * 0.39894228f};
}
__device__ __forceinline__ Normal<double> normal_at(double x) {
  return {0.5 * std::erfc(x * -0.70710678118654752440),
          std::exp(-0.5 * x * x) * 0.39894228040143267794};
}

template <class T>
__device__ __forceinline__ T gelu(T x) {
  return x * normal_at(x).cdf;
}
template <class T>
__device__ __forceinline__ T gelu_slope(T x) {
  const Normal<T> normal = normal_at(x);
  return normal.cdf + x * normal.density;
}

// The form with tanh: x (1 + tanh(u / 2)) / 2 = x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3). The rounding
// of u is multiplied by |u| where the exponential is large: 64 ulp below 0.
template <class T>
__device__ __forceinline__ T gelu_tanh_argument(T x) {
  return T(1.59576912160573071176) * x * (T(1) + T(0.044715) * x * x);
}
template <class T>
__device__ __forceinline__ T gelu_tanh(T x) {
  return x / (T(1) + std::exp(-gelu_tanh_argument(x)));
}
template <class T>
__device__ __forceinline__ T gelu_tanh_slope(T x) {
  const T s = T(1) / (T(1) + std::exp(-gelu_tanh_argument(x)));
  return s + x * s * (T(1) - s) * T(1.59576912160573071176) * (T(1) + T(3 * 0.044715) * x * x);
}

// sin(r + quadrant pi / 2) for r in [-pi/4, pi/4]; the polynomials of native/cpu/vector_math.h, 2 ulp.
__device__ __forceinline__ float sine_of_quadrant(float r, int quadrant) {
  const float z = r * r;
  const float sine = r + r * z * ((-1.951665581e-4f * z + 8.332173543e-3f) * z - 1.666665487e-1f);
  const float cosine =
      1.0f - 0.5f * z + z * z * ((2.443773010e-5f * z - 1.388736145e-3f) * z + 4.166664675e-2f);
  const float value = (quadrant & 1) != 0 ? cosine : sine;
  return (quadrant & 2) != 0 ? -value : value;
}

// Conversion between real dtypes: towards zero, saturating, NaN gives 0.
template <class To, class From>
__host__ __device__ __forceinline__ To convert(From x) {
  if constexpr (std::is_floating_point_v<To> || std::is_same_v<To, From>) {
    return static_cast<To>(x);
  } else if constexpr (std::is_floating_point_v<From>) {
    // The end is 2^31 or 2^8: exact in float, where INT32_MAX is not.
    constexpr From kLow = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From kEnd =
        static_cast<From>(static_cast<double>(std::numeric_limits<To>::max()) + 1);
    if (x >= kEnd) return std::numeric_limits<To>::max();
    if (x <= kLow) return std::numeric_limits<To>::min();
    return static_cast<To>(static_cast<int32_t>(x == x ? x : From(0)));
  } else if constexpr (std::is_same_v<To, uint8_t>) {
    return static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace fluxion::cuda
