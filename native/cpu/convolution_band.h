// The operands of a direct convolution: packed weights, and the zero-padded band of input rows that a block of
// outputs reads (cpu/convolution_direct.h). No include guard: read once per instruction set, after gemm.h and
// depthwise.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct DirectConvolution {
  const DirectPlan& plan;
  const T* in;
  T* out;
  Epilogue<T> epilogue;
  const T* weights;  // [outputs][channels / groups][depth][height][width]
  T* packed;         // [phase][group][row panel][line][tap][kTileRows]

  int64_t padded_rows() const { return round_up(plan.rows, kTileRows); }
  int64_t in_planes() const {
    return plan.transposed ? plan.g.out(kDepthAxis) : plan.g.in[kDepthAxis];
  }
  int64_t out_planes() const {
    return plan.transposed ? plan.g.in[kDepthAxis] : plan.g.out(kDepthAxis);
  }
  int64_t in_plane() const { return plan.transposed ? plan.g.out_plane() : plan.g.in_plane(); }
  int64_t out_plane() const { return plan.transposed ? plan.g.in_plane() : plan.g.out_plane(); }
  int64_t out_width() const {
    return plan.transposed ? plan.g.in[kWidthAxis] : plan.g.out(kWidthAxis);
  }
  // weight of (row, channel) of a group: transposed, they change places.
  const T* weight(int64_t group, int64_t row, int64_t channel) const {
    const int64_t taps = plan.g.taps();
    return plan.transposed ? weights + ((group * plan.channels + channel) * plan.rows + row) * taps
                           : weights + ((group * plan.rows + row) * plan.channels + channel) * taps;
  }
  int64_t row_stride() const { return plan.g.taps() * (plan.transposed ? 1 : plan.channels); }
};

// One phase of each axis.
struct DirectPhase {
  ConvAxis d, h, w;

  int64_t taps() const { return h.taps * w.taps; }
};

// --- weights

template <class T>
static void pack_direct_weights(const Kernel& kernel, const DirectConvolution<T>& c,
                                const DirectPhase& phase, T* packed) {
  const DirectPlan& plan = c.plan;
  const int64_t panels = c.padded_rows() / kTileRows, lines = plan.channels * phase.d.taps;
  const int64_t kernel_h = plan.g.kernel[kHeightAxis], kernel_w = plan.g.kernel[kWidthAxis];
  kernel.parallel_for(plan.g.groups * panels, [&](int64_t block, int) {
    const int64_t group = block / panels, row = block % panels * kTileRows;
    const int valid = static_cast<int>(std::min<int64_t>(kTileRows, plan.rows - row));
    T* to = packed + (group * c.padded_rows() + row) * lines * phase.taps();
    for (int64_t line = 0; line < lines; ++line) {
      const int64_t depth = phase.d.first_kernel + line % phase.d.taps * phase.d.kernel_step;
      const T* from = c.weight(group, row, line / phase.d.taps) + depth * kernel_h * kernel_w;
      for (int64_t i = 0; i < phase.h.taps; ++i) {
        const int64_t kh = phase.h.first_kernel + i * phase.h.kernel_step;
        pack_strided<T, kTileRows>(from + kh * kernel_w + phase.w.first_kernel, phase.w.kernel_step,
                                   c.row_stride(), valid, phase.w.taps, to);
        to += phase.w.taps * kTileRows;
      }
    }
  });
}

// --- band

// Where one remainder of the columns comes from: to[i] = row[i * step + shift] for begin <= i < end, else zero.
struct BandColumns {
  int64_t step, shift, begin, end, count;

  BandColumns(const BandAxis& w, int64_t remainder, int64_t pitch)
      : step(w.step), shift(w.lowest + remainder), count(pitch) {
    begin = std::clamp<int64_t>(ceil_div(std::max<int64_t>(0, -shift), step), 0, count);
    end = std::clamp<int64_t>(w.in > shift ? ceil_div(w.in - shift, step) : 0, begin, count);
  }
};

template <class T>
static void copy_band_row(const BandColumns& c, const T* row, T* to) {
  constexpr int n = kLanes<T>;
  for (int64_t i = 0; i < c.begin; ++i) to[i] = T{};
  const T* from = row + c.shift;
  int64_t i = c.begin;
  if (c.step == 1) {
    for (; i + n <= c.end; i += n) store(to + i, load(from + i));
    if (i < c.end) {
      const int left = static_cast<int>(c.end - i);
      store_partial(to + i, load_partial(from + i, left), left);
    }
    i = c.end;
  } else if (c.step == 2) {
    for (; i + n < c.end; i += n) {  // the last vector would end in an element behind the row
      store(to + i, even_lanes(load(from + 2 * i), load(from + 2 * i + n),
                               std::make_index_sequence<static_cast<size_t>(n)>{}));
    }
  }
  for (; i < c.end; ++i) to[i] = from[i * c.step];
  for (; i < c.count; ++i) to[i] = T{};
}

// Where a block lies: output planes [first_plane, + planes) of a phase of the depth, and rows [y, y + rows).
struct DirectBlock {
  int64_t first_plane, planes, y, rows, group;
};

// One plane of a line: rows y to y + rows of each remainder; `from` is null outside of the volume.
template <class T>
static void fill_plane(const DirectPlan& plan, const T* from, int64_t y, int64_t rows, T* to) {
  const BandAxis &h = plan.height, &w = plan.width;
  const int64_t pitch = plan.pitch();
  for (int64_t rw = 0; rw < w.step; ++rw) {
    const BandColumns columns(w, rw, pitch);
    for (int64_t rh = 0; rh < h.step; ++rh) {
      T* row = to + (rh * w.step + rw) * plan.remainder_pitch;
      for (int64_t r = 0; r < rows; ++r, row += pitch) {
        const int64_t position = h.lowest + (y + r) * h.step + rh;
        if (!from || position < 0 || position >= h.in) {
          std::fill_n(row, pitch, T{});
        } else {
          copy_band_row(columns, from + position * w.in, row);
        }
      }
    }
  }
}

// Lines [first, first + lines) of the band.
template <class T>
static void fill_band(const DirectConvolution<T>& c, const ConvAxis& depth, const DirectBlock& b,
                      int64_t first, int64_t lines, T* band) {
  const DirectPlan& plan = c.plan;
  const int64_t pitch = plan.pitch(), height = plan.height.span(b.rows);
  const int64_t remainders = plan.height.step * plan.width.step;
  constexpr int64_t most = 2 * kMaxTileRowBytes / static_cast<int64_t>(sizeof(T));
  for (int64_t plane = 0; plane < b.planes; ++plane) {
    const int64_t image = (b.first_plane + plane) / depth.out;
    const int64_t z0 = (b.first_plane + plane) % depth.out * depth.step + depth.offset;
    const int64_t channel = (image * plan.g.groups + b.group) * plan.channels;
    // Rows that planes share are written by the next one, but for the last.
    const bool ends = plane + 1 == b.planes;
    const int64_t rows = ends ? height : plan.plane_pitch / pitch;
    T* to = band + plane * plan.plane_pitch;
    for (int64_t line = first; line < first + lines; ++line, to += plan.line_pitch) {
      const int64_t tap = depth.taps == 1 ? 0 : line % depth.taps;
      const int64_t plane_channel = channel + (depth.taps == 1 ? line : line / depth.taps);
      const int64_t z = z0 + tap * depth.tap_step;
      const bool outside = z < 0 || z >= depth.in;
      const T* from = outside ? nullptr : c.in + (plane_channel * c.in_planes() + z) * c.in_plane();
      fill_plane(plan, from, b.y, rows, to);
      // Behind the last row read the dropped outputs: zeros, since numbers left there could be slow.
      for (int64_t r = 0; ends && r < remainders; ++r)
        std::fill_n(to + r * plan.remainder_pitch + height * pitch,
                    std::min(pitch + plan.width.shared, most), T{});
    }
  }
  const int64_t used = remainders * plan.remainder_pitch;
  for (int64_t line = 0; line < lines; ++line)
    std::fill_n(band + line * plan.line_pitch + used,
                plan.line_pitch - used + (line + 1 == lines ? most : 0), T{});
}

// offset[k] of the taps of `lines` lines.
template <class T>
static void find_offsets(const DirectPlan& plan, const DirectPhase& phase, int64_t lines,
                         int32_t* offsets) {
  const BandAxis &h = plan.height, &w = plan.width;
  const int64_t taps = phase.taps();
  int32_t* to = offsets;
  for (int64_t i = 0; i < phase.h.taps; ++i) {
    const int64_t y = phase.h.offset + i * phase.h.tap_step - h.lowest;
    for (int64_t j = 0; j < phase.w.taps; ++j) {
      const int64_t x = phase.w.offset + j * phase.w.tap_step - w.lowest;
      const int64_t remainder = y % h.step * w.step + x % w.step;
      *to++ = static_cast<int32_t>(remainder * plan.remainder_pitch + y / h.step * plan.pitch() +
                                   x / w.step);
    }
  }
  const int32_t step = static_cast<int32_t>(plan.line_pitch);
  for (int64_t k = taps; k < lines * taps; ++k) offsets[k] = offsets[k - taps] + step;
}

}  // namespace fluxion::cpu::FLUXION_TARGET
