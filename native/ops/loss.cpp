// Validation, output shapes and memory of losses of one element each. x and target broadcast to each other;
// weight and posWeight to them.
#include "ops/loss.h"

#include <algorithm>

#include "core/rounding.h"

namespace fluxion {

namespace {

constexpr int64_t kBlock = 16384;  // kElementsPerBlock of cpu/kernel.h

// Inputs from `first` on: x, target, weight, posWeight.
Shape element_shape(const Infer& infer, int first) {
  infer.require_floating(first, "x");
  int ndim = 0;
  for (int i = first; i < first + 4; ++i) {
    if (!infer.has(i)) continue;
    infer.require_dtype(i, i == first + 1 ? "target" : "weight", infer.dtype(first));
    if (i < first + 2) ndim = std::max(ndim, infer.in(i).ndim());
  }
  Shape shape;
  for (int d = 0; d < ndim; ++d) {
    int64_t size = 1;
    for (int i = first; i < first + 2; ++i) {
      const int at = d - ndim + infer.in(i).ndim();
      if (at < 0 || infer.shape(i)[at] == 1) continue;
      infer.require(size == 1 || size == infer.shape(i)[at], ErrorCode::ShapeMismatch,
                    "target must broadcast with x, got shapes " + describe(infer.shape(first + 1)) +
                        " and " + describe(infer.shape(first)));
      size = infer.shape(i)[at];
    }
    shape.push(size);
  }
  for (int i = first + 2; i < first + 4; ++i) {
    if (!infer.has(i)) continue;
    const Shape& weight = infer.shape(i);
    bool fits = weight.ndim <= ndim;
    for (int d = 0; fits && d < weight.ndim; ++d)
      fits = weight[d] == 1 || weight[d] == shape[d + ndim - weight.ndim];
    infer.require(
        fits, ErrorCode::ShapeMismatch,
        "weight and posWeight must broadcast to " + describe(shape) + ", got " + describe(weight));
  }
  return shape;
}

}  // namespace

void infer_element_loss(const ElementLossParams& params, Infer& infer) {
  const Shape shape = element_shape(infer, 0);
  infer.output(infer.dtype(0), params.reduction == LossReduction::none ? shape : Shape{});
  infer.workspace = static_cast<size_t>(ceil_div(shape.size(), kBlock)) * sizeof(double);
  infer.work = 4 * shape.size();
}

void infer_element_loss_vjp(const ElementLossParams& params, Infer& infer) {
  const Shape shape = element_shape(infer, 1);
  infer.require_dtype(0, "g", infer.dtype(1));
  infer.require_shape(0, "g", params.reduction == LossReduction::none ? shape : Shape{});
  infer.output(infer.dtype(1), shape);
  infer.output(infer.dtype(1), shape);
  infer.work = 4 * shape.size();
}

}  // namespace fluxion
