// Convolutions of images and volumes, NCHW and NCDHW, and their gradients, by the kind of the kernel:
//
//   one weight per channel and tap     cpu/depthwise.h
//   1 x 1                              cpu/pointwise.h, pointwise_weight.h; pointwise_tiles.cpp
//   3 x 3                              cpu/winograd.cpp
//   any other                          cpu/convolution_direct.h, convolution_weight.h
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/convolution.h"
#include "ops/convolution_direct.h"
#include "ops/convolution_weight.h"
#include "ops/depthwise.h"
#include "ops/winograd.h"

#define FLUXION_KERNELS "cpu/convolution.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/gemm.h"
#include "cpu/next_rows.h"
#include "cpu/pointwise_problem.h"
#include "cpu/pointwise.h"
#include "cpu/pointwise_weight.h"
#include "cpu/depthwise_taps.h"
#include "cpu/depthwise_plane.h"
#include "cpu/depthwise_dense.h"
#include "cpu/depthwise.h"
#include "cpu/depthwise_fused.h"
#include "cpu/depthwise_vjp.h"
#include "cpu/convolution_band.h"
#include "cpu/convolution_tiles.h"
#include "cpu/convolution_direct.h"
#include "cpu/convolution_weight.h"

namespace fluxion::cpu::FLUXION_TARGET {

// cpu/winograd.cpp
void winograd_conv2d(const Conv2dForwardParams& params, const Kernel& kernel);
void winograd_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel);
void winograd_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& kernel);

template <class T>
static void conv2d(const Conv2dForwardParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape;
  const T *in = kernel.in(0).as<T>(), *weights = kernel.in(1).as<T>();
  T* out = kernel.out(0).as<T>();
  const Epilogue<T> epilogue = epilogue_of<T>(p.activation, kernel);
  if (conv_is_depthwise(weight, p.groups))
    return depthwise_forward<T>(kernel, {{p, x, weight}, weights}, epilogue, in, out);
  if (!conv_is_pointwise(p, weight)) {
    return convolve_direct<T>(kernel, {{p, x, weight}, false, sizeof(T)}, in, weights, epilogue,
                              out);
  }
  pointwise_planes(kernel, pointwise_forward<T>(p, kernel));
}

template <class T>
static void conv2d_input_vjp(const Conv2dInputVjpParams& p, const Kernel& kernel) {
  const Shape &weight = kernel.in(1).shape, &x = p.inputShape;
  const T *g = kernel.in(0).as<T>(), *weights = kernel.in(1).as<T>();
  T* gx = kernel.out(0).as<T>();
  const T* bias = optional_input<T>(kernel, 2);
  if (conv_is_depthwise(weight, p.groups)) {
    return depthwise_vjp<T>(kernel, {{p, x, weight}, weights}, g, nullptr, gx, nullptr, bias);
  }
  const Epilogue<T> epilogue{bias, nullptr, nullptr, Activation::none};
  if (!conv_is_pointwise(p, weight)) {
    return convolve_direct<T>(kernel, {{p, x, weight}, true, sizeof(T)}, g, weights, epilogue, gx);
  }
  pointwise_planes(kernel, pointwise_input_vjp<T>(p, kernel));
}

template <class T>
static void conv2d_weight_vjp(const Conv2dWeightVjpParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(1).shape, &weight = p.weightShape;
  const T *g = kernel.in(0).as<T>(), *from_x = kernel.in(1).as<T>();
  T* out = kernel.out(0).as<T>();
  if (conv_is_depthwise(weight, p.groups))
    return depthwise_vjp<T>(kernel, {{p, x, weight}, nullptr}, g, from_x, nullptr, out);
  if (conv_is_pointwise(p, weight)) {
    const int64_t plane = x[2] * x[3], in_channels = weight[1], outs = weight[0] / p.groups;
    return pointwise_weight_vjp<T>(kernel,
                                   {{x[0], plane, p.groups, in_channels, outs, sizeof(T)},
                                    x[0],
                                    p.groups,
                                    in_channels,
                                    outs,
                                    plane,
                                    from_x,
                                    g},
                                   out);
  }
  convolution_weight_vjp<T>(kernel, {p, x, weight}, g, from_x, out);
}

template <class T>
static void conv3d(const Conv3dForwardParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape;
  convolve_direct<T>(kernel, {{p, x, weight}, false, sizeof(T)}, kernel.in(0).as<T>(),
                     kernel.in(1).as<T>(), epilogue_of<T>(p.activation, kernel),
                     kernel.out(0).as<T>());
}

template <class T>
static void conv3d_input_vjp(const Conv3dInputVjpParams& p, const Kernel& kernel) {
  const Epilogue<T> epilogue = epilogue_of<T>(Activation::none, kernel);
  convolve_direct<T>(kernel, {{p, p.inputShape, kernel.in(1).shape}, true, sizeof(T)},
                     kernel.in(0).as<T>(), kernel.in(1).as<T>(), epilogue, kernel.out(0).as<T>());
}

template <class T>
static void conv3d_weight_vjp(const Conv3dWeightVjpParams& p, const Kernel& kernel) {
  convolution_weight_vjp<T>(kernel, {p, kernel.in(1).shape, p.weightShape}, kernel.in(0).as<T>(),
                            kernel.in(1).as<T>(), kernel.out(0).as<T>());
}

void k_conv2d(const Conv2dForwardParams& params, const Kernel& kernel) {
  const TensorView& y = kernel.out(0);
  if (conv_is_winograd(params, kernel.in(1).shape, y.dtype, y.shape)) {
    return winograd_conv2d(params, kernel);
  }
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { conv2d<typename decltype(tag)::type>(params, kernel); });
}

void k_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel) {
  const TensorView& g = kernel.in(0);
  if (conv_is_winograd(params, kernel.in(1).shape, g.dtype, g.shape)) {
    return winograd_conv2d_input_vjp(params, kernel);
  }
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv2d_input_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& kernel) {
  const TensorView& g = kernel.in(0);
  if (conv_is_winograd(params, params.weightShape, g.dtype, g.shape)) {
    return winograd_conv2d_weight_vjp(params, kernel);
  }
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv2d_weight_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_conv3d(const Conv3dForwardParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { conv3d<typename decltype(tag)::type>(params, kernel); });
}

void k_conv3d_input_vjp(const Conv3dInputVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv3d_input_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_conv3d_weight_vjp(const Conv3dWeightVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv3d_weight_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_depthwise_conv2d_vjp(const Conv2dParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Shape &x = kernel.in(1).shape, &weight = kernel.in(2).shape;
    depthwise_vjp<T>(kernel, {{params, x, weight}, kernel.in(2).as<T>()}, kernel.in(0).as<T>(),
                     kernel.in(1).as<T>(), kernel.out(0).as<T>(), kernel.out(1).as<T>());
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
