// Matrix times vector, y[i] = act(sum_k a[i, k] x[k] + bias + residual): a is read once, so it is bound by its
// bytes. Where the depth is contiguous, a warp adds a row, its lanes along the depth by 16 bytes; else the 32
// lanes of a warp are rows and the warps of a block share the depth. Sums of lanes and warps have one order.
#pragma once

#include "gemm_epilogue.cuh"
#include "gemm_tile.cuh"
#include "strided.cuh"

namespace fluxion::cuda {

inline constexpr int kVectorWarps = 8;  // of a block

template <class T>
struct VectorProduct {
  const T *a, *x;
  int64_t rows, depth, row_stride, depth_stride, x_stride;
  StridedSpace<2> batches;  // of a and x
  T* y;
  GemmEpilogue<T> epilogue;
  bool vectors;  // rows of a and x are whole, aligned vectors
};

template <class T>
__device__ inline void finish_vector(const VectorProduct<T>& p, int64_t batch, int64_t row, T sum) {
  const GemmEpilogue<T>& e = p.epilogue;
  const int64_t at = batch * p.rows + row;
  const int64_t product = batch % e.bias_batches;  // with biases of its own
  if (e.bias) sum += e.bias[e.bias_of_columns ? product : product * p.rows + row];
  if (e.residual) sum += e.residual[at];
  p.y[at] = epilogue_activation(e.activation, sum);
}

// Blocks: batch, then kVectorWarps rows.
template <class T>
__global__ void __launch_bounds__(kWarp* kVectorWarps) vector_by_rows(VectorProduct<T> p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t blocks = (p.rows + kVectorWarps - 1) / kVectorWarps;
  const int64_t batch = blockIdx.x / blocks;
  const int64_t row =
      (blockIdx.x - batch * blocks) * kVectorWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (row >= p.rows) return;  // all lanes of the warp
  int64_t offset[2];
  offsets_of(p.batches, batch, offset);
  const T* a = p.a + offset[0] + row * p.row_stride;
  const T* x = p.x + offset[1];
  constexpr int kVector = 16 / static_cast<int>(sizeof(T));
  T sums[kVector] = {};
  if (p.vectors) {
    for (int64_t k = lane * kVector; k < p.depth; k += kWarp * kVector) {
      const auto left = *reinterpret_cast<const GemmVector<T>*>(a + k);
      const auto right = *reinterpret_cast<const GemmVector<T>*>(x + k);
#pragma unroll
      for (int i = 0; i < kVector; ++i) sums[i] += left.at[i] * right.at[i];
    }
  } else {
    for (int64_t k = lane; k < p.depth; k += kWarp)
      sums[0] += a[k * p.depth_stride] * x[k * p.x_stride];
  }
  T sum = sums[0];
#pragma unroll
  for (int i = 1; i < kVector; ++i) sum += sums[i];
#pragma unroll
  for (int bit = kWarp / 2; bit > 0; bit /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bit);
  if (lane == 0) finish_vector(p, batch, row, sum);
}

// Blocks: batch, then 32 rows.
template <class T>
__global__ void __launch_bounds__(kWarp* kVectorWarps) vector_by_depths(VectorProduct<T> p) {
  SharedMemory memory;
  const Shared<T> parts = memory.take<T>(kWarp * kVectorWarps);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t blocks = (p.rows + kWarp - 1) / kWarp;
  const int64_t batch = blockIdx.x / blocks;
  const int64_t row = (blockIdx.x - batch * blocks) * kWarp + lane;
  int64_t offset[2];
  offsets_of(p.batches, batch, offset);
  T sum = T(0);
  if (row < p.rows) {
    const T* a = p.a + offset[0] + row * p.row_stride;
    const T* x = p.x + offset[1];
#pragma unroll 4
    for (int64_t k = warp; k < p.depth; k += kVectorWarps)
      sum += a[k * p.depth_stride] * x[k * p.x_stride];
  }
  parts[static_cast<int>(threadIdx.x)] = sum;
  __syncthreads();
  if (warp != 0 || row >= p.rows) return;
  for (int w = 1; w < kVectorWarps; ++w) sum += parts[w * kWarp + lane];
  finish_vector(p, batch, row, sum);
}

}  // namespace fluxion::cuda
