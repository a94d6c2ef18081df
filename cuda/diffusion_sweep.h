// What the sweeps along rows and along other axes share (diffusion_sweep.cu).
#pragma once

#include "diffusion_batch.h"

namespace fluxion::cuda {

// A line longer than a block's share is cut into pieces. Three launches read it: what each piece passes forth,
// what it passes back, and the solution; between them what pieces pass is composed along each line.
enum SweepMode : int { kForwardTotals, kBackwardTotals, kSolve };

// Of piece p of line l at [p * lines + l]; null for lines of one piece.
template <class T>
struct PieceCarries {
  T *forth, *back;                  // first what pieces pass on, then what they are given
  T *forth_product, *back_product;  // of the factors of a piece
  int64_t lines;
  int pieces;

  __device__ __forceinline__ int64_t at(int piece, int64_t line) const {
    return piece * lines + line;
  }
};

// One sweep of a batch: see sweep() and sweep_adjoint().
template <class T>
struct SweepJob {
  const T* from;
  T* to;           // or null
  const T* other;  // or null
  double* sums;    // of each block, with other
  AxisRates<T> rates;
  int64_t n;  // cells of a line
  bool reflect, solves_other;
  SweepMode mode;
  PieceCarries<T> carries;
};

// Blocks of a sweep, all of whose partial sums of a channel are found as in PartialSums.
struct SweepBlocks {
  int64_t blocks;
  int per_volume;
};

// Launches one mode, along x or along another axis.
template <class T>
SweepBlocks sweep_rows(const DiffusionBatch<T>& b, SweepJob<T> job, bool count_only);
template <class T>
SweepBlocks sweep_columns(const DiffusionBatch<T>& b, int axis, SweepJob<T> job, bool count_only);

}  // namespace fluxion::cuda
