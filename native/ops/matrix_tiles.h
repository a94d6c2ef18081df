// Blocking of float32 products on a matrix unit of bfloat16 (cpu/pointwise_tiles.cpp), for infer (memory) and the
// kernel (loops). Memory is set aside on every processor: infer does not know which one it runs on.
#pragma once

#include <cstdint>

#include "core/rounding.h"

namespace fluxion {

// A block of a product is 32 x 32, its depth goes in steps of 32; a float32 is a sum of three bfloat16.
struct MatrixTilePlan {
  static constexpr int64_t kBlock = 32, kTerms = 3;
  static constexpr int64_t kStepElements =
      kTerms * kBlock * kBlock;  // of bfloat16, of a block and depth step

  int64_t row_blocks, depth_steps;

  MatrixTilePlan(int64_t rows, int64_t depth)
      : row_blocks(ceil_div(rows, kBlock)), depth_steps(ceil_div(depth, kBlock)) {}

  int64_t weight_elements() const { return row_blocks * depth_steps * kStepElements; }
  int64_t panel_elements() const { return depth_steps * kStepElements; }
  int64_t workspace_bytes(int64_t groups) const { return groups * weight_elements() * 2; }
  // Two panels, one in use and one being made, and a block of sums.
  int64_t scratch_bytes() const {
    return 2 * panel_elements() * 2 + kBlock * kBlock * int64_t{sizeof(float)};
  }

  // Whether a pointwise convolution is worth it: what is padded is multiplied too, the weights are split again in
  // each call, and the panels of a deep one would leave the cache.
  static bool takes(int64_t images, int64_t rows, int64_t depth, int64_t pixels) {
    const int64_t padded = round_up(rows, kBlock) * round_up(depth, kBlock);
    return depth >= 24 && depth <= 512 && pixels >= kBlock && 8 * rows * depth >= 5 * padded &&
           images * pixels >= 8 * rows;
  }
};

}  // namespace fluxion
