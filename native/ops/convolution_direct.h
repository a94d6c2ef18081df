// Blocking of the direct convolution (cpu/convolution_direct.h) in one, two and three dimensions. Used by
// infer and the kernels; it depends on the shapes alone.
//
// The depth axis is no loop of its own: a channel and a tap along the depth are one `line` of the product, a
// plane of the input that may lie outside of the volume and is zero then. So the unit of work is an output
// plane (image, depth), and a 2-d convolution is one of depth 1.
#pragma once

#include "ops/convolution.h"

namespace fluxion {

inline constexpr int kDepthAxis = 0, kHeightAxis = 1, kWidthAxis = 2;

// The convolution y = x * weight; axes are depth, height, width.
struct ConvGeometry {
  int64_t images, channels, outputs, groups;
  int64_t in[3], kernel[3], stride[3], padding[3], dilation[3];

  ConvGeometry(const Conv2dParams& p, const Shape& x, const Shape& weight)
      : images(x[0]),
        channels(x[1]),
        outputs(weight[0]),
        groups(p.groups),
        in{1, x[2], x[3]},
        kernel{1, weight[2], weight[3]},
        stride{1, p.stride.h, p.stride.w},
        padding{0, p.padding.h, p.padding.w},
        dilation{1, p.dilation.h, p.dilation.w} {}
  ConvGeometry(const Conv3dParams& p, const Shape& x, const Shape& weight)
      : images(x[0]),
        channels(x[1]),
        outputs(weight[0]),
        groups(p.groups),
        in{x[2], x[3], x[4]},
        kernel{weight[2], weight[3], weight[4]},
        stride{p.stride.d, p.stride.h, p.stride.w},
        padding{p.padding.d, p.padding.h, p.padding.w},
        dilation{p.dilation.d, p.dilation.h, p.dilation.w} {}

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t out(int a) const {
    return conv_output_size(in[a], kernel[a], stride[a], padding[a], dilation[a]);
  }
  int64_t in_plane() const { return in[kHeightAxis] * in[kWidthAxis]; }
  int64_t out_plane() const { return out(kHeightAxis) * out(kWidthAxis); }
  ConvAxis forward(int a) const {
    return conv_forward_axis(in[a], kernel[a], stride[a], padding[a], dilation[a]);
  }
  ConvAxis input_vjp(int a, int64_t phase) const {
    return conv_input_vjp_axis(in[a], kernel[a], stride[a], padding[a], dilation[a], phase);
  }
};

// Positions of one axis in the band of a block, for all phases: position i of the input stands at
// (i - lowest) % step, (i - lowest) / step.
struct BandAxis {
  int64_t in = 0, out = 0;  // most outputs of a phase
  int64_t step = 1, lowest = 0;
  int64_t halo = 0;  // positions of a remainder that are read beyond the outputs
  int64_t shared =
      0;  // of them, zeros that serve the end of one line and the beginning of the next

  int64_t span(int64_t outputs) const { return outputs + halo; }
};

inline constexpr int64_t kDirectBandBytes = 256 << 10;  // beside the weights in L2
inline constexpr int64_t kDirectColumns = 480;          // outputs of a block: ten widest tiles
inline constexpr int64_t kDirectBlocks = 16;
inline constexpr int64_t kDirectRunBytes = 16;   // of a run of outputs
inline constexpr int64_t kMinTileRowBytes = 32;  // of a register tile on any instruction set

struct DirectPlan {
  ConvGeometry g;
  bool transposed;         // the gradient in x: g is the input, x the output
  int64_t rows, channels;  // of a group: rows of the product and planes that they sum over
  BandAxis height, width;
  int64_t batch;             // output planes of a block
  int64_t band_rows, bands;  // rows of them (of a phase)
  int64_t row_blocks;
  int64_t chunk;                                     // lines that are in the band at a time
  int64_t plane_pitch, remainder_pitch, line_pitch;  // elements of the band

  DirectPlan(const ConvGeometry& geometry, bool is_transposed, int64_t element_bytes)
      : g(geometry), transposed(is_transposed) {
    rows = (transposed ? g.channels : g.outputs) / g.groups;
    channels = (transposed ? g.outputs : g.channels) / g.groups;
    height = band_axis(kHeightAxis);
    width = band_axis(kWidthAxis);
    cut(element_bytes);
  }

  // Those beyond the last position have no outputs.
  int64_t phases(int a) const {
    return transposed ? std::min(g.stride[a], std::max<int64_t>(1, g.in[a])) : 1;
  }
  ConvAxis axis(int a, int64_t phase) const {
    return transposed ? g.input_vjp(a, phase) : g.forward(a);
  }
  int64_t pitch() const { return width.span(width.out) - width.shared; }
  int64_t max_lines() const { return std::max<int64_t>(1, channels * g.kernel[kDepthAxis]); }
  int64_t depth() const { return channels * g.taps(); }  // of all phases
  int64_t out_planes(int64_t phase) const { return g.images * axis(kDepthAxis, phase).out; }
  int64_t band_elements() const { return chunk * line_pitch + 2 * kMaxTileRowBytes; }
  // Runs of the outputs of a block, cut at rows and tiles, and where those of a tile begin.
  int64_t tiles(int64_t element_bytes) const {
    return ceil_div(batch * plane_pitch, kMinTileRowBytes / element_bytes) + 1;
  }
  int64_t runs_bytes(int64_t element_bytes) const {
    return round_up((batch * band_rows + tiles(element_bytes)) * kDirectRunBytes, 64);
  }
  // Scratch of a thread: band, offsets of the depth, a tile, runs.
  int64_t offsets_bytes() const {
    return round_up(chunk * g.kernel[1] * g.kernel[2] * static_cast<int64_t>(sizeof(int32_t)), 64);
  }
  int64_t scratch_bytes(int64_t element_bytes) const {
    return round_up(band_elements() * element_bytes, 64) + offsets_bytes() +
           kMaxTileRows * kMaxTileRowBytes + runs_bytes(element_bytes) +
           round_up((tiles(element_bytes) + 1) * static_cast<int64_t>(sizeof(int32_t)), 64);
  }
  int64_t workspace_elements() const { return g.groups * (rows + kMaxTileRows) * depth(); }

 private:
  BandAxis band_axis(int a) const {
    BandAxis band;
    int64_t highest = 0;
    bool first = true;
    for (int64_t phase = 0; phase < phases(a); ++phase) {
      const ConvAxis one = axis(a, phase);
      band.in = one.in, band.step = one.step, band.out = std::max(band.out, one.out);
    }
    for (int64_t phase = 0; phase < phases(a); ++phase) {
      ConvAxis one = axis(a, phase);
      if (one.taps == 0 || one.out == 0) continue;
      one.out = band.out;
      band.lowest = first ? one.lowest() : std::min(band.lowest, one.lowest());
      highest = first ? one.highest() : std::max(highest, one.highest());
      first = false;
    }
    if (first) return band;  // no outputs at all
    band.halo = ceil_div(highest - band.lowest + 1, band.step) - band.out;
    const int64_t before = std::max<int64_t>(0, -band.lowest);
    const int64_t behind = std::max<int64_t>(0, highest - band.in + 1);
    if (band.step == 1) band.shared = std::min(std::min(before, behind), band.halo);
    return band;
  }

  void cut(int64_t element_bytes) {
    const int64_t line = pitch(), most_rows = std::max<int64_t>(1, height.out);
    const int64_t limit = kDirectBandBytes / element_bytes;
    const int64_t images = std::max<int64_t>(1, out_planes(0));  // the first phase has the most
    const int64_t whole = (height.span(most_rows) - height.shared) * line;
    batch = 1;
    if (most_rows * line <= kDirectColumns) {
      band_rows = most_rows;
      batch =
          std::min(kDirectColumns / std::max<int64_t>(1, most_rows * line),
                   limit / std::max<int64_t>(1, whole * height.step * width.step * max_lines()));
      batch =
          std::clamp<int64_t>(batch, 1, std::max<int64_t>(1, images * g.groups / kDirectBlocks));
      batch = std::min(batch, images);
    } else {
      const int64_t wanted = ceil_div(kDirectBlocks, images * g.groups);
      band_rows =
          std::clamp<int64_t>(std::min(kDirectColumns / line, most_rows / wanted), 1, most_rows);
      band_rows = ceil_div(most_rows, ceil_div(most_rows, band_rows));
    }
    bands = ceil_div(most_rows, band_rows);
    row_blocks = std::clamp<int64_t>(kDirectBlocks / (ceil_div(images, batch) * g.groups * bands),
                                     1, ceil_div(std::max<int64_t>(1, rows), kMaxTileRows));
    plane_pitch = (height.span(band_rows) - (bands == 1 ? height.shared : 0)) * line;
    // The last plane ends in zeros of its own.
    remainder_pitch =
        (batch - 1) * plane_pitch + (height.span(band_rows) + 1) * line + width.shared;
    // An odd number of cache lines: taps of many lines must not fall into one set of L1.
    line_pitch = (round_up(height.step * width.step * remainder_pitch, 32) + 16);
    chunk = std::clamp<int64_t>(limit / line_pitch, std::min<int64_t>(8, max_lines()), max_lines());
    chunk = ceil_div(max_lines(), ceil_div(max_lines(), std::max<int64_t>(1, chunk)));
  }
};

}  // namespace fluxion
