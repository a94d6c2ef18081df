// Validation, output shapes and memory of the convolutions.
#include "ops/convolution.h"

#include "ops/depthwise.h"

namespace fluxion {

namespace {

int64_t bytes_of(const Infer& infer) { return static_cast<int64_t>(size_of(infer.dtype(0))); }

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

void plan_depthwise(Infer& infer, const ConvProblem& c, int64_t out_plane) {
  infer.scratch = static_cast<size_t>(
      depthwise_scratch(c.weight[2] * c.weight[3], out_plane, bytes_of(infer)));
}

void plan_depthwise_weights(Infer& infer, const ConvProblem& c) {
  infer.workspace = static_cast<size_t>(DepthwiseSlices(c.x[0], c.x[1], true).slices *
                                        c.weight.size() * kDepthwiseLaneBytes);
}

}  // namespace

void infer_conv2d(const Conv2dForwardParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  infer.require_dtype(1, "weight", infer.dtype(0));
  const ConvProblem c = conv_problem(infer, params, infer.shape(0), infer.shape(1));
  if (infer.has(2)) {
    infer.require_dtype(2, "bias", infer.dtype(0));
    infer.require_shape(2, "bias", {c.weight[0]});
  }
  if (infer.has(3)) {
    infer.require_dtype(3, "residual", infer.dtype(0));
    infer.require_shape(3, "residual", c.output());
  }
  infer.need_contiguous();
  infer.output(infer.dtype(0), c.output());
  infer.work = c.work();
  if (conv_is_depthwise(c.weight, c.groups)) {
    plan_depthwise(infer, c, c.h.out * c.w.out);
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
  plan_depthwise(infer, c, c.x[2] * c.x[3]);
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
    return plan_depthwise_weights(infer, c);
  }
  const ConvWeightPlan plan(c.h, c.w, c.x[0], c.groups, c.weight, bytes);
  infer.workspace = static_cast<size_t>(plan.partial_elements(c.groups) * bytes);
  infer.scratch = static_cast<size_t>((plan.band_elements + plan.cotangent_elements) * bytes);
}

void infer_depthwise_conv2d_vjp(const Conv2dParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  infer.require_dtype(1, "x", infer.dtype(0));
  infer.require_dtype(2, "weight", infer.dtype(0));
  const ConvProblem c = conv_problem(infer, params, infer.shape(1), infer.shape(2));
  infer.require(conv_is_depthwise(c.weight, c.groups), ErrorCode::ShapeMismatch,
                "weight must be that of a depthwise convolution, got " + describe(c.weight));
  infer.require_shape(0, "g", c.output());
  infer.need_contiguous();
  infer.output(infer.dtype(0), c.x);
  infer.output(infer.dtype(0), c.weight);
  infer.work = 2 * c.work();
  plan_depthwise(infer, c, c.x[2] * c.x[3]);
  plan_depthwise_weights(infer, c);
}

}  // namespace fluxion
