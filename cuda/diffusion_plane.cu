// The step of implicit diffusion along x and y (docs/numerics/diffusion.md): w = B_y B_x u, or Douglas' step.
//
// A block owns planes of one channel in shared memory: fetches them by 16-byte asynchronous copies, computes
// the factors of both axes meanwhile, solves the rows (a few lanes share a row, each with kSegment cells in
// registers) and then the columns (a warp takes a segment of 32 columns), and writes these from registers.
// Bytes moved in float32: 4 + 4 a cell, the floor. Shared memory: four passes over the plane.
// Source: Laszlo, Giles and Appleyard, ACM TOMS 42(4), 2016 (registers); device/line_segment.cuh.
#include "diffusion_batch.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

enum Finish : int { kPlain, kReflect, kDouglas };

template <class T>
struct PlaneStep {
  const T* u;
  T* w;
  AxisRates<T> x, y;
  TileShape shape;
  PlaneDeal deal;
  int finish, times_x, times_y;
};

template <class T>
__device__ __forceinline__ void solve_tile_rows(const PlaneStep<T>& p, const LineTable<T>& table,
                                                int count, T* tile) {
  const RowSegments<T> segments(p.shape, table);
  const int rows = count * p.shape.height;
  for (int first = 0; first < rows; first += segments.rows_at_once()) {
    const int at = first + segments.first_row();
    T* row = tile + at * p.shape.pitch;
    for (int time = 0; time < p.times_x; ++time) {
      T b[kSegment];
      segments.load(row, at < rows, b);
      segments.solve(b);
      if (p.finish != kPlain) {
        T before[kSegment];
        segments.load(row, at < rows, before);
#pragma unroll
        for (int i = 0; i < kSegment; ++i) b[i] = T(2) * b[i] - before[i];
      }
      segments.store(row, at < rows, b);
    }
  }
}

template <class T>
__device__ __forceinline__ void solve_tile_columns(const PlaneStep<T>& p, const PlaneRun& run,
                                                   const LineTable<T>& table,
                                                   const WarpScan<T>& scan, T* tile) {
  const ColumnSegments<T> segments(p.shape.height, table, scan);
  const int columns = run.count * p.shape.width, pitch = p.shape.pitch;
  for (int first = 0; first < columns; first += segments.columns_at_once()) {
    const int at = first + segments.first_column();
    const int plane = p.shape.by_width.of(at), x = at - plane * p.shape.width;
    const int valid = at < columns ? segments.valid : 0;
    T* column = tile + (plane * p.shape.height + segments.s * kSegment) * pitch + cell_place<T>(x);
    const int64_t offset = run.offset + plane * run.stride +
                           static_cast<int64_t>(segments.s) * kSegment * p.shape.width + x;
    for (int time = 0; time < p.times_y; ++time) {
      T b[kSegment];
      load_column(column, pitch, valid, b);
      segments.solve(b);
      if (p.finish == kReflect) {
#pragma unroll
        for (int i = 0; i < kSegment; ++i) {
          if (i < valid) b[i] = T(2) * b[i] - column[i * pitch];
        }
      } else if (p.finish == kDouglas) {
#pragma unroll
        for (int i = 0; i < kSegment; ++i) {
          if (i < valid) b[i] += T(0.5) * (p.u[offset + i * p.shape.row] - column[i * pitch]);
        }
      }
      if (time + 1 < p.times_y) {
        store_column(column, pitch, valid, b);
      } else {
        store_column(p.w + offset, p.shape.width, valid, b);
      }
    }
  }
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 && kThreads <= 256 ? 3 : 1)
    diffuse_planes(PlaneStep<T> p) {
  SharedMemory memory;
  const int rows = p.deal.per_block * p.shape.height;
  T* tile = memory.take<T>(rows * p.shape.pitch).data();
  const LineTable<T> x{memory.take<T>(LineTable<T>::size(p.shape.segments_x)), p.shape.segments_x};
  const LineTable<T> y{memory.take<T>(LineTable<T>::size(p.shape.segments_y)), p.shape.segments_y};
  const WarpScan<T> scan{memory.take<T>(2 * static_cast<int>(blockDim.x))};
  const PlaneRun run = p.deal.run(blockIdx.x);
  fetch_planes(p.shape, run, p.u, tile);
  copy_async_commit();
  x.fill(p.x.line(run.channel, p.shape.width, p.shape.segments_x * kSegment), 0, true);
  y.fill(p.y.line(run.channel, p.shape.height, p.shape.segments_y * kSegment), 0, true);
  __syncthreads();
  x.close();
  y.close();
  copy_async_wait<0>();
  __syncthreads();
  solve_tile_rows(p, x, run.count, tile);
  __syncthreads();
  solve_tile_columns(p, run, y, scan, tile);
}

// Threads of a block: warps for the segments of the columns, and groups of them.
int threads_of(const TileShape& shape, int planes) {
  const int groups = planes * shape.width / (2 * kWarp);
  const int most = kPlaneWarps / shape.segments_y;
  return kWarp * shape.segments_y * (groups < 1 || most < 1 ? 1 : groups < most ? groups : most);
}

template <class T>
size_t shared_of(const TileShape& shape, int planes, int threads) {
  return shared_bytes<T>(static_cast<int64_t>(planes) * shape.height * shape.pitch) +
         shared_bytes<T>(LineTable<T>::size(shape.segments_x)) +
         shared_bytes<T>(LineTable<T>::size(shape.segments_y)) + shared_bytes<T>(2 * threads);
}

}  // namespace

template <class T>
bool planes_fit(const DiffusionBatch<T>& b) {
  const Cells& n = b.cells;
  if (n.width > kMaxTileWidth || n.height > kMaxTileHeight) return false;
  const TileShape shape =
      tile_shape<T>(static_cast<int>(n.width), static_cast<int>(n.height), false);
  return shared_of<T>(shape, 1, threads_of(shape, 1)) <= b.call.shared_limit();
}

template <class T>
void step_planes(const DiffusionBatch<T>& b, const T* from, T* to) {
  const Cells& n = b.cells;
  PlaneStep<T> p{from, to, b.rates(0), b.rates(1), {}, {}, kPlain, b.step.times(0), b.step.times(1)};
  p.shape = tile_shape<T>(static_cast<int>(n.width), static_cast<int>(n.height), aligned(from));
  p.deal = plane_deal(n.plane(), b.samples, b.channels, n.depth,
                      kTileCells / (static_cast<int64_t>(p.shape.pitch) * n.height));
  if (b.step.crank_nicolson()) p.finish = kReflect;
  if (!b.step.factorised() && b.step.splitting == Splitting::douglas) p.finish = kDouglas;
  const int threads = threads_of(p.shape, p.deal.per_block);
  const Grid grid{p.deal.blocks(), threads, shared_of<T>(p.shape, p.deal.per_block, threads)};
  if (threads <= 256) {
    b.call.launch(diffuse_planes<T, 256>, grid, p);
  } else {
    b.call.launch(diffuse_planes<T, 512>, grid, p);
  }
}

template bool planes_fit<float>(const DiffusionBatch<float>&);
template bool planes_fit<double>(const DiffusionBatch<double>&);
template void step_planes<float>(const DiffusionBatch<float>&, const float*, float*);
template void step_planes<double>(const DiffusionBatch<double>&, const double*, double*);

}  // namespace fluxion::cuda
