// Adjoint of implicit diffusion along x and y in one pass over a plane (docs/numerics/diffusion.md):
//     backward Euler    gu = S_x S_y g,  <S_y g, D_y w>,           <S_x g, D_x w>
//     Crank-Nicolson    gu = C_x C_y g,  <S_y C_x g, D_y S_y u>,   <S_x g, D_x S_x C_y u>
// A block owns planes of one channel of both fields in shared memory, as diffusion_plane.cu owns one. Backward Euler:
// columns of g for their product (not kept), rows, columns again into gu: three solves. Crank-Nicolson:
// rows of g; columns of C_x g, which takes g from memory once more, and of u; rows of C_y u: four.
// Bytes moved in float32: 12 a cell, the floor; Crank-Nicolson reads 4 more, out of the L2 cache.
// The inner products are summed over faces in each thread, over the block, and over blocks in order.
#include "device/block_total.cuh"
#include "diffusion_batch.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct PlaneAdjoint {
  const T *g, *saved;
  T* gu;  // or null
  double* sums;
  AxisRates<T> x, y;
  TileShape shape;
  PlaneDeal deal;
  int times_x, times_y;
};

// What the threads of a block share.
template <class T>
struct AdjointBlock {
  const PlaneAdjoint<T>& p;
  const PlaneRun& run;
  T *g, *saved;  // tiles
  const LineTable<T>&x, &y;
  const WarpScan<T>& scan;

  __device__ __forceinline__ int rows() const { return run.count * p.shape.height; }
  __device__ __forceinline__ int columns() const { return run.count * p.shape.width; }
};

// The place of a column's segment in a tile and in memory.
struct ColumnPlace {
  int valid, top, tile;
  int64_t memory;
};

template <class T>
__device__ __forceinline__ ColumnPlace column_place(const AdjointBlock<T>& block,
                                                    const ColumnSegments<T>& segments, int at) {
  const TileShape& shape = block.p.shape;
  const int plane = shape.by_width.of(at), x = at - plane * shape.width;
  const int top = plane * shape.height * shape.pitch + cell_place<T>(x);
  return {at < block.columns() ? segments.valid : 0, top,
          top + segments.s * kSegment * shape.pitch,
          block.run.offset + plane * block.run.stride + segments.s * kSegment * shape.row + x};
}

// Columns of g, for <S_y g, D_y w>.
template <class T>
__device__ __forceinline__ T column_product(const AdjointBlock<T>& block) {
  const ColumnSegments<T> segments(block.p.shape.height, block.y, block.scan);
  const int pitch = block.p.shape.pitch;
  T sum = 0;
  for (int first = 0; first < block.columns(); first += segments.columns_at_once()) {
    const ColumnPlace place = column_place(block, segments, first + segments.first_column());
    T a[kSegment], b[kSegment];
    load_column(block.g + place.tile, pitch, place.valid, a);
    const T next = segments.solve(a);
    load_column(block.saved + place.tile, pitch, place.valid, b);
    if (place.valid <= 0) continue;
    const bool last = place.valid <= kSegment;
    const T after = block.saved[last ? place.top : place.tile + kSegment * pitch];
    sum += column_faces(segments, block.p.y.ends, true, true, a, next, b, after);
  }
  return sum;
}

// Rows of g, for <S_x g, D_x w>; S_x g (all times) stays in the tile.
template <class T>
__device__ __forceinline__ T row_product(const AdjointBlock<T>& block) {
  const RowSegments<T> segments(block.p.shape, block.x);
  T sum = 0;
  for (int first = 0; first < block.rows(); first += segments.rows_at_once()) {
    const int at = first + segments.first_row();
    const bool present = at < block.rows();
    T *row = block.g + at * block.p.shape.pitch, *other = block.saved + at * block.p.shape.pitch;
    T a[kSegment], b[kSegment];
    segments.load(row, present, a);
    const T next = segments.solve(a);
    segments.load(other, present, b);
    if (present)
      sum += row_faces(segments, block.p.x.ends, true, true, a, next, other, b, other[0]);
    for (int time = 1; time < block.p.times_x; ++time) segments.solve(a);
    segments.store(row, present, a);
  }
  return sum;
}

// gu = S_y (all times) of the tile.
template <class T>
__device__ __forceinline__ void solve_columns(const AdjointBlock<T>& block) {
  const ColumnSegments<T> segments(block.p.shape.height, block.y, block.scan);
  for (int first = 0; first < block.columns(); first += segments.columns_at_once()) {
    const ColumnPlace place = column_place(block, segments, first + segments.first_column());
    T a[kSegment];
    load_column(block.g + place.tile, block.p.shape.pitch, place.valid, a);
    for (int time = 0; time < block.p.times_y; ++time) segments.solve(a);
    store_column(block.p.gu + place.memory, block.p.shape.row, place.valid, a);
  }
}

// --- Crank-Nicolson

// S_x g into the tile.
template <class T>
__device__ __forceinline__ void solve_rows(const AdjointBlock<T>& block) {
  const RowSegments<T> segments(block.p.shape, block.x);
  for (int first = 0; first < block.rows(); first += segments.rows_at_once()) {
    const int at = first + segments.first_row();
    T a[kSegment];
    segments.load(block.g + at * block.p.shape.pitch, at < block.rows(), a);
    segments.solve(a);
    segments.store(block.g + at * block.p.shape.pitch, at < block.rows(), a);
  }
}

// gu, and <S_y C_x g, D_y S_y u>; C_y u into the tile of u.
template <class T>
__device__ __forceinline__ T reflected_columns(const AdjointBlock<T>& block) {
  const ColumnSegments<T> segments(block.p.shape.height, block.y, block.scan);
  const int pitch = block.p.shape.pitch;
  const int64_t row = block.p.shape.row;
  T sum = 0;
  for (int first = 0; first < block.columns(); first += segments.columns_at_once()) {
    const ColumnPlace place = column_place(block, segments, first + segments.first_column());
    const int valid = place.valid;
    T a[kSegment], b[kSegment];
    const T *swept = block.g + place.tile, *g = block.p.g + place.memory;
    T* u = block.saved + place.tile;
#pragma unroll
    for (int i = 0; i < kSegment; ++i)
      a[i] = i < valid ? T(2) * swept[i * pitch] - g[i * row] : T(0);
    const T next_a = segments.solve(a);
    load_column(u, pitch, valid, b);
    const T next_b = segments.solve(b);
    if (valid > 0) sum += column_faces(segments, block.p.y.ends, true, true, a, next_a, b, next_b);
#pragma unroll
    for (int i = 0; i < kSegment; ++i) {
      if (i >= valid) continue;
      if (block.p.gu)
        block.p.gu[place.memory + i * row] =
            T(2) * a[i] - (T(2) * swept[i * pitch] - g[i * row]);
      u[i * pitch] = T(2) * b[i] - u[i * pitch];
    }
  }
  return sum;
}

// <S_x g, D_x S_x C_y u>.
template <class T>
__device__ __forceinline__ T reflected_rows(const AdjointBlock<T>& block) {
  const RowSegments<T> segments(block.p.shape, block.x);
  T sum = 0;
  for (int first = 0; first < block.rows(); first += segments.rows_at_once()) {
    const int at = first + segments.first_row();
    const bool present = at < block.rows();
    const T* swept = block.g + at * block.p.shape.pitch;
    T a[kSegment], b[kSegment];
    segments.load(block.saved + at * block.p.shape.pitch, present, b);
    const T next = segments.solve(b);
    segments.load(swept, present, a);
    if (present)
      sum += row_faces(segments, block.p.x.ends, true, true, b, next, swept, a, swept[0]);
  }
  return sum;
}

template <class T, int kThreads, bool kCrank>
__global__ void __launch_bounds__(kThreads) adjoint_planes(PlaneAdjoint<T> p) {
  SharedMemory memory;
  const int cells = p.deal.per_block * p.shape.height * p.shape.pitch;
  T* g = memory.take<T>(cells).data();
  T* saved = memory.take<T>(cells).data();
  const LineTable<T> x{memory.take<T>(LineTable<T>::size(p.shape.segments_x)), p.shape.segments_x};
  const LineTable<T> y{memory.take<T>(LineTable<T>::size(p.shape.segments_y)), p.shape.segments_y};
  const WarpScan<T> scan{memory.take<T>(2 * static_cast<int>(blockDim.x))};
  const auto partial_x = memory.take<double>(kThreads / kWarp);
  const auto partial_y = memory.take<double>(kThreads / kWarp);
  const PlaneRun run = p.deal.run(blockIdx.x);
  fetch_planes(p.shape, run, p.g, g);
  fetch_planes(p.shape, run, p.saved, saved);
  copy_async_commit();
  x.fill(p.x.line(run.channel, p.shape.width, p.shape.segments_x * kSegment), 0, true);
  y.fill(p.y.line(run.channel, p.shape.height, p.shape.segments_y * kSegment), 0, true);
  __syncthreads();
  x.close();
  y.close();
  copy_async_wait<0>();
  __syncthreads();
  const AdjointBlock<T> block{p, run, g, saved, x, y, scan};
  T sum_x, sum_y;
  if constexpr (kCrank) {
    solve_rows(block);
    __syncthreads();
    sum_y = reflected_columns(block);
    __syncthreads();
    sum_x = reflected_rows(block);
  } else {
    sum_y = column_product(block);
    __syncthreads();
    sum_x = row_product(block);
    __syncthreads();
    if (p.gu) solve_columns(block);
  }
  const double all_x = block_total(static_cast<double>(sum_x), partial_x);
  const double all_y = block_total(static_cast<double>(sum_y), partial_y);
  if (threadIdx.x == 0) {
    p.sums[2 * static_cast<int64_t>(blockIdx.x)] = all_x;
    p.sums[2 * static_cast<int64_t>(blockIdx.x) + 1] = all_y;
  }
}

int threads_of(const TileShape& shape, int planes, size_t element) {
  const int64_t bytes =
      2 * static_cast<int64_t>(planes) * shape.height * shape.pitch * static_cast<int64_t>(element);
  const int warps = bytes > kSharedOfPair ? 2 * kPlaneWarps : kPlaneWarps;
  const int groups = planes * shape.width / (2 * kWarp), most = warps / shape.segments_y;
  return kWarp * shape.segments_y * (groups < 1 || most < 1 ? 1 : groups < most ? groups : most);
}

template <class T>
size_t shared_of(const TileShape& shape, int planes, int threads) {
  const int warps = threads <= 256 ? 8 : 16;
  return 2 * shared_bytes<T>(static_cast<int64_t>(planes) * shape.height * shape.pitch) +
         shared_bytes<T>(LineTable<T>::size(shape.segments_x)) +
         shared_bytes<T>(LineTable<T>::size(shape.segments_y)) + shared_bytes<T>(2 * threads) +
         2 * shared_bytes<double>(warps);
}

template <class T, bool kCrank>
void launch(const Kernel& call, const PlaneAdjoint<T>& p, int threads, size_t shared) {
  const Grid grid{p.deal.blocks(), threads, shared};
  if (threads <= 256) {
    call.launch(adjoint_planes<T, 256, kCrank>, grid, p);
  } else {
    call.launch(adjoint_planes<T, 512, kCrank>, grid, p);
  }
}

}  // namespace

template <class T>
bool plane_adjoints_fit(const DiffusionBatch<T>& b) {
  const Cells& n = b.cells;
  if (n.width > kMaxTileWidth || n.height > kMaxTileHeight) return false;
  const TileShape shape =
      tile_shape<T>(static_cast<int>(n.width), static_cast<int>(n.height), false);
  return shared_of<T>(shape, 1, threads_of(shape, 1, sizeof(T))) <= b.call.shared_limit();
}

template <class T>
void plane_adjoints(const DiffusionBatch<T>& b, const T* g, const T* saved, T* gu, T* gk) {
  const Cells& n = b.cells;
  PlaneAdjoint<T> p{g,  saved, gu, nullptr, b.rates(0), b.rates(1), {}, {}, b.step.times(0),
                    b.step.times(1)};
  p.shape = tile_shape<T>(static_cast<int>(n.width), static_cast<int>(n.height),
                          aligned(g) && aligned(saved));
  p.deal = plane_deal(n.plane(), b.samples, b.channels, n.depth,
                      kTileCells / (static_cast<int64_t>(p.shape.pitch) * n.height));
  p.sums = b.call.template scratch<double>(2 * p.deal.blocks());
  if (!p.sums) return;
  const int threads = threads_of(p.shape, p.deal.per_block, sizeof(T));
  const size_t shared = shared_of<T>(p.shape, p.deal.per_block, threads);
  if (b.step.crank_nicolson()) {
    launch<T, true>(b.call, p, threads, shared);
  } else {
    launch<T, false>(b.call, p, threads, shared);
  }
  finish_sums(b, {p.sums, p.deal.blocks() / b.channels, b.channels, p.deal.per_volume}, 0, 2, gk);
}

template bool plane_adjoints_fit<float>(const DiffusionBatch<float>&);
template bool plane_adjoints_fit<double>(const DiffusionBatch<double>&);
template void plane_adjoints<float>(const DiffusionBatch<float>&, const float*, const float*,
                                    float*, float*);
template void plane_adjoints<double>(const DiffusionBatch<double>&, const double*, const double*,
                                     double*, double*);

}  // namespace fluxion::cuda
