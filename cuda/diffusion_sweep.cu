// One sweep of implicit diffusion along an axis: in one launch, or for lines of several pieces in five
// (diffusion_sweep.h); sums of inner products; combinations of fields.
#include "diffusion_sweep.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

// Composes what the pieces of each line pass on: afterwards what they are given.
template <class T>
__global__ void compose_pieces(PieceCarries<T> carries, AxisRates<T> rates, int64_t n, int64_t room,
                               int64_t per_volume, int channels, bool backward) {
  const int64_t line = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (line >= carries.lines) return;
  T* passed = backward ? carries.back : carries.forth;
  const T* products = backward ? carries.back_product : carries.forth_product;
  const T gain =
      ring_gain<T>(rates.line(static_cast<int>(line / per_volume % channels), n, room));
  T carry = 0;
  for (int i = 0; i < carries.pieces; ++i) {
    const int64_t at = carries.at(backward ? carries.pieces - 1 - i : i, line);
    const T mine = passed[at];
    passed[at] = carry;
    carry = mine + products[at] * carry;
  }
  if (gain == T(0)) return;
  T around = carry * gain;
  for (int i = 0; i < carries.pieces; ++i) {
    const int64_t at = carries.at(backward ? carries.pieces - 1 - i : i, line);
    passed[at] += around;
    around *= products[at];
  }
}

template <class T>
__global__ void combine_fields(T* to, T a, const T* x, T b, const T* y, T c, const T* z, int64_t n) {
  const int64_t first =
      static_cast<int64_t>(blockIdx.x) * blockDim.x * kElementsPerThread + threadIdx.x;
#pragma unroll
  for (int j = 0; j < kElementsPerThread; ++j) {
    const int64_t i = first + j * static_cast<int64_t>(blockDim.x);
    if (i < n) to[i] = a * x[i] + b * y[i] + c * z[i];
  }
}

// One warp for each channel and axis.
template <class T>
__global__ void add_partials(PartialSums sums, int axes, const double* scales, T* gk,
                             int64_t gk_stride) {
  const int channel = static_cast<int>(blockIdx.x) / axes;
  const int axis = static_cast<int>(blockIdx.x) - channel * axes;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < sums.per_channel; i += kWarp) {
    const int64_t volume = i / sums.per_volume;
    const int64_t block = (volume * sums.channels + channel) * sums.per_volume +
                          (i - volume * sums.per_volume);
    sum += sums.at[block * axes + axis];
  }
#pragma unroll
  for (int by = kWarp / 2; by > 0; by >>= 1) sum += __shfl_xor_sync(kAllLanes, sum, by);
  if (threadIdx.x == 0) gk[channel * gk_stride + axis] = static_cast<T>(-scales[axis] * sum);
}

template <class T>
SweepBlocks launch(const DiffusionBatch<T>& b, int axis, const SweepJob<T>& job, bool count_only) {
  return axis == 0 ? sweep_rows(b, job, count_only) : sweep_columns(b, axis, job, count_only);
}

// Finds what pieces are given; false where there is no memory.
template <class T>
bool solve_pieces(const DiffusionBatch<T>& b, int axis, SweepJob<T>& job, int pieces, int64_t room) {
  const int64_t per_volume = b.cells.size() / job.n, lines = b.volumes() * per_volume;
  PieceCarries<T>& carries = job.carries;
  T* memory = b.call.template scratch<T>(4 * lines * pieces);
  if (!memory) return false;
  carries = {memory,
             memory + lines * pieces,
             memory + 2 * lines * pieces,
             memory + 3 * lines * pieces,
             lines,
             pieces};
  SweepJob<T> pass = job;
  pass.to = nullptr;
  pass.other = nullptr;
  for (const bool backward : {false, true}) {
    pass.mode = backward ? kBackwardTotals : kForwardTotals;
    launch(b, axis, pass, false);
    b.call.launch(compose_pieces<T>, {blocks_of(lines, kElementThreads), kElementThreads}, carries,
                  job.rates, job.n, room, per_volume, b.channels, backward);
  }
  return true;
}

template <class T>
void run(const DiffusionBatch<T>& b, int axis, SweepJob<T> job, T* gk) {
  if (b.size() == 0) return;
  job.rates = b.rates(axis);
  job.n = b.cells.along(axis);
  job.mode = kSolve;
  const int64_t piece = axis == 0 ? kMaxTileWidth : int64_t{kColumnPiece} * kSegment;
  const int pieces = job.n > piece ? static_cast<int>(blocks_of(job.n, piece)) : 1;
  const int64_t room = axis == 0 || pieces == 1 ? room_of(job.n) : pieces * piece;
  if (pieces > 1 && !solve_pieces(b, axis, job, pieces, room)) return;
  SweepBlocks blocks{};
  if (gk) {
    blocks = launch(b, axis, job, true);
    job.sums = b.call.template scratch<double>(blocks.blocks);
    if (!job.sums) return;
  }
  launch(b, axis, job, false);
  if (gk)
    finish_sums(b, {job.sums, blocks.blocks / b.channels, b.channels, blocks.per_volume}, axis, 1,
                gk);
}

}  // namespace

template <class T>
void sweep(const DiffusionBatch<T>& b, int axis, const T* from, T* to, bool reflect) {
  SweepJob<T> job{};
  job.from = from;
  job.to = to;
  job.reflect = reflect;
  run<T>(b, axis, job, nullptr);
}

template <class T>
void sweep_adjoint(const DiffusionBatch<T>& b, int axis, const T* from, T* to, bool reflect,
                   const T* other, bool solves, T* gk) {
  SweepJob<T> job{};
  job.from = from;
  job.to = to;
  job.reflect = reflect;
  job.other = other;
  job.solves_other = solves;
  const int64_t piece = axis == 0 ? kMaxTileWidth : int64_t{kColumnPiece} * kSegment;
  if (solves && b.cells.along(axis) > piece) {
    T* solution = b.call.template scratch<T>(b.size());
    if (!solution) return;
    sweep(b, axis, other, solution, false);
    job.other = solution;
    job.solves_other = false;
  }
  run<T>(b, axis, job, gk);
}

template <class T>
void combine(const DiffusionBatch<T>& b, T* to, double a, const T* x, double bb, const T* y,
             double c, const T* z) {
  const int64_t n = b.size();
  b.call.launch(combine_fields<T>,
                {blocks_of(n, kElementThreads * kElementsPerThread), kElementThreads}, to,
                static_cast<T>(a), x, static_cast<T>(bb), y, static_cast<T>(c), z, n);
}

template <class T>
void finish_sums(const DiffusionBatch<T>& b, const PartialSums& sums, int axis, int axes, T* gk) {
  double scales[3];
  for (int i = 0; i < axes; ++i) scales[i] = b.step.gradient_scale(axis + i);
  const double* list = b.call.list(scales, axes);
  if (!list) return;
  b.call.launch(add_partials<T>, {int64_t{b.channels} * axes, kWarp}, sums, axes, list, gk + axis,
                int64_t{b.step.axes});
}

#define FLUXION_SWEEPS(T)                                                                        \
  template void sweep<T>(const DiffusionBatch<T>&, int, const T*, T*, bool);                     \
  template void sweep_adjoint<T>(const DiffusionBatch<T>&, int, const T*, T*, bool, const T*,    \
                                 bool, T*);                                                      \
  template void combine<T>(const DiffusionBatch<T>&, T*, double, const T*, double, const T*,     \
                           double, const T*);                                                    \
  template void finish_sums<T>(const DiffusionBatch<T>&, const PartialSums&, int, int, T*);
FLUXION_SWEEPS(float)
FLUXION_SWEEPS(double)
#undef FLUXION_SWEEPS

}  // namespace fluxion::cuda
