// Validation, output shapes and memory of the convolutions.
#include "ops/convolution.h"

#include "ops/convolution_direct.h"
#include "ops/convolution_weight.h"
#include "ops/depthwise.h"
#include "ops/winograd.h"

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

void require_groups(const Infer& infer, int64_t groups, int64_t channels, const Shape& weight) {
  infer.require_argument(groups >= 1,
                         format("groups must be >= 1, got %lld", static_cast<long long>(groups)));
  infer.require(
      weight[1] * groups == channels && weight[0] % groups == 0, ErrorCode::ShapeMismatch,
      format("weight must have shape [outputs, %lld / groups, kernel sizes] with outputs divisible "
             "by groups = %lld, got %s",
             static_cast<long long>(channels), static_cast<long long>(groups),
             describe(weight).c_str()));
}

ConvProblem conv_problem(const Infer& infer, const Conv2dParams& p, const Shape& x,
                         const Shape& weight) {
  require_nchw(infer, "x", x);
  require_nchw(infer, "weight", weight);
  require_pair(infer, "stride", p.stride, 1);
  require_pair(infer, "padding", p.padding, 0);
  require_pair(infer, "dilation", p.dilation, 1);
  require_groups(infer, p.groups, x[1], weight);
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

void plan_direct(Infer& infer, const ConvGeometry& geometry, bool transposed) {
  const int64_t bytes = bytes_of(infer);
  const DirectPlan plan(geometry, transposed, bytes);
  infer.workspace = static_cast<size_t>(plan.workspace_elements() * bytes);
  infer.scratch = static_cast<size_t>(plan.scratch_bytes(bytes));
}

// Memory of a convolution or, transposed, of its gradient in x.
void plan_correlation(Infer& infer, const Conv2dParams& p, const ConvProblem& c, bool transposed) {
  if (!conv_is_pointwise(p, c.weight)) return plan_direct(infer, {p, c.x, c.weight}, transposed);
  const int64_t bytes = bytes_of(infer);
  const int64_t rows = transposed ? c.weight[1] : c.weight[0] / c.groups;
  const int64_t depth = transposed ? c.weight[0] / c.groups : c.weight[1];
  const int64_t padded = rows + kMaxTileRows * (ceil_div(rows, kConvBlockRows) + 1);
  int64_t workspace = c.groups * padded * depth * bytes;
  int64_t scratch = depth_step(depth, kConvDepthBytes, bytes) * kMaxTileRowBytes;
  if (infer.dtype(0) == DType::f32 && MatrixTilePlan::takes(c.x[0], rows, depth, c.x[2] * c.x[3])) {
    const MatrixTilePlan plan(rows, depth);
    workspace = std::max(workspace, plan.workspace_bytes(c.groups));
    scratch = std::max(scratch, plan.scratch_bytes());
  }
  infer.workspace = static_cast<size_t>(workspace);
  infer.scratch = static_cast<size_t>(scratch);
}

void plan_weights(Infer& infer, const ConvGeometry& geometry) {
  const int64_t bytes = bytes_of(infer);
  const ConvWeightPlan plan(geometry, bytes);
  infer.workspace = static_cast<size_t>(plan.partial_elements(geometry.groups) * bytes);
  infer.scratch = static_cast<size_t>((plan.band_elements + plan.cotangent_elements) * bytes);
}

void plan_depthwise(Infer& infer, const ConvProblem& c, int64_t out_plane) {
  infer.scratch =
      static_cast<size_t>(depthwise_scratch(c.weight[2] * c.weight[3], out_plane, bytes_of(infer)));
}

void plan_depthwise_weights(Infer& infer, const ConvProblem& c) {
  infer.workspace = static_cast<size_t>(DepthwiseSlices(c.x[0], c.x[1], true).slices *
                                        c.weight.size() * kDepthwiseLaneBytes);
}

void require_bias(const Infer& infer, int64_t channels) {
  if (!infer.has(2)) return;
  infer.require_dtype(2, "bias", infer.dtype(0));
  infer.require_shape(2, "bias", {channels});
}

void require_epilogue(const Infer& infer, const Shape& output) {
  require_bias(infer, output[1]);
  if (!infer.has(3)) return;
  infer.require_dtype(3, "residual", infer.dtype(0));
  infer.require_shape(3, "residual", output);
}

// The same checks for volumes.
ConvGeometry volume_problem(const Infer& infer, const Conv3dParams& p, const Shape& x,
                            const Shape& weight) {
  require_ncdhw(infer, "x", x);
  require_ncdhw(infer, "weight", weight);
  require_triple(infer, "stride", p.stride, 1);
  require_triple(infer, "padding", p.padding, 0);
  require_triple(infer, "dilation", p.dilation, 1);
  require_groups(infer, p.groups, x[1], weight);
  const ConvGeometry g(p, x, weight);
  bool fits = true;
  for (int a = 0; a < 3; ++a) fits = fits && g.kernel[a] >= 1 && g.out(a) >= 1;
  infer.require(
      fits, ErrorCode::ShapeMismatch,
      format("x must not be smaller than the kernel after padding, got x %s and weight %s",
             describe(x).c_str(), describe(weight).c_str()));
  return g;
}

Shape volume_output(const ConvGeometry& g) {
  return {g.images, g.outputs, g.out(0), g.out(1), g.out(2)};
}

int64_t volume_work(const ConvGeometry& g) {
  return volume_output(g).size() * (g.channels / g.groups) * g.taps();
}

// Whether Winograd's algorithm takes the correlation, and then its memory.
bool plan_winograd(Infer& infer, const Conv2dParams& p, const ConvProblem& c, int64_t rows,
                   int64_t channels, int64_t out_height, int64_t out_width) {
  if (!conv_is_winograd(p, c.weight, infer.dtype(0), c.output())) return false;
  const WinogradPlan plan(c.x[0], c.groups, rows, channels, out_height, out_width);
  infer.workspace =
      static_cast<size_t>(plan.weight_elements(c.groups, rows, channels)) * sizeof(float);
  infer.scratch =
      static_cast<size_t>(plan.input_elements() + plan.product_elements(rows)) * sizeof(float);
  return true;
}

}  // namespace

void infer_conv2d(const Conv2dForwardParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  infer.require_dtype(1, "weight", infer.dtype(0));
  const ConvProblem c = conv_problem(infer, params, infer.shape(0), infer.shape(1));
  require_epilogue(infer, c.output());
  infer.need_contiguous();
  infer.output(infer.dtype(0), c.output());
  infer.work = c.work();
  if (conv_is_depthwise(c.weight, c.groups)) {
    plan_depthwise(infer, c, c.h.out * c.w.out);
  } else if (!plan_winograd(infer, params, c, c.weight[0] / c.groups, c.weight[1], c.h.out,
                            c.w.out)) {
    plan_correlation(infer, params, c, false);
  }
}

void infer_conv2d_input_vjp(const Conv2dInputVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  infer.require_dtype(1, "weight", infer.dtype(0));
  require_nchw(infer, "inputShape", params.inputShape);
  const ConvProblem c = conv_problem(infer, params, params.inputShape, infer.shape(1));
  infer.require_shape(0, "g", c.output());
  require_bias(infer, params.inputShape[1]);
  infer.need_contiguous();
  infer.output(infer.dtype(0), params.inputShape);
  infer.work = c.work();
  if (conv_is_depthwise(c.weight, c.groups)) return plan_depthwise(infer, c, c.x[2] * c.x[3]);
  if (plan_winograd(infer, params, c, c.weight[1], c.weight[0] / c.groups, c.x[2], c.x[3])) return;
  plan_correlation(infer, params, c, true);
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
  if (conv_is_depthwise(c.weight, c.groups)) {
    return plan_depthwise_weights(infer, c);
  }
  if (conv_is_pointwise(params, c.weight)) {
    const int64_t bytes = bytes_of(infer);
    const PointwiseWeightPlan plan(c.x[0], c.x[2] * c.x[3], c.groups, c.weight[1],
                                   c.weight[0] / c.groups, bytes);
    infer.workspace =
        static_cast<size_t>(plan.partial_elements(c.groups, c.weight[0] / c.groups) * bytes);
    infer.scratch = static_cast<size_t>(plan.scratch_elements() * bytes);
    return;
  }
  if (conv_is_winograd(params, c.weight, infer.dtype(0), c.output())) {
    const WinogradWeightPlan plan(c.x[0], c.groups, c.weight[0] / c.groups, c.weight[1], c.h.out,
                                  c.w.out);
    infer.workspace = static_cast<size_t>(plan.partial_elements(c.groups)) * sizeof(float);
    infer.scratch =
        static_cast<size_t>(plan.input_elements() + plan.cotangent_elements()) * sizeof(float);
    return;
  }
  plan_weights(infer, {params, c.x, c.weight});
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

void infer_conv3d(const Conv3dForwardParams& params, Infer& infer) {
  infer.require_floating(0, "x");
  infer.require_dtype(1, "weight", infer.dtype(0));
  const ConvGeometry g = volume_problem(infer, params, infer.shape(0), infer.shape(1));
  require_epilogue(infer, volume_output(g));
  infer.need_contiguous();
  infer.output(infer.dtype(0), volume_output(g));
  infer.work = volume_work(g);
  plan_direct(infer, g, false);
}

void infer_conv3d_input_vjp(const Conv3dInputVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  infer.require_dtype(1, "weight", infer.dtype(0));
  require_ncdhw(infer, "inputShape", params.inputShape);
  const ConvGeometry g = volume_problem(infer, params, params.inputShape, infer.shape(1));
  infer.require_shape(0, "g", volume_output(g));
  require_bias(infer, g.channels);
  infer.need_contiguous();
  infer.output(infer.dtype(0), params.inputShape);
  infer.work = volume_work(g);
  plan_direct(infer, g, true);
}

void infer_conv3d_weight_vjp(const Conv3dWeightVjpParams& params, Infer& infer) {
  infer.require_floating(0, "g");
  infer.require_dtype(1, "x", infer.dtype(0));
  require_ncdhw(infer, "weightShape", params.weightShape);
  const ConvGeometry g = volume_problem(infer, params, infer.shape(1), params.weightShape);
  infer.require_shape(0, "g", volume_output(g));
  infer.need_contiguous();
  infer.output(infer.dtype(0), params.weightShape);
  infer.work = volume_work(g);
  plan_weights(infer, g);
}

}  // namespace fluxion
