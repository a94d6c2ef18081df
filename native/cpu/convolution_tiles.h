// The register tiles of a direct convolution (cpu/convolution_direct.h): products of a panel of weights with
// stretches of the band, and what of them lands where in the output. No include guard: read once per instruction
// set, after convolution_band.h.

namespace fluxion::cpu::FLUXION_TARGET {

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

}  // namespace fluxion::cpu::FLUXION_TARGET
