// Weight gradient of a pointwise convolution, gw[m, c] = sum over images and pixels of g[m, p] x[c, p].
//
// No include guard: read once per instruction set, after pointwise.h. Both rows are contiguous along the sum,
// so it runs in the lanes: a tile of 4 x 4 (4 x 2 with 16 registers) weights keeps one vector of partial sums
// each, and no operand is transposed. The vectors are added up to numbers once for a slice. A unit of pixels
// (ops/pointwise.h) is copied to rows with a pitch that suits L1. Parallel over slices of the units and blocks
// of channels; the slices are added in order.

namespace fluxion::cpu::FLUXION_TARGET {

#if FLUXION_VECTOR_BYTES == 64 || defined(__aarch64__)
inline constexpr int kDotCols = 4;
#else
inline constexpr int kDotCols = 2;
#endif
inline constexpr int kDotRows = 4;
static_assert(kDotRows == PointwiseWeightPlan::kTile && PointwiseWeightPlan::kTile % kDotCols == 0);

// sums[i][j] += g[i] x[j] over `steps` vectors; rows of both are `pitch` apart.
template <class T>
__attribute__((noinline)) void dot_tile(int64_t steps, const T* g, const T* x, int64_t pitch,
                                        T* sums) {
  constexpr int n = kLanes<T>;
  Vec<T> acc[kDotRows][kDotCols];
#pragma GCC unroll 16
  for (int i = 0; i < kDotRows * kDotCols; ++i)
    acc[i / kDotCols][i % kDotCols] = load(sums + i * n);
  for (int64_t k = 0; k < steps; ++k, g += n, x += n) {
    Vec<T> right[kDotCols];
#pragma GCC unroll 4
    for (int j = 0; j < kDotCols; ++j) right[j] = load(x + j * pitch);
#pragma GCC unroll 4
    for (int i = 0; i < kDotRows; ++i) {
      const Vec<T> left = load(g + i * pitch);
#pragma GCC unroll 4
      for (int j = 0; j < kDotCols; ++j) acc[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kDotRows * kDotCols; ++i)
    store(sums + i * n, acc[i / kDotCols][i % kDotCols]);
}

// The sums of the lanes of each vector of a tile.
template <class T>
inline void sum_tile(const T* sums, T* to) {
  constexpr int n = kLanes<T>;
  static_assert(kDotRows * kDotCols % n == 0);
  for (int i = 0; i < kDotRows * kDotCols; i += n) {
    Vec<T> lines[n];
#pragma GCC unroll 16
    for (int j = 0; j < n; ++j) lines[j] = load(sums + (i + j) * n);
    transpose_tile<T>(lines);
#pragma GCC unroll 4
    for (int width = n / 2; width > 0; width /= 2) {
#pragma GCC unroll 8
      for (int j = 0; j < width; ++j) lines[j] += lines[j + width];
    }
    store(to + i, lines[0]);
  }
}

template <class T>
struct PointwiseWeight {
  PointwiseWeightPlan plan;
  int64_t images, groups, in, out, plane;  // channels of a group
  const T *x, *g;

  struct Unit {
    int64_t image, images, pixel, pixels;
    int64_t vectors() const { return ceil_div(images * pixels, kLanes<T>); }
  };
  Unit unit(int64_t u) const {
    const int64_t image = u / plan.pieces * plan.images, pixel = u % plan.pieces * plan.pixels;
    return {image, std::min(plan.images, images - image), pixel,
            std::clamp<int64_t>(plane - pixel, 0, plan.pixels)};
  }
  int64_t partial_of(int64_t slice, int64_t group) const {
    return (slice * groups + group) * plan.in_padded * plan.out_padded;
  }
};

// The rows of `count` channels of a unit, images of a channel one after the other; what is left of the last
// vector is zero. `all` is the number of channels of the tensor.
template <class T>
static void copy_unit(const typename PointwiseWeight<T>::Unit& u, const T* from, int64_t all,
                      int64_t plane, int64_t count, int64_t pitch, T* to) {
  constexpr int n = kLanes<T>;
  const int64_t all_pixels = u.images * u.pixels;
  for (int64_t c = 0; c < count; ++c, from += plane, to += pitch) {
    if (all_pixels % n != 0) store(to + all_pixels / n * n, Vec<T>{});
    for (int64_t m = 0; m < u.images; ++m) {
      const T* row = from + (u.image + m) * all * plane + u.pixel;
      T* line = to + m * u.pixels;
      int64_t p = 0;
      for (; p + n <= u.pixels; p += n) store(line + p, load(row + p));
      if (p < u.pixels) store(line + p, load_partial(row + p, static_cast<int>(u.pixels - p)));
    }
  }
}

// Asks for the part [begin, end) / parts of what copy_unit() will read.
template <class T>
static void prefetch_unit(const typename PointwiseWeight<T>::Unit& u, const T* from, int64_t all,
                          int64_t plane, int64_t count, int64_t part, int64_t parts) {
  constexpr int64_t line = 64 / sizeof(T);
  const int64_t begin = count * part / parts, end = count * (part + 1) / parts;
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t m = 0; m < u.images; ++m) {
      const T* row = from + ((u.image + m) * all + c) * plane + u.pixel;
      for (int64_t p = 0; p < u.pixels; p += line) __builtin_prefetch(row + p, 0, 2);
    }
  }
}

// A block of channels of a group.
struct WeightBlock {
  int64_t group, in, ins, out, outs;
};

// The sums of a block over the units [begin, end): partial [out / kDotRows][in / kDotCols][tile].
template <class T>
static void add_units(const PointwiseWeight<T>& c, const WeightBlock& b, int64_t begin, int64_t end,
                      T* scratch, T* partial) {
  constexpr int64_t kRowsInL1 = 8, kTile = kDotRows * kDotCols, kTileElements = kTile * kLanes<T>;
  const int64_t pitch = c.plan.pitch, all_in = c.groups * c.in, all_out = c.groups * c.out;
  const T* x = c.x + (b.group * c.in + b.in) * c.plane;
  const T* g = c.g + (b.group * c.out + b.out) * c.plane;
  const int64_t in_rows = round_up(b.ins, kDotCols), out_rows = round_up(b.outs, kDotRows);
  T *to_x = scratch, *to_g = scratch + c.plan.in_step * pitch;
  T* sums = scratch + c.plan.row_elements();
  std::fill_n(to_x + b.ins * pitch, (in_rows - b.ins) * pitch, T{});
  std::fill_n(to_g + b.outs * pitch, (out_rows - b.outs) * pitch, T{});
  std::fill_n(sums, in_rows * out_rows * kLanes<T>, T{});
  const int64_t out_tiles = out_rows / kDotRows, in_tiles = in_rows / kDotCols;
  const int64_t parts = out_tiles * ceil_div(in_rows, kRowsInL1);
  for (int64_t k = begin; k < end; ++k) {
    const auto unit = c.unit(k), next = c.unit(std::min(k + 1, end - 1));
    copy_unit<T>(unit, x, all_in, c.plane, b.ins, pitch, to_x);
    copy_unit<T>(unit, g, all_out, c.plane, b.outs, pitch, to_g);
    int64_t part = 0;
    for (int64_t j0 = 0; j0 < in_rows; j0 += kRowsInL1) {
      for (int64_t i = 0; i < out_tiles; ++i, ++part) {
        prefetch_unit<T>(next, x, all_in, c.plane, b.ins, part, parts);
        prefetch_unit<T>(next, g, all_out, c.plane, b.outs, part, parts);
        for (int64_t j = j0; j < std::min(j0 + kRowsInL1, in_rows); j += kDotCols) {
          dot_tile<T>(unit.vectors(), to_g + i * kDotRows * pitch, to_x + j * pitch, pitch,
                      sums + (i * in_tiles + j / kDotCols) * kTileElements);
        }
      }
    }
  }
  const int64_t row = c.plan.in_padded * kDotRows;
  T* to = partial + b.out / kDotRows * row + b.in * kDotRows;
  for (int64_t t = 0; t < out_tiles * in_tiles; ++t)
    sum_tile(sums + t * kTileElements, to + t / in_tiles * row + t % in_tiles * kTile);
}

// gw[m][c] = sum over the slices of partial[slice][group][m, c].
template <class T>
static void sum_pointwise(const Kernel& kernel, const PointwiseWeight<T>& c, const T* partial,
                          T* out) {
  kernel.parallel_for(c.groups * c.out, [&](int64_t block, int) {
    const int64_t group = block / c.out, m = block % c.out;
    const T* row = partial + c.partial_of(0, group) + m / kDotRows * c.plan.in_padded * kDotRows +
                   m % kDotRows * kDotCols;
    for (int64_t i = 0; i < c.in; ++i) {
      const T* from = row + i / kDotCols * (kDotRows * kDotCols) + i % kDotCols;
      T sum{};
      for (int64_t s = 0; s < c.plan.slices; ++s) sum += from[c.partial_of(s, 0)];
      out[block * c.in + i] = sum;
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
                 partial + c.partial_of(slice, group));
  });
  sum_pointwise(kernel, c, partial, out);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
