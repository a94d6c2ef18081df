// The reaction R(v) = W2 act(W1 v + b1) + b2 at a tile of pixels in shared memory: products of a matrix in
// global memory with a panel [depth][pitch], and the activations.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

enum class ReactionKind : int { relu, silu, gelu, tanh };

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float hyperbolic(float x) { return tanhf(x); }
__device__ __forceinline__ double hyperbolic(double x) { return tanh(x); }
__device__ __forceinline__ float upper_error(float x) { return erfcf(x); }
__device__ __forceinline__ double upper_error(double x) { return erfc(x); }

// act(x), and its derivative at x.
template <class T>
__device__ inline T activated(ReactionKind kind, T x, T& slope) {
  switch (kind) {
    case ReactionKind::relu:
      slope = x > T(0) ? T(1) : T(0);
      return x < T(0) ? T(0) : x;
    case ReactionKind::silu: {
      const T e = exponential(-x), s = T(1) / (T(1) + e);
      slope = s * (T(1) + x * (T(1) - s));
      return x / (T(1) + e);
    }
    case ReactionKind::gelu: {
      const T cdf = T(0.5) * upper_error(x * T(-0.70710678118654752440));
      slope = cdf + x * (exponential(T(-0.5) * x * x) * T(0.39894228040143267794));
      return x * cdf;
    }
    default: {
      const T y = hyperbolic(x);
      slope = T(1) - y * y;
      return y;
    }
  }
}

// A matrix of rows x depth in global memory.
template <class T>
struct Weight {
  const T* data;
  int rows, depth;
  int64_t row_step, depth_step;
  const T* bias;  // may be null
};

inline constexpr int kProductRows = 4, kProductPixels = 4;

// give(row, pixel, value) for all of W b, `pixels` a multiple of kProductPixels. A thread has 4 x 4 values.
template <class T, class Give>
__device__ inline void panel_product(const Weight<T>& w, const Shared<T>& b, int pitch, int pixels,
                                     const Give& give) {
  const int columns = pixels / kProductPixels;
  const int units = (w.rows + kProductRows - 1) / kProductRows * columns;
  for (int unit = threadIdx.x; unit < units; unit += blockDim.x) {
    const int row = unit / columns * kProductRows, pixel = unit % columns * kProductPixels;
    T sum[kProductRows][kProductPixels] = {};
    const T* a[kProductRows];
#pragma unroll
    for (int i = 0; i < kProductRows; ++i) {
      const int here = row + i < w.rows ? row + i : w.rows - 1;
      a[i] = w.data + here * w.row_step;
      const T start = w.bias ? w.bias[here] : T(0);
#pragma unroll
      for (int j = 0; j < kProductPixels; ++j) sum[i][j] = start;
    }
#pragma unroll 4
    for (int k = 0; k < w.depth; ++k) {
      T right[kProductPixels];
#pragma unroll
      for (int j = 0; j < kProductPixels; ++j) right[j] = b[k * pitch + pixel + j];
#pragma unroll
      for (int i = 0; i < kProductRows; ++i) {
        const T left = a[i][k * w.depth_step];
#pragma unroll
        for (int j = 0; j < kProductPixels; ++j) sum[i][j] += left * right[j];
      }
    }
#pragma unroll
    for (int i = 0; i < kProductRows; ++i) {
      if (row + i >= w.rows) continue;
#pragma unroll
      for (int j = 0; j < kProductPixels; ++j) give(row + i, pixel + j, sum[i][j]);
    }
  }
}

// give(i, j, sum over the pixels of a[i] b[j]) for rows i and j of two panels. The rows of a thread stand apart,
// so that neighbouring threads meet few banks twice.
template <class T, class Give>
__device__ inline void panel_outer(const Shared<T>& a, int rows, const Shared<T>& b, int columns,
                                   int pitch, int pixels, const Give& give) {
  const int high = (rows + 3) / 4, wide = (columns + 3) / 4;
  for (int unit = threadIdx.x; unit < high * wide; unit += blockDim.x) {
    const int i0 = unit / wide, j0 = unit % wide;
    T sum[4][4] = {};
    int left[4], right[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      left[i] = (i0 + i * high < rows ? i0 + i * high : rows - 1) * pitch;
      right[i] = (j0 + i * wide < columns ? j0 + i * wide : columns - 1) * pitch;
    }
    for (int p = 0; p < pixels; ++p) {
      T y[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) y[j] = b[right[j] + p];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const T x = a[left[i] + p];
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] += x * y[j];
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (i0 + i * high < rows && j0 + j * wide < columns)
          give(i0 + i * high, j0 + j * wide, sum[i][j]);
      }
    }
  }
}

}  // namespace fluxion::cuda
