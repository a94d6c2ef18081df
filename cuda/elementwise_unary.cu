// Functions of one number, and powers: out[i] = f(x[i]).
//
// Decomposition and bytes: device/map.cuh; 8 bytes a float32 element. Errors: device/functions.cuh.
#include "complex.h"
#include "device/functions.cuh"
#include "map.h"
#include "ops/elementwise.h"

namespace fluxion::cuda {
namespace {

template <class T>
__device__ __forceinline__ T negated(T x) {
  if constexpr (std::is_floating_point_v<T>) return -x;
  return static_cast<T>(0u - static_cast<uint32_t>(x));
}

template <class T>
__device__ __forceinline__ T magnitude(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fabs(x);
  } else if constexpr (std::is_signed_v<T>) {
    return x < T(0) ? negated(x) : x;
  } else {
    return x;
  }
}

// A NaN stays.
template <class T>
__device__ __forceinline__ T sign_of(T x) {
  if constexpr (std::is_unsigned_v<T>) {
    return x != T(0) ? T(1) : T(0);
  } else {
    return x != x ? x : static_cast<T>((x > T(0)) - (x < T(0)));
  }
}

struct Power {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return std::pow(a, b);
  }
};

// x^(twice / 2): powers that are common and far cheaper than the general one, which has their special values.
struct HalfPower {
  int twice;

  template <class T>
  __device__ T operator()(T x) const {
    switch (twice) {
      case 2:
        return x;
      case 4:
        return x * x;
      case 6:
        return x * x * x;
      case -2:
        return T(1) / x;
      case -4:
        return (T(1) / x) * (T(1) / x);
      default:
        // The power of -0 is 0, that of -infinity infinity; the root has -0 and NaN.
        const T root = std::sqrt(x == -std::numeric_limits<T>::infinity() ? -x : x) + T(0);
        return twice == 1 ? root : T(1) / root;
    }
  }
};

template <bool kFloating, class Op>
void run_unary(const Kernel& call, const Op& op) {
  const auto run = [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T>(call, op);
  };
  if constexpr (kFloating) {
    dispatch_floating(call.in(0).dtype, run);
  } else {
    dispatch_all(call.in(0).dtype, run);
  }
}

}  // namespace

#define FLUXION_UNARY(id, floating, expression) \
  namespace {                                   \
  struct Op_##id {                              \
    template <class T>                          \
    __device__ T operator()(T x) const {        \
      return expression;                        \
    }                                           \
  };                                            \
  }                                             \
  void k_##id(const NoParams&, const Kernel& call) { run_unary<floating>(call, Op_##id{}); }

// The same for complex numbers too.
#define FLUXION_UNARY_OR_COMPLEX(id, floating, expression)       \
  namespace {                                                    \
  struct Op_##id {                                               \
    template <class T>                                           \
    __device__ T operator()(T x) const {                         \
      return expression;                                         \
    }                                                            \
  };                                                             \
  }                                                              \
  void k_##id(const NoParams&, const Kernel& call) {             \
    if (is_complex(call.in(0).dtype)) return complex_##id(call); \
    run_unary<floating>(call, Op_##id{});                        \
  }

FLUXION_UNARY_OR_COMPLEX(neg, false, negated(x))
FLUXION_UNARY_OR_COMPLEX(abs, false, magnitude(x))
FLUXION_UNARY_OR_COMPLEX(exp, true, std::exp(x))
FLUXION_UNARY(sign, false, sign_of(x))
FLUXION_UNARY(sqrt, true, std::sqrt(x))
FLUXION_UNARY(rsqrt, true, T(1) / std::sqrt(x))
FLUXION_UNARY(reciprocal, true, T(1) / x)
FLUXION_UNARY(log, true, std::log(x))
FLUXION_UNARY(log1p, true, std::log1p(x))
FLUXION_UNARY(erf, true, std::erf(x))
FLUXION_UNARY(sin, true, std::sin(x))
FLUXION_UNARY(cos, true, std::cos(x))
FLUXION_UNARY(tanh, true, std::tanh(x))
FLUXION_UNARY(sigmoid, true, sigmoid(x))
FLUXION_UNARY(silu, true, silu(x))

#undef FLUXION_UNARY
#undef FLUXION_UNARY_OR_COMPLEX

// A power of a number of the host that is common has a kernel of its own; a number in the memory of the device
// is not known here.
void k_pow(const NoParams&, const Kernel& call) {
  const TensorView& power = call.in(1);
  double exponent = 0;
  if (power.scalar)
    exponent = power.dtype == DType::f32 ? call.number<float>(1) : call.number<double>(1);
  for (const int twice : {1, -1, 2, -2, 4, -4, 6}) {
    if (2 * exponent == twice) return run_unary<true>(call, HalfPower{twice});
  }
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T, T>(call, Power{});
  });
}

}  // namespace fluxion::cuda
