// Depthwise convolutions (depthwise.cu), which the ops of convolution.cu hand over.
#pragma once

#include "kernel.h"
#include "ops/convolution.h"

namespace fluxion::cuda {

// Inputs and outputs are those of conv2d, conv2d_input_vjp and conv2d_weight_vjp.
void depthwise_conv2d(const Conv2dParams& params, Activation activation, const Kernel& call);
void depthwise_input_vjp(const Conv2dParams& params, const Shape& input, const Kernel& call);
void depthwise_weight_vjp(const Conv2dParams& params, const Shape& weight, const Kernel& call);

}  // namespace fluxion::cuda
