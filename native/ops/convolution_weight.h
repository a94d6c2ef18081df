// Blocking of the weight gradient of a convolution (cpu/convolution_weight.h). Used by infer and the kernels; it
// depends on the shapes alone.
#pragma once

#include "ops/convolution_direct.h"

namespace fluxion {

// The weight gradient sums over units of (output plane, band of its rows), cut into slices; each slice adds
// into a partial gradient [groups, rows, padded output channels] of the workspace.
struct ConvWeightPlan {
  ConvAxis d, h, w;
  int64_t band_rows, bands, slices, line_blocks, block_lines;
  int64_t lines;    // of a group: input channels of the group * depth taps
  int64_t rows;     // lines * taps of a plane
  int64_t outputs;  // of a group
  int64_t pitch;    // outputs, padded to whole vectors
  int64_t band_elements, cotangent_elements;  // scratch of a thread

  ConvWeightPlan(const ConvGeometry& g, int64_t element_bytes)
      : d(g.forward(kDepthAxis)), h(g.forward(kHeightAxis)), w(g.forward(kWidthAxis)) {
    constexpr int64_t kBandPixels = 256, kSlices = 8, kBlocks = 16, kMaxPartialBytes = 32 << 20;
    band_rows = std::clamp<int64_t>(kBandPixels / std::max<int64_t>(1, w.out), 1,
                                    std::max<int64_t>(1, h.out));
    bands = ceil_div(h.out, band_rows);
    lines = g.channels / g.groups * d.taps;
    rows = lines * h.taps * w.taps;
    outputs = g.outputs / g.groups;
    pitch = round_up(outputs, 64 / element_bytes);
    const int64_t partial_bytes = std::max<int64_t>(1, g.groups * rows * pitch * element_bytes);
    slices = std::clamp<int64_t>(
        std::min(g.images * d.out * bands, kMaxPartialBytes / partial_bytes), 1, kSlices);
    line_blocks = std::clamp<int64_t>(ceil_div(kBlocks, slices * g.groups), 1,
                                      std::max<int64_t>(1, lines / 8));
    block_lines = ceil_div(lines, line_blocks);
    const int64_t band_height = (band_rows - 1) * h.step + (h.taps - 1) * h.tap_step + 1;
    band_elements = round_up(block_lines * band_height * w.span(), 64);
    const int64_t tile_cols = kMaxTileRowBytes / element_bytes;
    cotangent_elements = (ceil_div(pitch, tile_cols) + 1) * tile_cols * band_rows * w.out;
  }
  int64_t partial_elements(int64_t groups) const { return slices * groups * rows * pitch; }
};

}  // namespace fluxion
