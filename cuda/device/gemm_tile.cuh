// Products of matrices by tiles, y[m, n] = act(sum_k a[m, k] b[k, n] + bias + residual), for any operands that
// can say where their elements are: matrices with strides (gemm_operand.cuh), or the positions of a
// convolution, which is so computed without writing its patches out (conv_operand.cuh).
//
// A block owns a tile of kM x kN sums, each thread kThreadM x kThreadN of them in registers. Steps of
// kGemmStep of the depth go through a ring of kStages buffers in shared memory, filled by asynchronous
// copies kStages - 1 steps ahead; a step costs one barrier. Both operands lie in shared memory with the depth
// slowest, a[k][m] and b[k][n], so that a thread reads its fragments by 16 bytes: (kThreadM + kThreadN) words
// for kThreadM * kThreadN multiply-adds. Rows of the buffers are 16 bytes longer than the tile: eight lanes
// along the depth and four along the rows then meet 32 different banks.
//
// Where the tiles are too few for the GPU, the depth is cut into slices, each a block that writes its sums to
// scratch memory, and a second kernel adds the slices in order: every sum has one order of its terms.
//
// Bytes from global memory for a tile: depth * (kM + kN) elements read and kM * kN written, once.
#pragma once

#include "gemm_copy.cuh"
#include "gemm_epilogue.cuh"
#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kGemmStep = 8;    // of the depth
inline constexpr int kGemmStages = 4;  // buffers

template <class T_, int kM_, int kN_, int kThreadM_, int kThreadN_, int kBlocks_>
struct GemmTile {
  using T = T_;
  static constexpr int kM = kM_, kN = kN_, kThreadM = kThreadM_, kThreadN = kThreadN_;
  static constexpr int kVector = 16 / static_cast<int>(sizeof(T));
  // The lanes of a warp stand 4 x 8; its sums are kThreadM / kVector x kThreadN / kVector pieces of
  // 4 kVector x 8 kVector, of which a thread has kVector x kVector.
  static constexpr int kLanesM = 4, kLanesN = 8;
  static constexpr int kWarpM = kLanesM * kThreadM, kWarpN = kLanesN * kThreadN;
  static constexpr int kThreads = kWarp * (kM / kWarpM) * (kN / kWarpN);
  static constexpr int kBlocks = kBlocks_;  // on a multiprocessor
  static constexpr int kPitchM = kM + kVector, kPitchN = kN + kVector;
  static constexpr int kBufferM = kGemmStep * kPitchM, kBufferN = kGemmStep * kPitchN;
  static_assert(kM % kWarpM == 0 && kN % kWarpN == 0 && kThreads % kM == 0 && kThreads >= kN);
  static constexpr size_t shared() {
    return shared_bytes<T>(kGemmStages * kBufferM) + shared_bytes<T>(kGemmStages * kBufferN);
  }
};

// The products of a launch.
struct GemmShape {
  int64_t rows, columns, depth;  // the largest of all products, where they differ
  int64_t batch;
  int64_t tiles_m, tiles_n;
  int64_t slices, slice_depth;  // of the depth; slice_depth is a multiple of kGemmStep
};

// What a block computes. The operands of a convolution narrow it to the product that it belongs to.
struct GemmBlock {
  int64_t batch, slice;
  int64_t row, column, depth;  // where it begins
  int64_t rows, columns;       // of the product
  int64_t depths;              // end of its part of the depth
  __device__ int steps() const {
    return depths <= depth ? 0 : static_cast<int>((depths - depth + kGemmStep - 1) / kGemmStep);
  }
};

// Neighbouring blocks share columns, which are the larger operand.
template <class Tile>
__device__ inline GemmBlock gemm_block(const GemmShape& s) {
  GemmBlock at;
  uint32_t index = blockIdx.x;
  const auto next = [&index](int64_t n) {
    const uint32_t whole = index / static_cast<uint32_t>(n);
    const uint32_t rest = index - whole * static_cast<uint32_t>(n);
    index = whole;
    return static_cast<int64_t>(rest);
  };
  at.row = next(s.tiles_m) * Tile::kM;
  at.column = next(s.tiles_n) * Tile::kN;
  at.slice = next(s.slices);
  at.batch = index;
  at.rows = s.rows;
  at.columns = s.columns;
  at.depth = at.slice * s.slice_depth;
  at.depths = s.depth;
  return at;
}

__device__ inline void cut_depth(GemmBlock& at, const GemmShape& s) {
  const int64_t end = at.depth + s.slice_depth;
  if (at.depths > end) at.depths = end;
}

// kVector values by one access of 16 bytes.
template <class T>
struct alignas(16) GemmVector {
  T at[16 / sizeof(T)];
};

template <class T>
__device__ __forceinline__ GemmVector<T> gemm_load(const Shared<T>& from, int i) {
  GemmVector<T> v;
  v = *reinterpret_cast<const GemmVector<T>*>(&from[i]);
  (void)&from[i + 16 / static_cast<int>(sizeof(T)) - 1];  // the host layer checks the end as well
  return v;
}

// The sums of a thread.
template <class Tile>
struct GemmSums {
  using T = typename Tile::T;
  static constexpr int kVector = Tile::kVector;
  static constexpr int kRows = Tile::kThreadM, kColumns = Tile::kThreadN;
  static constexpr int kRun = kVector;  // columns that are neighbours
  T sums[kRows][kColumns];
  int row, column;  // of the first one in the tile

  __device__ __forceinline__ GemmSums() {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    constexpr int kWarpsM = Tile::kM / Tile::kWarpM;
    row = warp % kWarpsM * Tile::kWarpM + lane / Tile::kLanesN * kVector;
    column = warp / kWarpsM * Tile::kWarpN + lane % Tile::kLanesN * kVector;
#pragma unroll
    for (int i = 0; i < Tile::kThreadM; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kThreadN; ++j) sums[i][j] = T(0);
  }

  __device__ __forceinline__ T at(int i, int j) const { return sums[i][j]; }
  // Row and column in the tile of at(i, j).
  __device__ __forceinline__ int row_of(int i) const {
    return row + i / kVector * (Tile::kLanesM * kVector) + i % kVector;
  }
  __device__ __forceinline__ int column_of(int j) const {
    return column + j / kVector * (Tile::kLanesN * kVector) + j % kVector;
  }

  __device__ __forceinline__ void add_step(const Shared<T>& a, const Shared<T>& b, int stage,
                                           int) {
#pragma unroll
    for (int k = 0; k < kGemmStep; ++k) {
      GemmVector<T> left[Tile::kThreadM / kVector], right[Tile::kThreadN / kVector];
#pragma unroll
      for (int i = 0; i < Tile::kThreadM / kVector; ++i)
        left[i] = gemm_load(a, stage * Tile::kBufferM + k * Tile::kPitchM + row_of(i * kVector));
#pragma unroll
      for (int j = 0; j < Tile::kThreadN / kVector; ++j)
        right[j] =
            gemm_load(b, stage * Tile::kBufferN + k * Tile::kPitchN + column_of(j * kVector));
#pragma unroll
      for (int i = 0; i < Tile::kThreadM; ++i)
#pragma unroll
        for (int j = 0; j < Tile::kThreadN; ++j)
          sums[i][j] += left[i / kVector].at[i % kVector] * right[j / kVector].at[j % kVector];
    }
  }
};

template <class Tile>
struct GemmSumsOf {
  using type = GemmSums<Tile>;
};

// Neighbouring values, by one access.
template <class T, int kCount>
struct alignas(kCount * sizeof(T)) GemmRun {
  T at[kCount];
};

// Writes the sums of a thread with what follows them.
// Output: base(block), row_offset(row), column_offset(block, column); `vectors`: kVector columns from a multiple
// of it on are one aligned piece.
template <class Sums, class Output, class T>
__device__ __forceinline__ void store_sums(const Sums& sums, const GemmBlock& at,
                                           const Output& output, const GemmEpilogue<T>& epilogue) {
  constexpr int kRun = Sums::kRun;
  T* to = output.data + output.base(at);
  const T* residual = epilogue.residual ? epilogue.residual + output.base(at) : nullptr;
  const T* bias = epilogue.biases(at.batch, at.rows, at.columns);
#pragma unroll
  for (int j = 0; j < Sums::kColumns; j += kRun) {
    const int64_t first = at.column + sums.column_of(j);
    if (first >= at.columns) break;
    int64_t columns[kRun];
    T column_bias[kRun];
#pragma unroll
    for (int l = 0; l < kRun; ++l) {
      const bool exists = first + l < at.columns;
      columns[l] = !exists                   ? -1
                   : output.vectors && l > 0 ? columns[0] + l
                                             : output.column_offset(at, first + l);
      column_bias[l] = exists && bias && epilogue.bias_of_columns ? bias[first + l] : T(0);
    }
#pragma unroll
    for (int i = 0; i < Sums::kRows; ++i) {
      const int64_t row = at.row + sums.row_of(i);
      if (row >= at.rows) break;
      const int64_t offset = output.row_offset(row);
      const T row_bias = bias && !epilogue.bias_of_columns ? bias[row] : T(0);
      GemmRun<T, kRun> v;
#pragma unroll
      for (int l = 0; l < kRun; ++l) v.at[l] = sums.at(i, j + l) + (row_bias + column_bias[l]);
      if (output.vectors) {
        if (residual) {
          const auto more = *reinterpret_cast<const GemmRun<T, kRun>*>(residual + offset + columns[0]);
#pragma unroll
          for (int l = 0; l < kRun; ++l) v.at[l] += more.at[l];
        }
#pragma unroll
        for (int l = 0; l < kRun; ++l) v.at[l] = epilogue.clip(v.at[l]);
        *reinterpret_cast<GemmRun<T, kRun>*>(to + offset + columns[0]) = v;
        continue;
      }
#pragma unroll
      for (int l = 0; l < kRun; ++l) {
        if (columns[l] < 0) continue;
        if (residual) v.at[l] += residual[offset + columns[l]];
        to[offset + columns[l]] = epilogue.clip(v.at[l]);
      }
    }
  }
  if (!epilogue.smooth()) return;
#pragma unroll 1
  for (int i = 0; i < Sums::kRows; ++i) {
    const int64_t row = at.row + sums.row_of(i);
    if (row >= at.rows) break;
    T* line = to + output.row_offset(row);
#pragma unroll 1
    for (int j = 0; j < Sums::kColumns; ++j) {
      const int64_t column = at.column + sums.column_of(j);
      if (column >= at.columns) break;
      T* y = line + output.column_offset(at, column);
      *y = epilogue_activation(epilogue.activation, *y);
    }
  }
}

template <class Tile_, class A_, class B_, class Output_>
struct GemmProblem {
  using Tile = Tile_;
  using A = A_;
  using B = B_;
  using Output = Output_;
  using T = typename Tile::T;
  GemmShape shape;
  A a;
  B b;
  Output output;
  GemmEpilogue<T> epilogue;
  T* partial;  // null: one slice
  int terms;   // on tensor cores, of a product: 1 or 3
};

// Sums of a slice as they are.
template <class T>
struct GemmScratch {
  T* data;
  int64_t slice_batch, rows, pitch;
  bool vectors;
  __device__ int64_t base(const GemmBlock& at) const {
    return (at.slice * slice_batch + at.batch) * rows * pitch;
  }
  __device__ int64_t row_offset(int64_t row) const { return row * pitch; }
  __device__ int64_t column_offset(const GemmBlock&, int64_t column) const { return column; }
};

template <class Problem>
__global__ void __launch_bounds__(Problem::Tile::kThreads, Problem::Tile::kBlocks)
    gemm_kernel(Problem p) {
  using Tile = typename Problem::Tile;
  using T = typename Tile::T;
  SharedMemory memory;
  const Shared<T> left = memory.take<T>(kGemmStages * Tile::kBufferM);
  const Shared<T> right = memory.take<T>(kGemmStages * Tile::kBufferN);
  GemmBlock at = gemm_block<Tile>(p.shape);
  p.b.narrow(at);
  if (at.column >= at.columns) return;  // all threads of the block
  cut_depth(at, p.shape);
  typename Problem::A::template Reader<Tile, Tile::kM, Tile::kPitchM> a(p.a, at, true);
  typename Problem::B::template Reader<Tile, Tile::kN, Tile::kPitchN> b(p.b, at, false);
  const int steps = at.steps();
#pragma unroll
  for (int s = 0; s < kGemmStages - 1; ++s) {
    if (s < steps) {
      a.fetch(p.a, left, s * Tile::kBufferM, s * kGemmStep);
      b.fetch(p.b, right, s * Tile::kBufferN, s * kGemmStep);
    }
    copy_async_commit();
  }
  typename GemmSumsOf<Tile>::type sums;
#pragma unroll 1
  for (int s = 0; s < steps; ++s) {
    copy_async_wait<kGemmStages - 2>();
    __syncthreads();
    const int ahead = s + kGemmStages - 1, stage = ahead % kGemmStages;
    if (ahead < steps) {
      a.fetch(p.a, left, stage * Tile::kBufferM, ahead * kGemmStep);
      b.fetch(p.b, right, stage * Tile::kBufferN, ahead * kGemmStep);
    }
    copy_async_commit();
    sums.add_step(left, right, s % kGemmStages, p.terms);
  }
  if (p.partial) {
    const GemmScratch<T> scratch{p.partial, p.shape.batch, p.shape.rows, p.shape.columns,
                                 p.shape.columns % Tile::kVector == 0};
    store_sums(sums, at, scratch, GemmEpilogue<T>{});
  } else {
    store_sums(sums, at, p.output, p.epilogue);
  }
}

// Second stage: one thread for each sum adds its slices in order.
template <class T, class B, class Output>
struct GemmSlices {
  GemmShape shape;
  B b;
  Output output;
  GemmEpilogue<T> epilogue;
  const T* partial;
};

template <class T, class B, class Output>
__global__ void gemm_finish(GemmSlices<T, B, Output> p) {
  const int64_t plane = p.shape.rows * p.shape.columns, n = p.shape.batch * plane;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  GemmBlock at{};
  at.batch = i / plane;
  at.rows = p.shape.rows;
  at.columns = p.shape.columns;
  at.depths = p.shape.depth;
  p.b.narrow(at);
  const int64_t row = (i - at.batch * plane) / p.shape.columns;
  const int64_t column = i - at.batch * plane - row * p.shape.columns;
  if (column >= at.columns) return;
  // A product that is not as deep as others has fewer slices.
  T sum = T(0);
  for (int64_t slice = 0; slice < p.shape.slices; ++slice) sum += p.partial[slice * n + i];
  const GemmEpilogue<T>& e = p.epilogue;
  const T* bias = e.biases(at.batch, at.rows, at.columns);
  if (bias) sum += bias[e.bias_of_columns ? column : row];
  const int64_t offset =
      p.output.base(at) + p.output.row_offset(row) + p.output.column_offset(at, column);
  if (e.residual) sum += e.residual[offset];
  p.output.data[offset] = epilogue_activation(e.activation, sum);
}

}  // namespace fluxion::cuda
