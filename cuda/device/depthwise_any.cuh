// Depthwise convolutions of any kernel, stride, dilation and number of outputs a channel, and their gradients.
// A thread owns an output and reads its taps where they are: neighbouring threads read neighbouring elements,
// and all taps of a plane but the first come from L1. The gradient in x is the gather of what each of its
// elements has fed; the gradient of the weights adds slices of the pixels, kTapsAtOnce taps in the registers of
// a thread at a time, in a fixed order.
// Bytes from memory: 8 an element forward and for gx, 8 for gw, where the taps meet in L1.
#pragma once

#include "divide.cuh"
#include "gemm_epilogue.cuh"
#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kTapsAtOnce = 8;
inline constexpr int kDepthwiseAnyThreads = 256;
inline constexpr int kDepthwiseAnyPixels = 4;  // of a thread

struct DepthwiseAxis {
  int in, out, taps, stride, padding, dilation;
  Divisor by_stride;
};

struct DepthwiseShapes {
  int64_t images, channels;
  int multiplier;  // outputs of a channel
  DepthwiseAxis h, w;
  Divisor by_in_width, by_out_width;
  int64_t in_plane, out_plane, chunks;  // chunks of pixels of the planes that are written
};

template <class T>
__global__ void __launch_bounds__(kDepthwiseAnyThreads)
    depthwise_any(DepthwiseShapes s, const T* x, const T* weights, T* y, GemmEpilogue<T> epilogue) {
  const int64_t plane = blockIdx.x / s.chunks;  // image, output
  const int64_t outputs = s.channels * s.multiplier, image = plane / outputs;
  const int64_t output = plane - image * outputs;
  const T* from = x + (image * s.channels + output / s.multiplier) * s.in_plane;
  const T* w = weights + output * s.h.taps * s.w.taps;
  const int64_t first =
      (blockIdx.x - plane * s.chunks) * kDepthwiseAnyThreads * kDepthwiseAnyPixels;
#pragma unroll 1
  for (int e = 0; e < kDepthwiseAnyPixels; ++e) {
    const int64_t pixel = first + e * kDepthwiseAnyThreads + threadIdx.x;
    if (pixel >= s.out_plane) return;
    const uint32_t i = s.by_out_width.quotient(static_cast<uint32_t>(pixel));
    const int row = static_cast<int>(i) * s.h.stride - s.h.padding;
    const int column =
        static_cast<int>(static_cast<uint32_t>(pixel) - i * s.by_out_width.by) * s.w.stride -
        s.w.padding;
    T sum = epilogue.bias ? epilogue.bias[output] : T(0);
    for (int a = 0; a < s.h.taps; ++a) {
      const int r = row + a * s.h.dilation;
      if (r < 0 || r >= s.h.in) continue;
      const T* line = from + static_cast<int64_t>(r) * s.w.in;
      for (int b = 0; b < s.w.taps; ++b) {
        const int c = column + b * s.w.dilation;
        if (c >= 0 && c < s.w.in) sum += w[a * s.w.taps + b] * line[c];
      }
    }
    const int64_t at = plane * s.out_plane + pixel;
    if (epilogue.residual) sum += epilogue.residual[at];
    y[at] = epilogue_activation(epilogue.activation, sum);
  }
}

// The output that reads position `t` - padding with a tap, or -1.
__device__ __forceinline__ int depthwise_reader(const DepthwiseAxis& axis, int t) {
  if (t < 0) return -1;
  const int o = static_cast<int>(axis.by_stride.quotient(static_cast<uint32_t>(t)));
  return o * axis.stride == t && o < axis.out ? o : -1;
}

template <class T>
__global__ void __launch_bounds__(kDepthwiseAnyThreads)
    depthwise_any_input(DepthwiseShapes s, const T* g, const T* weights, T* gx, const T* bias) {
  const int64_t plane = blockIdx.x / s.chunks;  // image, channel
  const int64_t channel = plane % s.channels;
  const int64_t first =
      (blockIdx.x - plane * s.chunks) * kDepthwiseAnyThreads * kDepthwiseAnyPixels;
#pragma unroll 1
  for (int e = 0; e < kDepthwiseAnyPixels; ++e) {
    const int64_t pixel = first + e * kDepthwiseAnyThreads + threadIdx.x;
    if (pixel >= s.in_plane) return;
    const uint32_t i = s.by_in_width.quotient(static_cast<uint32_t>(pixel));
    const int row = static_cast<int>(i) + s.h.padding;
    const int column =
        static_cast<int>(static_cast<uint32_t>(pixel) - i * s.by_in_width.by) + s.w.padding;
    T sum = bias ? bias[channel] : T(0);
    for (int a = 0; a < s.h.taps; ++a) {
      const int r = depthwise_reader(s.h, row - a * s.h.dilation);
      if (r < 0) continue;
      for (int b = 0; b < s.w.taps; ++b) {
        const int c = depthwise_reader(s.w, column - b * s.w.dilation);
        if (c < 0) continue;
        for (int m = 0; m < s.multiplier; ++m) {
          const T* from = g + (plane * s.multiplier + m) * s.out_plane;
          const T weight = weights[((channel * s.multiplier + m) * s.h.taps + a) * s.w.taps + b];
          sum += weight * from[static_cast<int64_t>(r) * s.w.out + c];
        }
      }
    }
    gx[plane * s.in_plane + pixel] = sum;
  }
}

// Blocks: slices of (image, pixel), of each all outputs. partial[slice][output][tap].
template <class T>
__global__ void __launch_bounds__(kDepthwiseAnyThreads)
    depthwise_any_weight(DepthwiseShapes s, const T* g, const T* x, T* partial, int64_t slices) {
  SharedMemory memory;
  constexpr int kWarps = kDepthwiseAnyThreads / kWarp;
  const Shared<T> of_warps = memory.take<T>(kWarps * kTapsAtOnce);
  const int64_t outputs = s.channels * s.multiplier;
  const int64_t slice = blockIdx.x / outputs, output = blockIdx.x - slice * outputs;
  const int taps = s.h.taps * s.w.taps, thread = static_cast<int>(threadIdx.x);
  const int64_t all = s.images * s.out_plane;
  const int64_t begin = all * slice / slices, end = all * (slice + 1) / slices;
  for (int first = 0; first < taps; first += kTapsAtOnce) {
    T sums[kTapsAtOnce] = {};
    for (int64_t at = begin + thread; at < end; at += kDepthwiseAnyThreads) {
      const int64_t image = at / s.out_plane, pixel = at - image * s.out_plane;
      const uint32_t i = s.by_out_width.quotient(static_cast<uint32_t>(pixel));
      const int row = static_cast<int>(i) * s.h.stride - s.h.padding;
      const int column =
          static_cast<int>(static_cast<uint32_t>(pixel) - i * s.by_out_width.by) * s.w.stride -
          s.w.padding;
      const T cotangent = g[(image * outputs + output) * s.out_plane + pixel];
      const T* from = x + (image * s.channels + output / s.multiplier) * s.in_plane;
#pragma unroll
      for (int e = 0; e < kTapsAtOnce; ++e) {
        const int tap = first + e, a = tap / s.w.taps;
        const int r = row + a * s.h.dilation, c = column + (tap - a * s.w.taps) * s.w.dilation;
        if (tap < taps && r >= 0 && r < s.h.in && c >= 0 && c < s.w.in)
          sums[e] += cotangent * from[static_cast<int64_t>(r) * s.w.in + c];
      }
    }
#pragma unroll
    for (int e = 0; e < kTapsAtOnce; ++e) {
      T sum = sums[e];
#pragma unroll
      for (int bit = kWarp / 2; bit > 0; bit /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bit);
      if (thread % kWarp == 0) of_warps[thread / kWarp * kTapsAtOnce + e] = sum;
    }
    __syncthreads();
    if (thread < kTapsAtOnce && first + thread < taps) {
      T sum = of_warps[thread];
      for (int w = 1; w < kWarps; ++w) sum += of_warps[w * kTapsAtOnce + thread];
      partial[(slice * outputs + output) * taps + first + thread] = sum;
    }
    __syncthreads();
  }
}

// Adds n sums over their slices in order.
template <class T>
__global__ void depthwise_add_slices(const T* partial, int64_t slices, int64_t n, T* sums) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T sum = partial[i];
  for (int64_t slice = 1; slice < slices; ++slice) sum += partial[slice * n + i];
  sums[i] = sum;
}

}  // namespace fluxion::cuda
