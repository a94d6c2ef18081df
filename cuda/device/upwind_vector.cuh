// A vector of cells of a row and those beside it, in global memory.
#pragma once

#include "plane_copy.cuh"
#include "upwind.cuh"

namespace fluxion::cuda {

// Where the vectors beside a vector of cells stand, or whether there is nothing.
template <int kDims>
struct Beside {
  int below[kDims], above[kDims];
  bool no_below[kDims], no_above[kDims];
};

template <int kDims, int V, class T>
__device__ __forceinline__ Beside<kDims> beside(const UpwindGrid<T>& grid, const UpwindCell& c,
                                                Ghost ghost) {
  Beside<kDims> near;
#pragma unroll
  for (int k = 0; k < kDims; ++k) {
    const int n = grid.n[k], at = c.at(k), step = grid.step[k], size = k == 0 ? V : 1;
    const bool first = at == 0, last = at + size == n;
    const int far = (n - 1) * step;
    near.below[k] = !first ? -step : ghost == Ghost::wrap ? far : 0;
    near.above[k] = !last ? size * step : ghost == Ghost::wrap ? size * step - n * step
                                                               : (size - 1) * step;
    near.no_below[k] = first && ghost == Ghost::zero;
    near.no_above[k] = last && ghost == Ghost::zero;
  }
  return near;
}

// The values of a vector of cells and of those beside it along an axis.
template <class T, int V>
struct Neighbours {
  T below[V], above[V];
};

template <int V, int kDims, class T>
__device__ __forceinline__ Neighbours<T, V> neighbours(const T* cell, const Pack<T, V>& own, int k,
                                                       const Beside<kDims>& near) {
  Neighbours<T, V> out;
  if (k == 0) {
    const T first = near.no_below[0] ? T(0) : cell[near.below[0]];
    const T last = near.no_above[0] ? T(0) : cell[near.above[0]];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      out.below[i] = i == 0 ? first : own.v[i > 0 ? i - 1 : 0];
      out.above[i] = i == V - 1 ? last : own.v[i < V - 1 ? i + 1 : i];
    }
    return out;
  }
  Pack<T, V> below{}, above{};
  if (!near.no_below[k]) below = *reinterpret_cast<const Pack<T, V>*>(cell + near.below[k]);
  if (!near.no_above[k]) above = *reinterpret_cast<const Pack<T, V>*>(cell + near.above[k]);
#pragma unroll
  for (int i = 0; i < V; ++i) out.below[i] = below.v[i], out.above[i] = above.v[i];
  return out;
}

}  // namespace fluxion::cuda
