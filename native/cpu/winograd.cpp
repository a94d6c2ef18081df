// Convolutions 3x3 without stride in float32 by Winograd's algorithm: cpu/winograd.h, cpu/winograd_weight.h.
// cpu/convolution.cpp calls these where conv_is_winograd (ops/winograd.h) holds.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/winograd.h"

#define FLUXION_KERNELS "cpu/winograd.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/gemm.h"
#include "cpu/winograd_transform.h"
#include "cpu/winograd_input.h"
#include "cpu/winograd.h"
#include "cpu/winograd_weight.h"

namespace fluxion::cpu::FLUXION_TARGET {

void winograd_conv2d(const Conv2dForwardParams& params, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape, &y = kernel.out(0).shape;
  WinogradProblem p;
  p.images = x[0], p.groups = params.groups;
  p.rows = weight[0] / params.groups, p.channels = weight[1];
  p.in_height = x[2], p.in_width = x[3], p.out_height = y[2], p.out_width = y[3];
  p.pad_h = params.padding.h, p.pad_w = params.padding.w;
  p.in = kernel.in(0).as<float>(), p.weights = kernel.in(1).as<float>();
  const auto optional = [&](int i) {
    return kernel.n_inputs > i && kernel.in(i).present ? kernel.in(i).as<float>() : nullptr;
  };
  p.epilogue = {optional(2), nullptr, optional(3), params.activation};
  p.out = kernel.out(0).as<float>();
  p.channel_stride = 9, p.row_stride = 9 * p.channels, p.group_stride = p.rows * p.row_stride;
  p.turned = false;
  winograd_correlate(kernel, p);
}

// The cotangents correlated with the kernel turned round, rows and channels exchanged.
void winograd_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel) {
  const Shape &g = kernel.in(0).shape, &weight = kernel.in(1).shape, &x = params.inputShape;
  WinogradProblem p;
  p.images = x[0], p.groups = params.groups;
  p.rows = weight[1], p.channels = weight[0] / params.groups;
  p.in_height = g[2], p.in_width = g[3], p.out_height = x[2], p.out_width = x[3];
  p.pad_h = 2 - params.padding.h, p.pad_w = 2 - params.padding.w;
  p.in = kernel.in(0).as<float>(), p.weights = kernel.in(1).as<float>();
  if (kernel.n_inputs > 2 && kernel.in(2).present) p.epilogue.bias = kernel.in(2).as<float>();
  p.out = kernel.out(0).as<float>();
  p.row_stride = 9, p.channel_stride = 9 * p.rows, p.group_stride = p.channels * p.channel_stride;
  p.turned = true;
  winograd_correlate(kernel, p);
}

void winograd_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& kernel) {
  const Shape &g = kernel.in(0).shape, &x = kernel.in(1).shape, &weight = params.weightShape;
  WinogradWeightProblem p;
  p.images = x[0], p.groups = params.groups;
  p.outputs = weight[0] / params.groups, p.channels = weight[1];
  p.in_height = x[2], p.in_width = x[3], p.out_height = g[2], p.out_width = g[3];
  p.pad_h = params.padding.h, p.pad_w = params.padding.w;
  p.g = kernel.in(0).as<float>(), p.x = kernel.in(1).as<float>();
  p.out = kernel.out(0).as<float>();
  winograd_weight_vjp(kernel, p);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
