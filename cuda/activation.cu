// Activations that are not smooth or have parameters, and the adjoints of all: out[i] = f(x[i]),
// out[i] = g[i] f'(x[i]) (tanh and sigmoid: from the saved result).
//
// Decomposition and bytes: device/map.cuh; 8 bytes a float32 element forward, 12 backward. Errors:
// device/functions.cuh.
#include "device/functions.cuh"
#include "map.h"
#include "ops/elementwise.h"

namespace fluxion::cuda {
namespace {

// A NaN stays, and so does the sign of a zero.
struct Relu {
  template <class T>
  __device__ T operator()(T x) const {
    if constexpr (std::is_unsigned_v<T>) {
      return x;
    } else {
      return x < T(0) ? T(0) : x;
    }
  }
  template <class T>
  __device__ T operator()(T g, T x) const {
    return x > T(0) ? g : T(0);
  }
};

struct Tanh {
  template <class T>
  __device__ T operator()(T g, T y) const {
    return g * (T(1) - y * y);
  }
};
struct Sigmoid {
  template <class T>
  __device__ T operator()(T g, T y) const {
    return g * (T(1) - y) * y;
  }
};
struct Silu {
  template <class T>
  __device__ T operator()(T g, T x) const {
    return g * silu_slope(x);
  }
};

struct LeakyRelu {
  double slope;
  template <class T>
  __device__ T operator()(T x) const {
    return x > T(0) ? x : x * T(slope);
  }
  template <class T>
  __device__ T operator()(T g, T x) const {
    return x > T(0) ? g : g * T(slope);
  }
};

struct Elu {
  double alpha;
  template <class T>
  __device__ T operator()(T x) const {
    return x > T(0) ? x : T(alpha) * std::expm1(x);
  }
  template <class T>
  __device__ T operator()(T g, T x) const {
    return x > T(0) ? g : g * T(alpha) * std::exp(x);
  }
};

struct Softplus {
  double beta, threshold;
  template <class T>
  __device__ T operator()(T x) const {
    return x * T(beta) > T(threshold) ? x : softplus(x * T(beta)) / T(beta);
  }
  template <class T>
  __device__ T operator()(T g, T x) const {
    return x * T(beta) > T(threshold) ? g : g * sigmoid(x * T(beta));
  }
};

struct Gelu {
  template <class T>
  __device__ T operator()(T x) const {
    return gelu(x);
  }
  template <class T>
  __device__ T operator()(T g, T x) const {
    return g * gelu_slope(x);
  }
};
struct GeluTanh {
  template <class T>
  __device__ T operator()(T x) const {
    return gelu_tanh(x);
  }
  template <class T>
  __device__ T operator()(T g, T x) const {
    return g * gelu_tanh_slope(x);
  }
};

// Bounds are converted once, saturating for integers; as in PyTorch max wins where min > max.
template <class T>
struct Clamp {
  T low, high;
  __device__ T operator()(T x) const {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
  __device__ T operator()(T g, T x) const { return x >= low && x <= high ? g : T(0); }
};

template <class Op>
void run_floating(const Kernel& call, const Op& op) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T>(call, op);
  });
}
template <class Op>
void run_adjoint(const Kernel& call, const Op& op) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T, T>(call, op);
  });
}

}  // namespace

void k_relu(const NoParams&, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T>(call, Relu{});
  });
}
void k_relu_vjp(const NoParams&, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T, T>(call, Relu{});
  });
}
void k_tanh_vjp(const NoParams&, const Kernel& call) { run_adjoint(call, Tanh{}); }
void k_sigmoid_vjp(const NoParams&, const Kernel& call) { run_adjoint(call, Sigmoid{}); }
void k_silu_vjp(const NoParams&, const Kernel& call) { run_adjoint(call, Silu{}); }

void k_leaky_relu(const SlopeParams& p, const Kernel& call) {
  run_floating(call, LeakyRelu{p.negative_slope});
}
void k_leaky_relu_vjp(const SlopeParams& p, const Kernel& call) {
  run_adjoint(call, LeakyRelu{p.negative_slope});
}
void k_elu(const AlphaParams& p, const Kernel& call) { run_floating(call, Elu{p.alpha}); }
void k_elu_vjp(const AlphaParams& p, const Kernel& call) { run_adjoint(call, Elu{p.alpha}); }
void k_softplus(const SoftplusParams& p, const Kernel& call) {
  run_floating(call, Softplus{p.beta, p.threshold});
}
void k_softplus_vjp(const SoftplusParams& p, const Kernel& call) {
  run_adjoint(call, Softplus{p.beta, p.threshold});
}

void k_gelu(const GeluParams& p, const Kernel& call) {
  if (p.approximate == GeluForm::tanh) return run_floating(call, GeluTanh{});
  run_floating(call, Gelu{});
}
void k_gelu_vjp(const GeluParams& p, const Kernel& call) {
  if (p.approximate == GeluForm::tanh) return run_adjoint(call, GeluTanh{});
  run_adjoint(call, Gelu{});
}

void k_clamp(const ClampParams& p, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T>(call, Clamp<T>{convert<T>(p.min), convert<T>(p.max)});
  });
}
void k_clamp_vjp(const ClampParams& p, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T, T>(call, Clamp<T>{convert<T>(p.min), convert<T>(p.max)});
  });
}

}  // namespace fluxion::cuda
