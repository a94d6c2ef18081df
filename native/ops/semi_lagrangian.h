// Semi-Lagrangian advection and grid sampling: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {

// What stands outside the domain. reflect: mirrored at the outer faces, as a Neumann wall.
enum class SampleBoundary : int32_t { zeros, border, reflect, periodic };
inline constexpr const char* kSampleBoundaryNames[] = {"zeros", "border", "reflect", "periodic"};

enum class Interpolation : int32_t { bilinear, bicubic };
inline constexpr const char* kInterpolationNames[] = {"bilinear", "bicubic"};

enum class Transport : int32_t { color, mass };
inline constexpr const char* kTransportNames[] = {"color", "mass"};

struct SemiLagrangianParams {
  SampleBoundary boundary;
  Interpolation interpolation;
  Transport transport;
  template <class V>
  void visit(V& v) {
    v.choice("boundary", boundary, kSampleBoundaryNames);
    v.choice("interpolation", interpolation, kInterpolationNames);
    v.choice("transport", transport, kTransportNames);
  }
};

enum class GridMode : int32_t { bilinear, nearest, bicubic };
inline constexpr const char* kGridModeNames[] = {"bilinear", "nearest", "bicubic"};

enum class GridPadding : int32_t { zeros, border, reflection };
inline constexpr const char* kGridPaddingNames[] = {"zeros", "border", "reflection"};

struct GridSampleParams {
  GridMode mode;
  GridPadding padding_mode;
  bool align_corners;
  template <class V>
  void visit(V& v) {
    v.choice("mode", mode, kGridModeNames);
    v.choice("paddingMode", padding_mode, kGridPaddingNames);
    v("alignCorners", align_corners);
  }
};

struct GridSampleInputVjpParams : GridSampleParams {
  Shape input_shape;
  template <class V>
  void visit(V& v) {
    GridSampleParams::visit(v);
    v("inputShape", input_shape);
  }
};

// How a launch is cut; infer and the kernels agree on it.
struct SamplingPlan {
  bool channel_lanes;  // a vector holds one cell of many channels, not many cells of one channel
  int64_t block_channels;  // a block is one field of the batch and this many of its channels
  int64_t blocks_per_field;
  // Elements of the sums of the position gradient that blocks leave behind; 0: written at once.
  int64_t partial_size;
};

// `cells` of a channel that is read, `points` at which it is read.
inline SamplingPlan plan_sampling(int64_t batch, int64_t channels, int64_t cells, int64_t points,
                                  int64_t axes, bool per_channel, size_t element) {
  constexpr int64_t kTileBytes = int64_t{16} << 20;  // rows near each other are reused
  SamplingPlan plan;
  // With less than half a vector of channels, or of tiles that leave the cache, whole planes win.
  plan.channel_lanes =
      !per_channel && channels * static_cast<int64_t>(element) >= 32 && cells <= kTileBytes / 64;
  const bool many = batch >= 8 && plan.channel_lanes;
  plan.block_channels = per_channel ? 1 : many ? channels : plan.channel_lanes ? 16 : 8;
  if (plan.block_channels > channels) plan.block_channels = channels > 0 ? channels : 1;
  plan.blocks_per_field = (channels + plan.block_channels - 1) / plan.block_channels;
  plan.partial_size =
      per_channel || plan.blocks_per_field <= 1 ? 0 : batch * plan.blocks_per_field * axes * points;
  return plan;
}

}  // namespace fluxion
