// Pooling windows of NCHW planes, one thread for an output element.
//
//   max       y = max over the window, NaN wins; the index is the flat position in the H*W plane, the first of
//             equal values; adjoint: a cell gathers the cotangents of the windows whose index names it
//   avg       y = sum over the window / divisor, with or without the padding in the count
//   adaptive  window [floor(i H / OH), ceil((i + 1) H / OH)) of output i; a warp for an output
//
// Adjoints gather: no atomics, sums in the order of the outputs. Forward reads each input once from memory
// and the overlap of windows from the caches; the adjoints read g (and the indices) and write gx once.
#pragma once

#include "divide.cuh"
#include "reduce.cuh"

namespace fluxion::cuda {

// One axis: tap k of output i reads input i * stride + k * dilation - padding.
struct PoolAxis {
  int in, out, kernel, stride, padding, dilation;

  __device__ __forceinline__ int begin(int i) const { return i * stride - padding; }
  // The first tap of output i inside the input.
  __device__ __forceinline__ int first_tap(int i) const {
    const int at = begin(i);
    return at >= 0 ? 0 : (-at + dilation - 1) / dilation;
  }
  // How many taps of output i count, at dilation 1.
  __device__ __forceinline__ int count(int i, bool padded) const {
    const int at = begin(i), end = at + kernel;
    if (padded) return (end < in + padding ? end : in + padding) - at;
    return (end < in ? end : in) - (at > 0 ? at : 0);
  }
  // Outputs [first_output, last_output] may have input r in their windows.
  __device__ __forceinline__ int first_output(int r) const {
    const int reach = r + padding - (kernel - 1) * dilation;
    return reach <= 0 ? 0 : (reach + stride - 1) / stride;
  }
  __device__ __forceinline__ int last_output(int r) const {
    const int last = (r + padding) / stride;
    return last < out - 1 ? last : out - 1;
  }
  // Whether output i has a tap at input r.
  __device__ __forceinline__ bool taps(int i, int r) const {
    const int at = r - begin(i);
    return at >= 0 && at % dilation == 0 && at / dilation < kernel;
  }
};

// The element of a thread: plane, row and column.
struct PlaneCells {
  Divisor plane, width;
  uint32_t cells;  // of all planes of the launch

  __device__ __forceinline__ bool locate(int64_t* p, int* row, int* column) const {
    const uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= cells) return false;
    const uint32_t q = plane.quotient(e), at = e - q * plane.by;
    *p = q;
    *row = static_cast<int>(width.quotient(at));
    *column = static_cast<int>(at - static_cast<uint32_t>(*row) * width.by);
    return true;
  }
};

template <class T>
__global__ void max_pool(PlaneCells cells, PoolAxis h, PoolAxis w, const T* x, T* y, int* indices) {
  int64_t plane;
  int i, j;
  if (!cells.locate(&plane, &i, &j)) return;
  const T* from = x + plane * h.in * w.in;
  const int top = h.first_tap(i), left = w.first_tap(j);
  T best = -INFINITY;
  int index = (h.begin(i) + top * h.dilation) * w.in + w.begin(j) + left * w.dilation;
  for (int kh = top; kh < h.kernel; ++kh) {
    const int row = h.begin(i) + kh * h.dilation;
    if (row >= h.in) break;
    for (int kw = left; kw < w.kernel; ++kw) {
      const int column = w.begin(j) + kw * w.dilation;
      if (column >= w.in) break;
      const int at = row * w.in + column;
      const T value = from[at];
      if (value > best || value != value) {
        best = value;
        index = at;
      }
    }
  }
  const int64_t to = (plane * h.out + i) * w.out + j;
  if (y) y[to] = best;
  if (indices) indices[to] = index;
}

template <class T>
__global__ void max_pool_vjp(PlaneCells cells, PoolAxis h, PoolAxis w, const T* g,
                             const int* indices, T* gx) {
  int64_t plane;
  int r, c;
  if (!cells.locate(&plane, &r, &c)) return;
  const int64_t from = plane * h.out * w.out;
  const int own = r * w.in + c;
  T sum{};
  for (int i = h.first_output(r); i <= h.last_output(r); ++i) {
    for (int j = w.first_output(c); j <= w.last_output(c); ++j) {
      const int64_t at = from + static_cast<int64_t>(i) * w.out + j;
      if (indices[at] == own) sum += g[at];
    }
  }
  gx[plane * h.in * w.in + own] = sum;
}

// What the sum of an output is divided by; `fixed` is 0 where it is the count.
struct PoolDivisor {
  int64_t fixed;
  bool padded;
  template <class T>
  __device__ __forceinline__ T of(const PoolAxis& h, const PoolAxis& w, int i, int j) const {
    if (fixed != 0) return static_cast<T>(fixed);
    return static_cast<T>(static_cast<int64_t>(h.count(i, padded)) * w.count(j, padded));
  }
};

template <class T>
__global__ void avg_pool(PlaneCells cells, PoolAxis h, PoolAxis w, PoolDivisor divisor, const T* x,
                         T* y) {
  int64_t plane;
  int i, j;
  if (!cells.locate(&plane, &i, &j)) return;
  const T* from = x + plane * h.in * w.in;
  T sum{};
  for (int kh = h.first_tap(i); kh < h.kernel; ++kh) {
    const int row = h.begin(i) + kh * h.dilation;
    if (row >= h.in) break;
    for (int kw = w.first_tap(j); kw < w.kernel; ++kw) {
      const int column = w.begin(j) + kw * w.dilation;
      if (column >= w.in) break;
      sum += from[row * w.in + column];
    }
  }
  y[(plane * h.out + i) * w.out + j] = sum / divisor.template of<T>(h, w, i, j);
}

template <class T>
__global__ void avg_pool_vjp(PlaneCells cells, PoolAxis h, PoolAxis w, PoolDivisor divisor,
                             const T* g, T* gx) {
  int64_t plane;
  int r, c;
  if (!cells.locate(&plane, &r, &c)) return;
  T sum{};
  for (int i = h.first_output(r); i <= h.last_output(r); ++i) {
    if (!h.taps(i, r)) continue;
    for (int j = w.first_output(c); j <= w.last_output(c); ++j) {
      if (!w.taps(j, c)) continue;
      sum += g[(plane * h.out + i) * w.out + j] / divisor.template of<T>(h, w, i, j);
    }
  }
  gx[(plane * h.in + r) * w.in + c] = sum;
}

// --- adaptive average: windows that cover an axis of `in` by `out` outputs.
struct AdaptiveAxis {
  int in, out;
  __device__ __forceinline__ int begin(int i) const {
    return static_cast<int>(static_cast<int64_t>(i) * in / out);
  }
  __device__ __forceinline__ int end(int i) const {
    return static_cast<int>((static_cast<int64_t>(i + 1) * in + out - 1) / out);
  }
  // The outputs whose windows have input r.
  __device__ __forceinline__ int first_output(int r) const {
    return static_cast<int>(static_cast<int64_t>(r) * out / in);
  }
  __device__ __forceinline__ int last_output(int r) const {
    return static_cast<int>((static_cast<int64_t>(r + 1) * out + in - 1) / in) - 1;
  }
};

// A warp for an output: its lanes walk the window, neighbours in memory beside each other.
template <class T>
__global__ void adaptive_pool(int64_t outputs, AdaptiveAxis h, AdaptiveAxis w, const T* x, T* y) {
  const int64_t e = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  T sum{};
  int count = 1;
  if (e < outputs) {
    const int64_t plane = e / (static_cast<int64_t>(h.out) * w.out);
    const int at = static_cast<int>(e - plane * h.out * w.out), i = at / w.out, j = at % w.out;
    const int top = h.begin(i), left = w.begin(j), width = w.end(j) - left;
    count = (h.end(i) - top) * width;
    const T* from = x + (plane * h.in + top) * w.in + left;
    for (int k = lane; k < count; k += kWarp) {
      sum += from[static_cast<int64_t>(k / width) * w.in + k % width];
    }
  }
  sum = warp_reduce(sum, Sum{});
  if (e < outputs && lane == 0) y[e] = sum / static_cast<T>(count);
}

template <class T>
__global__ void adaptive_pool_vjp(PlaneCells cells, AdaptiveAxis h, AdaptiveAxis w, const T* g,
                                  T* gx) {
  int64_t plane;
  int r, c;
  if (!cells.locate(&plane, &r, &c)) return;
  T sum{};
  for (int i = h.first_output(r); i <= h.last_output(r); ++i) {
    for (int j = w.first_output(c); j <= w.last_output(c); ++j) {
      const int64_t count = static_cast<int64_t>(h.end(i) - h.begin(i)) * (w.end(j) - w.begin(j));
      sum += g[(plane * h.out + i) * w.out + j] / static_cast<T>(count);
    }
  }
  gx[(plane * h.in + r) * w.in + c] = sum;
}

}  // namespace fluxion::cuda
