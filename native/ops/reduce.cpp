// Validation and output shapes of the reductions.
#include "ops/reduce.h"

#include <algorithm>

namespace fluxion {

uint32_t reduced_dims(const ReduceParams& params, int ndim) {
  if (params.dims.ndim == 0) return (1u << ndim) - 1;
  uint32_t bits = 0;
  for (int i = 0; i < params.dims.ndim; ++i) bits |= 1u << params.dims[i];
  return bits;
}

namespace {

void require_dim(const Infer& infer, int64_t dim) {
  const int ndim = infer.in(0).ndim();
  infer.require_argument(dim >= 0 && dim < ndim, format("dim must be in [0, %d), got %lld", ndim,
                                                        static_cast<long long>(dim)));
}

Shape without(const Shape& shape, uint32_t dims, bool keepdim) {
  Shape out;
  for (int i = 0; i < shape.ndim; ++i) {
    if (!((dims >> i) & 1u)) {
      out.push(shape[i]);
    } else if (keepdim) {
      out.push(1);
    }
  }
  return out;
}

void infer_reduction(const ReduceParams& p, Infer& infer, DType dtype) {
  uint32_t seen = 0;
  for (int i = 0; i < p.dims.ndim; ++i) {
    require_dim(infer, p.dims[i]);
    const uint32_t bit = 1u << p.dims[i];
    infer.require_argument(!(seen & bit),
                           "dim must name each dimension once, got " + describe(p.dims));
    seen |= bit;
  }
  const Shape out = without(infer.shape(0), reduced_dims(p, infer.in(0).ndim()), p.keepdim);
  infer.output(dtype, out);
  infer.work = infer.in(0).size();
  infer.workspace =
      sizeof(double) *
      static_cast<size_t>(
          parts_of(dtype) *
          std::min(2 * kReduceBlocks * std::max<int64_t>(out.size(), 1), kReducePartials));
}

Shape kept_shape(const Shape& shape, uint32_t dims) { return without(shape, dims, true); }

void infer_extremum(const ReduceParams& p, Infer& infer) {
  infer_reduction(p, infer, infer.dtype(0));
  infer.require_argument(
      infer.in(0).size() > 0 || infer.out_shape[0].size() == 0,
      "x must have elements along the reduced dimensions, got shape " + describe(infer.shape(0)));
}

void infer_arg_extremum(const ArgReduceParams& p, Infer& infer) {
  require_dim(infer, p.dim);
  const Shape& shape = infer.shape(0);
  infer.output(DType::i32, without(shape, 1u << p.dim, p.keepdim));
  infer.require_argument(shape[static_cast<int>(p.dim)] > 0 || infer.out_shape[0].size() == 0,
                         "x must have elements along dim, got shape " + describe(shape));
  infer.need_contiguous();
  infer.work = infer.in(0).size();
}

void infer_softmax_like(const AxisParams& p, Infer& infer) {
  require_dim(infer, p.dim);
  infer.require_floating(0, "x");
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(0));
  infer.work *= 8;
}

void infer_softmax_like_vjp(const AxisParams& p, Infer& infer) {
  require_dim(infer, p.dim);
  infer.require_floating(1, "y");
  infer.require_dtype(0, "g", infer.dtype(1));
  infer.require_shape(0, "g", infer.shape(1));
  infer.need_contiguous();
  infer.output(infer.dtype(1), infer.shape(1));
  infer.work *= 4;
}

}  // namespace

void infer_sum(const ReduceParams& p, Infer& infer) {
  infer.allow_complex();
  infer_reduction(p, infer, infer.dtype(0) == DType::u8 ? DType::i32 : infer.dtype(0));
}

void infer_mean(const ReduceParams& p, Infer& infer) {
  infer.allow_complex();
  if (!is_complex(infer.dtype(0))) infer.require_floating(0, "x");
  infer_reduction(p, infer, infer.dtype(0));
}

void infer_prod(const ReduceParams& p, Infer& infer) {
  infer_reduction(p, infer, infer.dtype(0) == DType::u8 ? DType::i32 : infer.dtype(0));
}

void infer_norm(const NormParams& p, Infer& infer) {
  infer.require_floating(0, "x");
  infer_reduction(p, infer, infer.dtype(0));
  infer.require_argument(
      p.order != NormOrder::largest && p.order != NormOrder::smallest
          ? true
          : infer.in(0).size() > 0 || infer.out_shape[0].size() == 0,
      "x must have elements along the reduced dimensions, got shape " + describe(infer.shape(0)));
}

void infer_variance(const VarianceParams& p, Infer& infer) {
  infer.require_floating(0, "x");
  infer.require_finite("correction", p.correction);
  infer_reduction(p, infer, infer.dtype(0));
  infer.output(infer.dtype(0), kept_shape(infer.shape(0), reduced_dims(p, infer.in(0).ndim())));
  infer.workspace *= 2;
  infer.need_contiguous();
}

void infer_log_sum_exp(const AxisParams& p, Infer& infer) {
  require_dim(infer, p.dim);
  infer.require_floating(0, "x");
  infer.need_contiguous();
  for (int i = 0; i < 3; ++i) infer.output(infer.dtype(0), kept_shape(infer.shape(0), 1u << p.dim));
  infer.work = 8 * infer.in(0).size();
}

void infer_spread(const SpreadParams&, Infer& infer) {
  infer.require_floating(0, "x");
  const Shape& shape = infer.shape(0);
  for (int i = 1; i < 3; ++i) {
    infer.require_dtype(i, "the statistics", infer.dtype(0));
    bool fits = infer.in(i).ndim() == shape.ndim;
    for (int d = 0; fits && d < shape.ndim; ++d)
      fits = infer.shape(i)[d] == 1 || infer.shape(i)[d] == shape[d];
    infer.require(fits, ErrorCode::ShapeMismatch,
                  "the statistics must broadcast to " + describe(shape));
  }
  infer.output(infer.dtype(0), shape);
}

void infer_max(const ReduceParams& p, Infer& infer) { infer_extremum(p, infer); }
void infer_min(const ReduceParams& p, Infer& infer) { infer_extremum(p, infer); }
void infer_argmax(const ArgReduceParams& p, Infer& infer) { infer_arg_extremum(p, infer); }
void infer_argmin(const ArgReduceParams& p, Infer& infer) { infer_arg_extremum(p, infer); }
void infer_softmax(const AxisParams& p, Infer& infer) { infer_softmax_like(p, infer); }
void infer_log_softmax(const AxisParams& p, Infer& infer) { infer_softmax_like(p, infer); }
void infer_softmax_vjp(const AxisParams& p, Infer& infer) { infer_softmax_like_vjp(p, infer); }
void infer_log_softmax_vjp(const AxisParams& p, Infer& infer) { infer_softmax_like_vjp(p, infer); }

}  // namespace fluxion
