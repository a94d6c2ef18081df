// Validation, output shapes and memory of resampling.
#include "ops/interpolate.h"

namespace fluxion {

namespace {

void require_grid(const Infer& infer, const InterpolateParams& p, const Shape& x) {
  const int spatial = p.size.ndim;
  infer.require(x.ndim >= 3 && x.ndim <= 5, ErrorCode::ShapeMismatch,
                "input must have 3, 4 or 5 dimensions, got shape " + describe(x));
  infer.require_argument(spatial == x.ndim - 2, format("size must have %d entries, got %s",
                                                       x.ndim - 2, describe(p.size).c_str()));
  for (int i = 0; i < spatial; ++i) {
    infer.require_argument(p.size[i] > 0, "size must be positive, got " + describe(p.size));
    infer.require(x[i + 2] > 0, ErrorCode::ShapeMismatch,
                  "input must have elements along its grid, got shape " + describe(x));
  }
}

void plan_memory(const InterpolateParams& p, const Shape& x, bool adjoint, Infer& infer) {
  const bool is_f32 = infer.dtype(0) == DType::f32;
  const size_t bytes = size_of(infer.dtype(0));
  const InterpolationPlan plan(p, x, adjoint, is_f32);
  infer.scratch = static_cast<size_t>(plan.scratch_elements()) * bytes;
  infer.workspace = static_cast<size_t>(plan.workspace_elements()) * bytes;
}

Shape resized(const Shape& x, const Shape& size) {
  Shape out = {x[0], x[1]};
  for (int i = 0; i < size.ndim; ++i) out.push(size[i]);
  return out;
}

}  // namespace

void infer_interpolate(const InterpolateParams& p, Infer& infer) {
  infer.require_floating(0, "input");
  require_grid(infer, p, infer.shape(0));
  infer.need_contiguous();
  infer.output(infer.dtype(0), resized(infer.shape(0), p.size));
  infer.work = 4 * infer.work + infer.in(0).size();
  plan_memory(p, infer.shape(0), false, infer);
}

void infer_interpolate_vjp(const InterpolateVjpParams& p, Infer& infer) {
  infer.require_floating(0, "g");
  require_grid(infer, p, p.input_shape);
  infer.require_shape(0, "g", resized(p.input_shape, p.size));
  infer.need_contiguous();
  infer.output(infer.dtype(0), p.input_shape);
  infer.work += 4 * infer.in(0).size();
  plan_memory(p, p.input_shape, true, infer);
}

}  // namespace fluxion
