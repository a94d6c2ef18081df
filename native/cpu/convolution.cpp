// Convolution in 2 and 3 dimensions, channels before cells, and its gradients: the choice of the algorithm.
//
//   depthwise.h            one input channel for each output
//   pointwise.h            one tap, no stride or padding: a product with the matrix of an image
//   winograd.cpp           3x3 in float32 with enough channels
//   convolution_direct.h   everything else, forward and input gradient; convolution_weight.h its weight gradient
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
#include "cpu/pointwise.h"
#include "cpu/pointwise_weight.h"
#include "cpu/depthwise.h"
#include "cpu/depthwise_vjp.h"
#include "cpu/convolution_direct.h"
#include "cpu/convolution_weight.h"

namespace fluxion::cpu::FLUXION_TARGET {

// cpu/winograd.cpp
void winograd_conv2d(const Conv2dForwardParams& params, const Kernel& kernel);
void winograd_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel);
void winograd_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& kernel);

template <class T>
static Epilogue<T> epilogue_of(Activation activation, const Kernel& kernel) {
  const auto optional = [&](int i) {
    return kernel.n_inputs > i && kernel.in(i).present ? kernel.in(i).as<T>() : nullptr;
  };
  return {optional(2), nullptr, optional(3), activation};
}

template <class T>
static void conv2d(const Conv2dForwardParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape;
  const T *from = kernel.in(0).as<T>(), *weights = kernel.in(1).as<T>();
  T* out = kernel.out(0).as<T>();
  const Epilogue<T> epilogue = epilogue_of<T>(p.activation, kernel);
  if (conv_is_depthwise(weight, p.groups))
    return depthwise_forward<T>(kernel, {{p, x, weight}, weights}, epilogue, from, out);
  if (!conv_is_pointwise(p, weight))
    return convolve_direct<T>(kernel, {{p, x, weight}, false, sizeof(T)}, from, weights, epilogue,
                              out);
  Pointwise<T> c{x[0], p.groups, weight[0] / p.groups, weight[1], x[2] * x[3], from, out, weights};
  c.row_stride = c.channels, c.channel_stride = 1;
  c.epilogue = epilogue;
  pointwise_planes(kernel, c);
}

template <class T>
static void conv2d_input_vjp(const Conv2dInputVjpParams& p, const Kernel& kernel) {
  const Shape &weight = kernel.in(1).shape, &x = p.inputShape;
  const T *g = kernel.in(0).as<T>(), *weights = kernel.in(1).as<T>();
  T* gx = kernel.out(0).as<T>();
  const T* bias = kernel.n_inputs > 2 && kernel.in(2).present ? kernel.in(2).as<T>() : nullptr;
  if (conv_is_depthwise(weight, p.groups)) {
    return depthwise_vjp<T>(kernel, {{p, x, weight}, weights}, g, nullptr, gx, nullptr, bias);
  }
  const Epilogue<T> epilogue{bias, nullptr, nullptr, Activation::none};
  if (!conv_is_pointwise(p, weight)) {
    return convolve_direct<T>(kernel, {{p, x, weight}, true, sizeof(T)}, g, weights, epilogue, gx);
  }
  Pointwise<T> c{x[0], p.groups, weight[1], weight[0] / p.groups, x[2] * x[3], g, gx, weights};
  c.row_stride = 1, c.channel_stride = c.rows;
  c.epilogue = epilogue;
  pointwise_planes(kernel, c);
}

template <class T>
static void conv2d_weight_vjp(const Conv2dWeightVjpParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(1).shape, &weight = p.weightShape;
  const T *g = kernel.in(0).as<T>(), *from_x = kernel.in(1).as<T>();
  T* out = kernel.out(0).as<T>();
  if (conv_is_depthwise(weight, p.groups))
    return depthwise_vjp<T>(kernel, {{p, x, weight}, nullptr}, g, from_x, nullptr, out);
  if (conv_is_pointwise(p, weight)) {
    const int64_t outputs = weight[0] / p.groups, pixels = x[2] * x[3];
    return pointwise_weight_vjp<T>(kernel,
                                   {{x[0], pixels, p.groups, weight[1], outputs, sizeof(T)},
                                    x[0],
                                    p.groups,
                                    weight[1],
                                    outputs,
                                    pixels,
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
