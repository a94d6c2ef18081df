// Weight gradient of a 3x3 convolution in the domain of Winograd's F(4 x 4, 3 x 3):
//
//   gw_mc = G^T [sum over tiles (B^T d_c B) * (A g_m A^T)] G     d: 6 x 6 inputs, g: 4 x 4 cotangents
//
// The sums over the tiles are 36 matrix products. Inputs are transformed with tiles as lanes,
// [point][channel][48], and broadcast; cotangents with output channels as lanes, [point][tile][output].
// No include guard: read once per instruction set, after winograd_input.h. Parallel over slices of the
// tiles and blocks of channels; the partial sums of the slices are added in order.

namespace fluxion::cpu::FLUXION_TARGET {

struct WinogradWeightProblem {
  int64_t images, groups, outputs, channels;  // outputs and channels of a group
  int64_t in_height, in_width, out_height, out_width, pad_h, pad_w;
  const float *x, *g;
  float* out;
};

// A g A^T of kLanes output channels for the tiles of a block: to[point k * stride + tile * pitch]
inline __attribute__((noinline)) void transform_cotangents(const TileRuns& runs, const float* plane,
                                                           int channels, int64_t height,
                                                           int64_t width, int64_t image_stride,
                                                           float* to, int64_t stride,
                                                           int64_t pitch) {
  constexpr int w = kLanes<float>;
  constexpr int64_t most = 8,
                    cols = most * kWinogradTile;  // tiles and pixels at a time: stays in L1
  alignas(64) float pixels[kWinogradTile * cols * w];
  for (int r = 0; r < runs.count; ++r) {
    const TileRun& run = runs.run[r];
    const int64_t top = kWinogradTile * run.row;
    const float* image = plane + run.image * image_stride + top * width;
    for (int64_t first = 0; first < run.count; first += most) {
      const int64_t tiles = std::min(most, run.count - first);
      const int64_t left = kWinogradTile * (run.column + first);
      const int64_t valid = std::min(kWinogradTile * tiles, width - left);
      for (int64_t i = 0; i < kWinogradTile; ++i) {
        float* line = pixels + i * cols * w;
        const int64_t here = top + i < height ? valid : 0;
        load_transposed(image + i * width + left, height * width, channels, here, line, w);
        std::fill(line + here * w, line + kWinogradTile * tiles * w, 0.0f);
      }
      for (int64_t t = 0; t < tiles; ++t) {
        Floats half[6][4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          Floats g[4], columns[6];
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i) g[i] = load(pixels + (i * cols + kWinogradTile * t + j) * w);
          winograd_cotangent(g, columns);
#pragma GCC unroll 6
          for (int i = 0; i < 6; ++i) half[i][j] = columns[i];
        }
        float* tile = to + (run.first + first + t) * pitch;
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) {
          Floats points[6];
          winograd_cotangent(half[i], points);
#pragma GCC unroll 6
          for (int j = 0; j < 6; ++j) store(tile + (6 * i + j) * stride, points[j]);
        }
      }
    }
  }
}

// sum[i][v] += sum_k x[i][k] g[k][v] over the tiles k of a block
template <int R, int V>
static __attribute__((noinline)) void add_tiles(const float* x, const float* g, int64_t pitch,
                                                int64_t tiles, float* sum) {
  constexpr int w = kLanes<float>;
  Floats acc[R][V] = {};
  for (int i = 0; i < R; ++i)
    for (int v = 0; v < V; ++v) __builtin_prefetch(sum + i * pitch + v * w, 1);
  for (int64_t k = 0; k < tiles; ++k, g += pitch) {
    Floats columns[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) columns[v] = load(g + v * w);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const Floats row = broadcast<float>(x[i * kWinogradCols + k]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] += row * columns[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* to = sum + i * pitch + v * w;
      store(to, load(to) + acc[i][v]);
    }
  }
}

// All channels of a block against V vectors of outputs. Rows beyond the last channel have room and no meaning.
template <int R, int V>
inline void add_channels(const float* x, const float* g, int64_t pitch, int64_t tiles,
                         int64_t channels, float* sum) {
  int64_t i = 0;
  for (; i + R <= channels; i += R)
    add_tiles<R, V>(x + i * kWinogradCols, g, pitch, tiles, sum + i * pitch);
  for (; i < channels; i += 4)
    add_tiles<4, V>(x + i * kWinogradCols, g, pitch, tiles, sum + i * pitch);
}

inline void add_point(const float* x, const float* g, int64_t pitch, int64_t tiles,
                      int64_t channels, float* sum) {
  constexpr int w = kLanes<float>;
  const int64_t vectors = pitch / w;
  int64_t v = 0;
  if constexpr (kTileVectors == 3) {  // 32 registers: 24 accumulators
    for (; v + 4 <= vectors; v += 4)
      add_channels<6, 4>(x, g + v * w, pitch, tiles, channels, sum + v * w);
    if (vectors - v == 3)
      return add_channels<8, 3>(x, g + v * w, pitch, tiles, channels, sum + v * w);
  }
  for (; v + 2 <= vectors; v += 2)
    add_channels<kTileRows, 2>(x, g + v * w, pitch, tiles, channels, sum + v * w);
  if (v < vectors) add_channels<kTileRows, 1>(x, g + v * w, pitch, tiles, channels, sum + v * w);
}

// One slice of the tiles for one block of channels and outputs.
inline void add_winograd_slice(const WinogradWeightProblem& p, const WinogradWeightPlan& plan,
                               int64_t slice, int64_t group, int64_t channel, int64_t output,
                               float* scratch, float* sum) {
  const int64_t in_plane = p.in_height * p.in_width, out_plane = p.out_height * p.out_width;
  const int64_t channels = std::min(plan.block_channels, p.channels - channel);
  const int64_t outputs = std::min(plan.block_outputs, p.outputs - output);
  const float* x = p.x + (group * p.channels + channel) * in_plane;
  const float* g = p.g + (group * p.outputs + output) * out_plane;
  float* cotangents = scratch + plan.input_elements();
  const int64_t x_point = (plan.block_channels + kMaxTileRows) * kWinogradCols + kWinogradGap;
  const int64_t g_point = plan.block_outputs * kWinogradCols + kWinogradGap;
  std::fill_n(sum, plan.block_elements(), 0.0f);
  const int64_t blocks = plan.tiles.blocks, end = blocks * (slice + 1) / plan.slices;
  for (int64_t block = blocks * slice / plan.slices; block < end; ++block) {
    const TileRuns runs(plan.tiles, block);
    const PixelVectors pixels(runs, p.in_height, p.in_width, p.pad_h, p.pad_w,
                              p.groups * p.channels * in_plane);
    WinogradInput input(pixels, runs.tiles());
    const TransformedTiles to{scratch, x_point, 0, kWinogradCols};
    for (int64_t i = 0; i < channels; ++i) input.transform(x + i * in_plane, i, to);
    for (int64_t i = 0; i < outputs; i += kLanes<float>) {
      const int here = static_cast<int>(std::min<int64_t>(kLanes<float>, outputs - i));
      transform_cotangents(runs, g + i * out_plane, here, p.out_height, p.out_width,
                           p.groups * p.outputs * out_plane, cotangents + i, g_point,
                           plan.block_outputs);
    }
    for (int64_t k = 0; k < kWinogradPoints; ++k) {
      add_point(scratch + k * x_point, cotangents + k * g_point, plan.block_outputs, runs.tiles(),
                channels, sum + k * plan.point_elements());
    }
  }
}

// G^T (sum over the slices) G for kLanes outputs of one channel: taps[9][kLanes]
inline __attribute__((always_inline)) void weight_taps(const float* sum, int64_t slices,
                                                       int64_t slice_stride, int64_t point,
                                                       float* taps) {
  Floats half[3][6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    Floats column[6], w[3];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      const float* from = sum + (6 * i + j) * point;
      column[i] = load(from);
      for (int64_t s = 1; s < slices; ++s) column[i] += load(from + s * slice_stride);
    }
    winograd_weight_gradient(column, w);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) half[i][j] = w[i];
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    Floats w[3];
    winograd_weight_gradient(half[i], w);
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) store(taps + (3 * i + j) * kLanes<float>, w[j]);
  }
}

inline __attribute__((noinline)) void finish_winograd_weight(const WinogradWeightProblem& p,
                                                             const WinogradWeightPlan& plan,
                                                             int64_t group, int64_t channel,
                                                             const float* partial) {
  constexpr int w = kLanes<float>;
  const int64_t blocks = plan.channel_blocks * plan.output_blocks;
  const int64_t stride = p.groups * blocks * plan.block_elements();
  const int64_t row = channel / plan.block_channels;
  for (int64_t m = 0; m < p.outputs; m += w) {
    const int64_t block =
        (group * plan.channel_blocks + row) * plan.output_blocks + m / plan.block_outputs;
    const float* sum = partial + block * plan.block_elements() +
                       channel % plan.block_channels * plan.block_outputs + m % plan.block_outputs;
    alignas(64) float taps[9 * w];
    weight_taps(sum, plan.slices, stride, plan.point_elements(), taps);
    for (int64_t i = 0; i < std::min<int64_t>(w, p.outputs - m); ++i) {
      float* to = p.out + ((group * p.outputs + m + i) * p.channels + channel) * 9;
      for (int k = 0; k < 9; ++k) to[k] = taps[k * w + i];
    }
  }
}

inline void winograd_weight_vjp(const Kernel& kernel, const WinogradWeightProblem& p) {
  const WinogradWeightPlan plan(p.images, p.groups, p.outputs, p.channels, p.out_height,
                                p.out_width);
  float* partial = kernel.workspace<float>();
  const int64_t blocks = plan.channel_blocks * plan.output_blocks;
  kernel.parallel_for(plan.slices * p.groups * blocks, [&](int64_t task, int thread) {
    const int64_t output = task % plan.output_blocks * plan.block_outputs;
    const int64_t channel = task / plan.output_blocks % plan.channel_blocks * plan.block_channels;
    const int64_t group = task / blocks % p.groups, slice = task / (blocks * p.groups);
    if (output >= p.outputs || channel >= p.channels) return;
    add_winograd_slice(p, plan, slice, group, channel, output, kernel.scratch<float>(thread),
                       partial + task * plan.block_elements());
  });
  kernel.parallel_for(p.groups * p.channels, [&](int64_t row, int) {
    finish_winograd_weight(p, plan, row / p.channels, row % p.channels, partial);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
