// Activations of values in L1 and the products with their slopes, for kernels that end or begin with one. No
// include guard: read once per instruction set, after vector_math.h.

namespace fluxion::cpu::FLUXION_TARGET {

// y = act(y)
template <class T>
inline void activate(Activation kind, T* __restrict y, int64_t n) {
  switch (kind) {
    case Activation::leaky_relu:
      for (int64_t i = 0; i < n; ++i) y[i] = y[i] > T(0) ? y[i] : y[i] * T(0.01);
      break;
    case Activation::elu:
      for (int64_t i = 0; i < n; ++i) y[i] = y[i] > T(0) ? y[i] : vexpm1(y[i]);
      break;
    case Activation::gelu:
      for (int64_t i = 0; i < n; ++i) y[i] = y[i] * vnormal(y[i]).cdf;
      break;
    case Activation::silu:
      for (int64_t i = 0; i < n; ++i) y[i] = y[i] / (T(1) + vexp(-y[i]));
      break;
    case Activation::softplus:
      for (int64_t i = 0; i < n; ++i) y[i] = vsoftplus(y[i]);
      break;
    case Activation::tanh:
      for (int64_t i = 0; i < n; ++i) y[i] = vtanh(y[i]);
      break;
    case Activation::sigmoid:
      for (int64_t i = 0; i < n; ++i) y[i] = vsigmoid(y[i]);
      break;
    case Activation::relu:
      for (int64_t i = 0; i < n; ++i) y[i] = y[i] < T(0) ? T(0) : y[i];
      break;
    case Activation::none:
      break;
  }
}

// p = g act'(p)
template <class T>
inline void activation_vjp(Activation kind, const T* __restrict g, T* __restrict p, int64_t n) {
  switch (kind) {
    case Activation::leaky_relu:
      for (int64_t i = 0; i < n; ++i) p[i] = p[i] > T(0) ? g[i] : g[i] * T(0.01);
      break;
    case Activation::elu:
      for (int64_t i = 0; i < n; ++i) p[i] = p[i] > T(0) ? g[i] : g[i] * vexp(p[i]);
      break;
    case Activation::gelu:
      for (int64_t i = 0; i < n; ++i) p[i] = g[i] * vgelu_slope(p[i]);
      break;
    case Activation::silu:
      for (int64_t i = 0; i < n; ++i) p[i] = g[i] * vsilu_slope(p[i]);
      break;
    case Activation::softplus:
      for (int64_t i = 0; i < n; ++i) p[i] = g[i] * vsigmoid(p[i]);
      break;
    case Activation::tanh:
      for (int64_t i = 0; i < n; ++i) {
        const T y = vtanh(p[i]);
        p[i] = g[i] * (T(1) - y * y);
      }
      break;
    case Activation::sigmoid:
      for (int64_t i = 0; i < n; ++i) {
        const T y = vsigmoid(p[i]);
        p[i] = g[i] * (T(1) - y) * y;
      }
      break;
    case Activation::relu:
      for (int64_t i = 0; i < n; ++i) p[i] = p[i] > T(0) ? g[i] : T(0);
      break;
    case Activation::none:
      for (int64_t i = 0; i < n; ++i) p[i] = g[i];
      break;
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
