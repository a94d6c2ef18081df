// When and in which blocks a convolution goes by Winograd's algorithm; used by infer (memory) and the kernel
// (loops). Nothing here depends on the instruction set or on the number of threads.
#pragma once

#include <algorithm>

#include "core/rounding.h"
#include "ops/convolution.h"

namespace fluxion {

inline constexpr int64_t kWinogradTile = 4;     // outputs of a tile along an axis
inline constexpr int64_t kWinogradPoints = 36;  // of the transformed tile, 6 x 6
// Tiles of a block: the widest register tile of the GEMM, a multiple of the others. With 64 channels the
// block, its products and the transformed weights together are 1.5 MB, which L2 holds.
inline constexpr int64_t kWinogradCols = 48;
inline constexpr int64_t kWinogradDepth = 128;  // input channels of a block
inline constexpr int64_t kWinogradRows = 72;  // output channels of a block, a multiple of all tiles
inline constexpr int64_t kWinogradWeightChannels =
    64;  // channels of a block of the weight gradient
// Between the planes of different points: with a multiple of 4 KB all points would share one set of L1.
inline constexpr int64_t kWinogradGap = 16;

// The tiles of all images in one sequence (image, tile row, tile column), cut into blocks.
struct WinogradTiles {
  int64_t across, down, count, blocks;

  WinogradTiles(int64_t images, int64_t out_height, int64_t out_width)
      : across(ceil_div(out_width, kWinogradTile)),
        down(ceil_div(out_height, kWinogradTile)),
        count(images * across * down),
        blocks(ceil_div(count, kWinogradCols)) {}
};

// Forward pass and input gradient; rows are output channels, channels those summed over, both of a group.
struct WinogradPlan {
  WinogradTiles tiles;
  int64_t depth;       // channels of a block
  int64_t row_splits;  // of the rows, where there are few blocks of tiles

  WinogradPlan(int64_t images, int64_t groups, int64_t rows, int64_t channels, int64_t out_height,
               int64_t out_width)
      : tiles(images, out_height, out_width) {
    constexpr int64_t kTasks = 4, kLeastRows = 16;
    depth = ceil_div(channels, ceil_div(channels, kWinogradDepth));
    row_splits = std::min(ceil_div(kTasks, std::max<int64_t>(1, tiles.blocks * groups)),
                          ceil_div(rows, kLeastRows));
  }
  int64_t weight_elements(int64_t groups, int64_t rows, int64_t channels) const {
    return groups * kWinogradPoints * ((rows + kMaxTileRows) * channels + kWinogradGap);
  }
  int64_t input_elements() const {
    return kWinogradPoints * (depth * kWinogradCols + kWinogradGap);
  }
  int64_t product_elements(int64_t rows) const {
    const int64_t most = std::min(round_up(rows, 24), kWinogradRows);
    return kWinogradPoints * (most * kWinogradCols + kWinogradGap);
  }
};

// Weight gradient: the blocks of tiles are cut into slices, each with a partial sum for all pairs of
// channels: [slice][group][block of channels][block of outputs][point][channel][output].
struct WinogradWeightPlan {
  WinogradTiles tiles;
  int64_t slices, channel_blocks, block_channels, output_blocks, block_outputs;

  WinogradWeightPlan(int64_t images, int64_t groups, int64_t outputs, int64_t channels,
                     int64_t out_height, int64_t out_width)
      : tiles(images, out_height, out_width) {
    constexpr int64_t kVector = 16, kTasks = 16, kBlocksOfSlice = 5;
    channel_blocks = ceil_div(channels, kWinogradWeightChannels);
    block_channels = round_up(ceil_div(channels, channel_blocks), kMaxTileRows);
    output_blocks = ceil_div(outputs, kWinogradWeightChannels);
    block_outputs = round_up(ceil_div(outputs, output_blocks), kVector);
    const int64_t tasks = std::max<int64_t>(1, groups * channel_blocks * output_blocks);
    const int64_t most = std::min(tiles.blocks / kBlocksOfSlice, ceil_div(kTasks, tasks));
    for (slices = 1; slices * 2 <= most;)
      slices *= 2;  // even shares for any usual number of threads
  }
  // The register tile may write rows beyond the last channel.
  int64_t point_elements() const {
    return (block_channels + kMaxTileRows) * block_outputs + kWinogradGap;
  }
  int64_t block_elements() const { return kWinogradPoints * point_elements(); }
  int64_t partial_elements(int64_t groups) const {
    return slices * groups * channel_blocks * output_blocks * block_elements();
  }
  int64_t input_elements() const {
    return kWinogradPoints * ((block_channels + kMaxTileRows) * kWinogradCols + kWinogradGap);
  }
  int64_t cotangent_elements() const {
    return kWinogradPoints * (block_outputs * kWinogradCols + kWinogradGap);
  }
};

// Whether a convolution and its gradients go by Winograd's algorithm F(4 x 4, 3 x 3): in float32, where its
// transforms cost less than the products it saves. Few channels keep the direct form, with which small
// integers and the stencils of finite differences stay exact; tiles that the plane does not fill and
// transformed weights that few tiles use save nothing (docs/decisions/0005-winograd-for-3x3.md).
inline bool conv_is_winograd(const Conv2dParams& p, const Shape& weight, DType dtype,
                             const Shape& output) {
  constexpr int64_t kLeastPairs = 64, kLeastTiles = 4;
  const int64_t outputs = weight[0] / p.groups, channels = weight[1];
  const auto plain = [](int64_t stride, int64_t padding, int64_t dilation) {
    return stride == 1 && dilation == 1 && padding <= 2;
  };
  if (dtype != DType::f32 || weight[2] != 3 || weight[3] != 3) return false;
  if (!plain(p.stride.h, p.padding.h, p.dilation.h)) return false;
  if (!plain(p.stride.w, p.padding.w, p.dilation.w)) return false;
  if (outputs < 2 || channels < 2 || outputs * channels < kLeastPairs) return false;
  const WinogradTiles tiles(output[0], output[2], output[3]);
  const int64_t covered = tiles.across * tiles.down * kWinogradTile * kWinogradTile;
  // A tile takes 36 products in place of 9 for each of its pixels in the plane: 1.25 times fewer at least.
  return tiles.count >= kLeastTiles && 5 * covered <= 16 * output[2] * output[3];
}

}  // namespace fluxion
