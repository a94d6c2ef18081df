// Gradients of the symbols of mesh-free convolutions, as sums over bins and samples.
#pragma once

#include "device/mesh_free_symbol.cuh"
#include "kernel.h"
#include "ops/mesh_free.h"

namespace fluxion::cuda {

// One launch: geometry and coefficients. Spectra are [sample][channel][kx <= W / 2][ky].
template <class T>
struct MeshFreeModes {
  SymbolLayout layout;
  int64_t inputs, outputs, bins;
  int height, width;
  T scale;  // 1 / cells
  const AxisMode<T>*x, *y;
  const T *weight, *gaussian;

  __device__ __forceinline__ Mode<T> mode(int64_t bin) const {
    const int kx = static_cast<int>(bin / height),
              ky = static_cast<int>(bin - int64_t{kx} * height);
    return {x[kx], y[ky], kx == 0 || 2 * kx == width ? T(1) : T(2)};
  }
  __device__ __forceinline__ const T* pair(int64_t output, int64_t input) const {
    return weight + (output * inputs + input) * layout.last();
  }
};

// Sums for gradients, over parts of the batch that are added one after another.
template <class T>
class MeshFreeSums {
 public:
  MeshFreeSums(const Kernel& call, const MeshFreeModes<T>& modes, bool pairs, bool channels);
  // x: spectra of the input, g: of the cotangent, gx: of the input's gradient.
  void add_pairs(int64_t samples, const Point<T>* x, const Point<T>* g);
  void add_channels(int64_t samples, const Point<T>* x, const Point<T>* gx);
  void write_weight(T* gradient) const;
  void write_gaussian(T* gradient) const;

 private:
  const Kernel& call_;
  const MeshFreeModes<T>& modes_;
  int64_t groups_;  // of bins, for pairs
  double *pairs_ = nullptr, *channels_ = nullptr;
};

// gradient[o] = the sum of g [batch, outputs, cells] over the batch and the cells.
template <class T>
void sum_outputs(const Kernel& call, const MeshFreeModes<T>& modes, int64_t batch, const T* g,
                 T* gradient);

}  // namespace fluxion::cuda
