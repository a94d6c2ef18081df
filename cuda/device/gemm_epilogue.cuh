// y = act(sum + bias + residual), what follows the sums of a matrix product or a convolution in the same pass.
//
// Bias, residual and the activations that are a comparison are done to the sums in registers. The others would
// need the registers of the sums for their constants: the thread that has written the values reads them back
// from L1 and writes them again (activate).
#pragma once

#include <cmath>

#include "functions.cuh"

namespace fluxion::cuda {

// The numbers of fluxion::Activation.
enum class EpilogueKind : int { none, relu, leaky_relu, elu, gelu, silu, softplus, tanh, sigmoid };

template <class T>
struct GemmEpilogue {
  const T* bias;      // of the rows, or of the columns
  const T* residual;  // laid out as the output
  EpilogueKind activation;
  bool bias_of_columns;
  int bias_batches;  // products with biases of their own: product b has those of b mod bias_batches

  __host__ __device__ bool smooth() const {
    return activation != EpilogueKind::none && activation != EpilogueKind::relu &&
           activation != EpilogueKind::leaky_relu;
  }

  // The biases of one product of `rows` x `columns`.
  __device__ __forceinline__ const T* biases(int64_t batch, int64_t rows, int64_t columns) const {
    return bias ? bias + batch % bias_batches * (bias_of_columns ? columns : rows) : nullptr;
  }

  // The comparisons; a NaN stays.
  __device__ __forceinline__ T clip(T y) const {
    if (activation == EpilogueKind::relu) return y < T(0) ? T(0) : y;
    if (activation == EpilogueKind::leaky_relu) return y > T(0) ? y : y * T(0.01);
    return y;
  }
};

template <class T>
__device__ inline T epilogue_activation(EpilogueKind kind, T y) {
  switch (kind) {
    case EpilogueKind::elu:
      return y > T(0) ? y : std::expm1(y);
    case EpilogueKind::gelu:
      return gelu(y);
    case EpilogueKind::silu:
      return silu(y);
    case EpilogueKind::softplus:
      return softplus(y);
    case EpilogueKind::tanh:
      return std::tanh(y);
    case EpilogueKind::sigmoid:
      return sigmoid(y);
    case EpilogueKind::relu:
      return y < T(0) ? T(0) : y;
    case EpilogueKind::leaky_relu:
      return y > T(0) ? y : y * T(0.01);
    case EpilogueKind::none:
      break;
  }
  return y;
}

}  // namespace fluxion::cuda
