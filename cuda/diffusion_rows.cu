// Sweeps along x for lines that no plane kernel takes: [N, C, L], planes beyond shared memory, steps in
// several passes. A block owns rows of one channel, or a piece of kMaxTileWidth cells of each, in shared memory;
// 32 lanes or fewer share a row. Bytes moved in float32: 8 a cell, 16 for rows of several pieces; with an inner
// product 4 more.
#include "device/block_total.cuh"
#include "diffusion_sweep.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct RowSweep {
  SweepJob<T> job;
  TileShape shape;  // of a whole piece
  PlaneDeal deal;
  int64_t row;  // cells of a line
};

// What the pieces of the rows of a block pass on.
template <class T>
__device__ __forceinline__ void pass_on(const RowSegments<T>& segments, const SweepJob<T>& job,
                                        const LineTable<T>& table, int piece, int64_t line,
                                        bool present, T (&b)[kSegment]) {
  const int s = segments.s, lanes = segments.shape.lanes;
  const int64_t at = job.carries.at(piece, line);
  if (job.mode == kForwardTotals) {
    const T total = forward_total<T>(segments.c, b);
    const T carry = segments.scan.forward(s, lanes, total, T(0));
    if (present && s + 1 == lanes) job.carries.forth[at] = total + table.forth(s) * carry;
    if (present && s == 0) {
      T forward = 1, backward = 1;
      for (int j = 0; j < table.segments; ++j) {
        forward *= table.forth(j);
        backward *= table.back(j);
      }
      job.carries.forth_product[at] = forward;
      job.carries.back_product[at] = backward;
    }
    return;
  }
  segments.forward(b, present ? job.carries.forth[at] : T(0));
  const T total = backward_total<T>(segments.c, b);
  const T carry = segments.scan.backward(s, lanes, total, T(0));
  if (present && s == 0) job.carries.back[at] = total + table.back(0) * carry;
}

template <class T>
__global__ void __launch_bounds__(256) solve_rows(RowSweep<T> p) {
  SharedMemory memory;
  const int cells = p.deal.per_block * p.shape.pitch;
  T* tile = memory.take<T>(cells).data();
  const int pieces = p.job.carries.pieces;
  const int64_t block = static_cast<int64_t>(blockIdx.x) / pieces;
  const int piece = static_cast<int>(static_cast<int64_t>(blockIdx.x) - block * pieces);
  const int64_t begin = static_cast<int64_t>(piece) * kMaxTileWidth;
  const SweepJob<T>& job = p.job;
  PlaneRun run = p.deal.run(block);
  TileShape shape = p.shape;
  if (p.row - begin < shape.width) shape.template narrow<T>(static_cast<int>(p.row - begin));
  // lines are numbered as they lie in memory
  const int64_t line = run.offset / p.row, between = run.stride / p.row;
  run.offset += begin;
  const LineTable<T> table{memory.take<T>(LineTable<T>::size(shape.segments_x)), shape.segments_x};
  const auto partial = memory.take<double>(256 / kWarp);
  T* other = job.other ? memory.take<T>(cells).data() : nullptr;
  fetch_planes(shape, run, job.from, tile);
  if (other) fetch_planes(shape, run, job.other, other);
  copy_async_commit();
  table.fill(job.rates.line(run.channel, job.n, int64_t{pieces} * shape.segments_x * kSegment),
             begin / kSegment, pieces == 1);
  __syncthreads();
  table.close();
  copy_async_wait<0>();
  __syncthreads();
  const RowSegments<T> segments(shape, table);
  T sum = 0;
  for (int first = 0; first < run.count; first += segments.rows_at_once()) {
    const int at = first + segments.first_row();
    const bool present = at < run.count;
    T* row = tile + at * shape.pitch;
    const int64_t mine = line + at * between;
    T b[kSegment];
    segments.load(row, present, b);
    if (job.mode != kSolve) {
      pass_on(segments, job, table, piece, mine, present, b);
      continue;
    }
    const bool given = present && pieces > 1;
    const int64_t carried = job.carries.at(piece, mine);
    segments.forward(b, given ? job.carries.forth[carried] : T(0));
    const T next = segments.backward(b, given ? job.carries.back[carried] : T(0));
    if (job.other) {
      T* beside = other + at * shape.pitch;
      T a[kSegment];
      segments.load(beside, present, a);
      if (job.solves_other) {
        segments.solve(a);
        segments.store(beside, present, a);
        __syncwarp();
      }
      const bool ends_here = begin + shape.width == p.row;
      T after = 0;
      if (present && pieces == 1) after = beside[0];
      if (present && pieces > 1)
        after = job.other[mine * p.row + (ends_here ? 0 : begin + shape.width)];
      if (present)
        sum += row_faces(segments, job.rates.ends, begin == 0, ends_here, b, next, beside, a, after);
    }
    if (!job.to) continue;
    if (job.reflect) {
      T before[kSegment];
      segments.load(row, present, before);
#pragma unroll
      for (int i = 0; i < kSegment; ++i) b[i] = T(2) * b[i] - before[i];
    }
    segments.store(row, present, b);
  }
  if (job.other) {
    const double all = block_total(static_cast<double>(sum), partial);
    if (threadIdx.x == 0) job.sums[blockIdx.x] = all;
  }
  if (!job.to || job.mode != kSolve) return;
  __syncthreads();
  put_planes(shape, run, tile, job.to);
}

}  // namespace

template <class T>
SweepBlocks sweep_rows(const DiffusionBatch<T>& b, SweepJob<T> job, bool count_only) {
  const Cells& n = b.cells;
  const bool cut = n.width > kMaxTileWidth;
  RowSweep<T> p{job, {}, {}, n.width};
  p.shape = tile_shape<T>(cut ? kMaxTileWidth : static_cast<int>(n.width), 1,
                          aligned(job.from) && aligned(job.to) && aligned(job.other) &&
                              n.width % kChunk<T> == 0);
  p.deal = plane_deal(n.width, b.samples, b.channels, n.depth * n.height,
                      kTileCells / p.shape.pitch);
  const int pieces = cut ? static_cast<int>(blocks_of(n.width, kMaxTileWidth)) : 1;
  const SweepBlocks blocks{p.deal.blocks() * pieces, p.deal.per_volume * pieces};
  if (count_only) return blocks;
  p.job.carries.pieces = pieces;
  const int threads = p.deal.per_block * p.shape.lanes / (2 * kWarp) * kWarp;
  const int whole = threads < kWarp ? kWarp : threads < 256 ? threads : 256;
  const size_t tile = shared_bytes<T>(static_cast<int64_t>(p.deal.per_block) * p.shape.pitch);
  b.call.launch(solve_rows<T>,
                {blocks.blocks, whole,
                 tile * (job.other ? 2 : 1) +
                     shared_bytes<T>(LineTable<T>::size(p.shape.segments_x)) +
                     shared_bytes<double>(256 / kWarp)},
                p);
  return blocks;
}

template SweepBlocks sweep_rows<float>(const DiffusionBatch<float>&, SweepJob<float>, bool);
template SweepBlocks sweep_rows<double>(const DiffusionBatch<double>&, SweepJob<double>, bool);

}  // namespace fluxion::cuda
