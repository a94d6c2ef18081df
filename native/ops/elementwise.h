// Elementwise ops: out[i] = f(a[i], b[i], ...), inputs broadcast as in NumPy and PyTorch.
// Both inputs of a binary op have one dtype: promotion is done in TypeScript; mul and div also take (complex,
// real of its precision). Comparisons give uint8.
#pragma once

#include "ops/op.h"

namespace fluxion {

// The shape to which the first `count` inputs broadcast; an error names the input that does not fit.
Shape broadcast_shape(const Infer& infer, int count, const char* const* arguments);

struct SlopeParams {
  double negative_slope = 0.01;
  template <class V>
  void visit(V& v) {
    v("negativeSlope", negative_slope);
  }
};

struct AlphaParams {
  double alpha = 1;
  template <class V>
  void visit(V& v) {
    v("alpha", alpha);
  }
};

struct ClampParams {
  double min = 0, max = 0;  // may be infinite
  template <class V>
  void visit(V& v) {
    v("min", min);
    v("max", max);
  }
};

struct CastParams {
  DType dtype = DType::f32;
  template <class V>
  void visit(V& v) {
    v("dtype", dtype);
  }
};

struct AdamStepParams {
  double learning_rate = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  // true: AdamW
  int64_t step = 1;        // 1 at the first step
  template <class V>
  void visit(V& v) {
    v("learningRate", learning_rate);
    v("beta1", beta1);
    v("beta2", beta2);
    v("eps", eps);
    v("weightDecay", weight_decay);
    v("decoupled", decoupled);
    v("step", step);
  }
};

struct SgdStepParams {
  double learning_rate = 0.01, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  bool first = true;  // the buffer does not exist yet: it becomes the gradient
  template <class V>
  void visit(V& v) {
    v("learningRate", learning_rate);
    v("momentum", momentum);
    v("dampening", dampening);
    v("weightDecay", weight_decay);
    v("nesterov", nesterov);
    v("first", first);
  }
};

}  // namespace fluxion
