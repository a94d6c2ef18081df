// Validation, output shapes and memory of pooling.
#include "ops/pooling.h"

#include "core/rounding.h"

#include "ops/convolution.h"

namespace fluxion {

namespace {

// Outputs along an axis. In ceil mode a last window may leave the padded input, but not begin behind it.
int64_t pool_output_size(int64_t in, int64_t kernel, int64_t stride, int64_t padding,
                         int64_t dilation, bool ceil_mode) {
  const int64_t whole = conv_output_size(in, kernel, stride, padding, dilation);
  const int64_t left = in + 2 * padding - dilation * (kernel - 1) - 1;
  const bool more = ceil_mode && left >= 0 && left % stride != 0 && whole * stride < in + padding;
  return whole + (more ? 1 : 0);
}

Shape pooled_shape(const Infer& infer, const Pool2dParams& p, const Shape& x) {
  require_nchw(infer, "x", x);
  require_pair(infer, "kernelSize", p.kernelSize, 1);
  require_pair(infer, "stride", p.stride, 1);
  require_pair(infer, "padding", p.padding, 0);
  require_pair(infer, "dilation", p.dilation, 1);
  const Pair window = {p.dilation.h * (p.kernelSize.h - 1) + 1,
                       p.dilation.w * (p.kernelSize.w - 1) + 1, 2};
  infer.require_argument(
      p.padding.h <= window.h / 2 && p.padding.w <= window.w / 2,
      format("padding must be at most half of the window %s, got %s",
             describe({window.h, window.w}).c_str(), describe({p.padding.h, p.padding.w}).c_str()));
  const auto size = [&](int64_t in, int64_t k, int64_t s, int64_t pad, int64_t d) {
    return pool_output_size(in, k, s, pad, d, p.ceilMode);
  };
  const Shape out = {x[0], x[1], size(x[2], p.kernelSize.h, p.stride.h, p.padding.h, p.dilation.h),
                     size(x[3], p.kernelSize.w, p.stride.w, p.padding.w, p.dilation.w)};
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

}  // namespace fluxion
