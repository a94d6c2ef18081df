// Steps of optimizers and the norm of gradients over many tensors at once.
//
// The inputs are items of a fixed number of tensors that follow each other: parameter, gradient and state.
// The ops give new contents to parameters, states and gradients (Infer::update): they have no such outputs.
#pragma once

#include "ops/op.h"

namespace fluxion {

// Elements of one block of a row of tensors; the same for any number of threads.
inline constexpr int64_t kRowBlock = 16384;

// item: param, grad, m, v, and with amsgrad the largest v so far.
struct AdamStepParams {
  double learning_rate = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  // true: AdamW
  bool amsgrad = false;
  bool maximize = false;
  int64_t step = 1;  // 1 at the first step
  template <class V>
  void visit(V& v) {
    v("learningRate", learning_rate);
    v("beta1", beta1);
    v("beta2", beta2);
    v("eps", eps);
    v("weightDecay", weight_decay);
    v("decoupled", decoupled);
    v("amsgrad", amsgrad);
    v("maximize", maximize);
    v("step", step);
  }
  int item() const { return amsgrad ? 5 : 4; }
};

// item: param, grad, and with momentum > 0 the buffer.
struct SgdStepParams {
  double learning_rate = 0.01, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
  bool first = true;  // the buffers hold nothing yet: they become the gradients
  template <class V>
  void visit(V& v) {
    v("learningRate", learning_rate);
    v("momentum", momentum);
    v("dampening", dampening);
    v("weightDecay", weight_decay);
    v("nesterov", nesterov);
    v("maximize", maximize);
    v("first", first);
  }
  int item() const { return momentum > 0 ? 3 : 2; }
};

// item: a gradient. The output is the norm before, without dimensions.
struct ClipGradNormParams {
  double max_norm = 1;
  double norm_type = 2;  // > 0, may be infinite
  bool error_if_nonfinite = false;
  template <class V>
  void visit(V& v) {
    v("maxNorm", max_norm);
    v("normType", norm_type);
    v("errorIfNonfinite", error_if_nonfinite);
  }
};

}  // namespace fluxion
