// Validation, output shapes and memory of losses over classes.
#include "ops/classification.h"

#include <algorithm>

#include "core/rounding.h"

namespace fluxion {

EntropyBlocks::EntropyBlocks(const Shape& logits) : images(logits[0]), classes(logits[1]) {
  for (int i = 2; i < logits.ndim; ++i) size *= logits[i];
  if (size == 1) {
    rows =
        std::clamp<int64_t>(kEntropyElements / std::max<int64_t>(1, classes), 1, kEntropyPositions);
    count = ceil_div(images, rows);
  } else {
    per_image = ceil_div(size, kEntropyPositions);
    count = images * per_image;
  }
}

namespace {

Shape positions_of(const Infer& infer, int i) {
  const Shape& logits = infer.shape(i);
  infer.require_floating(i, "logits");
  infer.require(logits.ndim >= 2, ErrorCode::ShapeMismatch,
                "logits must have at least 2 dimensions, got " + describe(logits));
  Shape positions;
  for (int d = 0; d < logits.ndim; ++d)
    if (d != 1) positions.push(logits[d]);
  return positions;
}

// Inputs from `first` on: logits, target, weight.
Shape require_inputs(Infer& infer, int first, const CrossEntropyParams& params) {
  const Shape positions = positions_of(infer, first);
  const int target = first + 1, weight = first + 2;
  infer.require(infer.dtype(target) == DType::i32 || infer.dtype(target) == DType::u8,
                ErrorCode::DTypeMismatch,
                format("target must be int32 or uint8, got %s", name_of(infer.dtype(target))));
  infer.require_shape(target, "target", positions);
  if (infer.has(weight)) {
    infer.require_dtype(weight, "weight", infer.dtype(first));
    infer.require_shape(weight, "weight", {infer.shape(first)[1]});
  }
  infer.require_argument(params.labelSmoothing >= 0 && params.labelSmoothing <= 1,
                         format("labelSmoothing must be in [0, 1], got %g", params.labelSmoothing));
  infer.need_contiguous();
  return positions;
}

}  // namespace

// Outputs: the loss; for the vjp, the largest logit and the sum of exponentials of each position and the
// weight of all positions together.
void infer_cross_entropy(const CrossEntropyParams& params, Infer& infer) {
  const Shape positions = require_inputs(infer, 0, params);
  infer.output(infer.dtype(0), params.reduction == LossReduction::none ? positions : Shape{});
  infer.output(infer.dtype(0), {2 * positions.size() + 1});
  infer.workspace =
      static_cast<size_t>(2 * EntropyBlocks(infer.shape(0)).count + 2) * sizeof(double);
  infer.work = 16 * infer.shape(0).size();
}

void infer_cross_entropy_vjp(const CrossEntropyParams& params, Infer& infer) {
  const Shape positions = require_inputs(infer, 1, params);
  infer.require_dtype(0, "g", infer.dtype(1));
  infer.require_shape(0, "g", params.reduction == LossReduction::none ? positions : Shape{});
  infer.require_dtype(4, "statistics", infer.dtype(1));
  infer.require_shape(4, "statistics", {2 * positions.size() + 1});
  infer.output(infer.dtype(1), infer.shape(1));
  infer.work = 16 * infer.shape(1).size();
}

void infer_nll_loss(const CrossEntropyParams& params, Infer& infer) {
  infer_cross_entropy(params, infer);
}
void infer_nll_loss_vjp(const CrossEntropyParams& params, Infer& infer) {
  infer_cross_entropy_vjp(params, infer);
}

}  // namespace fluxion
