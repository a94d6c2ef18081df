// Weight gradient of a pointwise convolution, gw[m, c] = sum over images and pixels of g[m, p] x[c, p].
//
// No include guard: read once per instruction set, after gemm.h. Input channels are the vector axis: a unit of
// pixels (ops/pointwise.h) of x is transposed into panels [pixel][channel] that lie in L1, while g is read where
// it lies, one broadcast for each row of a tile. Parallel over slices of the units and blocks of channels; the
// slices are added in order.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct PointwiseWeight {
  PointwiseWeightPlan plan;
  int64_t images, groups, in, out, plane;  // channels of a group
  const T *x, *g;

  struct Unit {
    int64_t image, images, pixel, pixels;
  };
  Unit unit(int64_t u) const {
    const int64_t image = u / plan.pieces * plan.images, pixel = u % plan.pieces * plan.pixels;
    return {image, std::min(plan.images, images - image), pixel,
            std::clamp<int64_t>(plane - pixel, 0, plan.pixels)};
  }
  const T* x_at(const Unit& u, int64_t group, int64_t channel) const {
    return x + ((u.image * groups + group) * in + channel) * plane + u.pixel;
  }
  const T* g_at(const Unit& u, int64_t group, int64_t channel) const {
    return g + ((u.image * groups + group) * out + channel) * plane + u.pixel;
  }
};

// Rows of the next unit, a plane apart, which a tile asks for while it sums: memory keeps up best with requests
// that are spread evenly, and no hardware prefetcher follows so many rows.
template <class T>
struct RowsAhead {
  const T *x, *g;
  int64_t x_rows, g_rows, plane;

  inline __attribute__((always_inline)) void fetch(int64_t pixel) const {
    const T* row = x + pixel;
    for (int64_t i = 0; i < x_rows; ++i, row += plane) __builtin_prefetch(row, 0, 2);
    row = g + pixel;
    for (int64_t i = 0; i < g_rows; ++i, row += plane) __builtin_prefetch(row, 0, 2);
  }
  void next() { x += x_rows * plane, g += g_rows * plane; }
};

// One tile: rows of g, a plane apart, of some images, times a panel of x.
template <class T, int R, int V>
static __attribute__((noinline)) void unit_tile(const Tile<T>& tile, const T* g, int64_t plane,
                                                int64_t images, int64_t image_stride, const T* x,
                                                const RowsAhead<T>& ahead) {
  constexpr int64_t line = 64 / sizeof(T), pitch = V * kLanes<T>;
  Vec<T> acc[R][V] = {};
  for (int64_t m = 0; m < images; ++m, g += image_stride) {
    const T* row[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) row[i] = g + std::min(i, tile.rows - 1) * plane;
    for (int64_t k = 0; k < tile.depth; k += line) {
      const int64_t steps = std::min(line, tile.depth - k);
      if (m == 0) ahead.fetch(k);
      accumulate<T, R, V>(
          acc, steps, [&](int64_t s, int i) { return row[i][k + s]; }, x, pitch);
      x += steps * pitch;
    }
  }
  write_tile<T, R, V>(acc, tile);
}

// A block of channels of a group.
struct WeightBlock {
  int64_t group, in, ins, out, outs;
};

// The width of panels of nearly equal width: a tile of one vector is slower than one of two.
template <class T>
inline int64_t even_panel(int64_t cols) {
  const int64_t vectors = ceil_div(cols, kLanes<T>);
  return ceil_div(vectors, ceil_div(vectors, kTileVectors)) * kLanes<T>;
}

// A panel [image][pixel][W] of `valid` channels of a unit, a plane apart from x on.
template <class T, int W>
static void pack_unit(const T* x, int64_t plane, int64_t images, int64_t image_stride,
                      int64_t pixels, int valid, T* to) {
  for (int64_t m = 0; m < images; ++m)
    pack_transposed<T, W>(x + m * image_stride, plane, valid, pixels, to + m * pixels * W);
}

// The sums of a block over the units [begin, end), in rows of partial.
template <class T>
static void add_units(const PointwiseWeight<T>& c, const WeightBlock& b, int64_t begin, int64_t end,
                      T* panels, T* partial) {
  const int64_t x_image = c.groups * c.in * c.plane, g_image = c.groups * c.out * c.plane;
  const int64_t width = even_panel<T>(b.ins), vectors = width / kLanes<T>;
  const int64_t tiles = ceil_div(b.outs, kTileRows) * ceil_div(b.ins, width);
  const int64_t x_rows = ceil_div(b.ins, tiles), g_rows = ceil_div(b.outs, tiles);
  for (int64_t k = begin; k < end; ++k) {
    const auto unit = c.unit(k), next = c.unit(std::min(k + 1, end - 1));
    const T *x = c.x_at(unit, b.group, b.in), *g = c.g_at(unit, b.group, b.out);
    const int64_t depth = unit.images * unit.pixels;
    for (int64_t j = 0; j < b.ins; j += width) {
      const int valid = static_cast<int>(std::min(width, b.ins - j));
      dispatch_vectors<kTileRows>(static_cast<int>(vectors), [&](auto shape) {
        pack_unit<T, shape.vectors * kLanes<T>>(x + j * c.plane, c.plane, unit.images, x_image,
                                                unit.pixels, valid, panels + j * depth);
      });
    }
    RowsAhead<T> ahead{c.x_at(next, b.group, b.in), c.g_at(next, b.group, b.out), x_rows, g_rows,
                       c.plane};
    for (int64_t i = 0; i < b.outs; i += kTileRows) {
      const int here = static_cast<int>(std::min<int64_t>(kTileRows, b.outs - i));
      for (int64_t j = 0; j < b.ins; j += width, ahead.next()) {
        const int valid = static_cast<int>(std::min(width, b.ins - j));
        const Tile<T> tile{
            unit.pixels, partial + i * c.plan.pitch + j, c.plan.pitch, here, valid, k > begin,
            nullptr};
        dispatch_tile<T>(here, static_cast<int>(width), [&](auto shape) {
          unit_tile<T, shape.rows, shape.vectors>(tile, g + i * c.plane, c.plane, unit.images,
                                                  g_image, panels + j * depth, ahead);
        });
      }
    }
  }
  if (begin < end) return;
  for (int64_t i = 0; i < b.outs; ++i) std::fill_n(partial + i * c.plan.pitch, b.ins, T{});
}

// gw[m][c] = sum over the slices of partial[slice][group][m][c].
template <class T>
static void sum_pointwise(const Kernel& kernel, const PointwiseWeight<T>& c, const T* partial,
                          T* out) {
  const int64_t rows = c.groups * c.out, pitch = c.plan.pitch;
  kernel.parallel_for(rows, [&](int64_t row, int) {
    for (int64_t i = 0; i < c.in; ++i) {
      const T* from = partial + row * pitch + i;
      T sum{};
      for (int64_t s = 0; s < c.plan.slices; ++s) sum += from[s * rows * pitch];
      out[row * c.in + i] = sum;
    }
  });
}

template <class T>
static void pointwise_weight_vjp(const Kernel& kernel, const PointwiseWeight<T>& c, T* out) {
  const PointwiseWeightPlan& plan = c.plan;
  T* partial = kernel.workspace<T>();
  const int64_t blocks = plan.in_blocks * plan.out_blocks;
  kernel.parallel_for(plan.slices * c.groups * blocks, [&](int64_t block, int thread) {
    const int64_t in = block % plan.in_blocks * plan.in_step;
    const int64_t first = block / plan.in_blocks % plan.out_blocks * plan.out_step;
    const int64_t group = block / blocks % c.groups, slice = block / blocks / c.groups;
    const int64_t ins = std::min(plan.in_step, c.in - in);
    const int64_t outs = std::min(plan.out_step, c.out - first);
    if (ins <= 0 || outs <= 0) return;
    add_units<T>(c, {group, in, ins, first, outs}, plan.units * slice / plan.slices,
                 plan.units * (slice + 1) / plan.slices, kernel.scratch<T>(thread),
                 partial + ((slice * c.groups + group) * c.out + first) * plan.pitch + in);
  });
  sum_pointwise(kernel, c, partial, out);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
