// The factor of a mode in spectral diffusion, and its derivative, as in docs/numerics/spectral-diffusion.md:
//     isotropic    z = dt k (sum_i lambda_i)^power           anisotropic  z = dt (sum_i k_i^(1/power) lambda_i)^power
//     factor       1 / (1 + z),   (1 - z/2) / (1 + z/2)   or   e^-z
#pragma once

#include <cmath>

#include "machine.cuh"

namespace fluxion::cuda {

enum class StepScheme : int { backward_euler, crank_nicolson, exponential };

template <class T>
struct DiffusionSymbol {
  StepScheme scheme;
  bool anisotropic;
  int dims;
  T power, dt;
  int64_t channels;
  int n[3];            // cells along x, y, z; 1 where there is no such axis
  const T* lambda[3];  // eigenvalues along each axis; null where there is none
  const T* diffusivity;
  int64_t channel_stride, axis_stride;
};

// What is common to a row of modes (ky, kz of one plane or volume).
template <class T>
struct RowSymbol {
  T rate;    // of lambda_x
  T base;    // the sum over the other axes
  T factor;  // z = factor (...)^power
  T lambda[2];
};

// k^(1/power) where the diffusivity has axes of its own.
template <class T>
__device__ __forceinline__ T axis_rate(const DiffusionSymbol<T>& s, const T* k, int axis) {
  if (!s.anisotropic) return T(1);
  const T given = k[axis * s.axis_stride];
  if (s.power == T(1)) return given;
  return static_cast<T>(pow(static_cast<double>(given), 1 / static_cast<double>(s.power)));
}

// a / by, in 32 bits where a has no more.
__device__ __forceinline__ int64_t quotient(int64_t a, int64_t by) {
  if ((a | by) >> 32) return a / by;
  return static_cast<uint32_t>(a) / static_cast<uint32_t>(by);
}

// Rows are numbered through all planes: [N, C, D, H].
template <class T>
__device__ __forceinline__ RowSymbol<T> row_symbol(const DiffusionSymbol<T>& s, int64_t row) {
  const int64_t plane = quotient(row, s.n[1]), volume = quotient(plane, s.n[2]);
  const int64_t channel = volume - quotient(volume, s.channels) * s.channels;
  const T* k = s.diffusivity + channel * s.channel_stride;
  RowSymbol<T> r;
  r.lambda[0] = s.dims > 1 ? s.lambda[1][row - plane * s.n[1]] : T(0);
  r.lambda[1] = s.dims > 2 ? s.lambda[2][plane - volume * s.n[2]] : T(0);
  r.rate = axis_rate(s, k, 0);
  r.base = T(0);
  if (s.dims > 1) r.base = axis_rate(s, k, 1) * r.lambda[0];
  if (s.dims > 2) r.base += axis_rate(s, k, 2) * r.lambda[1];
  r.factor = s.anisotropic ? s.dt : s.dt * k[0];
  return r;
}

__device__ __forceinline__ float power_of(float x, float p) { return powf(x, p); }
__device__ __forceinline__ double power_of(double x, double p) { return pow(x, p); }
__device__ __forceinline__ float exponential_of(float x) { return expf(x); }
__device__ __forceinline__ double exponential_of(double x) { return exp(x); }
__device__ __forceinline__ constexpr float largest_power(float) { return 3.4028234e38f / 4; }
__device__ __forceinline__ constexpr double largest_power(double) {
  return 1.7976931348623157e308 / 4;
}
__device__ __forceinline__ constexpr float smallest_base(float) { return 1.17549435e-38f; }
__device__ __forceinline__ constexpr double smallest_base(double) {
  return 2.2250738585072014e-308;
}

// x^p for x >= 0, kept finite: a factor that has vanished times it is 0, not NaN.
template <class T>
__device__ __forceinline__ T finite_power(T x, T p) {
  if (p == T(1)) return x;
  if (!(x > smallest_base(T(0)))) return T(0);
  const T y = power_of(x, p);
  return y < largest_power(T(0)) ? y : largest_power(T(0));
}

// The factor of mode kx of a row, and what is common to its derivatives in the diffusivity: times dt b^power of
// an isotropic one is dz/dk, times lambda_i that of another.
template <class T>
struct ModeFactor {
  T value, slope;
};

template <class T, bool kSlope>
__device__ __forceinline__ ModeFactor<T> mode_factor(const DiffusionSymbol<T>& s,
                                                     const RowSymbol<T>& row, int kx) {
  const T b = row.rate * s.lambda[0][kx] + row.base;
  const T raised = finite_power(b, s.power), z = row.factor * raised;
  T value, first, second;  // the derivative of the factor is - first second
  if (s.scheme == StepScheme::backward_euler) {
    value = first = second = T(1) / (T(1) + z);
  } else if (s.scheme == StepScheme::crank_nicolson) {
    first = second = T(1) / (T(1) + T(0.5) * z);
    value = first + first - T(1);
  } else {
    value = second = exponential_of(-z);
    first = T(1);
  }
  if constexpr (!kSlope) return {value, T(0)};
  T inner = raised;
  if (s.anisotropic) inner = s.power == T(1) ? T(1) : (b > T(0) ? raised / b : T(0));
  return {value, inner * first * second * -s.dt};
}

}  // namespace fluxion::cuda
