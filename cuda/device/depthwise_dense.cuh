// Depthwise correlation with a K x K kernel, stride and dilation 1, one output a channel, and its gradients:
//
//   y[n, c, i, j]  = act(sum_(a, b) w[c, a, b] x[n, c, i + a - top, j + b - left] + bias[c] + residual)
//   gx[n, c, i, j] = sum_(a, b) w[c, a, b] g[n, c, i - a + top, j - b + left]   (the same with w turned)
//   gw[c, a, b]    = sum_(n, i, j) g[n, c, i, j] x[n, c, i + a - top, j + b - left]
//
// A block of 256 threads owns a tile of one channel: 2^columns columns, 2^strips strips of kStripRows rows and as
// many images as threads remain. The tile with its margin comes to shared memory by asynchronous copies, 16
// bytes each where rows are whole vectors. A thread has one column of a strip: a row of the tile is read once,
// K words, for all the outputs that it touches. The gradients read the tiles of g and x once for both; the sums
// of the kernel stay in registers while the block goes through its slice of the images, then lanes and warps
// are added in a fixed order and the slices by a second kernel.
// Bytes from memory: 8 an element forward, 12 backward, and the margins, which come from L2.
#pragma once

#include <type_traits>

#include "gemm_copy.cuh"
#include "gemm_epilogue.cuh"
#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kDepthwiseThreads = 256;
inline constexpr int kStripRows = 8;

struct DepthwiseTile {
  int columns_log, strips_log, images;  // 2^columns_log * 2^strips_log * images = kDepthwiseThreads
  int rows, pitch;                      // of an image in shared memory
  int64_t tiles_x, tiles_y, chunks;     // of a plane, of the images
  __host__ __device__ int columns() const { return 1 << columns_log; }
  __host__ __device__ int strips() const { return 1 << strips_log; }
  __host__ __device__ int height() const { return kStripRows << strips_log; }
  __host__ __device__ int elements() const { return images * rows * pitch; }
  __host__ __device__ int64_t items() const { return tiles_x * tiles_y * chunks; }
};

// Planes of one channel: image n begins at data + n * image_stride.
template <class T>
struct DepthwisePlanes {
  const T* data;
  int64_t image_stride, images;
  int height, width;
  bool vectors;  // rows are whole, aligned vectors
};

// Brings the windows of a tile that begin at (top, left) of each plane, zeros outside, to shared memory; they begin
// at column `shift` of the rows there. Complete after copy_async_wait and a barrier.
template <class T>
__device__ inline int load_window(const Shared<T>& tile, const DepthwiseTile& t,
                                  const DepthwisePlanes<T>& from, int64_t first_image, int top,
                                  int left) {
  constexpr int kVector = 16 / static_cast<int>(sizeof(T)), kBatch = 4;
  constexpr int kWarps = kDepthwiseThreads / kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  // Rounded down, also where it is negative.
  const int begin = from.vectors ? (left & ~(kVector - 1)) : left;
  const auto load = [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    for (int column = lane * kWidth; column < t.pitch; column += kWarp * kWidth) {
      const int x = begin + column;
      const bool in_row = x >= 0 && x < from.width;
      for (int first = warp; first < t.images * t.rows; first += kWarps * kBatch) {
        GemmCopies<T, kBatch, kWidth> copies;
#pragma unroll
        for (int e = 0; e < kBatch; ++e) {
          const int row = first + e * kWarps, image = row / t.rows;
          const int y = top + row - image * t.rows;
          const bool exists =
              in_row && y >= 0 && y < from.height && first_image + image < from.images;
          const T* at = from.data;
          if (exists) {
            at += (first_image + image) * from.image_stride + static_cast<int64_t>(y) * from.width +
                  x;
          }
          if (row < t.images * t.rows) copies.copy(e, &tile[row * t.pitch + column], at, exists);
        }
        copies.finish();
      }
    }
  };
  if (from.vectors) {
    load(std::integral_constant<int, kVector>{});
  } else {
    load(std::integral_constant<int, 1>{});
  }
  copy_async_commit();
  return left - begin;
}

// What a thread has of a tile.
struct DepthwiseStrip {
  int column, row, image;
  __device__ __forceinline__ explicit DepthwiseStrip(const DepthwiseTile& t) {
    const int thread = static_cast<int>(threadIdx.x);
    column = thread & (t.columns() - 1);
    row = ((thread >> t.columns_log) & (t.strips() - 1)) * kStripRows;
    image = thread >> (t.columns_log + t.strips_log);
  }
};

// One item of a channel's work: where its tile begins.
struct DepthwiseItem {
  int64_t image;
  int row, column;
  __device__ DepthwiseItem(const DepthwiseTile& t, int64_t item) {
    const int64_t rest = item / t.tiles_x;
    column = static_cast<int>(item - rest * t.tiles_x) << t.columns_log;
    image = rest / t.tiles_y;
    row = static_cast<int>(rest - image * t.tiles_y) * t.height();
    image *= t.images;
  }
};

// sums[i] += correlation of the strip's window, from (row, column) of shared memory on.
template <class T, int K>
__device__ __forceinline__ void correlate(const Shared<T>& tile, int at, int pitch,
                                          const T (&weights)[K * K], T (&sums)[kStripRows]) {
#pragma unroll
  for (int r = 0; r < kStripRows + K - 1; ++r) {
    T row[K];
#pragma unroll
    for (int b = 0; b < K; ++b) row[b] = tile[at + r * pitch + b];
#pragma unroll
    for (int a = 0; a < K; ++a) {
      if (r - a < 0 || r - a >= kStripRows) continue;
#pragma unroll
      for (int b = 0; b < K; ++b) sums[r - a] += weights[a * K + b] * row[b];
    }
  }
}

template <class T>
struct DepthwiseCorrelation {
  DepthwisePlanes<T> in;
  const T* weights;
  int64_t channels;
  int top, left;
  bool turned;  // weights in reverse
  T* out;
  int out_height, out_width;
  DepthwiseTile tile;
  GemmEpilogue<T> epilogue;
};

template <class T, int K>
__device__ __forceinline__ void load_weights(const T* from, bool turned, T (&weights)[K * K]) {
#pragma unroll
  for (int i = 0; i < K * K; ++i) weights[i] = from[turned ? K * K - 1 - i : i];
}

template <class T>
__device__ inline void store_strip(const T (&sums)[kStripRows], T* to, int64_t offset, int rows,
                                   int width, const GemmEpilogue<T>& epilogue) {
#pragma unroll
  for (int i = 0; i < kStripRows; ++i) {
    if (i >= rows) break;
    const int64_t at = offset + static_cast<int64_t>(i) * width;
    to[at] = epilogue.clip(epilogue.residual ? sums[i] + epilogue.residual[at] : sums[i]);
  }
  if (!epilogue.smooth()) return;
#pragma unroll 1
  for (int i = 0; i < rows && i < kStripRows; ++i) {
    T* y = to + offset + static_cast<int64_t>(i) * width;
    *y = epilogue_activation(epilogue.activation, *y);
  }
}

// Blocks: items, of each all channels.
template <class T, int K>
__global__ void __launch_bounds__(kDepthwiseThreads, 2) depthwise_dense(DepthwiseCorrelation<T> p) {
  SharedMemory memory;
  const Shared<T> tile = memory.take<T>(p.tile.elements());
  // Tiles of a plane, then channels, then images.
  const int64_t tiles = p.tile.tiles_x * p.tile.tiles_y;
  const int64_t plane = blockIdx.x / tiles, chunk = plane / p.channels;
  const int64_t channel = plane - chunk * p.channels;
  const DepthwiseItem item(p.tile, chunk * tiles + (blockIdx.x - plane * tiles));
  DepthwisePlanes<T> in = p.in;
  in.data += channel * in.height * in.width;
  const int shift =
      load_window(tile, p.tile, in, item.image, item.row - p.top, item.column - p.left);
  T weights[K * K];
  load_weights<T, K>(p.weights + channel * (K * K), p.turned, weights);
  const DepthwiseStrip strip(p.tile);
  const int column = item.column + strip.column, row = item.row + strip.row;
  copy_async_wait<0>();
  __syncthreads();
  if (column >= p.out_width || row >= p.out_height || item.image + strip.image >= in.images) return;
  T sums[kStripRows];
  const T bias = p.epilogue.bias ? p.epilogue.bias[channel] : T(0);
#pragma unroll
  for (int i = 0; i < kStripRows; ++i) sums[i] = bias;
  correlate<T, K>(tile,
                  (strip.image * p.tile.rows + strip.row) * p.tile.pitch + strip.column + shift,
                  p.tile.pitch, weights, sums);
  const int64_t offset =
      (((item.image + strip.image) * p.channels + channel) * p.out_height + row) * p.out_width +
      column;
  store_strip(sums, p.out, offset, p.out_height - row, p.out_width, p.epilogue);
}

template <class T>
struct DepthwiseVjp {
  DepthwisePlanes<T> g, x;
  const T* weights;  // read for gx
  int64_t channels, slices;
  int top, left;  // of the forward pass; 0 to K - 1
  T* gx;          // or null
  T* partial;     // [slice][channel][K * K]
  DepthwiseTile tile;
};

// sums[a, b] += products of the strip's cotangents with its window of x.
template <class T, int K>
__device__ __forceinline__ void add_products(const Shared<T>& x, int at, const Shared<T>& g,
                                             int at_g, int pitch, T (&sums)[K * K]) {
  T cotangent[kStripRows];
#pragma unroll
  for (int i = 0; i < kStripRows; ++i) cotangent[i] = g[at_g + i * pitch];
#pragma unroll
  for (int r = 0; r < kStripRows + K - 1; ++r) {
    T row[K];
#pragma unroll
    for (int b = 0; b < K; ++b) row[b] = x[at + r * pitch + b];
#pragma unroll
    for (int a = 0; a < K; ++a) {
      if (r - a < 0 || r - a >= kStripRows) continue;
#pragma unroll
      for (int b = 0; b < K; ++b) sums[a * K + b] += cotangent[r - a] * row[b];
    }
  }
}

// Blocks: slices of the items, of each all channels.
template <class T, int K>
__global__ void __launch_bounds__(kDepthwiseThreads, K <= 5 ? 2 : 1)
    depthwise_dense_vjp(DepthwiseVjp<T> p) {
  SharedMemory memory;
  const Shared<T> tile_g = memory.take<T>(p.tile.elements());
  const Shared<T> tile_x = memory.take<T>(p.tile.elements());
  const Shared<T> of_warps = memory.take<T>(K * K * (kDepthwiseThreads / kWarp));
  const int64_t slice = blockIdx.x / p.channels, channel = blockIdx.x - slice * p.channels;
  DepthwisePlanes<T> g = p.g, x = p.x;
  g.data += channel * g.height * g.width;
  x.data += channel * x.height * x.width;
  T weights[K * K], sums[K * K];
#pragma unroll
  for (int i = 0; i < K * K; ++i) weights[i] = sums[i] = T(0);
  if (p.gx) load_weights<T, K>(p.weights + channel * (K * K), true, weights);
  const DepthwiseStrip strip(p.tile);
  const int pitch = p.tile.pitch, top = K - 1 - p.top, left = K - 1 - p.left;
  const int at = (strip.image * p.tile.rows + strip.row) * pitch + strip.column;
  const int64_t items = p.tile.items(), last = items * (slice + 1) / p.slices;
  for (int64_t i = items * slice / p.slices; i < last; ++i) {
    const DepthwiseItem item(p.tile, i);
    const int shift_g =
        load_window(tile_g, p.tile, g, item.image, item.row - top, item.column - left);
    const int shift_x =
        load_window(tile_x, p.tile, x, item.image, item.row - p.top, item.column - p.left);
    copy_async_wait<0>();
    __syncthreads();
    // Cotangents outside of their planes are zeros.
    add_products<T, K>(tile_x, at + shift_x, tile_g, at + top * pitch + left + shift_g, pitch,
                       sums);
    const int column = item.column + strip.column, row = item.row + strip.row;
    const int64_t image = item.image + strip.image;
    if (p.gx && column < x.width && row < x.height && image < x.images) {
      T results[kStripRows] = {};
      correlate<T, K>(tile_g, at + shift_g, pitch, weights, results);
      const int64_t offset = ((image * p.channels + channel) * x.height + row) * x.width + column;
      store_strip(results, p.gx, offset, x.height - row, x.width, GemmEpilogue<T>{});
    }
    __syncthreads();
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int i = 0; i < K * K; ++i) {
    T sum = sums[i];
#pragma unroll
    for (int bit = kWarp / 2; bit > 0; bit /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bit);
    if (lane == 0) of_warps[warp * (K * K) + i] = sum;
  }
  __syncthreads();
  const int i = static_cast<int>(threadIdx.x);
  if (i >= K * K) return;
  T sum = of_warps[i];
  for (int w = 1; w < kDepthwiseThreads / kWarp; ++w) sum += of_warps[w * (K * K) + i];
  p.partial[(slice * p.channels + channel) * (K * K) + i] = sum;
}

}  // namespace fluxion::cuda
