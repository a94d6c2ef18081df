// Arithmetic, comparisons and selection of numbers: out[i] = f(a[i], b[i], ...) with broadcasting.
//
// Decomposition and bytes: device/map.cuh; a float32 sum moves 12 bytes an element, a comparison 9. Integers
// wrap as on the CPU: their arithmetic is done in uint32_t. Complex operands: complex_arithmetic.cu.
#include "complex.h"
#include "device/functions.cuh"
#include "map.h"
#include "ops/elementwise.h"

namespace fluxion::cuda {
namespace {

template <class T>
using Wrapping = std::conditional_t<std::is_floating_point_v<T>, T, uint32_t>;

template <class T>
__device__ __forceinline__ T quotient(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a / b;
  } else {
    // The wrapped value of -2^31 / -1 is the negation.
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return static_cast<T>(0u - static_cast<uint32_t>(a));
    }
    return b == 0 ? T(0) : static_cast<T>(a / b);
  }
}

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b));
  }
};
struct Subtract {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) - Wrapping<T>(b));
  }
};
struct Multiply {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b));
  }
};
struct Divide {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return quotient(a, b);
  }
};
// A NaN on either side gives NaN.
struct Maximum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct Minimum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

// The six comparisons are three: the others swap their sides.
struct Equal {
  bool negated;
  template <class T>
  __device__ uint8_t operator()(T a, T b) const {
    return (a == b) != negated;
  }
};
struct Less {
  bool swapped;
  template <class T>
  __device__ uint8_t operator()(T a, T b) const {
    return swapped ? b < a : a < b;
  }
};
struct LessEqual {
  bool swapped;
  template <class T>
  __device__ uint8_t operator()(T a, T b) const {
    return swapped ? b <= a : a <= b;
  }
};

struct Where {
  template <class T>
  __device__ T operator()(uint8_t condition, const T& yes, const T& no) const {
    return condition != 0 ? yes : no;
  }
};

template <class Op>
void run_binary(const Kernel& call, const Op& op) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T, T>(call, op);
  });
}

template <class Op>
void compare(const Kernel& call, const Op& op) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<uint8_t, T, T>(call, op);
  });
}

struct alignas(16) Bits128 {
  uint64_t low, high;
};

}  // namespace

void k_add(const NoParams&, const Kernel& call) {
  if (is_complex(call.in(0).dtype)) return complex_add(call);
  run_binary(call, Add{});
}
void k_sub(const NoParams&, const Kernel& call) {
  if (is_complex(call.in(0).dtype)) return complex_sub(call);
  run_binary(call, Subtract{});
}
void k_mul(const NoParams&, const Kernel& call) {
  if (is_complex(call.in(0).dtype)) return complex_mul(call);
  run_binary(call, Multiply{});
}
void k_div(const NoParams&, const Kernel& call) {
  if (is_complex(call.in(0).dtype)) return complex_div(call);
  run_binary(call, Divide{});
}
void k_maximum(const NoParams&, const Kernel& call) { run_binary(call, Maximum{}); }
void k_minimum(const NoParams&, const Kernel& call) { run_binary(call, Minimum{}); }

void k_eq(const NoParams&, const Kernel& call) { compare(call, Equal{false}); }
void k_ne(const NoParams&, const Kernel& call) { compare(call, Equal{true}); }
void k_lt(const NoParams&, const Kernel& call) { compare(call, Less{false}); }
void k_gt(const NoParams&, const Kernel& call) { compare(call, Less{true}); }
void k_le(const NoParams&, const Kernel& call) { compare(call, LessEqual{false}); }
void k_ge(const NoParams&, const Kernel& call) { compare(call, LessEqual{true}); }

// Selected as bits: what matters is the size of an element.
void k_where(const NoParams&, const Kernel& call) {
  switch (size_of(call.out(0).dtype)) {
    case 1:
      return map<uint8_t, uint8_t, uint8_t, uint8_t>(call, Where{});
    case 4:
      return map<uint32_t, uint8_t, uint32_t, uint32_t>(call, Where{});
    case 8:
      return map<uint64_t, uint8_t, uint64_t, uint64_t>(call, Where{});
    default:
      return map<Bits128, uint8_t, Bits128, Bits128>(call, Where{});
  }
}

}  // namespace fluxion::cuda
