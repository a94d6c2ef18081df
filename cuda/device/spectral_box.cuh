// Spectral diffusion of a box of cells in shared memory: analysis along its axes, multiplication of each mode by
// its factor, synthesis, in one kernel; or, for planes and volumes beyond shared memory, single axes of it.
//
// A block owns either rows [first, first + rows) of the array [N, C, D, H] x W, whole planes or volumes of them
// where y or z are transformed, or a tile of columns [n] x [width] of an array [outer, n, inner].
// Shared memory: the box (backward: that of the saved input and that of the cotangent), and a line of complex
// points for each group of threads. The factor is applied where coefficients of x are written.
#pragma once

#include "line_basis.cuh"
#include "spectral_symbol.cuh"

namespace fluxion::cuda {

// Phases in this order: analysis along z, y, x, then synthesis along x, y, z.
inline constexpr int kAnalyseZ = 1, kAnalyseY = 2, kAnalyseX = 4;
inline constexpr int kSynthesiseX = 8, kSynthesiseY = 16, kSynthesiseZ = 32;
inline constexpr int kSpectralPhases = 6;

template <class T>
struct SpectralBox {
  LineBasis<T> basis[3];  // x, y, z; those of absent phases are unset
  DiffusionSymbol<T> symbol;
  int phases;
  int rows, width, pitch;  // of the box; the last one of an array may be smaller
  int height, depth;       // rows of a plane, planes of a volume, where y or z are transformed
  int staging;             // complex points
  int64_t array_rows;      // of arrays of rows
  int64_t inner, chunks;   // of columns: elements between rows, tiles; chunks = 0: rows
  bool wide;               // 16 bytes at a time
  bool scaled;             // analysis along z and y multiplies by line_scale
};

// Where a block's box lies.
struct BoxPlace {
  int64_t base, first_row, row_step;
  int rows, width;
};

template <class T>
__device__ __forceinline__ BoxPlace box_place(const SpectralBox<T>& s) {
  const int64_t block = blockIdx.x;
  if (s.chunks == 0) {
    const int64_t first = block * s.rows, left = s.array_rows - first;
    return {first * s.width, first, s.width, left < s.rows ? static_cast<int>(left) : s.rows,
            s.width};
  }
  const int64_t outer = block / s.chunks, column = (block - outer * s.chunks) * s.width;
  const int64_t left = s.inner - column;
  return {outer * s.rows * s.inner + column, 0, s.inner, s.rows,
          left < s.width ? static_cast<int>(left) : s.width};
}

// Calls f(element of the array, place in the box) for `step` elements at a time.
template <class T, class F>
__device__ __forceinline__ void walk_box(const SpectralBox<T>& s, const BoxPlace& at, int step,
                                         const F& f) {
  const int per_row = at.width / step;
  const PointDivisor by_row(per_row);
  for (int e = static_cast<int>(threadIdx.x); e < at.rows * per_row;
       e += static_cast<int>(blockDim.x)) {
    const int row = by_row.of(e), x = (e - row * per_row) * step;
    f(at.base + row * at.row_step + x, row * s.pitch + x);
  }
}

template <class T>
__device__ __forceinline__ void load_box(const SpectralBox<T>& s, const BoxPlace& at, const T* from,
                                         const Shared<T>& box) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  if (s.wide) {
    walk_box(s, at, kWide, [&](int64_t i, int p) { copy_async<16>(&box[p], from + i); });
  } else {
    walk_box(s, at, 1, [&](int64_t i, int p) { copy_async<sizeof(T)>(&box[p], from + i); });
  }
  copy_async_commit();
}

template <class T>
__device__ __forceinline__ void store_box(const SpectralBox<T>& s, const BoxPlace& at,
                                          const Shared<T>& box, T* to) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  if (s.wide) {
    walk_box(s, at, kWide, [&](int64_t i, int p) {
      *reinterpret_cast<uint4*>(to + i) = *reinterpret_cast<const uint4*>(&box[p]);
    });
  } else {
    walk_box(s, at, 1, [&](int64_t i, int p) { to[i] = box[p]; });
  }
}

// The lines of a box along an axis.
struct BoxLines {
  int count, inner, outer_step, inner_step, stride;
  PointDivisor by_inner;
  __device__ __forceinline__ int first(int line) const {
    const int outer = by_inner.of(line);
    return outer * outer_step + (line - outer * inner) * inner_step;
  }
};

template <class T>
__device__ __forceinline__ BoxLines box_lines(const SpectralBox<T>& s, const BoxPlace& at,
                                              int axis) {
  if (axis == 0) return {at.rows, 1, s.pitch, 0, 1, PointDivisor(1)};
  if (axis == 1) {
    const int planes = at.rows / s.height;
    return {planes * at.width, at.width, s.height * s.pitch, 1, s.pitch, PointDivisor(at.width)};
  }
  // Along z, (y, x) is one axis: planes have one row, or rows follow each other (the planner sees to that).
  const int inner = s.height * at.width, plane = s.height * s.pitch;
  const int volumes = at.rows / (s.height * s.depth);
  return {volumes * inner, inner, plane * s.depth, 1, plane, PointDivisor(inner)};
}

// The threads of a group, for an axis.
struct BoxGroup {
  int own, lane, groups;
  __device__ __forceinline__ explicit BoxGroup(int size)
      : own(static_cast<int>(threadIdx.x) / size),
        lane(static_cast<int>(threadIdx.x) - own * size),
        groups(static_cast<int>(blockDim.x) / size) {}
};

// Calls f(line in shared memory, pair of lines in the box, their numbers), pairs being (l, l + half).
template <class T, class F>
__device__ __forceinline__ void for_pairs(const SpectralBox<T>& s, const BoxPlace& at, int axis,
                                          const Shared<T>& box, const Shared<Point<T>>& staging,
                                          const F& f) {
  const BoxLines lines = box_lines(s, at, axis);
  const FftPlan<T>& plan = s.basis[axis].fft;
  const BoxGroup group(plan.group);
  const int half = (lines.count + 1) / 2;
  for (int first = 0; first < half; first += group.groups) {
    const int l = first + group.own;
    const bool active = l < half, has_b = active && l + half < lines.count;
    const int a = active ? lines.first(l) : 0, b = has_b ? lines.first(l + half) : a;
    const FftLine<T> line{staging, group.own * plan.pitch, group.lane, active};
    f(line, LinePair<T>{box, a, b, lines.stride, has_b}, l, l + half);
  }
}

// Sums over a group for both lines of a pair, the same order always; lane 0 holds them.
template <class T>
__device__ __forceinline__ double group_sum(T value, int size, int lane,
                                            const Shared<double>& sums) {
  double total = static_cast<double>(value);
  const int width = size < kWarp ? size : kWarp;
  for (int step = width / 2; step > 0; step /= 2) {
    total += __shfl_xor_sync(kAllLanes, total, step);
  }
  if (size <= kWarp) return total;
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == 0) sums[warp] = total;
  __syncthreads();
  if (lane == 0) {
    total = 0;
    for (int w = 0; w < size / kWarp; ++w) total += sums[warp + w];
  }
  return total;
}

// Sums of a line of modes for the gradient: sum P and sum P lambda_x, P = slope u g.
template <class T>
struct ModeSums {
  T plain = T(0), along = T(0);
};

// Analysis along y or z.
template <class T>
__device__ __forceinline__ void analyse_axis(const SpectralBox<T>& s, const BoxPlace& at, int axis,
                                             bool scaled, const Shared<T>& box,
                                             const Shared<Point<T>>& staging) {
  const LineBasis<T>& basis = s.basis[axis];
  for_pairs(s, at, axis, box, staging,
            [&](const FftLine<T>& line, const LinePair<T>& pair, int, int) {
              analyse_lines(basis, line, pair, [&](int k, Point<T> z) {
                pair.put(k, scaled ? line_scale(basis, k) * z : z);
              });
            });
}

// Analysis along x of the cotangent (or the input of a step): coefficients times factors.
template <class T, bool kGradient>
__device__ __forceinline__ void multiply_rows(const SpectralBox<T>& s, const BoxPlace& at,
                                              const Shared<T>& box, const Shared<T>& saved,
                                              const Shared<Point<T>>& staging,
                                              const Shared<double>& warp_sums, double* partials) {
  const LineBasis<T>& basis = s.basis[0];
  const DiffusionSymbol<T>& symbol = s.symbol;
  for_pairs(s, at, 0, box, staging,
            [&](const FftLine<T>& line, const LinePair<T>& pair, int first, int second) {
              const int64_t row_a = at.first_row + (line.active ? first : 0);
              const int64_t row_b = at.first_row + (pair.has_b ? second : 0);
              const RowSymbol<T> a = row_symbol(symbol, row_a), b = row_symbol(symbol, row_b);
              ModeSums<T> sums_a, sums_b;
              analyse_lines(basis, line, pair, [&](int k, Point<T> z) {
                const T scale = line_scale(basis, k);
                const ModeFactor<T> fa = mode_factor<T, kGradient>(symbol, a, k);
                const ModeFactor<T> fb = mode_factor<T, kGradient>(symbol, b, k);
                if constexpr (kGradient) {
                  const T lambda = symbol.lambda[0][k];
                  const T pa = scale * fa.slope * saved[pair.a + k] * z.re;
                  const T pb = pair.has_b ? scale * fb.slope * saved[pair.b + k] * z.im : T(0);
                  sums_a.plain += pa;
                  sums_a.along += lambda * pa;
                  sums_b.plain += pb;
                  sums_b.along += lambda * pb;
                }
                pair.put(k, Point<T>{scale * fa.value * z.re, scale * fb.value * z.im});
              });
              if constexpr (kGradient) {
                const int size = basis.fft.group;
                const double plain_a = group_sum(sums_a.plain, size, line.lane, warp_sums);
                const double plain_b = group_sum(sums_b.plain, size, line.lane, warp_sums);
                const double along_a = group_sum(sums_a.along, size, line.lane, warp_sums);
                const double along_b = group_sum(sums_b.along, size, line.lane, warp_sums);
                if (line.active && line.lane == 0) {
                  partials[2 * row_a] = plain_a;
                  partials[2 * row_a + 1] = along_a;
                  if (pair.has_b) {
                    partials[2 * row_b] = plain_b;
                    partials[2 * row_b + 1] = along_b;
                  }
                }
              }
            });
}

// out = the step of in; backward: in is the cotangent, `saved` the input of the step, partials [row][2] the sums
// of each row of modes, and out may be null.
template <class T, bool kGradient>
__device__ __forceinline__ void run_box(const SpectralBox<T>& s, const T* saved_from, const T* in,
                                        T* out, double* partials) {
  SharedMemory memory;
  const auto box = memory.take<T>(s.rows * s.pitch);
  const auto saved = memory.take<T>(kGradient ? s.rows * s.pitch : 0);
  const auto staging = memory.take<Point<T>>(s.staging);
  const auto warp_sums = memory.take<double>(kGradient ? kWarp : 0);
  const BoxPlace at = box_place(s);
  if constexpr (kGradient) load_box(s, at, saved_from, saved);
  load_box(s, at, in, box);
  // The saved input along z, y and x while the cotangent is on its way, then that along z and y.
  for (int step = kGradient ? 0 : 3; step < 5; ++step) {
    const bool first = step < 3;
    const int axis = 2 - step % 3;
    if (step == 0) copy_async_wait<1>();
    if (step == 3) copy_async_wait<0>();
    __syncthreads();
    if (!(s.phases & (kAnalyseX >> axis))) continue;
    analyse_axis(s, at, axis, !first && s.scaled, first ? saved : box, staging);
  }
  __syncthreads();
  if (s.phases & kAnalyseX) {
    multiply_rows<T, kGradient>(s, at, box, saved, staging, warp_sums, partials);
  }
  if (!out) return;
  for (int axis = 0; axis < 3; ++axis) {
    __syncthreads();
    if (!(s.phases & (kSynthesiseX << axis))) continue;
    for_pairs(s, at, axis, box, staging,
              [&](const FftLine<T>& line, const LinePair<T>& pair, int, int) {
                synthesise_lines(s.basis[axis], line, pair);
              });
  }
  __syncthreads();
  store_box(s, at, box, out);
}

}  // namespace fluxion::cuda
