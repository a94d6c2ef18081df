// Parameters of 2-d convolutions, their geometry, one axis at a time, and their blocking. Used by infer and the kernels.
//
// Forward pass and input gradient are one operation, a correlation along both axes
//     out[first_out + i * out_step] = sum_t weight[first_kernel + t * kernel_step] * in[i * step + offset + t * tap_step]
// with zeros outside of `in`. The forward pass is one such axis. The gradient with stride s splits into s
// phases of the positions modulo s: to phase a only the taps k with k * dilation = a + padding (mod s)
// contribute, so that no product with an inserted zero is ever computed, for any stride and dilation.
#pragma once

#include <algorithm>
#include <numeric>

#include "ops/activation.h"
#include "ops/gemm_blocking.h"
#include "ops/matrix_tiles.h"
#include "ops/pair.h"
#include "ops/pointwise.h"

namespace fluxion {

// Sizes is a Pair for images and a Triple for volumes.
template <class Sizes>
struct ConvParams {
  Sizes stride, padding, dilation;
  int64_t groups = 1;
  template <class V>
  void visit(V& v) {
    stride.visit(v, "stride");
    padding.visit(v, "padding");
    dilation.visit(v, "dilation");
    v("groups", groups);
  }
};

template <class Sizes>
struct ConvForwardParams : ConvParams<Sizes> {
  Activation activation = Activation::none;
  template <class V>
  void visit(V& v) {
    ConvParams<Sizes>::visit(v);
    v.choice("activation", activation, kActivationNames);
  }
};

template <class Sizes>
struct ConvInputVjpParams : ConvParams<Sizes> {
  Shape inputShape;
  template <class V>
  void visit(V& v) {
    ConvParams<Sizes>::visit(v);
    v("inputShape", inputShape);
  }
};

template <class Sizes>
struct ConvWeightVjpParams : ConvParams<Sizes> {
  Shape weightShape;
  template <class V>
  void visit(V& v) {
    ConvParams<Sizes>::visit(v);
    v("weightShape", weightShape);
  }
};

using Conv2dParams = ConvParams<Pair>;
using Conv2dForwardParams = ConvForwardParams<Pair>;
using Conv2dInputVjpParams = ConvInputVjpParams<Pair>;
using Conv2dWeightVjpParams = ConvWeightVjpParams<Pair>;
using Conv3dParams = ConvParams<Triple>;
using Conv3dForwardParams = ConvForwardParams<Triple>;
using Conv3dInputVjpParams = ConvInputVjpParams<Triple>;
using Conv3dWeightVjpParams = ConvWeightVjpParams<Triple>;

struct ConvAxis {
  int64_t in = 0, out = 0, taps = 0;
  int64_t step = 1, offset = 0, tap_step = 1;
  int64_t first_kernel = 0, kernel_step = 1;
  int64_t first_out = 0, out_step = 1;

  // The range of input positions that are touched, padding included.
  int64_t lowest() const { return offset + std::min<int64_t>(0, (taps - 1) * tap_step); }
  int64_t highest() const {
    return offset + (out - 1) * step + std::max<int64_t>(0, (taps - 1) * tap_step);
  }
  int64_t span() const { return highest() - lowest() + 1; }
};

inline int64_t conv_output_size(int64_t in, int64_t kernel, int64_t stride, int64_t padding,
                                int64_t dilation) {
  const int64_t free = in + 2 * padding - dilation * (kernel - 1) - 1;
  return free < 0 ? -1 : free / stride + 1;
}

inline ConvAxis conv_forward_axis(int64_t in, int64_t kernel, int64_t stride, int64_t padding,
                                  int64_t dilation) {
  ConvAxis axis;
  axis.in = in;
  axis.out = conv_output_size(in, kernel, stride, padding, dilation);
  axis.taps = kernel;
  axis.step = stride;
  axis.offset = -padding;
  axis.tap_step = dilation;
  return axis;
}

// The gradient with respect to the positions phase, phase + stride, ... of an input of `size`.
inline ConvAxis conv_input_vjp_axis(int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                                    int64_t dilation, int64_t phase) {
  ConvAxis axis;
  axis.in = conv_output_size(size, kernel, stride, padding, dilation);
  axis.out = phase < size ? ceil_div(size - phase, stride) : 0;
  axis.first_out = phase;
  axis.out_step = stride;
  axis.kernel_step = stride / std::gcd(stride, dilation);
  axis.tap_step = -(axis.kernel_step * dilation / stride);
  for (int64_t k = 0; k < std::min(kernel, axis.kernel_step); ++k) {
    if ((phase + padding - k * dilation) % stride != 0) continue;
    axis.first_kernel = k;
    axis.offset = (phase + padding - k * dilation) / stride;
    axis.taps = ceil_div(kernel - k, axis.kernel_step);
    break;
  }
  return axis;
}

// One input channel per output: no sum over channels, so no GEMM. Of a few kernels per channel, that is;
// many of them are a product again.
inline bool conv_is_depthwise(const Shape& weight, int64_t groups) {
  return weight[1] == 1 && groups > 1 && weight[0] > 0 && weight[0] <= 4 * groups;
}

// A product of matrices: every pixel by itself.
inline bool conv_is_pointwise(const Conv2dParams& p, const Shape& weight) {
  return weight[2] == 1 && weight[3] == 1 && p.stride.h == 1 && p.stride.w == 1 &&
         p.padding.h == 0 && p.padding.w == 0;
}

inline constexpr int64_t kConvBlockRows = 256;       // output channels of one block
inline constexpr int64_t kConvBlockColBytes = 1920;  // output pixels of one block: ten widest tiles
inline constexpr int64_t kConvMinBlocks = 16;        // smaller blocks for small problems
// From this size on the output of a pointwise convolution is written around the caches: it would not stay in them.
inline constexpr int64_t kPointwiseStreamBytes = int64_t{8} << 20;

}  // namespace fluxion
