// Blocking of the weight gradient of a pointwise convolution, for infer (memory) and the kernel (loops).
#pragma once

#include <algorithm>

#include "core/rounding.h"
#include "ops/gemm_blocking.h"

namespace fluxion {

// The sum over images and pixels is cut into units: some whole images, or a piece of one. A unit is short, so that
// the transposed one of a block of input channels stays close, and long enough for memory to be read in runs.
// Slices of the units are summed apart.
struct PointwiseWeightPlan {
  static constexpr int64_t kUnitBytes = 1024;  // of a channel
  static constexpr int64_t kLineBytes = 64;    // at least a vector of any instruction set
  static constexpr int64_t kInBlock = 64, kOutBlock = 128, kBlocks = 16;

  int64_t images, pixels;         // of a unit
  int64_t pieces, units, slices;  // pieces of an image; units in all
  int64_t in_blocks, in_step, out_blocks, out_step;
  int64_t pitch;       // of a row of sums: the input channels of a group, in whole vectors
  int64_t panel_cols;  // at most, of the panels of a block

  PointwiseWeightPlan(int64_t all_images, int64_t plane, int64_t groups, int64_t in, int64_t out,
                      int64_t element_bytes) {
    const int64_t most = kUnitBytes / element_bytes, line = kLineBytes / element_bytes;
    const auto most_images = std::max<int64_t>(1, most / std::max<int64_t>(1, plane));
    images = std::clamp<int64_t>(all_images, 1, most_images);
    pieces = std::max<int64_t>(1, ceil_div(plane, most));
    pixels = pieces == 1 ? plane : round_up(ceil_div(plane, pieces), line);
    units = ceil_div(all_images, images) * pieces;
    in_blocks = std::max<int64_t>(1, ceil_div(in, kInBlock));
    out_blocks = std::max<int64_t>(1, ceil_div(out, kOutBlock));
    in_step = round_up(ceil_div(in, in_blocks), line);
    out_step = round_up(ceil_div(out, out_blocks), kMaxTileRows);
    pitch = round_up(in, line);
    panel_cols = in_step + kMaxTileRowBytes / element_bytes;
    slices = std::clamp<int64_t>(ceil_div(kBlocks, groups * in_blocks * out_blocks), 1,
                                 std::max<int64_t>(1, units));
  }
  // The sums of all slices; and, for a thread, a unit of a block of input channels.
  int64_t partial_elements(int64_t groups, int64_t out) const {
    return slices * groups * out * pitch;
  }
  int64_t scratch_elements() const { return images * pixels * panel_cols; }
};

}  // namespace fluxion
