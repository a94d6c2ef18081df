// Operands of gemm_tile.cuh that are matrices in memory, and where its sums go.
//
// "Rows" are those of the tile that the operand fills: rows of a, columns of b. A reader holds what one thread
// needs to copy its elements of every step of the depth.
#pragma once

#include "gemm_tile.cuh"
#include "strided.cuh"

namespace fluxion::cuda {

// Which elements the lanes of a warp copy.
enum class GemmOrder : int {
  row_vectors,  // 16 bytes along the rows: these are contiguous, aligned, and whole vectors
  rows,         // one element of 32 rows
  depths        // eight along the depth of four rows, transposed on their way
};

// Copies of one element each: where the first one of a thread is, in the tile and in its step, and how far apart
// the next ones are.
template <class Tile, int kRows, int kPitch>
struct GemmLanes {
  static constexpr int kCount = kRows * kGemmStep / Tile::kThreads;
  int row, k, row_step, k_step;

  __device__ __forceinline__ explicit GemmLanes(bool along_depth) {
    const int t = static_cast<int>(threadIdx.x);
    row = along_depth ? t / kGemmStep : t % kRows;
    k = along_depth ? t % kGemmStep : t / kRows;
    row_step = along_depth ? Tile::kThreads / kGemmStep : 0;
    k_step = along_depth ? 0 : Tile::kThreads / kRows;
  }
  __device__ __forceinline__ int index(int e) const {
    return (k + e * k_step) * kPitch + row + e * row_step;
  }
};

// Element (i, k) of product b at data + batch offset + i * row_stride + k * depth_stride. The batch's offsets
// are axes of `batches` (which_batch: 0 for a, 1 for b).
template <class T>
struct StridedOperand {
  const T* data;
  int64_t row_stride, depth_stride;
  GemmOrder order;
  StridedSpace<2> batches;

  __device__ void narrow(GemmBlock&) const {}

  template <class Tile, int kRows, int kPitch>
  struct Reader {
    static constexpr int kVector = Tile::kVector;
    const T* at;
    int row, k, rows, depth;

    __device__ Reader(const StridedOperand& o, const GemmBlock& block, bool is_a) {
      int64_t offset[2];
      offsets_of(o.batches, block.batch, offset);
      const int t = static_cast<int>(threadIdx.x);
      if (o.order == GemmOrder::row_vectors) {
        row = t % (kRows / kVector) * kVector;
        k = t / (kRows / kVector);
      } else {
        const GemmLanes<Tile, kRows, kPitch> lanes(o.order == GemmOrder::depths);
        row = lanes.row;
        k = lanes.k;
      }
      const int64_t first = is_a ? block.row : block.column;
      const int64_t left = (is_a ? block.rows : block.columns) - first;
      rows = static_cast<int>(left < kRows ? left : kRows);
      depth = static_cast<int>(block.depths - block.depth);
      at = o.data + offset[is_a ? 0 : 1] + (first + row) * o.row_stride +
           (block.depth + k) * o.depth_stride;
    }

    __device__ __forceinline__ void fetch(const StridedOperand& o, const Shared<T>& tile, int base,
                                          int first_k) const {
      const T* from = at + first_k * o.depth_stride;
      if (o.order == GemmOrder::row_vectors) {
        constexpr int kPerDepth = kRows / kVector, kAll = kPerDepth * kGemmStep;
        constexpr int kCount = (kAll + Tile::kThreads - 1) / Tile::kThreads;
        constexpr int kDepths = Tile::kThreads / kPerDepth;  // that all threads copy at once
        GemmCopies<T, kCount, kVector> copies;
#pragma unroll
        for (int e = 0; e < kCount; ++e) {
          const int kk = k + e * kDepths;
          if (kk >= kGemmStep) break;  // more threads than vectors
          copies.copy(e, &tile[base + kk * kPitch + row], from + e * kDepths * o.depth_stride,
                      row < rows && first_k + kk < depth);
        }
        copies.finish();
        return;
      }
      const GemmLanes<Tile, kRows, kPitch> lanes(o.order == GemmOrder::depths);
      const int64_t next = lanes.row_step * o.row_stride + lanes.k_step * o.depth_stride;
      GemmCopies<T, GemmLanes<Tile, kRows, kPitch>::kCount, 1> copies;
#pragma unroll
      for (int e = 0; e < GemmLanes<Tile, kRows, kPitch>::kCount; ++e) {
        copies.copy(e, &tile[base + lanes.index(e)], from + e * next,
                    row + e * lanes.row_step < rows && first_k + k + e * lanes.k_step < depth);
      }
      copies.finish();
    }
  };
};

// y[batch][row][column], with any distances of rows and columns.
template <class T>
struct MatrixOutput {
  T* data;
  int64_t batch_stride, row_stride, column_stride;
  bool vectors;  // column_stride is 1; rows are whole, aligned vectors

  __device__ int64_t base(const GemmBlock& at) const { return at.batch * batch_stride; }
  __device__ int64_t row_offset(int64_t row) const { return row * row_stride; }
  __device__ int64_t column_offset(const GemmBlock&, int64_t column) const {
    return column * column_stride;
  }
};

}  // namespace fluxion::cuda
