// Sweeps along any axis but the last: lines that lie side by side in memory. A warp takes a segment of 32 lines
// straight into registers, the warps of a block all segments of them, or a piece of kColumnPiece. Bytes
// moved in float32: 8 a cell, 16 for lines of several pieces; with an inner product 4 more.
#include "device/block_total.cuh"
#include "diffusion_sweep.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr int kPieceCells = kColumnPiece * kSegment;

template <class T>
struct ColumnSweep {
  SweepJob<T> job;
  int64_t inner, lines;  // cells from one to the next along the axis; lines of a volume
  int64_t room;
  int channels, per_volume, per_block, segments;  // blocks; lines; of a piece
};

template <class T>
__device__ __forceinline__ void pass_on(const ColumnSegments<T>& segments, const SweepJob<T>& job,
                                        int64_t at, bool present, T (&b)[kSegment]) {
  const LineTable<T>& table = segments.table;
  const int s = segments.s;
  if (job.mode == kForwardTotals) {
    const T total = forward_total<T>(segments.c, b);
    const T carry = segments.scan.forward(table, s, total, T(0));
    __syncthreads();  // nothing goes back: the totals may be used again
    if (!present) return;
    if (s + 1 == table.segments) job.carries.forth[at] = total + table.forth(s) * carry;
    if (s != 0) return;
    T forward = 1, backward = 1;
    for (int j = 0; j < table.segments; ++j) {
      forward *= table.forth(j);
      backward *= table.back(j);
    }
    job.carries.forth_product[at] = forward;
    job.carries.back_product[at] = backward;
    return;
  }
  segments.forward(b, present ? job.carries.forth[at] : T(0));
  const T total = backward_total<T>(segments.c, b);
  const T carry = segments.scan.backward(table, s, total, T(0));
  if (present && s == 0) job.carries.back[at] = total + table.back(0) * carry;
}

template <class T>
__global__ void __launch_bounds__(512) solve_columns(ColumnSweep<T> p) {
  SharedMemory memory;
  const LineTable<T> table{memory.take<T>(LineTable<T>::size(p.segments)), p.segments};
  const WarpScan<T> scan{memory.take<T>(2 * static_cast<int>(blockDim.x))};
  const auto partial = memory.take<double>(512 / kWarp);
  const SweepJob<T>& job = p.job;
  const int pieces = job.carries.pieces;
  const int64_t block = static_cast<int64_t>(blockIdx.x) / pieces;
  const int piece = static_cast<int>(static_cast<int64_t>(blockIdx.x) - block * pieces);
  const int64_t volume = block * pieces / p.per_volume;
  const int64_t first_line = (block - volume * (p.per_volume / pieces)) * p.per_block;
  const int64_t begin = static_cast<int64_t>(piece) * kPieceCells;
  table.fill(job.rates.line(static_cast<int>(volume % p.channels), job.n, p.room), begin / kSegment,
             pieces == 1);
  __syncthreads();
  table.close();
  __syncthreads();
  const ColumnSegments<T> segments(job.n - begin, table, scan);
  const int64_t size = job.n * p.lines;
  T sum = 0;
  for (int first = 0; first < p.per_block; first += segments.columns_at_once()) {
    const int64_t line = first_line + first + segments.first_column();
    const bool present = first + segments.first_column() < p.per_block && line < p.lines;
    const int valid = present ? segments.valid : 0;
    const int64_t outer = line / p.inner;
    const int64_t top = volume * size + outer * job.n * p.inner + (line - outer * p.inner);
    const int64_t cell = top + (begin + segments.s * kSegment) * p.inner;
    const int64_t carried = job.carries.at(piece, volume * p.lines + line);
    T b[kSegment];
    load_column(job.from + cell, p.inner, valid, b);
    if (job.mode != kSolve) {
      pass_on(segments, job, carried, present, b);
      continue;
    }
    const bool given = present && pieces > 1;
    segments.forward(b, given ? job.carries.forth[carried] : T(0));
    const T next = segments.backward(b, given ? job.carries.back[carried] : T(0));
    if (job.other) {
      T a[kSegment], after = 0;
      load_column(job.other + cell, p.inner, valid, a);
      const bool last = valid <= kSegment;
      if (job.solves_other) {
        after = segments.solve(a);
      } else if (valid > 0) {
        after = job.other[last ? top : cell + kSegment * p.inner];
      }
      if (valid > 0)
        sum += column_faces(segments, job.rates.ends, begin == 0, true, b, next, a, after);
    }
    if (!job.to) continue;
    if (job.reflect) {
#pragma unroll
      for (int i = 0; i < kSegment; ++i) {
        if (i < valid) b[i] = T(2) * b[i] - job.from[cell + i * p.inner];
      }
    }
    store_column(job.to + cell, p.inner, valid, b);
  }
  if (!job.other) return;
  const double all = block_total(static_cast<double>(sum), partial);
  if (threadIdx.x == 0) job.sums[blockIdx.x] = all;
}

}  // namespace

template <class T>
SweepBlocks sweep_columns(const DiffusionBatch<T>& b, int axis, SweepJob<T> job, bool count_only) {
  const Cells& n = b.cells;
  const bool cut = job.n > kPieceCells;
  const int pieces = cut ? static_cast<int>(blocks_of(job.n, kPieceCells)) : 1;
  ColumnSweep<T> p{};
  p.job = job;
  p.inner = axis == 1 ? n.width : n.plane();
  p.lines = n.size() / job.n;
  p.job.carries.pieces = pieces;
  p.segments = cut ? kColumnPiece : segments_of(job.n);
  p.room = cut ? int64_t{pieces} * kPieceCells : room_of(job.n);
  p.channels = b.channels;
  const int groups = p.segments >= kPlaneWarps ? 1 : kPlaneWarps / p.segments;
  const int64_t wanted = blocks_of(p.lines, kWarp);
  const int used = static_cast<int>(wanted < groups ? wanted : groups);
  p.per_block = kColumnRounds * used * kWarp;
  p.per_volume = static_cast<int>(blocks_of(p.lines, p.per_block)) * pieces;
  const SweepBlocks blocks{b.volumes() * p.per_volume, p.per_volume};
  if (count_only) return blocks;
  const int threads = used * p.segments * kWarp;
  b.call.launch(solve_columns<T>,
                {blocks.blocks, threads,
                 shared_bytes<T>(LineTable<T>::size(p.segments)) + shared_bytes<T>(2 * threads) +
                     shared_bytes<double>(512 / kWarp)},
                p);
  return blocks;
}

template SweepBlocks sweep_columns<float>(const DiffusionBatch<float>&, int, SweepJob<float>, bool);
template SweepBlocks sweep_columns<double>(const DiffusionBatch<double>&, int, SweepJob<double>,
                                           bool);

}  // namespace fluxion::cuda
