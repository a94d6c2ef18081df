// Convolution 3x3 without stride by Winograd's F(4 x 4, 3 x 3), in float32:
//
//   Y = A^T [sum_c (G w_c G^T) * (B^T d_c B)] A     of each 6 x 6 tile d of the input, tiles 4 apart
//
// The sums over the channels are 36 matrix products, one for each point of the transformed tile, with a
// quarter of the multiplications of the direct form. A block of 48 tiles is transformed, multiplied and
// transformed back within L2:
//
//   weights   [point][row panel][channel][kTileRows]      of all blocks, in the workspace
//   inputs    [point][column panel][channel][kTileCols]   of one block, in scratch
//   products  [point][row][48]
//
// No include guard: read once per instruction set, after gemm.h and winograd_input.h. Parallel over (block
// of tiles, group, part of the rows). Construction: Lavin and Gray, arXiv:1509.09308.

namespace fluxion::cpu::FLUXION_TARGET {

struct WinogradProblem {
  int64_t images, groups, rows, channels;  // output rows and input channels of a group
  int64_t in_height, in_width, out_height, out_width, pad_h, pad_w;
  const float* in;
  float* out;
  Epilogue<float> epilogue;  // of whole output planes
  // weight(group, row, channel, tap) = weights[.. * strides + tap], turned round for the input gradient
  const float* weights;
  int64_t group_stride, row_stride, channel_stride;
  bool turned;

  int64_t padded_rows() const { return round_up(rows, kTileRows); }
  int64_t weight_point() const { return padded_rows() * channels + kWinogradGap; }
};

// G w G^T for kLanes consecutive elements of a panel [channel][kTileRows], from element `first` on.
inline __attribute__((always_inline)) void transform_weights(const WinogradProblem& p,
                                                             const float* from, int64_t first,
                                                             int64_t valid_rows, int count,
                                                             float* to) {
  float taps[9][kLanes<float>] = {};
  for (int lane = 0; lane < count; ++lane) {
    const int64_t row = (first + lane) % kTileRows, channel = (first + lane) / kTileRows;
    if (row >= valid_rows) continue;
    const float* w = from + row * p.row_stride + channel * p.channel_stride;
    for (int k = 0; k < 9; ++k) taps[k][lane] = w[p.turned ? 8 - k : k];
  }
  Floats half[3][6];
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) {
    const Floats w[3] = {load(taps[j]), load(taps[3 + j]), load(taps[6 + j])};
    winograd_weight(w, half[j]);
  }
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) {
    const Floats w[3] = {half[0][i], half[1][i], half[2][i]};
    Floats t[6];
    winograd_weight(w, t);
    for (int j = 0; j < 6; ++j) store_partial(to + (6 * i + j) * p.weight_point(), t[j], count);
  }
}

inline void pack_winograd_weights(const Kernel& kernel, const WinogradProblem& p, float* packed) {
  const int64_t panels = p.padded_rows() / kTileRows, elements = p.channels * kTileRows;
  kernel.parallel_for(p.groups * panels, [&](int64_t block, int) {
    const int64_t group = block / panels, row = block % panels * kTileRows;
    const float* from = p.weights + group * p.group_stride + row * p.row_stride;
    float* to = packed + group * kWinogradPoints * p.weight_point() + row * p.channels;
    for (int64_t e = 0; e < elements; e += kLanes<float>) {
      const int count = static_cast<int>(std::min<int64_t>(kLanes<float>, elements - e));
      transform_weights(p, from, e, p.rows - row, count, to + e);
    }
  });
}

// One register tile of products, added to them or not.
template <int R, int V>
static __attribute__((noinline)) void multiply_tile(const float* weights, const float* inputs,
                                                    int64_t depth, bool add, float* products) {
  constexpr int w = kLanes<float>;
  Floats acc[R][V] = {};
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) __builtin_prefetch(products + i * kWinogradCols + v * w, 1);
  accumulate<float, R, V>(
      acc, depth, [weights](int64_t k, int i) { return weights[k * kTileRows + i]; }, inputs);
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      float* to = products + i * kWinogradCols + v * w;
      store(to, add ? load(to) + acc[i][v] : acc[i][v]);
    }
  }
}

// products[point][row][48] (+)= weights inputs, for the first `tiles` columns. There is room for whole
// register tiles, and weights beyond the last row are zero.
inline __attribute__((noinline)) void multiply_points(const float* weights, int64_t weight_point,
                                                      int64_t panel, const float* inputs,
                                                      int64_t input_point, int64_t depth,
                                                      int64_t rows, int64_t tiles, bool add,
                                                      float* products, int64_t product_point) {
  for (int64_t k = 0; k < kWinogradPoints; ++k) {
    for (int64_t j = 0; j < tiles; j += kTileCols<float>) {
      const int cols = static_cast<int>(std::min<int64_t>(kTileCols<float>, tiles - j));
      const float* b = inputs + k * input_point + j * depth;
      for (int64_t i = 0; i < rows; i += kTileRows) {
        const int here = static_cast<int>(std::min<int64_t>(kTileRows, rows - i));
        const float* a = weights + k * weight_point + i / kTileRows * panel;
        float* to = products + k * product_point + i * kWinogradCols + j;
        dispatch_tile<float>(here, cols, [&](auto shape) {
          multiply_tile<shape.rows, shape.vectors>(a, b, depth, add, to);
        });
      }
    }
  }
}

inline constexpr int64_t kStreamedElements = 1 << 20;  // 4 MB: larger than L2

// A^T m A of one row of products, written with its epilogue to the output plane.
class WinogradOutput {
 public:
  // Around the caches where the outputs are larger than they: then whole aligned vectors are streamed.
  WinogradOutput(const TileRuns& runs, int64_t height, int64_t width, int64_t image_stride,
                 bool around_cache)
      : runs_(runs),
        height_(height),
        width_(width),
        image_stride_(image_stride),
        around_cache_(around_cache) {}

  // The epilogue is that of the plane; residuals are laid out as the output.
  __attribute__((noinline)) void transform(const float* products, int64_t point, float* plane,
                                           const Epilogue<float>& epilogue) {
    for (int64_t tile = 0; tile < runs_.tiles(); tile += kLanes<float>)
      fill_strips(products + tile, point, tile);
    for (int r = 0; r < runs_.count; ++r) {
      const TileRun& run = runs_.run[r];
      const int64_t top = kWinogradTile * run.row, left = kWinogradTile * run.column;
      const int64_t rows = std::min(kWinogradTile, height_ - top);
      const int64_t cols = std::min(kWinogradTile * run.count, width_ - left);
      const int64_t to = run.image * image_stride_ + top * width_ + left;
      float* strip = strips_ + kWinogradTile * run.first;
      if (epilogue.residual || epilogue.smooth()) finish_strips(strip, rows, cols, to, epilogue);
      const float bias =
          epilogue.bias && !epilogue.residual && !epilogue.smooth() ? *epilogue.bias : 0;
      for (int64_t i = 0; i < rows; ++i)
        write_row(strip + i * kPitch, bias, epilogue.floor(), cols, plane + to + i * width_);
    }
  }

 private:
  static constexpr int64_t kPitch = kWinogradTile * kWinogradCols + 16;

  inline __attribute__((always_inline)) void fill_strips(const float* products, int64_t point,
                                                         int64_t tile) {
    Floats half[4][6];
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) {
      Floats m[6], y[4];
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) m[i] = load(products + (6 * i + j) * point);
      winograd_output(m, y);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) half[i][j] = y[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Floats y[4];
      winograd_output(half[i], y);
      store_by_four(y, strips_ + i * kPitch + kWinogradTile * tile);
    }
  }

  // For what does not fit the stores: all of the epilogue but the floor, in L1.
  inline void finish_strips(float* strip, int64_t rows, int64_t cols, int64_t to,
                            const Epilogue<float>& epilogue) {
    const Floats bias = broadcast(epilogue.bias ? *epilogue.bias : 0.0f);
    for (int64_t i = 0; i < rows; ++i) {
      float* row = strip + i * kPitch;
      for (int64_t x = 0; x < cols; x += kLanes<float>) {
        const int here = static_cast<int>(std::min<int64_t>(kLanes<float>, cols - x));
        Floats y = load_partial(row + x, here) + bias;
        if (epilogue.residual) y += load_partial(epilogue.residual + to + i * width_ + x, here);
        store_partial(row + x, y, here);
      }
    }
    if (epilogue.smooth()) activate_rows(epilogue.activation, strip, kPitch, rows, cols);
  }

  inline __attribute__((always_inline)) void write_row(const float* from, float bias, float least,
                                                       int64_t cols, float* to) const {
    const Floats sum = broadcast(bias), floor = broadcast(least);
    const auto finished = [&](int64_t x) __attribute__((always_inline)) {
      return raise_to<float>(floor, load(from + x) + sum);
    };
    if (around_cache_ && reinterpret_cast<uintptr_t>(to) % sizeof(Floats) == 0 &&
        cols % kLanes<float> == 0) {
      for (int64_t x = 0; x < cols; x += kLanes<float>) stream(to + x, finished(x));
      return;
    }
    const int64_t ahead = 2 * height_ * width_;  // two channels
    int64_t x = 0;
    for (; x + kLanes<float> <= cols; x += kLanes<float>) {
      __builtin_prefetch(to + x + ahead, 1);
      store(to + x, finished(x));
    }
    if (x == cols) return;
    __builtin_prefetch(to + x + ahead, 1);
    store_partial(to + x, finished(x), static_cast<int>(cols - x));
  }

  const TileRuns& runs_;
  int64_t height_, width_, image_stride_;
  bool around_cache_;
  alignas(64) float strips_[4 * kPitch];
};

// One block of tiles and the rows [first, end) of a group.
inline void winograd_block(const WinogradProblem& p, const WinogradPlan& plan, int64_t block,
                           int64_t group, int64_t first, int64_t end, const float* packed,
                           float* scratch) {
  const int64_t in_plane = p.in_height * p.in_width, out_plane = p.out_height * p.out_width;
  const TileRuns runs(plan.tiles, block);
  const float* in = p.in + group * p.channels * in_plane;
  float* out = p.out + group * p.rows * out_plane;
  const PixelVectors pixels(runs, p.in_height, p.in_width, p.pad_h, p.pad_w,
                            p.groups * p.channels * in_plane);
  WinogradInput input(pixels, runs.tiles());
  const int64_t image = p.groups * p.rows * out_plane;
  WinogradOutput output(runs, p.out_height, p.out_width, image,
                        p.images * image >= kStreamedElements);
  const int64_t input_point = plan.depth * kWinogradCols + kWinogradGap;
  float* products = scratch + plan.input_elements();
  const float* weights = packed + group * kWinogradPoints * p.weight_point();
  constexpr int64_t most = kWinogradRows / kTileRows * kTileRows;
  const int64_t step = round_up(ceil_div(end - first, ceil_div(end - first, most)), kTileRows);
  const int64_t product_point =
      round_up(std::min(step, end - first), kTileRows) * kWinogradCols + kWinogradGap;
  for (int64_t row = first; row < end; row += step) {
    const int64_t rows = std::min(step, end - row);
    for (int64_t c = 0; c < p.channels; c += plan.depth) {
      const int64_t depth = std::min(plan.depth, p.channels - c);
      if (row == first || depth < p.channels) {
        const TransformedTiles to{scratch, input_point, depth * kTileCols<float>, kTileCols<float>};
        for (int64_t i = 0; i < depth; ++i) input.transform(in + (c + i) * in_plane, i, to);
      }
      multiply_points(weights + row * p.channels + c * kTileRows, p.weight_point(),
                      p.channels * kTileRows, scratch, input_point, depth, rows, runs.tiles(),
                      c > 0, products, product_point);
    }
    for (int64_t i = row; i < row + rows; ++i) {
      float* plane = out + i * out_plane;
      output.transform(products + (i - row) * kWinogradCols, product_point, plane,
                       p.epilogue.at(group * p.rows + i, 0, plane - p.out));
    }
  }
}

inline void winograd_correlate(const Kernel& kernel, const WinogradProblem& p) {
  const WinogradPlan plan(p.images, p.groups, p.rows, p.channels, p.out_height, p.out_width);
  if (plan.tiles.count == 0) return;
  float* packed = kernel.workspace<float>();
  pack_winograd_weights(kernel, p, packed);
  const int64_t split_rows = round_up(ceil_div(p.rows, plan.row_splits), kTileRows);
  const int64_t splits = ceil_div(p.rows, split_rows);
  kernel.parallel_for(plan.tiles.blocks * p.groups * splits, [&](int64_t task, int thread) {
    const int64_t first = task % splits * split_rows, group = task / splits % p.groups;
    winograd_block(p, plan, task / (splits * p.groups), group, first,
                   std::min(first + split_rows, p.rows), packed, kernel.scratch<float>(thread));
    stream_fence();
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
