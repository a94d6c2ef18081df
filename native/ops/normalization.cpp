// Validation, output shapes and memory of the normalisations.
#include "ops/normalization.h"

#include <algorithm>

namespace fluxion {

namespace {

void require_vector_or_absent(const Infer& infer, int i, const char* argument, const Shape& shape) {
  if (!infer.has(i)) return;
  infer.require_dtype(i, argument, infer.dtype(0));
  infer.require_shape(i, argument, shape);
}

void require_like(const Infer& infer, int i, const char* argument, const Shape& shape) {
  infer.require_dtype(i, argument, infer.dtype(0));
  infer.require_shape(i, argument, shape);
}

void plan_batch_norm(Infer& infer, const Shape& x, double eps) {
  infer.require(x.ndim >= 2, ErrorCode::ShapeMismatch,
                "x must have at least 2 dimensions, got " + describe(x));
  infer.require_argument(eps >= 0, format("eps must be >= 0, got %g", eps));
  infer.need_contiguous();
  // The sums of the slices, and for each channel an affine map and the coefficients of its gradient.
  infer.workspace = static_cast<size_t>(x[1] * (2 * kStatisticsSlices + 6)) * sizeof(double);
}

void plan_group_norm(Infer& infer, const Shape& x, const GroupNormParams& params) {
  infer.require(x.ndim >= 2, ErrorCode::ShapeMismatch,
                "x must have at least 2 dimensions, got " + describe(x));
  infer.require_argument(params.eps >= 0, format("eps must be >= 0, got %g", params.eps));
  infer.require_argument(
      params.groups >= 1 && x[1] % params.groups == 0,
      format("numGroups must divide the %lld channels, got %lld", static_cast<long long>(x[1]),
             static_cast<long long>(params.groups)));
  infer.need_contiguous();
}

// Shapes of the trailing dimensions that are normalised and of the leading ones.
void split_shape(const Infer& infer, const Shape& x, int64_t trailing, Shape& outer, Shape& inner) {
  infer.require_argument(trailing >= 1 && trailing <= x.ndim,
                         format("normalizedDims must be in [1, %d], got %lld", x.ndim,
                                static_cast<long long>(trailing)));
  for (int i = 0; i < x.ndim; ++i) (i < x.ndim - trailing ? outer : inner).push(x[i]);
}

}  // namespace

void infer_batch_norm(const BatchNormParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  const Shape& x = infer.shape(0);
  plan_batch_norm(infer, x, params.eps);
  require_vector_or_absent(infer, 1, "weight", {x[1]});
  require_vector_or_absent(infer, 2, "bias", {x[1]});
  if (params.training) {
    infer.require(x[1] == 0 || x.size() != x[1], ErrorCode::ShapeMismatch,
                  "x must have more than one value per channel, got shape " + describe(x));
  } else {
    require_like(infer, 3, "runningMean", {x[1]});
    require_like(infer, 4, "runningVar", {x[1]});
  }
  infer.output(infer.dtype(0), x);
  infer.output(infer.dtype(0), {x[1]});
  infer.output(infer.dtype(0), {x[1]});
  infer.work = 8 * x.size();
}

void infer_batch_norm_vjp(const BatchNormParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  const Shape& x = infer.shape(1);
  plan_batch_norm(infer, x, params.eps);
  require_like(infer, 1, "x", infer.shape(0));
  require_vector_or_absent(infer, 2, "weight", {x[1]});
  require_vector_or_absent(infer, 3, "bias", {x[1]});
  require_like(infer, 4, "mean", {x[1]});
  require_like(infer, 5, "variance", {x[1]});
  infer.output(infer.dtype(0), x);
  infer.output(infer.dtype(0), {x[1]});
  infer.output(infer.dtype(0), {x[1]});
  infer.work = 16 * x.size();
}

void infer_running_statistics(const RunningStatisticsParams& params, Infer& infer) {
  infer.require_finite("momentum", params.momentum);
  infer.require_floating(0, "mean");
  infer.need_contiguous();
  for (int i = 0; i < 2; ++i) {
    const char* argument = i == 0 ? "runningMean" : "runningVar";
    if (!infer.has(2 + i)) {
      infer.output(infer.dtype(0), {0});
      continue;
    }
    require_like(infer, 2 + i, argument, {infer.shape(i)[infer.in(i).ndim() - 1]});
    infer.output(infer.dtype(0), infer.shape(2 + i));
  }
}

void infer_group_norm(const GroupNormParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  const Shape& x = infer.shape(0);
  plan_group_norm(infer, x, params);
  require_vector_or_absent(infer, 1, "weight", {x[1]});
  require_vector_or_absent(infer, 2, "bias", {x[1]});
  infer.output(infer.dtype(0), x);
  infer.output(infer.dtype(0), {x[0], params.groups});
  infer.output(infer.dtype(0), {x[0], params.groups});
  infer.work = 8 * x.size();
}

void infer_group_norm_vjp(const GroupNormParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  const Shape& x = infer.shape(1);
  plan_group_norm(infer, x, params);
  require_like(infer, 1, "x", infer.shape(0));
  require_vector_or_absent(infer, 2, "weight", {x[1]});
  require_vector_or_absent(infer, 3, "bias", {x[1]});
  require_like(infer, 4, "mean", {x[0], params.groups});
  require_like(infer, 5, "variance", {x[0], params.groups});
  infer.output(infer.dtype(0), x);
  infer.output(infer.dtype(0), {x[1]});
  infer.output(infer.dtype(0), {x[1]});
  infer.workspace = static_cast<size_t>(2 * x[0] * x[1]) * sizeof(double);
  infer.work = 16 * x.size();
}

void infer_layer_norm(const LayerNormParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  Shape outer, inner;
  split_shape(infer, infer.shape(0), params.normalizedDims, outer, inner);
  infer.require_argument(params.eps >= 0, format("eps must be >= 0, got %g", params.eps));
  require_vector_or_absent(infer, 1, "weight", inner);
  require_vector_or_absent(infer, 2, "bias", inner);
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(0));
  infer.output(infer.dtype(0), outer);
  infer.output(infer.dtype(0), outer);
  infer.work = 8 * infer.shape(0).size();
}

void infer_layer_norm_vjp(const LayerNormVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  require_like(infer, 1, "x", infer.shape(0));
  Shape outer, inner;
  split_shape(infer, infer.shape(0), params.normalizedDims, outer, inner);
  require_vector_or_absent(infer, 2, "weight", inner);
  require_like(infer, 3, "mean", outer);
  require_like(infer, 4, "rstd", outer);
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(0));
  infer.output(infer.dtype(0), inner);
  infer.output(infer.dtype(0), inner);
  infer.work = 16 * infer.shape(0).size();
  if (infer.wants(1) || infer.wants(2)) {
    const int64_t n = inner.size();
    const int64_t sums = n <= kLayerNormRow
                             ? layer_norm_pitch(n) * layer_norm_slices(outer.size(), n)
                             : n * kStatisticsSlices;
    infer.workspace = static_cast<size_t>(2 * sums) * sizeof(double);
  }
}

}  // namespace fluxion
