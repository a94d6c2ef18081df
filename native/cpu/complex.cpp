// Complex arithmetic on interleaved arrays: element i is x[2 i] + x[2 i + 1] sqrt(-1).
//
// Layout and parallel decomposition: chunks.h; a chunk of n elements is an array of 2 n numbers. Sums,
// differences and casts are those of the parts. Products work on whole vectors of pairs:
//     a b = a dup(re b) + swap(a) dup(im b) (-1, 1, ...),
// two shuffles and a fused multiply-add more than a real product; all are bound by memory, 24 bytes an
// element of complex64. Quotients are scaled by max(|re b|, |im b|), so that |b|^2 neither overflows nor vanishes.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/far_modulus.h"
#include "cpu/kernel.h"
#include "ops/complex.h"
#include "ops/elementwise.h"

#define FLUXION_KERNELS "cpu/complex.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/strided.h"
#include "cpu/vector_math.h"

#include "cpu/chunks.h"
#include "cpu/complex.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

#define FLUXION_INLINE inline __attribute__((always_inline))

template <class T>
using LaneList = std::make_index_sequence<static_cast<size_t>(kLanes<T>)>;

// Lanes (0, 0, 2, 2, ...), (1, 1, 3, 3, ...) and (1, 0, 3, 2, ...) of a vector of pairs.
template <class V, size_t... I>
FLUXION_INLINE V shuffle_re(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, static_cast<int>(I & ~size_t{1})...);
}
template <class V, size_t... I>
FLUXION_INLINE V shuffle_im(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, static_cast<int>(I | 1)...);
}
template <class V, size_t... I>
FLUXION_INLINE V shuffle_swap(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, static_cast<int>(I ^ 1)...);
}

// (even, odd, even, odd, ...)
template <class T, size_t... I>
FLUXION_INLINE Vec<T> alternating(T even, T odd, std::index_sequence<I...>) {
  return Vec<T>{(I % 2 ? odd : even)...};
}

template <class T>
FLUXION_INLINE Vec<T> magnitudes(Vec<T> v) {
  return v < Vec<T>{} ? -v : v;
}

template <class T>
FLUXION_INLINE Vec<T> product(Vec<T> a, Vec<T> b) {
  const LaneList<T> lanes;
  const Vec<T> signs = alternating<T>(-1, 1, lanes);
  return a * shuffle_re(b, lanes) + shuffle_swap(a, lanes) * (shuffle_im(b, lanes) * signs);
}

template <class T>
FLUXION_INLINE Vec<T> conjugate(Vec<T> v) {
  return v * alternating<T>(1, -1, LaneList<T>{});
}

struct Add {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a, Vec<T> b) {
    return a + b;
  }
};
struct Subtract {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a, Vec<T> b) {
    return a - b;
  }
};
struct Multiply {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a, Vec<T> b) {
    return product<T>(a, b);
  }
};
struct MultiplyConjugate {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a, Vec<T> b) {
    return product<T>(a, conjugate<T>(b));
  }
};
struct Divide {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a, Vec<T> b) {
    const LaneList<T> lanes;
    const Vec<T> m = magnitudes<T>(b), other = shuffle_swap(m, lanes);
    const Vec<T> scale = broadcast(T(1)) / (m > other ? m : other);
    const Vec<T> c = b * scale, squares = c * c;
    const Vec<T> norm = squares + shuffle_swap(squares, lanes);
    return product<T>(a, conjugate<T>(c)) * (scale / norm);
  }
};
struct Negate {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a) {
    return -a;
  }
};
struct Conjugate {
  template <class T>
  FLUXION_INLINE static Vec<T> of(Vec<T> a) {
    return conjugate<T>(a);
  }
};

template <class Op, class T>
void pairs_unary(const void*, void* out, const void* const* in, int64_t n) {
  constexpr int w = kLanes<T>;
  const T* __restrict a = static_cast<const T*>(in[0]);
  T* __restrict y = static_cast<T*>(out);
  int64_t i = 0;
  for (; i + w <= 2 * n; i += w) store(y + i, Op::template of<T>(load(a + i)));
  const int rest = static_cast<int>(2 * n - i);
  if (rest > 0) store_partial(y + i, Op::template of<T>(load_partial(a + i, rest)), rest);
}

template <class Op, class T>
void pairs_binary(const void*, void* out, const void* const* in, int64_t n) {
  constexpr int w = kLanes<T>;
  const T* __restrict a = static_cast<const T*>(in[0]);
  const T* __restrict b = static_cast<const T*>(in[1]);
  T* __restrict y = static_cast<T*>(out);
  int64_t i = 0;
  for (; i + w <= 2 * n; i += w) store(y + i, Op::template of<T>(load(a + i), load(b + i)));
  const int rest = static_cast<int>(2 * n - i);
  if (rest > 0)
    store_partial(y + i, Op::template of<T>(load_partial(a + i, rest), load_partial(b + i, rest)),
                  rest);
}

template <class Op>
void run_pairs_binary(const Kernel& k) {
  const bool wide = k.in(0).dtype == DType::c128;
  for_chunks(k, 0, 2, nullptr, wide ? pairs_binary<Op, double> : pairs_binary<Op, float>);
}

template <class Op>
void run_pairs_unary(const Kernel& k) {
  const bool wide = k.in(0).dtype == DType::c128;
  for_chunks(k, 0, 1, nullptr, wide ? pairs_unary<Op, double> : pairs_unary<Op, float>);
}

// --- between real and complex arrays

template <class T>
void pair_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const T* __restrict re = static_cast<const T*>(in[0]);
  const T* __restrict im = static_cast<const T*>(in[1]);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] = re[i];
    y[2 * i + 1] = im[i];
  }
}

template <class T>
void scale_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const T* __restrict z = static_cast<const T*>(in[0]);
  const T* __restrict x = static_cast<const T*>(in[1]);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] = z[2 * i] * x[i];
    y[2 * i + 1] = z[2 * i + 1] * x[i];
  }
}

template <class T>
void unscale_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const T* __restrict z = static_cast<const T*>(in[0]);
  const T* __restrict x = static_cast<const T*>(in[1]);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] = z[2 * i] / x[i];
    y[2 * i + 1] = z[2 * i + 1] / x[i];
  }
}

// By one real number, which is exact where the quotients of the parts are.
template <class T>
void unscale_all_chunk(const void* divisor, void* out, const void* const* in, int64_t n) {
  const T* __restrict z = static_cast<const T*>(in[0]);
  const T x = *static_cast<const T*>(divisor);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < 2 * n; ++i) y[i] = z[i] / x;
}

template <class T>
void divide(const Kernel& k) {
  const TensorView& by = k.in(1);
  if (!is_complex(by.dtype)) return for_chunks(k, 0, 2, nullptr, unscale_chunk<T>);
  if (by.size() == 1 && by.as<Complex<T>>()->im == T(0))
    return for_chunks(k, 0, 1, &by.as<Complex<T>>()->re, unscale_all_chunk<T>);
  for_chunks(k, 0, 2, nullptr, pairs_binary<Divide, T>);
}

// sqrt(re^2 + im^2); far_modulus where the squares leave the range.
template <class T>
void modulus_chunk(const void*, void* out, const void* const* in, int64_t n) {
  constexpr T kTiny = std::is_same_v<T, float> ? T(1e-30) : T(1e-290),
              kHuge = std::is_same_v<T, float> ? T(1e37) : T(1e300);
  const T* __restrict x = static_cast<const T*>(in[0]);
  T* __restrict y = static_cast<T*>(out);
  int outside = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T re = x[2 * i], im = x[2 * i + 1], s = re * re + im * im;
    const bool inside = ((s >= kTiny) & (s <= kHuge)) | ((re == T(0)) & (im == T(0)));
    outside |= !inside;
    y[i] = std::sqrt(inside ? s : T(0));
  }
  if (!outside) return;
  for (int64_t i = 0; i < n; ++i) {
    const T re = x[2 * i], im = x[2 * i + 1], s = re * re + im * im;
    if (!((s >= kTiny) & (s <= kHuge))) y[i] = static_cast<T>(far_modulus(re, im));
  }
}

// (atan(u) / u - 1) / s with s = u^2, |u| <= tan(pi/8); Chebyshev interpolation.
FLUXION_INLINE float arctangent_tail(float s) {  // error 2.4e-9
  return (((-6.451509519e-2f * s + 1.0743605149e-1f) * s - 1.42639439077e-1f) * s +
          1.99995401462e-1f) *
             s -
         3.33333317598e-1f;
}
FLUXION_INLINE double arctangent_tail(double s) {  // error 5e-18
  constexpr double kTerms[] = {
      -0.0191739222855479293, 0.0392292371383594251, -0.0508536592234424838, 0.0585813289442792218,
      -0.0666450960325538607, 0.0769218305989411445, -0.0909090457248734779, 0.111111110151176262,
      -0.142857142846648179,  0.199999999999955124,  -0.333333333333333302};
  double p = kTerms[0];
#pragma GCC unroll 10
  for (int i = 1; i < 11; ++i) p = p * s + kTerms[i];
  return p;
}

// atan2(y, x): with m <= M the magnitudes, atan(m / M) = pi/4 + atan((m - M) / (m + M)) above tan(pi/8); then
// by octants. Signs of zeros count, as in C.
template <class T>
FLUXION_INLINE T argument(T x, T y) {
  constexpr T kPi = T(3.14159265358979323846);
  const T ax = std::fabs(x), ay = std::fabs(y);
  const T half = (ax > T(1)) | (ay > T(1)) ? T(0.5) : T(1);  // the sum must not overflow
  const T top = half * (ay > ax ? ay : ax), low = half * (ay > ax ? ax : ay);
  const bool upper = (low >= T(0.414213562373095049) * top) & (top > T(0));
  const T difference = low == top ? T(0) : low - top;  // of infinities too
  const T numerator = upper ? difference : low;
  const T denominator = upper ? low + top : top;
  const T u = numerator / (denominator == T(0) ? T(1) : denominator), s = u * u;
  const T tangent = u + u * (s * arctangent_tail(s)) + (upper ? kPi / 4 : T(0));
  const T octant = ay > ax ? kPi / 2 - tangent : tangent;
  const T side = std::copysign(T(1), x) < T(0) ? kPi - octant : octant;
  const T result = std::copysign(side, y);
  return (x != x) | (y != y) ? x + y : result;
}

template <class T>
void argument_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const T* __restrict x = static_cast<const T*>(in[0]);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = argument(x[2 * i], x[2 * i + 1]);
}

// e^re (cos im, sin im), with the real part where im is 0: 0 times an infinite e^re would be NaN.
void exponential_chunk_f32(const void*, void* out, const void* const* in, int64_t n) {
  const float* __restrict x = static_cast<const float*>(in[0]);
  float* __restrict y = static_cast<float*>(out);
  int outside = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float r = vexp(x[2 * i]), im = x[2 * i + 1];
    const bool inside = std::fabs(im) < kSineRange;
    outside |= !inside;
    const float angle = inside ? im : 0.0f, s = r * vsine_shifted(angle, 0);
    y[2 * i] = r * vsine_shifted(angle, 1);
    y[2 * i + 1] = im == 0.0f ? im : s;
  }
  if (!outside) return;
  for (int64_t i = 0; i < n; ++i) {
    const float im = x[2 * i + 1];
    if (std::fabs(im) < kSineRange) continue;
    const float r = vexp(x[2 * i]);
    y[2 * i] = r * std::cos(im);
    y[2 * i + 1] = r * std::sin(im);
  }
}

void exponential_chunk_f64(const void*, void* out, const void* const* in, int64_t n) {
  const double* x = static_cast<const double*>(in[0]);
  double* y = static_cast<double*>(out);
  for (int64_t i = 0; i < n; ++i) {
    const double r = vexp(x[2 * i]), im = x[2 * i + 1];
    y[2 * i] = r * std::cos(im);
    y[2 * i + 1] = im == 0.0 ? im : r * std::sin(im);
  }
}

template <class To, class From>
void widen_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const From* __restrict x = static_cast<const From*>(in[0]);
  To* __restrict y = static_cast<To*>(out);
  for (int64_t i = 0; i < n; ++i) {
    y[2 * i] = static_cast<To>(x[i]);
    y[2 * i + 1] = To(0);
  }
}

template <class To, class From>
void convert_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const From* __restrict x = static_cast<const From*>(in[0]);
  To* __restrict y = static_cast<To*>(out);
  for (int64_t i = 0; i < 2 * n; ++i) y[i] = static_cast<To>(x[i]);
}

template <class To>
ChunkFn cast_from(DType from) {
  switch (from) {
    case DType::f32:
      return widen_chunk<To, float>;
    case DType::f64:
      return widen_chunk<To, double>;
    case DType::i32:
      return widen_chunk<To, int32_t>;
    case DType::u8:
      return widen_chunk<To, uint8_t>;
    case DType::c64:
      return convert_chunk<To, float>;
    default:
      return convert_chunk<To, double>;
  }
}

}  // namespace

void complex_add(const Kernel& k) { run_pairs_binary<Add>(k); }
void complex_sub(const Kernel& k) { run_pairs_binary<Subtract>(k); }
void complex_mul(const Kernel& k) {
  if (is_complex(k.in(1).dtype)) return run_pairs_binary<Multiply>(k);
  const bool wide = k.in(0).dtype == DType::c128;
  for_chunks(k, 0, 2, nullptr, wide ? scale_chunk<double> : scale_chunk<float>);
}
void complex_div(const Kernel& k) {
  if (k.in(0).dtype == DType::c128) return divide<double>(k);
  divide<float>(k);
}
void complex_neg(const Kernel& k) { run_pairs_unary<Negate>(k); }

void complex_abs(const Kernel& k) {
  const bool wide = k.in(0).dtype == DType::c128;
  for_chunks(k, 0, 1, nullptr, wide ? modulus_chunk<double> : modulus_chunk<float>);
}

void complex_exp(const Kernel& k) {
  const bool wide = k.in(0).dtype == DType::c128;
  for_chunks(k, 0, 1, nullptr, wide ? exponential_chunk_f64 : exponential_chunk_f32);
}

void complex_cast(const Kernel& k) {
  const DType from = k.in(0).dtype;
  const bool wide = k.out(0).dtype == DType::c128;
  for_chunks(k, 0, 1, nullptr, wide ? cast_from<double>(from) : cast_from<float>(from));
}

void k_complex(const NoParams&, const Kernel& k) {
  const bool wide = k.in(0).dtype == DType::f64;
  for_chunks(k, 0, 2, nullptr, wide ? pair_chunk<double> : pair_chunk<float>);
}

void k_conj(const NoParams&, const Kernel& k) { run_pairs_unary<Conjugate>(k); }
void k_mul_conj(const NoParams&, const Kernel& k) { run_pairs_binary<MultiplyConjugate>(k); }

void k_angle(const NoParams&, const Kernel& k) {
  const bool wide = k.in(0).dtype == DType::c128;
  for_chunks(k, 0, 1, nullptr, wide ? argument_chunk<double> : argument_chunk<float>);
}

#undef FLUXION_INLINE

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
