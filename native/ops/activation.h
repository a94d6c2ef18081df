// Functions that follow another op in the same pass: those of the same names, with their defaults.
#pragma once

#include <cstdint>

namespace fluxion {

enum class Activation : int32_t {
  none,
  relu,
  leaky_relu,
  elu,
  gelu,
  silu,
  softplus,
  tanh,
  sigmoid
};
inline constexpr const char* kActivationNames[] = {
    "none", "relu", "leakyRelu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"};

}  // namespace fluxion
