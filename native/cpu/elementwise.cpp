// Elementwise ops: out[i] = f(a[i], b[i], ...) with broadcasting.
//
// Layout and parallel decomposition: chunks.h. Each op is one loop over contiguous arrays, vectorised by
// the compiler. Complex operands go to complex.cpp.
#include <cstdint>
#include <type_traits>

#include "cpu/kernel.h"
#include "ops/elementwise.h"

#define FLUXION_KERNELS "cpu/elementwise.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/strided.h"
#include "cpu/vector_math.h"

#include "cpu/chunks.h"
#include "cpu/complex.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
void where_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const uint8_t* __restrict condition = static_cast<const uint8_t*>(in[0]);
  const T* __restrict a = static_cast<const T*>(in[1]);
  const T* __restrict b = static_cast<const T*>(in[2]);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) {
    const T yes = a[i], no = b[i];  // read both: a load under a condition would not be vectorised
    y[i] = condition[i] != 0 ? yes : no;
  }
}

// Integer arithmetic wraps: it is done in uint32_t, where wrapping is defined.
template <class T>
using Wrapping = std::conditional_t<std::is_floating_point_v<T>, T, uint32_t>;

template <class T>
T quotient(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a / b;
  } else {
    // -2^31 / -1 would trap; its wrapped value is the negation.
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return static_cast<T>(0u - static_cast<uint32_t>(a));
    return b == 0 ? T(0) : static_cast<T>(a / b);
  }
}

// log(u) + (x - (u - 1)) / u, u = 1 + x rounded: the second term gives back what rounding took.
template <class T>
T log_one_plus(T x) {
  const T u = T(1) + x, lost = x - (u - T(1));
  const bool exact = lost == T(0) || !(u < std::numeric_limits<T>::max());
  return vlog(u) + (exact ? T(0) : lost / u);
}

template <class T>
T magnitude(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
  return x < T(0) ? static_cast<T>(0u - static_cast<uint32_t>(x)) : x;
}

}  // namespace

#define FLUXION_BINARY(id, floating, expression) \
  namespace {                                    \
  struct Op_##id {                               \
    template <class T>                           \
    auto operator()(T a, T b) const {            \
      return expression;                         \
    }                                            \
  };                                             \
  }                                              \
  void k_##id(const NoParams&, const Kernel& k) { run_binary<floating>(k, Op_##id{}); }

// Arithmetic that complex numbers have too.
#define FLUXION_ARITHMETIC(id, expression)                 \
  namespace {                                              \
  struct Op_##id {                                         \
    template <class T>                                     \
    T operator()(T a, T b) const {                         \
      return expression;                                   \
    }                                                      \
  };                                                       \
  }                                                        \
  void k_##id(const NoParams&, const Kernel& k) {          \
    if (is_complex(k.in(0).dtype)) return complex_##id(k); \
    run_binary<false>(k, Op_##id{});                       \
  }

#define FLUXION_UNARY(id, floating, expression) \
  namespace {                                   \
  struct Op_##id {                              \
    template <class T>                          \
    T operator()(T x) const {                   \
      return expression;                        \
    }                                           \
  };                                            \
  }                                             \
  void k_##id(const NoParams&, const Kernel& k) { run_unary<floating>(k, Op_##id{}); }

// The same for complex numbers too.
#define FLUXION_UNARY_OR_COMPLEX(id, floating, expression) \
  namespace {                                              \
  struct Op_##id {                                         \
    template <class T>                                     \
    T operator()(T x) const {                              \
      return expression;                                   \
    }                                                      \
  };                                                       \
  }                                                        \
  void k_##id(const NoParams&, const Kernel& k) {          \
    if (is_complex(k.in(0).dtype)) return complex_##id(k); \
    run_unary<floating>(k, Op_##id{});                     \
  }

// The same with parameters p, of which the expression may use the fields.
#define FLUXION_UNARY_WITH(id, Params, floating, expression) \
  namespace {                                                \
  struct Op_##id {                                           \
    Params p;                                                \
    template <class T>                                       \
    T operator()(T x) const {                                \
      return expression;                                     \
    }                                                        \
  };                                                         \
  }                                                          \
  void k_##id(const Params& p, const Kernel& k) { run_unary<floating>(k, Op_##id{p}); }

#define FLUXION_BINARY_WITH(id, Params, floating, expression) \
  namespace {                                                 \
  struct Op_##id {                                            \
    Params p;                                                 \
    template <class T>                                        \
    T operator()(T a, T b) const {                            \
      return expression;                                      \
    }                                                         \
  };                                                          \
  }                                                           \
  void k_##id(const Params& p, const Kernel& k) { run_binary<floating>(k, Op_##id{p}); }

FLUXION_ARITHMETIC(add, static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b)))
FLUXION_ARITHMETIC(sub, static_cast<T>(Wrapping<T>(a) - Wrapping<T>(b)))
FLUXION_ARITHMETIC(mul, static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b)))
FLUXION_ARITHMETIC(div, quotient(a, b))
// A NaN on either side gives NaN.
FLUXION_BINARY(maximum, false, a > b || a != a ? a : b)
FLUXION_BINARY(minimum, false, a < b || a != a ? a : b)
FLUXION_BINARY(eq, false, static_cast<uint8_t>(a == b))
FLUXION_BINARY(ne, false, static_cast<uint8_t>(a != b))
FLUXION_BINARY(lt, false, static_cast<uint8_t>(a < b))
FLUXION_BINARY(le, false, static_cast<uint8_t>(a <= b))
FLUXION_BINARY(gt, false, static_cast<uint8_t>(a > b))
FLUXION_BINARY(ge, false, static_cast<uint8_t>(a >= b))

FLUXION_UNARY_OR_COMPLEX(neg, false,
                         static_cast<T>(std::is_floating_point_v<T> ? -x : T(0u - Wrapping<T>(x))))
FLUXION_UNARY_OR_COMPLEX(abs, false, magnitude(x))
FLUXION_UNARY_OR_COMPLEX(exp, true, vexp(x))
FLUXION_UNARY(sign, false, x != x ? x : static_cast<T>((x > T(0)) - (x < T(0))))
FLUXION_UNARY(relu, false, x < T(0) ? T(0) : x)  // a NaN stays
FLUXION_UNARY(sqrt, true, std::sqrt(x))
FLUXION_UNARY(log, true, vlog(x))
FLUXION_UNARY(log1p, true, log_one_plus(x))
FLUXION_UNARY(tanh, true, vtanh(x))
FLUXION_UNARY(sigmoid, true, vsigmoid(x))
FLUXION_UNARY(silu, true, x / (T(1) + vexp(-x)))
FLUXION_UNARY(erf, true, verf(x))
FLUXION_UNARY(rsqrt, true, T(1) / std::sqrt(x))
FLUXION_UNARY(reciprocal, true, T(1) / x)

// Adjoints: a is the cotangent g, b the saved output y or input x.
FLUXION_BINARY(tanh_vjp, true, a*(T(1) - b * b))
FLUXION_BINARY(sigmoid_vjp, true, a*(T(1) - b) * b)
FLUXION_BINARY(relu_vjp, false, b > T(0) ? a : T(0))
FLUXION_BINARY(silu_vjp, true, a* vsilu_slope(b))

FLUXION_UNARY_WITH(leaky_relu, SlopeParams, true, x > T(0) ? x : x * T(p.negative_slope))
FLUXION_BINARY_WITH(leaky_relu_vjp, SlopeParams, true, b > T(0) ? a : a * T(p.negative_slope))
FLUXION_UNARY_WITH(elu, AlphaParams, true, x > T(0) ? x : T(p.alpha) * vexpm1(x))
FLUXION_UNARY_WITH(softplus, SoftplusParams, true,
                   x* T(p.beta) > T(p.threshold) ? x : vsoftplus(x * T(p.beta)) / T(p.beta))
FLUXION_BINARY_WITH(softplus_vjp, SoftplusParams, true,
                    b* T(p.beta) > T(p.threshold) ? a : a * vsigmoid(b * T(p.beta)))
FLUXION_BINARY_WITH(elu_vjp, AlphaParams, true, b > T(0) ? a : a * T(p.alpha) * vexp(b))

namespace {

// Bounds are converted once, saturating for integers; as in PyTorch max wins where min > max.
template <class T>
struct Clamp {
  T low, high;
  T operator()(T x) const {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
  T operator()(T g, T x) const { return x >= low && x <= high ? g : T(0); }
};

template <class To, class From>
void cast_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const From* __restrict x = static_cast<const From*>(in[0]);
  To* __restrict y = static_cast<To*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
}

struct Gelu {
  template <class T>
  T operator()(T x) const {
    return x * vnormal(x).cdf;
  }
  template <class T>
  T operator()(T g, T x) const {
    return g * vgelu_slope(x);
  }
};
struct GeluTanh {
  template <class T>
  T operator()(T x) const {
    return vgelu_tanh(x);
  }
  template <class T>
  T operator()(T g, T x) const {
    return g * vgelu_tanh_slope(x);
  }
};

}  // namespace

void k_gelu(const GeluParams& p, const Kernel& k) {
  if (p.approximate == GeluForm::tanh) return run_unary<true>(k, GeluTanh{});
  run_unary<true>(k, Gelu{});
}
void k_gelu_vjp(const GeluParams& p, const Kernel& k) {
  if (p.approximate == GeluForm::tanh) return run_binary<true>(k, GeluTanh{});
  run_binary<true>(k, Gelu{});
}

void k_clamp(const ClampParams& p, const Kernel& k) {
  dispatch_all(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Clamp<T> op{convert<T>(p.min), convert<T>(p.max)};
    for_chunks(k, 0, 1, &op, unary_chunk<Clamp<T>, T>);
  });
}

void k_clamp_vjp(const ClampParams& p, const Kernel& k) {
  dispatch_all(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Clamp<T> op{convert<T>(p.min), convert<T>(p.max)};
    for_chunks(k, 0, 2, &op, binary_chunk<Clamp<T>, T>);
  });
}

void k_where(const NoParams&, const Kernel& k) {
  if (k.in(1).dtype == DType::c64) return for_chunks(k, 0, 3, nullptr, where_chunk<uint64_t>);
  dispatch_any(k.in(1).dtype, [&](auto tag) {
    for_chunks(k, 0, 3, nullptr, where_chunk<typename decltype(tag)::type>);
  });
}

namespace {
template <class To>
ChunkFn cast_from(DType from) {
  switch (from) {
    case DType::f32:
      return cast_chunk<To, float>;
    case DType::f64:
      return cast_chunk<To, double>;
    case DType::i32:
      return cast_chunk<To, int32_t>;
    default:
      return cast_chunk<To, uint8_t>;
  }
}
}  // namespace

void k_cast(const CastParams& p, const Kernel& k) {
  if (is_complex(p.dtype)) return complex_cast(k);
  dispatch_all(p.dtype, [&](auto tag) {
    for_chunks(k, 0, 1, nullptr, cast_from<typename decltype(tag)::type>(k.in(0).dtype));
  });
}

#undef FLUXION_ARITHMETIC
#undef FLUXION_BINARY
#undef FLUXION_UNARY
#undef FLUXION_UNARY_OR_COMPLEX
#undef FLUXION_UNARY_WITH
#undef FLUXION_BINARY_WITH

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
