// A batch of matrix products with any strides: matmul, linear and the convolutions with a single tap.
#pragma once

#include "device/gemm_epilogue.cuh"
#include "device/strided.cuh"
#include "kernel.h"

namespace fluxion::cuda {

// y[b][i][j] = act(sum_k a[b][i][k] b[b][k][j] + bias + residual); y is contiguous.
template <class T>
struct MatrixProduct {
  int64_t rows, columns, depth, batch;
  const T* a;
  int64_t a_row, a_depth;
  const T* b;
  int64_t b_depth, b_column;
  StridedSpace<2> batches;  // of a and of b
  T* y;
  GemmEpilogue<T> epilogue;
};

// Nothing happens for an empty y.
void multiply_matrices(const Kernel& call, const MatrixProduct<float>& product);
void multiply_matrices(const Kernel& call, const MatrixProduct<double>& product);

}  // namespace fluxion::cuda
