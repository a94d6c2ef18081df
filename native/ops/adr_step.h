// The fused advection-diffusion-reaction step: parameters and the memory of its CPU kernel.
#pragma once

#include "ops/diffusion.h"
#include "ops/gemm_blocking.h"
#include "ops/pair.h"
#include "ops/semi_lagrangian.h"

namespace fluxion {

enum class ReactionActivation : int32_t { relu, silu, gelu, tanh };
inline constexpr const char* kReactionActivationNames[] = {"relu", "silu", "gelu", "tanh"};

struct AdrStep2dParams {
  double dt, dx, dy;
  SampleBoundary advection_boundary;
  Boundary diffusion_boundary;
  ReactionActivation activation;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v.choice("advectionBoundary", advection_boundary, kSampleBoundaryNames);
    v.choice("diffusionBoundary", diffusion_boundary, kBoundaryNames);
    v.choice("activation", activation, kReactionActivationNames);
  }
};

// Sizes of the memory in elements, for every instruction set: a group of channels has at most 16 lanes, a
// tile of the reaction at most 48 pixels (kMaxTileRowBytes of float32) and 8 rows (kMaxTileRows).
struct AdrSizes {
  int64_t batch, channels, rows, columns, hidden;

  static constexpr int64_t kLanesAtMost = 16, kTilePixels = 48;

  int64_t pixels() const { return rows * columns; }
  int64_t padded_channels() const { return round_up(channels, kLanesAtMost); }
  int64_t padded_hidden() const { return round_up(hidden, kLanesAtMost); }
  // The gradients of the four parameters of the reaction, one after the other.
  constexpr int64_t parameters() const { return 2 * hidden * channels + hidden + channels; }

  // One field of all channels as tiles, and one group of channels.
  int64_t field() const { return padded_channels() * pixels(); }
  int64_t group() const { return kLanesAtMost * pixels(); }
  int64_t panel(int64_t rows_of_panel) const { return rows_of_panel * kTilePixels; }
  // Of each pixel the places of four taps, their weights and two derivatives (PixelTap in channel_gather.h).
  size_t tap_bytes() const { return static_cast<size_t>(pixels()) * 128; }

  // A packed matrix of weights: its rows go in whole tiles of up to kMaxTileRows.
  int64_t packed() const {
    return (padded_channels() + kMaxTileRows) * (padded_hidden() + kMaxTileRows);
  }
  size_t forward_workspace() const { return static_cast<size_t>(2 * packed()); }
  size_t forward_scratch() const {
    return static_cast<size_t>(field() + 2 * group() +
                               panel(2 * padded_channels() + padded_hidden()));
  }
  // Partial gradients of a sample: w1 and w2 transposed, both [hidden][padded channels], b1, b2.
  int64_t partial() const {
    return 2 * padded_hidden() * padded_channels() + padded_hidden() + padded_channels();
  }
  size_t backward_workspace() const {
    return static_cast<size_t>(3 * packed() + batch * (partial() + 2 * pixels()) + 16);
  }
  size_t diffusivity_partials() const { return static_cast<size_t>(batch * 2 * padded_channels()); }
  size_t backward_scratch() const {
    return static_cast<size_t>(2 * field() + 2 * group() +
                               panel(3 * padded_channels() + 3 * padded_hidden()));
  }
};

}  // namespace fluxion
