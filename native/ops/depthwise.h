// Geometry and blocking of depthwise convolutions: each channel has `multiplier` kernels of its own. Used by
// infer and the kernels.
#pragma once

#include "ops/convolution.h"

namespace fluxion {

struct DepthwiseShape {
  int64_t images, channels, multiplier;
  int64_t height, width;  // of the input
  int64_t kernel_height, kernel_width, stride_height, stride_width;
  int64_t padding_height, padding_width, dilation_height, dilation_width;

  DepthwiseShape(const Conv2dParams& p, const Shape& x, const Shape& weight)
      : images(x[0]),
        channels(x[1]),
        multiplier(weight[0] / x[1]),
        height(x[2]),
        width(x[3]),
        kernel_height(weight[2]),
        kernel_width(weight[3]),
        stride_height(p.stride.h),
        stride_width(p.stride.w),
        padding_height(p.padding.h),
        padding_width(p.padding.w),
        dilation_height(p.dilation.h),
        dilation_width(p.dilation.w) {}

  int64_t outputs() const { return channels * multiplier; }
  int64_t taps() const { return kernel_height * kernel_width; }
  ConvAxis rows() const {
    return conv_forward_axis(height, kernel_height, stride_height, padding_height, dilation_height);
  }
  ConvAxis columns() const {
    return conv_forward_axis(width, kernel_width, stride_width, padding_width, dilation_width);
  }
  ConvAxis rows_vjp(int64_t phase) const {
    return conv_input_vjp_axis(height, kernel_height, stride_height, padding_height,
                               dilation_height, phase);
  }
  ConvAxis columns_vjp(int64_t phase) const {
    return conv_input_vjp_axis(width, kernel_width, stride_width, padding_width, dilation_width,
                               phase);
  }
};

inline constexpr int64_t kDepthwiseStreamBytes = 4 << 20;  // larger outputs go around the caches
inline constexpr int64_t kDepthwisePlaneBytes = 256
                                                << 10;  // of a plane that may go through a buffer
inline constexpr int64_t kDepthwiseLaneBytes = 64;      // of the sum of one tap, at most

// Blocks of planes of a forward pass, at most.
inline constexpr int64_t kDepthwiseBlocks = 256;

inline int64_t depthwise_taps_size(int64_t taps) { return round_up(taps, 16); }

// Scratch of a thread: the ordered weights of a phase and a plane of the output.
inline int64_t depthwise_scratch(int64_t taps, int64_t out_plane, int64_t element_bytes) {
  const int64_t plane = out_plane * element_bytes;
  return depthwise_taps_size(taps) * element_bytes + (plane <= kDepthwisePlaneBytes ? plane : 0);
}

// Blocks of the gradients: (slice of images, chunk of channels). Fixed by the shapes alone.
struct DepthwiseSlices {
  int64_t slices, chunks;

  DepthwiseSlices(int64_t images, int64_t channels, bool weights) {
    constexpr int64_t kSlices = 8, kBlocks = 32;
    slices = std::clamp<int64_t>(images, 1, weights ? kSlices : kBlocks);
    chunks = std::clamp<int64_t>(ceil_div(kBlocks, slices), 1, std::max<int64_t>(1, channels));
  }
};

}  // namespace fluxion
