// Weight gradient of a convolution as a matrix product over pixels,
//
//   gw[r, m] = sum_p x[r at p] g[m, p]      r = (line, tap of a plane), m = output channel
//
// where a line is an input channel and a tap along the depth (ops/convolution_direct.h).
//
// No include guard: read once per instruction set, after gemm.h and depthwise_vjp.h. Output channels are the
// vector axis: cotangents are transposed into panels, while x is read unpacked from a zero-padded band of
// rows, one broadcast for each row r of a tile, so that nothing grows by the number of taps. Parallel over
// slices of (plane, band) and blocks of lines; the partial sums of the slices are added in order.

namespace fluxion::cpu::FLUXION_TARGET {

// One tile of gw: rows r of x at the pixels of the band, times one panel of cotangents.
template <class T, int R, int V>
static __attribute__((noinline)) void weight_tile(const Tile<T>& tile, const T* const* x,
                                                  int64_t band_rows, int64_t width,
                                                  int64_t row_step, int64_t step, const T* g) {
  Vec<T> acc[R][V] = {};
  const T* row[R];
  for (int i = 0; i < R; ++i) row[i] = x[i];
  for (int64_t y = 0; y < band_rows; ++y, g += width * kTileCols<T>) {
    accumulate<T, R, V>(
        acc, width, [&](int64_t k, int i) { return row[i][y * row_step + k * step]; }, g);
  }
  write_tile<T, R, V>(acc, tile);
}

template <class T>
struct WeightVjp {
  const ConvGeometry& geometry;
  const ConvWeightPlan& plan;
  const T *x, *g;

  int64_t taps() const { return plan.h.taps * plan.w.taps; }
  int64_t band_height(int64_t rows) const {
    return (rows - 1) * plan.h.step + (plan.h.taps - 1) * plan.h.tap_step + 1;
  }
};

// Rows of lines [first, first + lines) that a band of `rows` output rows from y on touches, zero-padded:
// [line][row][column]
template <class T>
static void pad_band(const WeightVjp<T>& c, int64_t plane, int64_t group, int64_t first,
                     int64_t lines, int64_t y, int64_t rows, T* to) {
  const ConvAxis &d = c.plan.d, &h = c.plan.h, &w = c.plan.w;
  const int64_t height = c.band_height(rows), width = w.span();
  const int64_t left = std::clamp<int64_t>(-w.offset, 0, width);
  const int64_t count = std::min(w.in, width - left);
  const int64_t image = plane / d.out, channels = c.geometry.channels / c.geometry.groups;
  for (int64_t line = first; line < first + lines; ++line) {
    const int64_t z = plane % d.out * d.step + d.offset + line % d.taps * d.tap_step;
    const int64_t channel = (image * c.geometry.groups + group) * channels + line / d.taps;
    const bool outside = z < 0 || z >= d.in;
    const T* from = c.x + (channel * d.in + (outside ? 0 : z)) * h.in * w.in;
    for (int64_t i = 0; i < height; ++i, to += width) {
      const int64_t row = y * h.step + h.offset + i;
      if (outside || row < 0 || row >= h.in) {
        std::fill_n(to, width, T{});
        continue;
      }
      std::fill_n(to, left, T{});
      std::copy_n(from + row * w.in, count, to + left);
      std::fill_n(to + left + count, width - left - count, T{});
    }
  }
}

// Adds one (plane, band) to the partial gradient of a group's lines [first, first + lines).
template <class T>
static void add_band(const WeightVjp<T>& c, int64_t plane, int64_t group, int64_t first,
                     int64_t lines, int64_t y, T* scratch, T* partial) {
  const ConvWeightPlan& plan = c.plan;
  const ConvAxis &h = plan.h, &w = plan.w;
  const int64_t rows = std::min(plan.band_rows, h.out - y), depth = rows * w.out;
  const int64_t height = c.band_height(rows), width = w.span();
  T *band = scratch, *cotangents = scratch + plan.band_elements;
  pad_band(c, plane, group, first, lines, y, rows, band);
  const int64_t g_channel = plan.d.out * h.out * w.out;  // elements of a channel of g
  const T* g = c.g + (plane / plan.d.out * c.geometry.groups + group) * plan.outputs * g_channel +
               (plane % plan.d.out * h.out + y) * w.out;
  // Panels of equal width: 64 channels are two panels of 32 lanes, not 48 and 16.
  const int64_t vectors = ceil_div(plan.outputs, kLanes<T>);
  const int64_t panel_cols = ceil_div(vectors, ceil_div(vectors, kTileVectors)) * kLanes<T>;
  for (int64_t m = 0; m < plan.outputs; m += panel_cols) {
    const int valid = static_cast<int>(std::min(panel_cols, plan.outputs - m));
    pack_panel<T, kTileCols<T>>(g + m * g_channel, 1, g_channel, valid, depth, cotangents);
    for (int64_t r = 0; r < lines * c.taps(); r += kTileRows) {
      const int here = static_cast<int>(std::min<int64_t>(kTileRows, lines * c.taps() - r));
      const T* row[kTileRows];
      for (int i = 0; i < kTileRows; ++i) {
        const int64_t k = r + std::min(i, here - 1), line = k / c.taps(), tap = k % c.taps();
        row[i] =
            band + (line * height + tap / w.taps * h.tap_step) * width + tap % w.taps * w.tap_step;
      }
      const Tile<T> tile{
          depth,  partial + (first * c.taps() + r) * plan.pitch + m, plan.pitch, here, valid, true,
          nullptr};
      dispatch_tile<T>(here, valid, [&](auto shape) {
        weight_tile<T, shape.rows, shape.vectors>(tile, row, rows, w.out, h.step * width, w.step,
                                                  cotangents);
      });
    }
  }
}

// gw[m][r] = sum over the slices of partial[slice][group][r][m]
template <class T>
static void sum_slices(const Kernel& kernel, const WeightVjp<T>& c, const T* partial, T* out) {
  constexpr int64_t chunk = 64;
  const ConvWeightPlan& plan = c.plan;
  const int64_t groups = c.geometry.groups, all = groups * plan.rows * plan.pitch;
  const int64_t chunks = ceil_div(plan.rows, chunk);
  kernel.parallel_for(groups * chunks, [&](int64_t block, int) {
    const int64_t group = block / chunks, begin = block % chunks * chunk;
    const int64_t end = std::min(begin + chunk, plan.rows);
    for (int64_t m = 0; m < plan.outputs; ++m) {
      for (int64_t r = begin; r < end; ++r) {
        const T* from = partial + (group * plan.rows + r) * plan.pitch + m;
        T sum{};
        for (int64_t s = 0; s < plan.slices; ++s) sum += from[s * all];
        out[(group * plan.outputs + m) * plan.rows + r] = sum;
      }
    }
  });
}

template <class T>
static void convolution_weight_vjp(const Kernel& kernel, const ConvGeometry& geometry, const T* g,
                                   const T* x, T* out) {
  const ConvWeightPlan plan(geometry, sizeof(T));
  if (plan.rows * plan.pitch == 0) return;  // no weights
  const WeightVjp<T> c{geometry, plan, x, g};
  T* partial = kernel.workspace<T>();
  const int64_t groups = geometry.groups, all = groups * plan.rows * plan.pitch;
  const int64_t units = geometry.images * plan.d.out * plan.bands;
  kernel.parallel_for(plan.slices * groups * plan.line_blocks, [&](int64_t block, int thread) {
    const int64_t first = block % plan.line_blocks * plan.block_lines;
    const int64_t group = block / plan.line_blocks % groups;
    const int64_t slice = block / (plan.line_blocks * groups);
    const int64_t lines = std::min(plan.block_lines, plan.lines - first);
    if (lines <= 0) return;
    T* sum = partial + slice * all + group * plan.rows * plan.pitch;
    std::fill_n(sum + first * c.taps() * plan.pitch, lines * c.taps() * plan.pitch, T{});
    for (int64_t u = units * slice / plan.slices; u < units * (slice + 1) / plan.slices; ++u) {
      add_band(c, u / plan.bands, group, first, lines, u % plan.bands * plan.band_rows,
               kernel.scratch<T>(thread), sum);
    }
  });
  sum_slices(kernel, c, partial, out);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
