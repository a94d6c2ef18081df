// Validation, output shapes and memory of losses over classes.
#include "ops/classification.h"

namespace fluxion {

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

void require_target(Infer& infer, int i, const Shape& positions, double label_smoothing) {
  infer.require(infer.dtype(i) == DType::i32 || infer.dtype(i) == DType::u8,
                ErrorCode::DTypeMismatch,
                format("target must be int32 or uint8, got %s", name_of(infer.dtype(i))));
  infer.require_shape(i, "target", positions);
  infer.require_argument(label_smoothing >= 0 && label_smoothing <= 1,
                         format("labelSmoothing must be in [0, 1], got %g", label_smoothing));
  infer.need_contiguous();
}

}  // namespace

void infer_cross_entropy(const CrossEntropyParams& params, Infer& infer) {
  const Shape positions = positions_of(infer, 0);
  require_target(infer, 1, positions, params.labelSmoothing);
  infer.output(infer.dtype(0), positions);
  infer.work = 16 * infer.shape(0).size();
}

void infer_cross_entropy_vjp(const CrossEntropyParams& params, Infer& infer) {
  const Shape positions = positions_of(infer, 1);
  require_target(infer, 2, positions, params.labelSmoothing);
  infer.require_dtype(0, "g", infer.dtype(1));
  infer.require_shape(0, "g", positions);
  infer.output(infer.dtype(1), infer.shape(1));
  infer.work = 16 * infer.shape(1).size();
}

}  // namespace fluxion
