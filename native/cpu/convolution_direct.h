// Direct convolution in 2 and 3 dimensions, forward and input gradient, as a product that never unfolds x:
//
//   out[m, p] = sum_k weight[m, k] band[offset[k] + p]      k = (line, row tap, column tap), line = (channel, depth tap)
//
// No include guard: read once per instruction set, after gemm.h and depthwise.h. The rows of the input that a
// block of outputs reads are copied once, zero-padded, into a band in L2, with rows and columns sorted by
// their remainder modulo the step:
//   band[line][row % step][column % step][plane][row / step][column / step]
// so that for every tap the outputs p of the block, row after row and plane after plane, read one contiguous
// stretch: whole unaligned vectors at offset[k] + p, for any stride, dilation and padding, and nothing is
// copied per tap. A few p lie between the rows; they are computed and dropped. Zeros between rows (planes)
// serve the end of one and the beginning of the next.
//
// A panel of weights stays in L1 while the columns of a block pass. Parallel over (planes, band of rows,
// group, block of output channels); all phases of a stride are done in the block, which holds their outputs.

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

// --- tiles

template <class T, int R, int V>
static __attribute__((noinline)) void direct_tile(const T* a, const T* band, const int32_t* offsets,
                                                  int64_t depth, T* values) {
  Vec<T> acc[R][V] = {};
  for (int64_t k = 0; k < depth; ++k, a += kTileRows) {
    const T* b = band + offsets[k];
    Vec<T> columns[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) columns[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const Vec<T> row = broadcast<T>(a[i]);
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) acc[i][v] += row * columns[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(values + i * kTileCols<T> + v * kLanes<T>, acc[i][v]);
  }
}

// `count` outputs of a tile that follow each other in a row of an output plane.
struct OutputRun {
  int32_t column, count;
  int64_t to;  // element of the image of the block's first plane
};
static_assert(sizeof(OutputRun) == kDirectRunBytes);

// The outputs of a block for one phase: runs first[t] to first[t + 1] are those of tile t.
struct OutputRuns {
  OutputRun* runs;
  int32_t* first;
};

template <class T>
static int64_t block_columns(const DirectPlan& plan, const DirectPhase& phase,
                             const DirectBlock& b) {
  return (b.planes - 1) * plan.plane_pitch + (b.rows - 1) * plan.pitch() + phase.w.out;
}

// The runs of a block; an element of another image is a whole image away.
template <class T>
static void find_runs(const DirectConvolution<T>& c, const DirectPhase& phase, const DirectBlock& b,
                      const OutputRuns& runs) {
  const DirectPlan& plan = c.plan;
  const int64_t image = plan.rows * plan.g.groups * c.out_planes() * c.out_plane();
  int64_t z = b.first_plane % phase.d.out, tile_end = kTileCols<T>;
  int64_t to_image = 0;
  int32_t count = 0;
  int32_t* first = runs.first;
  *first++ = 0;
  for (int64_t plane = 0; plane < b.planes; ++plane) {
    const int64_t to_plane =
        to_image + (phase.d.first_out + z * phase.d.out_step) * c.out_plane() + phase.w.first_out;
    for (int64_t row = 0; row < b.rows; ++row) {
      const int64_t begin = plane * plan.plane_pitch + row * plan.pitch();
      const int64_t y = phase.h.first_out + (b.y + row) * phase.h.out_step;
      for (int64_t at = begin; at < begin + phase.w.out;) {
        for (; at >= tile_end; tile_end += kTileCols<T>) *first++ = count;
        const int64_t stop = std::min(begin + phase.w.out, tile_end);
        runs.runs[count++] = {static_cast<int32_t>(at - (tile_end - kTileCols<T>)),
                              static_cast<int32_t>(stop - at),
                              to_plane + y * c.out_width() + (at - begin) * phase.w.out_step};
        at = stop;
      }
    }
    if (++z == phase.d.out) z = 0, to_image += image;
  }
  *first = count;
}

template <class T>
struct TileStore {
  const OutputRun* runs;
  int count;
  int64_t step;  // of neighbouring outputs in memory
  int64_t row_stride;
  bool add, last;  // to what is there; the sums are whole
};

// One vector of each row of a tile: `left` outputs from out[j * row_stride] on.
template <class T, bool Whole>
static void store_tile_vector(const TileStore<T>& s, const Epilogue<T>& e, const T* values,
                              int64_t rows, int left, T* out) {
  constexpr int n = kLanes<T>;
  const Vec<T> floor = broadcast(s.last ? e.floor() : -std::numeric_limits<T>::infinity());
  const T* prior = s.add ? out : nullptr;
  const T* residual = s.last ? e.residual : nullptr;
  for (int64_t j = 0; j < rows; ++j, out += s.row_stride) {
    Vec<T> value = load(values + j * kTileCols<T>);
    if (s.last && e.bias) value += broadcast(e.bias[j]);
    if (prior) value += Whole ? load(out) : load_partial(out, left);
    if (residual) {
      const T* from = residual + j * s.row_stride;
      value += Whole ? load(from) : load_partial(from, left);
    }
    value = raise_to<T>(floor, value);
    Whole ? store(out, value) : store_partial(out, value, left);
  }
}

// Outputs of a phase of a stride, which lie apart.
template <class T>
static void spread_tile_vector(const TileStore<T>& s, const Epilogue<T>& e, const T* values,
                               int64_t rows, int left, T* out) {
  for (int64_t j = 0; j < rows; ++j, out += s.row_stride) {
    Vec<T> value = load(values + j * kTileCols<T>);
    if (s.last && e.bias) value += broadcast(e.bias[j]);
    if (s.add) value += load_taps<T, 0, true>(out, lanes_between(0, left, kLanes<T>), s.step);
    store_spread(out, value, left, s.step);
  }
}

// act(values + bias + residual) of a tile to its runs in `out`, or added to what is there. Behind the values
// there is memory for a vector.
template <class T>
static __attribute__((noinline)) void store_tile(const TileStore<T>& s, const Epilogue<T>& e,
                                                 const T* values, int64_t rows, T* out) {
  constexpr int n = kLanes<T>;
  for (int r = 0; r < s.count; ++r) {
    const OutputRun run = s.runs[r];
    for (int64_t i = 0; i < run.count; i += n) {
      const int64_t at = run.to + i * s.step;
      const int left = static_cast<int>(std::min<int64_t>(n, run.count - i));
      const T* from = values + run.column + i;
      const Epilogue<T> part = e.at(0, 0, at);
      if (s.step != 1) {
        spread_tile_vector(s, part, from, rows, left, out + at);
      } else if (left == n) {
        store_tile_vector<T, true>(s, part, from, rows, left, out + at);
      } else {
        store_tile_vector<T, false>(s, part, from, rows, left, out + at);
      }
    }
    if (s.last && e.smooth())
      activate_rows(e.activation, out + run.to, s.row_stride, rows, run.count);
  }
}

// All tiles of a block for one phase and the lines that are in the band.
template <class T>
static void multiply_band(const DirectConvolution<T>& c, const DirectPhase& phase,
                          const DirectBlock& b, const T* packed, int64_t row, int64_t rows,
                          int64_t depth, bool first, bool last, const T* band,
                          const int32_t* offsets, T* values, const OutputRuns& runs) {
  const DirectPlan& plan = c.plan;
  const int64_t columns = block_columns<T>(plan, phase, b);
  const int64_t channel = b.group * plan.rows + row;
  const int64_t row_stride = c.out_planes() * c.out_plane();
  T* out = c.out + (b.first_plane / phase.d.out * plan.rows * plan.g.groups + channel) * row_stride;
  const int64_t all = plan.channels * phase.d.taps * phase.taps();
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const int here = static_cast<int>(std::min<int64_t>(kTileRows, rows - i));
    const T* a = packed + (row + i) * all;
    const int32_t* first_run = runs.first;
    for (int64_t p = 0; p < columns; p += kTileCols<T>, ++first_run) {
      const int valid = static_cast<int>(std::min<int64_t>(kTileCols<T>, columns - p));
      const int count = first_run[1] - first_run[0];
      if (count == 0) continue;
      dispatch_tile<T>(here, valid, [&](auto shape) {
        direct_tile<T, shape.rows, shape.vectors>(a, band + p, offsets, depth, values);
      });
      T* to = out + i * row_stride;
      store_tile<T>({runs.runs + *first_run, count, phase.w.out_step, row_stride, !first, last},
                    c.epilogue.at(channel + i, 0, to - c.out), values, here, to);
    }
  }
}

// A phase that no tap reaches.
template <class T>
static void store_empty(const DirectConvolution<T>& c, const DirectPhase& phase,
                        const DirectBlock& b, int64_t row, int64_t rows, T* values,
                        const OutputRuns& runs) {
  std::fill_n(values, kTileCols<T>, T{});
  const int64_t columns = block_columns<T>(c.plan, phase, b),
                outputs = c.plan.rows * c.plan.g.groups;
  const int64_t row_stride = c.out_planes() * c.out_plane(), first = b.group * c.plan.rows + row;
  T* image = c.out + b.first_plane / phase.d.out * outputs * row_stride;
  for (int64_t tile = 0; tile < ceil_div(columns, kTileCols<T>); ++tile) {
    const TileStore<T> zeros{runs.runs + runs.first[tile],
                             runs.first[tile + 1] - runs.first[tile],
                             phase.w.out_step,
                             row_stride,
                             false,
                             true};
    for (int64_t m = first; m < first + rows; ++m) {
      T* out = image + m * row_stride;
      store_tile(zeros, c.epilogue.at(m, 0, out - c.out), values, 1, out);
    }
  }
}

// --- blocks

template <class T>
static void convolve_block(const DirectConvolution<T>& c, const ConvAxis& depth, DirectBlock b,
                           int64_t row, int64_t rows, const T* packed, T* scratch) {
  const DirectPlan& plan = c.plan;
  T* band = scratch;
  char* rest = reinterpret_cast<char*>(scratch) +
               round_up(plan.band_elements() * static_cast<int64_t>(sizeof(T)), 64);
  int32_t* offsets = reinterpret_cast<int32_t*>(rest);
  T* values = reinterpret_cast<T*>(rest + plan.offsets_bytes());
  char* table = rest + plan.offsets_bytes() + kMaxTileRows * kMaxTileRowBytes;
  const OutputRuns runs{reinterpret_cast<OutputRun*>(table),
                        reinterpret_cast<int32_t*>(table + plan.runs_bytes(sizeof(T)))};
  const int64_t lines = plan.channels * depth.taps, band_rows = b.rows;
  for (int64_t first = 0; first < std::max<int64_t>(1, lines); first += plan.chunk) {
    const int64_t now = std::min(plan.chunk, lines - first);
    b.rows = band_rows;
    fill_band(c, depth, b, first, now, band);
    const T* weights = packed;
    for (int64_t ph = 0; ph < plan.phases(kHeightAxis); ++ph) {
      for (int64_t pw = 0; pw < plan.phases(kWidthAxis); ++pw) {
        const DirectPhase phase{depth, plan.axis(kHeightAxis, ph), plan.axis(kWidthAxis, pw)};
        b.rows = std::clamp<int64_t>(phase.h.out - b.y, 0, band_rows);
        const int64_t all = lines * phase.taps();
        if (b.rows > 0 && phase.w.out > 0) {
          find_runs(c, phase, b, runs);
          find_offsets<T>(plan, phase, now, offsets);
          const T* panels =
              weights + b.group * c.padded_rows() * all + first * phase.taps() * kTileRows;
          if (all == 0) {
            store_empty(c, phase, b, row, rows, values, runs);
          } else {
            multiply_band(c, phase, b, panels, row, rows, now * phase.taps(), first == 0,
                          first + now >= lines, band, offsets, values, runs);
          }
        }
        weights += plan.g.groups * c.padded_rows() * all;
      }
    }
  }
}

// All output planes of one phase of the depth.
template <class T>
static void convolve_depth_phase(const Kernel& kernel, const DirectConvolution<T>& c,
                                 const ConvAxis& depth, T* packed) {
  const DirectPlan& plan = c.plan;
  T* to = packed;
  for (int64_t ph = 0; ph < plan.phases(kHeightAxis); ++ph) {
    for (int64_t pw = 0; pw < plan.phases(kWidthAxis); ++pw) {
      const DirectPhase phase{depth, plan.axis(kHeightAxis, ph), plan.axis(kWidthAxis, pw)};
      pack_direct_weights(kernel, c, phase, to);
      to += plan.g.groups * c.padded_rows() * plan.channels * depth.taps * phase.taps();
    }
  }
  const int64_t planes = plan.g.images * depth.out, batches = ceil_div(planes, plan.batch);
  const int64_t panels = ceil_div(plan.rows, kTileRows);
  const int64_t row_step = ceil_div(panels, plan.row_blocks) * kTileRows;
  const int64_t row_blocks = ceil_div(plan.rows, row_step);
  kernel.parallel_for(
      batches * plan.bands * plan.g.groups * row_blocks, [&](int64_t block, int thread) {
        const int64_t row = block % row_blocks * row_step;
        const int64_t group = block / row_blocks % plan.g.groups;
        const int64_t band = block / (row_blocks * plan.g.groups) % plan.bands;
        const int64_t batch = block / (row_blocks * plan.g.groups * plan.bands);
        const int64_t y = band * plan.band_rows;
        const DirectBlock b{batch * plan.batch, std::min(plan.batch, planes - batch * plan.batch),
                            y, std::min(plan.band_rows, plan.height.out - y), group};
        convolve_block(c, depth, b, row, std::min(row_step, plan.rows - row), packed,
                       kernel.scratch<T>(thread));
      });
}

// y = act(x * weight + bias + residual), or transposed: gx = the same of g.
template <class T>
static void convolve_direct(const Kernel& kernel, const DirectPlan& plan, const T* in,
                            const T* weights, const Epilogue<T>& epilogue, T* out) {
  const DirectConvolution<T> c{plan, in, out, epilogue, weights, kernel.workspace<T>()};
  if (plan.g.images * plan.rows * c.out_planes() * c.out_plane() == 0) return;
  T* packed = c.packed;
  for (int64_t phase = 0; phase < plan.phases(kDepthAxis); ++phase) {
    const ConvAxis depth = plan.axis(kDepthAxis, phase);
    if (depth.out == 0) continue;
    convolve_depth_phase(kernel, c, depth, packed);
    packed += plan.g.groups * c.padded_rows() * plan.channels * depth.taps *
              plan.g.kernel[kHeightAxis] * plan.g.kernel[kWidthAxis];
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
