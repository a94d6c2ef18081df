// Validation, output shapes and memory of the linalg ops.
#include "ops/linalg.h"

#include <algorithm>

#include "ops/convolution.h"

namespace fluxion {

namespace {

int64_t bytes_of(const Infer& infer) { return static_cast<int64_t>(size_of(infer.dtype(0))); }

void require_pair(const Infer& infer, const char* argument, const Pair& pair, int64_t minimum) {
  infer.require_argument(pair.given == 2,
                         format("%s must be a list of 2 integers, got %lld integers", argument,
                                static_cast<long long>(pair.given)));
  infer.require_argument(
      pair.h >= minimum && pair.w >= minimum,
      format("%s must be >= %lld, got %s", argument, static_cast<long long>(minimum),
             describe({pair.h, pair.w}).c_str()));
}

void require_nchw(const Infer& infer, const char* argument, const Shape& shape) {
  bool valid = shape.ndim == 4;
  for (int i = 0; i < shape.ndim; ++i) valid = valid && shape[i] >= 0;
  infer.require(
      valid, ErrorCode::ShapeMismatch,
      format("%s must have 4 dimensions, got shape %s", argument, describe(shape).c_str()));
}

// --- convolution

struct ConvProblem {
  ConvAxis h, w;
  Shape x, weight;
  int64_t groups;
  Shape output() const { return {x[0], weight[0], h.out, w.out}; }
  int64_t work() const { return output().size() * weight[1] * weight[2] * weight[3]; }
};

ConvProblem conv_problem(const Infer& infer, const Conv2dParams& p, const Shape& x,
                         const Shape& weight) {
  require_nchw(infer, "x", x);
  require_nchw(infer, "weight", weight);
  require_pair(infer, "stride", p.stride, 1);
  require_pair(infer, "padding", p.padding, 0);
  require_pair(infer, "dilation", p.dilation, 1);
  infer.require_argument(p.groups >= 1,
                         format("groups must be >= 1, got %lld", static_cast<long long>(p.groups)));
  infer.require(
      weight[1] * p.groups == x[1] && weight[0] % p.groups == 0, ErrorCode::ShapeMismatch,
      format(
          "weight must have shape [outputs, %lld / groups, height, width] with outputs divisible "
          "by groups = %lld, got %s",
          static_cast<long long>(x[1]), static_cast<long long>(p.groups),
          describe(weight).c_str()));
  infer.require(weight[2] >= 1 && weight[3] >= 1, ErrorCode::ShapeMismatch,
                "weight must have a kernel of at least 1 x 1, got " + describe(weight));
  ConvProblem c{conv_forward_axis(x[2], weight[2], p.stride.h, p.padding.h, p.dilation.h),
                conv_forward_axis(x[3], weight[3], p.stride.w, p.padding.w, p.dilation.w), x,
                weight, p.groups};
  infer.require(
      c.h.out >= 1 && c.w.out >= 1, ErrorCode::ShapeMismatch,
      format("x must not be smaller than the kernel after padding, got x %s and weight %s",
             describe(x).c_str(), describe(weight).c_str()));
  return c;
}

// Memory of a correlation as GEMM with `rows` output channels and `channels` input channels per group.
void plan_correlation(Infer& infer, const ConvProblem& c, int64_t rows, int64_t channels,
                      bool scattered) {
  const int64_t bytes = bytes_of(infer);
  const int64_t depth = channels * c.weight[2] * c.weight[3];
  const int64_t padded = rows + kMaxTileRows * (ceil_div(rows, kConvBlockRows) + 1);
  infer.workspace = static_cast<size_t>(c.groups * padded * depth * bytes);
  int64_t scratch = depth_step(depth, kConvDepthBytes, bytes) * kMaxTileRowBytes;
  if (scattered) {
    scratch +=
        (std::min(rows, kConvBlockRows) + kMaxTileRows) * (kConvBlockColBytes + kMaxTileRowBytes);
  }
  scratch += c.weight[2] * c.weight[3] * (kMaxTileRowBytes / bytes + 1) * kConvRunBytes;
  infer.scratch = static_cast<size_t>(scratch);
}

}  // namespace

void infer_matmul(const NoParams&, Infer& infer) {
  infer.require_floating(0, "a");
  infer.require_dtype(1, "b", infer.dtype(0));
  const Shape &a = infer.shape(0), &b = infer.shape(1);
  infer.require(a.ndim >= 2, ErrorCode::ShapeMismatch,
                "a must have at least 2 dimensions, got " + describe(a));
  infer.require(b.ndim >= 2, ErrorCode::ShapeMismatch,
                "b must have at least 2 dimensions, got " + describe(b));
  const int64_t m = a[a.ndim - 2], k = a[a.ndim - 1], n = b[b.ndim - 1];
  infer.require(b[b.ndim - 2] == k, ErrorCode::ShapeMismatch,
                format("b must have %lld rows to match a %s, got %s", static_cast<long long>(k),
                       describe(a).c_str(), describe(b).c_str()));
  Shape out;
  out.ndim = std::max(a.ndim, b.ndim);
  for (int back = 3; back <= out.ndim; ++back) {
    const int64_t da = back <= a.ndim ? a[a.ndim - back] : 1,
                  db = back <= b.ndim ? b[b.ndim - back] : 1;
    infer.require(da == db || da == 1 || db == 1, ErrorCode::ShapeMismatch,
                  format("b must have batch dimensions that broadcast with a %s, got %s",
                         describe(a).c_str(), describe(b).c_str()));
    out[out.ndim - back] = da == 1 ? db : da;
  }
  out[out.ndim - 2] = m;
  out[out.ndim - 1] = n;
  infer.output(infer.dtype(0), out);
  infer.work = out.size() * std::max<int64_t>(k, 1);
  const int64_t bytes = bytes_of(infer);
  const int64_t step = depth_step(k, kMatmulDepthBytes, bytes);
  const int64_t rows = std::min(m, kMatmulBlockRows) + 2 * kMaxTileRows;
  const int64_t cols = std::min(n, kMatmulBlockCols) + 2 * kMaxTileRowBytes / bytes;
  infer.scratch = static_cast<size_t>(step * (rows + cols) * bytes);
}

void infer_conv2d(const Conv2dParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  infer.require_dtype(1, "weight", infer.dtype(0));
  const ConvProblem c = conv_problem(infer, params, infer.shape(0), infer.shape(1));
  if (infer.has(2)) {
    infer.require_dtype(2, "bias", infer.dtype(0));
    infer.require_shape(2, "bias", {c.weight[0]});
  }
  infer.need_contiguous();
  infer.output(infer.dtype(0), c.output());
  infer.work = c.work();
  if (conv_is_depthwise(c.weight, c.groups)) {
    infer.scratch = static_cast<size_t>(depthwise_plane(c.h, c.w) * bytes_of(infer));
  } else {
    plan_correlation(infer, c, c.weight[0] / c.groups, c.weight[1], false);
  }
}

void infer_conv2d_input_vjp(const Conv2dInputVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  infer.require_dtype(1, "weight", infer.dtype(0));
  require_nchw(infer, "inputShape", params.inputShape);
  const ConvProblem c = conv_problem(infer, params, params.inputShape, infer.shape(1));
  infer.require_shape(0, "g", c.output());
  infer.need_contiguous();
  infer.output(infer.dtype(0), params.inputShape);
  infer.work = c.work();
  if (!conv_is_depthwise(c.weight, c.groups)) {
    const bool scattered = params.stride.h > 1 || params.stride.w > 1;
    return plan_correlation(infer, c, c.weight[1], c.weight[0] / c.groups, scattered);
  }
  int64_t height = 0, width = 0;
  for (int64_t phase = 0; phase < params.stride.h; ++phase) {
    height = std::max(height, conv_input_vjp_axis(c.x[2], c.weight[2], params.stride.h,
                                                  params.padding.h, params.dilation.h, phase)
                                  .span());
  }
  for (int64_t phase = 0; phase < params.stride.w; ++phase) {
    width = std::max(
        width, depthwise_pitch(conv_input_vjp_axis(c.x[3], c.weight[3], params.stride.w,
                                                   params.padding.w, params.dilation.w, phase)));
  }
  infer.scratch = static_cast<size_t>(height * width * bytes_of(infer));
}

void infer_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  infer.require_dtype(1, "x", infer.dtype(0));
  require_nchw(infer, "weightShape", params.weightShape);
  const ConvProblem c = conv_problem(infer, params, infer.shape(1), params.weightShape);
  infer.require_shape(0, "g", c.output());
  infer.need_contiguous();
  infer.output(infer.dtype(0), params.weightShape);
  infer.work = c.work();
  const int64_t bytes = bytes_of(infer);
  if (conv_is_depthwise(c.weight, c.groups)) {
    infer.scratch = static_cast<size_t>(depthwise_plane(c.h, c.w) * bytes);
    return;
  }
  const ConvWeightPlan plan(c.h, c.w, c.x[0], c.groups, c.weight, bytes);
  infer.workspace = static_cast<size_t>(plan.partial_elements(c.groups) * bytes);
  infer.scratch = static_cast<size_t>((plan.band_elements + plan.cotangent_elements) * bytes);
}

// --- pooling

namespace {

Shape pooled_shape(const Infer& infer, const Pool2dParams& p, const Shape& x) {
  require_nchw(infer, "x", x);
  require_pair(infer, "kernelSize", p.kernelSize, 1);
  require_pair(infer, "stride", p.stride, 1);
  require_pair(infer, "padding", p.padding, 0);
  infer.require_argument(p.padding.h <= p.kernelSize.h / 2 && p.padding.w <= p.kernelSize.w / 2,
                         format("padding must be at most half of kernelSize %s, got %s",
                                describe({p.kernelSize.h, p.kernelSize.w}).c_str(),
                                describe({p.padding.h, p.padding.w}).c_str()));
  const Shape out = {x[0], x[1], conv_output_size(x[2], p.kernelSize.h, p.stride.h, p.padding.h, 1),
                     conv_output_size(x[3], p.kernelSize.w, p.stride.w, p.padding.w, 1)};
  infer.require(x[2] > 0 && x[3] > 0 && out[2] > 0 && out[3] > 0, ErrorCode::ShapeMismatch,
                "x must not be smaller than the window after padding, got " + describe(x));
  return out;
}

int64_t window_work(const Shape& out, const Pool2dParams& p) {
  return out.size() * p.kernelSize.h * p.kernelSize.w;
}

void infer_pool_vjp(Infer& infer, const Pool2dParams& p, const Shape& input_shape) {
  infer.require_floating(0, "g");
  require_nchw(infer, "inputShape", input_shape);
  infer.require_shape(0, "g", pooled_shape(infer, p, input_shape));
  infer.need_contiguous();
  infer.output(infer.dtype(0), input_shape);
  infer.work += window_work(infer.shape(0), p);
}

}  // namespace

void infer_max_pool2d(const Pool2dParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  const Shape out = pooled_shape(infer, params, infer.shape(0));
  infer.require_argument(
      infer.shape(0)[2] * infer.shape(0)[3] <= INT32_MAX,
      "x must have planes of less than 2^31 elements, got " + describe(infer.shape(0)));
  infer.need_contiguous();
  infer.output(infer.dtype(0), out);
  infer.output(DType::i32, out);
  infer.work = window_work(out, params);
  infer.scratch =
      static_cast<size_t>(round_up(out[3], 16)) * (size_of(infer.dtype(0)) + sizeof(int32_t));
}

void infer_max_pool2d_vjp(const MaxPool2dVjpParams& params, Infer& infer) {
  infer_pool_vjp(infer, params, params.inputShape);
  infer.require_dtype(1, "indices", DType::i32);
  infer.require_shape(1, "indices", infer.shape(0));
}

void infer_avg_pool2d(const AvgPool2dParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  const Shape out = pooled_shape(infer, params, infer.shape(0));
  infer.need_contiguous();
  infer.output(infer.dtype(0), out);
  infer.work = window_work(out, params);
}

void infer_avg_pool2d_vjp(const AvgPool2dVjpParams& params, Infer& infer) {
  infer_pool_vjp(infer, params, params.inputShape);
  infer.scratch = static_cast<size_t>(infer.shape(0)[3]) * size_of(infer.dtype(0));
}

void infer_adaptive_avg_pool2d(const AdaptiveAvgPool2dParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  const Shape& x = infer.shape(0);
  require_nchw(infer, "x", x);
  require_pair(infer, "outputSize", params.outputSize, 1);
  infer.require(x[2] > 0 && x[3] > 0, ErrorCode::ShapeMismatch,
                "x must have a height and a width > 0, got " + describe(x));
  infer.need_contiguous();
  infer.output(infer.dtype(0), {x[0], x[1], params.outputSize.h, params.outputSize.w});
  infer.work += x.size();
}

void infer_adaptive_avg_pool2d_vjp(const AdaptiveAvgPool2dVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  require_nchw(infer, "inputShape", params.inputShape);
  const Shape &x = params.inputShape, &g = infer.shape(0);
  require_nchw(infer, "g", g);
  infer.require(g[0] == x[0] && g[1] == x[1] && g[2] > 0 && g[3] > 0, ErrorCode::ShapeMismatch,
                format("g must have the images and channels of %s, got %s", describe(x).c_str(),
                       describe(g).c_str()));
  infer.need_contiguous();
  infer.output(infer.dtype(0), x);
  infer.work += g.size();
}

// --- normalisation

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
  infer.workspace = static_cast<size_t>(x[1] * 2 * (kStatisticsSlices + 1)) * sizeof(double);
  infer.work = 8 * x.size();
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
  infer.require(x[1] == 0 || x.size() != x[1], ErrorCode::ShapeMismatch,
                "x must have more than one value per channel, got shape " + describe(x));
  const int64_t work = infer.work;
  infer.output(infer.dtype(0), x);
  infer.output(infer.dtype(0), {x[1]});
  infer.output(infer.dtype(0), {x[1]});
  infer.work = work;
}

void infer_batch_norm_vjp(const BatchNormParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  const Shape& x = infer.shape(1);
  plan_batch_norm(infer, x, params.eps);
  require_like(infer, 1, "x", infer.shape(0));
  require_vector_or_absent(infer, 2, "weight", {x[1]});
  require_like(infer, 3, "mean", {x[1]});
  require_like(infer, 4, "variance", {x[1]});
  const int64_t work = infer.work;
  infer.output(infer.dtype(0), x);
  infer.output(infer.dtype(0), {x[1]});
  infer.output(infer.dtype(0), {x[1]});
  infer.work = 2 * work;
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
    infer.workspace = static_cast<size_t>(inner.size() * 2 * kStatisticsSlices) * sizeof(double);
  }
}

// --- cross entropy

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
