// What a convolution or a linear layer does in the last store of its sums: y = act(sum + bias + residual).
#pragma once

#include <cstdint>

namespace fluxion {

enum class Activation : int32_t { none, relu, tanh, sigmoid, silu, gelu };
inline constexpr const char* kActivationNames[] = {"none",    "relu", "tanh",
                                                   "sigmoid", "silu", "gelu"};

}  // namespace fluxion
