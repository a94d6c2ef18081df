// Complex arithmetic on pairs (re, im) that lie beside each other.
//
// Decomposition and bytes: device/map.cuh; a product of complex64 moves 24 bytes an element. Quotients are scaled
// by max(|re b|, |im b|), so that |b|^2 neither overflows nor vanishes.
#include "complex.h"
#include "device/functions.cuh"
#include "map.h"
#include "ops/complex.h"
#include "ops/elementwise.h"

namespace fluxion::cuda {
namespace {

template <class T>
__device__ __forceinline__ Complex<T> product(const Complex<T>& a, const Complex<T>& b) {
  return Complex<T>(a.re * b.re - a.im * b.im, a.im * b.re + a.re * b.im);
}
template <class T>
__device__ __forceinline__ Complex<T> conjugate(const Complex<T>& z) {
  return Complex<T>(z.re, -z.im);
}

struct Add {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, const Complex<T>& b) const {
    return Complex<T>(a.re + b.re, a.im + b.im);
  }
};
struct Subtract {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, const Complex<T>& b) const {
    return Complex<T>(a.re - b.re, a.im - b.im);
  }
};
struct Multiply {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, const Complex<T>& b) const {
    return product(a, b);
  }
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, T b) const {
    return Complex<T>(a.re * b, a.im * b);
  }
};
struct MultiplyConjugate {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, const Complex<T>& b) const {
    return product(a, conjugate(b));
  }
};

struct Divide {
  bool
      by_one;  // one divisor for all: if it is real, the quotients of the parts are exact where theirs are

  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, T b) const {
    return Complex<T>(a.re / b, a.im / b);
  }
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& a, const Complex<T>& b) const {
    if (by_one && b.im == T(0)) return (*this)(a, b.re);
    const T re = std::fabs(b.re), im = std::fabs(b.im);
    const T scale = T(1) / (re > im ? re : im);
    const Complex<T> c(b.re * scale, b.im * scale);
    const T factor = scale / (c.re * c.re + c.im * c.im);
    const Complex<T> quotient = product(a, conjugate(c));
    return Complex<T>(quotient.re * factor, quotient.im * factor);
  }
};

struct Negate {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& z) const {
    return Complex<T>(-z.re, -z.im);
  }
};
struct Conjugate {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& z) const {
    return conjugate(z);
  }
};

// sqrt(re^2 + im^2); where the squares leave the range the library takes over.
struct Modulus {
  template <class T>
  __device__ T operator()(const Complex<T>& z) const {
    constexpr T kTiny = std::is_same_v<T, float> ? T(1e-30) : T(1e-290),
                kHuge = std::is_same_v<T, float> ? T(1e37) : T(1e300);
    const T s = z.re * z.re + z.im * z.im;
    const bool inside = (s >= kTiny && s <= kHuge) || (z.re == T(0) && z.im == T(0));
    return inside ? std::sqrt(s) : std::hypot(z.re, z.im);
  }
};

// Signs of zeros count, as in C.
struct Angle {
  template <class T>
  __device__ T operator()(const Complex<T>& z) const {
    return std::atan2(z.im, z.re);
  }
};

__device__ __forceinline__ void sine_and_cosine(float x, float* sine, float* cosine) {
  sincosf(x, sine, cosine);
}
__device__ __forceinline__ void sine_and_cosine(double x, double* sine, double* cosine) {
  sincos(x, sine, cosine);
}

// e^re (cos im, sin im), with the imaginary part itself where it is 0: 0 times an infinite e^re would be NaN.
struct Exponential {
  template <class T>
  __device__ Complex<T> operator()(const Complex<T>& z) const {
    const T radius = std::exp(z.re);
    T sine, cosine;
    sine_and_cosine(z.im, &sine, &cosine);
    return Complex<T>(radius * cosine, z.im == T(0) ? z.im : radius * sine);
  }
};

struct Pair {
  template <class T>
  __device__ Complex<T> operator()(T re, T im) const {
    return Complex<T>(re, im);
  }
};

template <class Op>
void run_unary(const Kernel& call, const Op& op) {
  dispatch_complex(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T>(call, op);
  });
}

// Of two complex numbers, or of one and a real number where `mixed` allows it.
template <bool kMixed, class Op>
void run_binary(const Kernel& call, const Op& op) {
  dispatch_complex(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (kMixed) {
      if (!is_complex(call.in(1).dtype)) return map<T, T, decltype(T::re)>(call, op);
    }
    map<T, T, T>(call, op);
  });
}

// From complex numbers to real ones.
template <class Op>
void run_part(const Kernel& call, const Op& op) {
  dispatch_complex(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<decltype(T::re), T>(call, op);
  });
}

}  // namespace

void complex_add(const Kernel& call) { run_binary<false>(call, Add{}); }
void complex_sub(const Kernel& call) { run_binary<false>(call, Subtract{}); }
void complex_mul(const Kernel& call) { run_binary<true>(call, Multiply{}); }
void complex_div(const Kernel& call) { run_binary<true>(call, Divide{call.in(1).size() == 1}); }
void complex_neg(const Kernel& call) { run_unary(call, Negate{}); }
void complex_abs(const Kernel& call) { run_part(call, Modulus{}); }
void complex_exp(const Kernel& call) { run_unary(call, Exponential{}); }

void k_complex(const NoParams&, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<Complex<T>, T, T>(call, Pair{});
  });
}
void k_conj(const NoParams&, const Kernel& call) { run_unary(call, Conjugate{}); }
void k_mul_conj(const NoParams&, const Kernel& call) {
  run_binary<false>(call, MultiplyConjugate{});
}
void k_angle(const NoParams&, const Kernel& call) { run_part(call, Angle{}); }

}  // namespace fluxion::cuda
