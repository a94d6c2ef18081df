// Parameters of batch, group and layer normalisation.
#pragma once

#include <algorithm>

#include "core/rounding.h"
#include "ops/activation.h"
#include "ops/op.h"

namespace fluxion {

struct BatchNormParams {
  double eps = 1e-5;
  bool training = true;  // false: with the given mean and variance
  Activation activation = Activation::none;
  template <class V>
  void visit(V& v) {
    v("eps", eps);
    v("training", training);
    v.choice("activation", activation, kActivationNames);
  }
};

struct GroupNormParams {
  int64_t groups = 1;
  double eps = 1e-5;
  Activation activation = Activation::none;
  template <class V>
  void visit(V& v) {
    v("groups", groups);
    v("eps", eps);
    v.choice("activation", activation, kActivationNames);
  }
};

// running = (1 - momentum) running + momentum (mean over the images of the fresh one), with the variance
// times varianceScale = n / (n - 1).
struct RunningStatisticsParams {
  double momentum = 0.1, varianceScale = 1;
  template <class V>
  void visit(V& v) {
    v("momentum", momentum);
    v("varianceScale", varianceScale);
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
// Rows of up to so many elements have their gradients in one visit; slices of rows keep their own sums.
inline constexpr int64_t kLayerNormRow = 4096;
inline constexpr int64_t kLayerNormSlices = 32;
inline int64_t layer_norm_slices(int64_t rows, int64_t n) {
  return std::clamp<int64_t>(rows * n / 8192, 1, std::clamp<int64_t>(rows, 1, kLayerNormSlices));
}
inline int64_t layer_norm_pitch(int64_t n) { return round_up(n, 16); }  // whole vectors

// A channel of up to so many bytes is read from memory once: its statistics and its results are taken in one
// visit, while it is in the second-level cache. Only where there are enough channels for all threads.
inline constexpr int64_t kChannelVisitBytes = 1 << 20;
inline constexpr int64_t kChannelVisits = 8;
// Planes smaller than this are handled as columns of the matrix [N, C S], so many at a time.
inline constexpr int64_t kSmallPlane = 16;
inline constexpr int64_t kNormColumns = 128;

}  // namespace fluxion
