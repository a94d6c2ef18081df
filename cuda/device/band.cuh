// Products with banded matrices along the axes of [planes, D, H, W]: an element of the output is the weighted sum
// of a window of the input. A thread for an element; windows of neighbours overlap and come from the caches, so
// the input is read once from memory and the output written once.
#pragma once

#include "divide.cuh"
#include "machine.cuh"

namespace fluxion::cuda {

// One axis: output i reads `width` elements from start[i] on, with weights [out, width].
template <class T>
struct BandAxis {
  const int32_t* start;
  const T* weight;
  int in, width;
};

// The axes of the output: D, H, W.
struct BandCells {
  Divisor h, w, d;
};

template <class T>
__global__ void apply_bands(BandAxis<T> d, BandAxis<T> h, BandAxis<T> w, BandCells cells,
                            uint32_t n, const T* x, T* y) {
  const uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= n) return;
  const uint32_t row = cells.w.quotient(e), j = e - row * cells.w.by;
  const uint32_t slice = cells.h.quotient(row), i = row - slice * cells.h.by;
  const uint32_t plane = cells.d.quotient(slice), k = slice - plane * cells.d.by;
  const T* const from = x + static_cast<int64_t>(plane) * d.in * h.in * w.in;
  const int begin = w.start[j];
  const T* const weights = w.weight + static_cast<int64_t>(j) * w.width;
  T sum{};
  for (int a = 0; a < d.width; ++a) {
    const int64_t z = d.start[k] + a;
    T slab{};
    for (int b = 0; b < h.width; ++b) {
      const T* const line = from + (z * h.in + h.start[i] + b) * w.in + begin;
      T part{};
      for (int c = 0; c < w.width; ++c) part += weights[c] * line[c];
      slab += h.weight[static_cast<int64_t>(i) * h.width + b] * part;
    }
    sum += d.weight[static_cast<int64_t>(k) * d.width + a] * slab;
  }
  y[e] = sum;
}

// Along one axis: y [outer, out, inner] from x [outer, in, inner].
template <class T>
__global__ void apply_band(BandAxis<T> axis, Divisor inner, Divisor out, uint32_t n, const T* x,
                           T* y) {
  const uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= n) return;
  const uint32_t line = inner.quotient(e), j = e - line * inner.by;
  const uint32_t outer = out.quotient(line), i = line - outer * out.by;
  const T* from = x + (static_cast<int64_t>(outer) * axis.in + axis.start[i]) * inner.by + j;
  const T* const weights = axis.weight + static_cast<int64_t>(i) * axis.width;
  T sum{};
  for (int t = 0; t < axis.width; ++t) sum += weights[t] * from[static_cast<int64_t>(t) * inner.by];
  y[e] = sum;
}

}  // namespace fluxion::cuda
