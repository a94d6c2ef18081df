// Activations in double precision, for the references of ops that end in one.
#pragma once

#include <cmath>

#include "ops/activation.h"

namespace fluxion::test {

inline double activated(Activation kind, double x) {
  switch (kind) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::leaky_relu:
      return x > 0 ? x : 0.01 * x;
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::gelu:
      return x * std::erfc(-x / std::sqrt(2.0)) / 2;
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::softplus:
      return std::log1p(std::exp(x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return x;
}

}  // namespace fluxion::test
