// Parameters of batch and layer normalisation.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct BatchNormParams {
  double eps = 1e-5;
  template <class V>
  void visit(V& v) {
    v("eps", eps);
  }
};

struct LayerNormVjpParams {
  int64_t normalizedDims = 1;  // number of trailing dimensions
  template <class V>
  void visit(V& v) {
    v("normalizedDims", normalizedDims);
  }
};

struct LayerNormParams : LayerNormVjpParams {
  double eps = 1e-5;
  template <class V>
  void visit(V& v) {
    LayerNormVjpParams::visit(v);
    v("eps", eps);
  }
};
// Sums over many rows or planes are cut into slices with partial sums, added in order of the slices.
inline constexpr int64_t kStatisticsSlices = 8;
inline constexpr int64_t kLayerNormChunk = 512;  // columns of one block of the weight gradients

}  // namespace fluxion
