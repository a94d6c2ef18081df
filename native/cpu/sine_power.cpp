// sin, cos and pow: float32 by polynomials over the range that they cover (vector_math.h), the C library beyond it
// and for float64; common constant exponents by products and roots. Layout and parallel decomposition: chunks.h.
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/kernel.h"
#include "ops/elementwise.h"

#define FLUXION_KERNELS "cpu/sine_power.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/strided.h"
#include "cpu/vector_math.h"

#include "cpu/chunks.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// sin(x + kShift * pi/2); beyond the range of the fast reduction the C library takes over.
template <int kShift>
void sine_chunk_f32(const void*, void* out, const void* const* in, int64_t n) {
  const float* __restrict x = static_cast<const float*>(in[0]);
  float* __restrict y = static_cast<float*>(out);
  int outside = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool inside = std::fabs(x[i]) < kSineRange;
    outside |= !inside;
    const float value = vsine_shifted(inside ? x[i] : 0.0f, kShift);
    y[i] = kShift == 0 && x[i] == 0.0f ? x[i] : value;  // the sine of -0 is -0
  }
  if (!outside) return;
  for (int64_t i = 0; i < n; ++i)
    if (!(std::fabs(x[i]) < kSineRange)) y[i] = kShift ? std::cos(x[i]) : std::sin(x[i]);
}

template <int kShift>
void sine_chunk_f64(const void*, void* out, const void* const* in, int64_t n) {
  const double* x = static_cast<const double*>(in[0]);
  double* y = static_cast<double*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = kShift ? std::cos(x[i]) : std::sin(x[i]);
}

// Subnormal and infinite bases and huge exponents are left to the C library.
void power_chunk_f32(const void*, void* out, const void* const* in, int64_t n) {
  const float* __restrict x = static_cast<const float*>(in[0]);
  const float* __restrict y = static_cast<const float*>(in[1]);
  float* __restrict z = static_cast<float*>(out);
  int outside = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool inside = vpow_takes(x[i], y[i]);
    outside |= !inside;
    z[i] = vpow(inside ? x[i] : 1.0f, inside ? y[i] : 0.0f);
  }
  if (!outside) return;
  for (int64_t i = 0; i < n; ++i)
    if (!vpow_takes(x[i], y[i])) z[i] = std::pow(x[i], y[i]);
}

struct Power {
  double operator()(double a, double b) const { return std::pow(a, b); }
};
// Powers by constants that are common and far cheaper than the general one, which has their special values.
template <int kTwice>
struct HalfPower {
  template <class T>
  T operator()(T x) const {
    if constexpr (kTwice == 2) return x;
    if constexpr (kTwice == 4) return x * x;
    if constexpr (kTwice == 6) return x * x * x;
    if constexpr (kTwice == -2) return T(1) / x;
    if constexpr (kTwice == -4) return (T(1) / x) * (T(1) / x);
    // The power of -0 is 0, that of -infinity infinity; the root has -0 and NaN.
    const T root = std::sqrt(x == -std::numeric_limits<T>::infinity() ? -x : x) + T(0);
    return kTwice == 1 ? root : T(1) / root;
  }
};

}  // namespace

void k_sin(const NoParams&, const Kernel& k) {
  for_chunks(k, 0, 1, nullptr, k.in(0).dtype == DType::f32 ? sine_chunk_f32<0> : sine_chunk_f64<0>);
}

void k_cos(const NoParams&, const Kernel& k) {
  for_chunks(k, 0, 1, nullptr, k.in(0).dtype == DType::f32 ? sine_chunk_f32<1> : sine_chunk_f64<1>);
}

void k_pow(const NoParams&, const Kernel& k) {
  double exponent = 0;
  if (k.in(1).size() == 1) {
    exponent = k.in(1).dtype == DType::f32 ? *k.in(1).as<float>() : *k.in(1).as<double>();
  }
  if (exponent == 1) return run_unary<true>(k, HalfPower<2>{});
  if (exponent == 2) return run_unary<true>(k, HalfPower<4>{});
  if (exponent == 3) return run_unary<true>(k, HalfPower<6>{});
  if (exponent == -1) return run_unary<true>(k, HalfPower<-2>{});
  if (exponent == -2) return run_unary<true>(k, HalfPower<-4>{});
  if (exponent == 0.5) return run_unary<true>(k, HalfPower<1>{});
  if (exponent == -0.5) return run_unary<true>(k, HalfPower<-1>{});
  for_chunks(k, 0, 2, nullptr,
             k.in(0).dtype == DType::f32 ? power_chunk_f32 : binary_chunk<Power, double>);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
