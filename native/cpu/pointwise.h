// Pointwise convolution of planes and its gradients, where an image is a row-major matrix [channels, pixels]:
//
//   forward      y[m, p]  = act(sum_c weight[m, c] x[c, p] + bias[m] + residual[m, p])
//   input vjp    the same with the transposed weight
//   weight vjp   gw[m, c] = sum over images and pixels of g[m, p] x[c, p]
//
// No include guard: read once per instruction set, after gemm.h, next_rows.h and pointwise_problem.h. One panel of kTileCols pixels of all channels
// is copied to L1 and meets all rows of the packed weights. Its lines lie a plane apart, on as many pages as
// there are channels, where no hardware prefetcher follows: each tile asks for some lines of the next panel.
// Outputs larger than the cache are written around it. Parallel over (image, group, rows, pixels).

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct PointwiseBlock {
  int64_t rows, channels, pixels;  // of this block
  int64_t plane;                   // pixels of an image
  const T* in;
  T* out;
  const T* weights;  // of a group, packed: see pack_weights
  int64_t first_row, padded_rows, step;
  Epilogue<T> epilogue;  // of this block
  NextRows<T> next;
  bool stream;
};

template <class T>
static void pointwise_block(const PointwiseBlock<T>& b, T* panel) {
  const int64_t tiles = ceil_div(b.rows, kTileRows);
  const int64_t calls = ceil_div(b.channels, b.step) * tiles * ceil_div(b.pixels, kTileCols<T>);
  const int64_t each = ceil_div(b.next.lines(), calls);
  NextRows<T> next = b.next;
  for (int64_t k = 0; k < b.channels; k += b.step) {
    const int64_t now = std::min(b.step, b.channels - k);
    const bool first = k == 0, last = k + now == b.channels;
    const T* a = b.weights + k * b.padded_rows + b.first_row * now;
    for (int64_t j = 0; j < b.pixels;) {
      const int valid = panel_cols<T>(b.pixels - j);
      const T* from = b.in + k * b.plane + j;
      copy_panel(from, b.plane, valid, now, panel);
      for (int64_t t = 0; t < tiles; ++t) {
        next.fetch(each);
        const int64_t i = t * kTileRows;
        const int here = static_cast<int>(std::min<int64_t>(kTileRows, b.rows - i));
        T* to = b.out + i * b.plane + j;
        Tile<T> tile{now, to, b.plane, here, valid, !first, nullptr};
        const Epilogue<T> part = b.epilogue.at(i, j, i * b.plane + j);
        if (first) tile.bias = part.bias, tile.residual = part.residual;
        if (last) tile.floor = part.floor();
        tile.stream = b.stream;
        dispatch_tile<T>(here, valid, [&](auto shape) {
          packed_tile<T, shape.rows, shape.vectors>(tile, a + i * now, panel);
        });
        if (last && part.smooth()) activate_rows(part.activation, to, b.plane, here, valid);
      }
      j += valid;
    }
  }
}

template <class T>
inline int64_t padded_rows(const Pointwise<T>& c) {
  return round_up(c.rows, kTileRows);
}
template <class T>
inline int64_t depth_step(const Pointwise<T>& c) {
  return fluxion::depth_step(c.channels, kConvDepthBytes, sizeof(T));
}

// packed: of each group [depth step][row panel][depth][kTileRows]
template <class T>
static void pack_pointwise(const Kernel& kernel, const Pointwise<T>& c, T* packed) {
  const int64_t panels = padded_rows(c) / kTileRows, step = depth_step(c);
  kernel.parallel_for(c.groups * panels, [&](int64_t block, int) {
    const int64_t group = block / panels, row = block % panels * kTileRows;
    const int valid = static_cast<int>(std::min<int64_t>(kTileRows, c.rows - row));
    const T* from = c.weights + group * c.group_stride + row * c.row_stride;
    T* to = packed + group * padded_rows(c) * c.channels;
    for (int64_t k = 0; k < c.channels; k += step) {
      const int64_t now = std::min(step, c.channels - k);
      pack_strided<T, kTileRows>(from + k * c.channel_stride, c.channel_stride, c.row_stride, valid,
                                 now, to + k * padded_rows(c) + row * now);
    }
  });
}

template <class T>
static void pointwise_planes(const Kernel& kernel, const Pointwise<T>& c) {
  if (c.images * c.groups * c.rows * c.plane == 0) return;
  T* packed = kernel.workspace<T>();
  pack_pointwise(kernel, c, packed);
  constexpr int64_t bytes = static_cast<int64_t>(sizeof(T));
  constexpr int64_t most_cols = kConvBlockColBytes / bytes;
  const int64_t plane = c.plane;
  const int64_t row_step = round_up(ceil_div(c.rows, ceil_div(c.rows, kConvBlockRows)), kTileRows);
  const int64_t row_blocks = ceil_div(c.rows, row_step);
  const int64_t wanted = ceil_div(kConvMinBlocks, c.images * c.groups * row_blocks);
  const int64_t col_step =
      round_up(ceil_div(plane, std::max(wanted, ceil_div(plane, most_cols))), kTileCols<T>);
  const int64_t col_blocks = ceil_div(plane, col_step);
  const bool streaming = c.images * c.groups * c.rows * plane * bytes >= kPointwiseStreamBytes &&
                         reinterpret_cast<uintptr_t>(c.out) % FLUXION_VECTOR_BYTES == 0 &&
                         plane * bytes % FLUXION_VECTOR_BYTES == 0 && c.channels <= depth_step(c);
  const int64_t blocks = c.images * c.groups * row_blocks * col_blocks;
  const auto next_rows = [&](int64_t block) -> NextRows<T> {
    if (block == blocks) return {nullptr, 0, 0, 0};
    const int64_t pixel = block % col_blocks * col_step;
    const int64_t sample = block / (col_blocks * row_blocks);
    return {c.in + sample * c.channels * plane + pixel, c.channels,
            std::min(col_step, plane - pixel), plane};
  };
  kernel.parallel_for(blocks, [&](int64_t block, int thread) {
    const int64_t pixel = block % col_blocks * col_step;
    const int64_t row = block / col_blocks % row_blocks * row_step;
    const int64_t group = block / (col_blocks * row_blocks) % c.groups;
    const int64_t image = block / (col_blocks * row_blocks * c.groups);
    const int64_t cols = std::min(col_step, plane - pixel);
    const int64_t sample = image * c.groups + group;
    const int64_t in = sample * c.channels * plane + pixel;
    const int64_t out = (sample * c.rows + row) * plane + pixel;
    pointwise_block<T>(
        {std::min(row_step, c.rows - row), c.channels, cols, plane, c.in + in, c.out + out,
         packed + group * padded_rows(c) * c.channels, row, padded_rows(c), depth_step(c),
         c.epilogue.at(group * c.rows + row, 0, out), next_rows(block + 1), streaming},
        kernel.scratch<T>(thread));
    if (streaming) stream_fence();
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
