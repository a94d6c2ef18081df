// Validation of the ops over many tensors.
#include "ops/optimizer.h"

#include <cmath>

namespace fluxion {
namespace {

void require_not_negative(const Infer& infer, const char* argument, double value) {
  infer.require_argument(std::isfinite(value) && value >= 0,
                         format("%s must be a finite number >= 0, got %g", argument, value));
}

void require_fraction(const Infer& infer, const char* argument, double value) {
  infer.require_argument(value >= 0 && value < 1,
                         format("%s must be in [0, 1), got %g", argument, value));
}

// The tensors of an item have one floating dtype and one shape. Returns the number of elements of all items.
int64_t require_items(Infer& infer, int item, const char* const* arguments) {
  infer.require_argument(
      infer.inputs() > 0 && infer.inputs() % item == 0,
      format("inputs must be items of %d tensors, got %d", item, infer.inputs()));
  int64_t elements = 0;
  for (int first = 0; first < infer.inputs(); first += item) {
    for (int j = 0; j < item; ++j)
      if (!infer.has(first + j) || infer.in(first + j).scalar)
        fail(ErrorCode::InvalidArgument, infer.op(), format("%s must be a tensor", arguments[j]));
    infer.require_floating(first, arguments[0]);
    for (int j = 1; j < item; ++j) {
      infer.require_dtype(first + j, arguments[j], infer.dtype(first));
      infer.require_shape(first + j, arguments[j], infer.shape(first));
    }
    elements += infer.shape(first).size();
  }
  infer.need_contiguous();
  return elements;
}

// The ends of the items in one row of elements: cpu/tensor_row.h.
size_t row_bytes(const Infer& infer, int item) {
  return static_cast<size_t>(infer.inputs() / item) * sizeof(int64_t);
}

}  // namespace

void infer_adam_step(const AdamStepParams& p, Infer& infer) {
  static constexpr const char* kArguments[] = {"param", "grad", "m", "v", "vMax"};
  require_not_negative(infer, "learningRate", p.learning_rate);
  require_fraction(infer, "beta1", p.beta1);
  require_fraction(infer, "beta2", p.beta2);
  require_not_negative(infer, "eps", p.eps);
  require_not_negative(infer, "weightDecay", p.weight_decay);
  infer.require_argument(p.step >= 1,
                         format("step must be >= 1, got %lld", static_cast<long long>(p.step)));
  infer.work = 4 * require_items(infer, p.item(), kArguments);
  infer.workspace = row_bytes(infer, p.item());
  infer.update(p.item(), p.amsgrad ? 0b11101u : 0b1101u);
}

void infer_sgd_step(const SgdStepParams& p, Infer& infer) {
  static constexpr const char* kArguments[] = {"param", "grad", "buffer"};
  require_not_negative(infer, "learningRate", p.learning_rate);
  require_not_negative(infer, "momentum", p.momentum);
  infer.require_finite("dampening", p.dampening);
  require_not_negative(infer, "weightDecay", p.weight_decay);
  infer.require_argument(!p.nesterov || (p.momentum > 0 && p.dampening == 0),
                         "nesterov must come with momentum > 0 and dampening 0");
  infer.work = require_items(infer, p.item(), kArguments);
  infer.workspace = row_bytes(infer, p.item());
  infer.update(p.item(), p.momentum > 0 ? 0b101u : 0b1u);
}

void infer_clip_grad_norm(const ClipGradNormParams& p, Infer& infer) {
  static constexpr const char* kArguments[] = {"grad"};
  infer.require_argument(p.max_norm > 0, format("maxNorm must be > 0, got %g", p.max_norm));
  infer.require_argument(p.norm_type > 0, format("normType must be > 0, got %g", p.norm_type));
  const int64_t elements = require_items(infer, 1, kArguments);
  DType dtype = DType::f32;
  for (int i = 0; i < infer.inputs(); ++i)
    if (infer.dtype(i) == DType::f64) dtype = DType::f64;
  infer.output(dtype, Shape{});
  infer.work = elements;
  // A partial sum for each block follows the ends.
  infer.workspace = row_bytes(infer, 1) +
                    static_cast<size_t>((elements + kRowBlock - 1) / kRowBlock) * sizeof(double);
  infer.update(1, 0b1u);
}

}  // namespace fluxion
