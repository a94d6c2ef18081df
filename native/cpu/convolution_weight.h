// Weight gradient of a 2-d convolution as a matrix product over pixels,
//
//   gw[r, m] = sum_p x[r at p] g[m, p]      r = (input channel, tap), m = output channel
//
// No include guard: read once per instruction set, after gemm.h and depthwise_vjp.h. Output channels are the
// vector axis: cotangents are transposed into panels, while x is read unpacked from a zero-padded band of
// rows, one broadcast for each row r of a tile, so that nothing grows by the number of taps. Parallel over
// slices of (image, band) and blocks of channels; the partial sums of the slices are added in order.

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
  ConvAxis h, w;
  Shape x, weight;
  int64_t groups;
  ConvWeightPlan plan;
  const T *from_x, *from_g;

  int64_t outputs() const { return weight[0] / groups; }
  int64_t taps() const { return h.taps * w.taps; }

  // Rows of x that a band of `rows` output rows from y on touches, zero-padded: [channel][row][column]
  void pad_band(const T* image, int64_t channels, int64_t y, int64_t rows, T* to) const {
    const int64_t height = band_height(rows), width = w.span();
    const int64_t left = std::clamp<int64_t>(-w.offset, 0, width);
    const int64_t count = std::min(w.in, width - left);
    for (int64_t i = 0; i < channels * height; ++i, to += width) {
      const int64_t row = y * h.step + h.offset + i % height;
      if (row < 0 || row >= h.in) {
        std::fill_n(to, width, T{});
        continue;
      }
      std::fill_n(to, left, T{});
      std::copy_n(image + (i / height * h.in + row) * w.in, count, to + left);
      std::fill_n(to + left + count, width - left - count, T{});
    }
  }
  int64_t band_height(int64_t rows) const {
    return (rows - 1) * h.step + (h.taps - 1) * h.tap_step + 1;
  }
};

// Adds one (image, band) to the partial gradient of a group's channels [first, first + channels).
template <class T>
static void add_band(const WeightVjp<T>& c, const T* x, const T* g, int64_t first, int64_t channels,
                     int64_t y, T* scratch, T* partial) {
  const int64_t rows = std::min(c.plan.band_rows, c.h.out - y), depth = rows * c.w.out;
  const int64_t height = c.band_height(rows), width = c.w.span();
  T *band = scratch, *cotangents = scratch + c.plan.band_elements;
  c.pad_band(x + first * c.h.in * c.w.in, channels, y, rows, band);
  // Panels of equal width: 64 channels are two panels of 32 lanes, not 48 and 16.
  const int64_t vectors = ceil_div(c.outputs(), kLanes<T>);
  const int64_t panel_cols = ceil_div(vectors, ceil_div(vectors, kTileVectors)) * kLanes<T>;
  for (int64_t m = 0; m < c.outputs(); m += panel_cols) {
    const int valid = static_cast<int>(std::min(panel_cols, c.outputs() - m));
    pack_panel<T, kTileCols<T>>(g + m * c.h.out * c.w.out + y * c.w.out, 1, c.h.out * c.w.out,
                                valid, depth, cotangents);
    for (int64_t r = 0; r < channels * c.taps(); r += kTileRows) {
      const int here = static_cast<int>(std::min<int64_t>(kTileRows, channels * c.taps() - r));
      const T* row[kTileRows];
      for (int i = 0; i < kTileRows; ++i) {
        const int64_t k = r + std::min(i, here - 1), channel = k / c.taps(), tap = k % c.taps();
        row[i] = band + (channel * height + tap / c.w.taps * c.h.tap_step) * width +
                 tap % c.w.taps * c.w.tap_step;
      }
      const Tile<T> tile{depth,        partial + (first * c.taps() + r) * c.plan.pitch + m,
                         c.plan.pitch, here,
                         valid,        true,
                         nullptr};
      dispatch_tile<T>(here, valid, [&](auto shape) {
        weight_tile<T, shape.rows, shape.vectors>(tile, row, rows, c.w.out, c.h.step * width,
                                                  c.w.step, cotangents);
      });
    }
  }
}

// gw[m][r] = sum over the slices of partial[slice][group][r][m]
template <class T>
static void sum_slices(const Kernel& kernel, const WeightVjp<T>& c, const T* partial, T* out) {
  constexpr int64_t chunk = 64;
  const int64_t chunks = ceil_div(c.plan.rows, chunk), all = c.groups * c.plan.rows * c.plan.pitch;
  kernel.parallel_for(c.groups * chunks, [&](int64_t block, int) {
    const int64_t group = block / chunks, begin = block % chunks * chunk;
    const int64_t end = std::min(begin + chunk, c.plan.rows);
    for (int64_t m = 0; m < c.outputs(); ++m) {
      for (int64_t r = begin; r < end; ++r) {
        const T* from = partial + (group * c.plan.rows + r) * c.plan.pitch + m;
        T sum{};
        for (int64_t s = 0; s < c.plan.slices; ++s) sum += from[s * all];
        out[(group * c.outputs() + m) * c.plan.rows + r] = sum;
      }
    }
  });
}

template <class T>
static void conv2d_weight_vjp(const Conv2dWeightVjpParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(1).shape, &weight = p.weightShape;
  const ConvAxis h = conv_forward_axis(x[2], weight[2], p.stride.h, p.padding.h, p.dilation.h);
  const ConvAxis w = conv_forward_axis(x[3], weight[3], p.stride.w, p.padding.w, p.dilation.w);
  const T *g = kernel.in(0).as<T>(), *from_x = kernel.in(1).as<T>();
  T* out = kernel.out(0).as<T>();
  if (conv_is_depthwise(weight, p.groups)) {
    const Depthwise<T> planes{{p, x, weight}, nullptr};
    return depthwise_vjp<T>(kernel, planes, g, from_x, nullptr, out);
  }
  const WeightVjp<T> c{h,      w, x, weight, p.groups, {h, w, x[0], p.groups, weight, sizeof(T)},
                       from_x, g};
  const ConvWeightPlan& plan = c.plan;
  T* partial = kernel.workspace<T>();
  const int64_t units = x[0] * plan.bands, all = p.groups * plan.rows * plan.pitch;
  kernel.parallel_for(plan.slices * p.groups * plan.channel_blocks, [&](int64_t block, int thread) {
    const int64_t first = block % plan.channel_blocks * plan.block_channels;
    const int64_t group = block / plan.channel_blocks % p.groups;
    const int64_t slice = block / (plan.channel_blocks * p.groups);
    const int64_t channels = std::min(plan.block_channels, weight[1] - first);
    if (channels <= 0) return;
    T* sum = partial + slice * all + group * plan.rows * plan.pitch;
    std::fill_n(sum + first * c.taps() * plan.pitch, channels * c.taps() * plan.pitch, T{});
    for (int64_t u = units * slice / plan.slices; u < units * (slice + 1) / plan.slices; ++u) {
      const int64_t image = u / plan.bands, y = u % plan.bands * plan.band_rows;
      add_band(c, from_x + (image * p.groups + group) * weight[1] * x[2] * x[3],
               g + (image * p.groups + group) * c.outputs() * h.out * w.out, first, channels, y,
               kernel.scratch<T>(thread), sum);
    }
  });
  sum_slices(kernel, c, partial, out);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
