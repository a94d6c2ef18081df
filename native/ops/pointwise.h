// Blocking of the weight gradient of a pointwise convolution, for infer (memory) and the kernel (loops).
#pragma once

#include <algorithm>

#include "core/rounding.h"

namespace fluxion {

// The sum over images and pixels is cut into units: some whole images, or a piece of one. A unit of a block of
// input and of output channels lies in L2, some rows of it in L1. Slices of the units are summed apart.
struct PointwiseWeightPlan {
  static constexpr int64_t kUnitBytes = 3200;  // of a row of a unit
  static constexpr int64_t kLineBytes = 64;    // at least a vector of any instruction set
  static constexpr int64_t kInBlock = 64, kOutBlock = 128, kTile = 4, kBlocks = 16;

  int64_t images, pixels;         // of a unit
  int64_t pieces, units, slices;  // pieces of an image; units in all
  int64_t pitch;                  // of a row of a unit in scratch
  int64_t in_blocks, in_step, out_blocks, out_step;
  int64_t in_padded, out_padded;  // channels of a group, in whole tiles

  PointwiseWeightPlan(int64_t all_images, int64_t plane, int64_t groups, int64_t in, int64_t out,
                      int64_t element_bytes) {
    const int64_t most = kUnitBytes / element_bytes, line = kLineBytes / element_bytes;
    const auto most_images = std::max<int64_t>(1, most / std::max<int64_t>(1, plane));
    images = std::clamp<int64_t>(all_images, 1, most_images);
    pieces = std::max<int64_t>(1, ceil_div(plane, most));
    pixels = pieces == 1 ? plane : round_up(ceil_div(plane, pieces), line);
    units = ceil_div(all_images, images) * pieces;
    // An odd number of cache lines: rows do not compete for the same ones.
    pitch = ceil_div(images * pixels + line, line) / 2 * 2 * line + line;
    in_blocks = std::max<int64_t>(1, ceil_div(in, kInBlock));
    out_blocks = std::max<int64_t>(1, ceil_div(out, kOutBlock));
    in_step = round_up(ceil_div(in, in_blocks), kTile);
    out_step = round_up(ceil_div(out, out_blocks), kTile);
    in_padded = in_blocks * in_step, out_padded = out_blocks * out_step;
    slices = std::clamp<int64_t>(ceil_div(kBlocks, groups * in_blocks * out_blocks), 1,
                                 std::max<int64_t>(1, units));
  }
  // The sums of all slices; and for a thread: rows of a unit, and a vector of sums for each weight of a block.
  int64_t partial_elements(int64_t groups) const {
    return slices * groups * in_padded * out_padded;
  }
  int64_t row_elements() const { return (in_step + out_step) * pitch; }
  int64_t scratch_bytes(int64_t element_bytes) const {
    return row_elements() * element_bytes + in_step * out_step * kLineBytes;
  }
};

}  // namespace fluxion
