// Launching gemm_tile.cuh: which tile, and how the depth is cut.
#pragma once

#include <algorithm>
#include <type_traits>

#include "device/gemm_tensor.cuh"
#include "device/gemm_tile.cuh"
#include "kernel.h"
#include "ops/activation.h"
#include "tuning.h"

namespace fluxion::cuda {

// act(sum + bias + residual) from inputs 2 and 3 of the op, where it has them.
template <class T>
GemmEpilogue<T> gemm_epilogue(const Kernel& call, Activation activation, bool bias_of_columns,
                              int bias_batches) {
  static_assert(static_cast<int>(EpilogueKind::relu) == static_cast<int>(Activation::relu) &&
                static_cast<int>(EpilogueKind::gelu) == static_cast<int>(Activation::gelu) &&
                static_cast<int>(EpilogueKind::sigmoid) == static_cast<int>(Activation::sigmoid));
  const auto input = [&](int i) -> const T* {
    return i < call.n_inputs && call.in(i).present ? call.in(i).as<T>() : nullptr;
  };
  return {input(2), input(3), static_cast<EpilogueKind>(activation), bias_of_columns, bias_batches};
}

template <class T>
constexpr GemmNumbers gemm_numbers(int tile) {
  if constexpr (sizeof(T) == 8) {
    return kGemmTilesF64[tile];
  } else {
    return kGemmTilesF32[tile];
  }
}

struct GemmSizes {
  int64_t rows, columns, depth, batch;
};

inline int64_t gemm_blocks(const GemmSizes& s, const GemmNumbers& tile) {
  return blocks_of(s.rows, tile.m) * blocks_of(s.columns, tile.n) * s.batch;
}

// Slices of the depth that give every multiprocessor its blocks.
inline int64_t gemm_slices(const Kernel& call, const GemmSizes& s, const GemmNumbers& tile) {
  const int64_t blocks = gemm_blocks(s, tile), wanted = call.multiprocessors() * kGemmBlocksWanted;
  if (2 * blocks > wanted) return 1;
  return std::clamp<int64_t>(wanted / blocks, 1, std::max<int64_t>(1, s.depth / kGemmSliceDepth));
}

// The tile with the largest share of useful arithmetic: what its edges waste, the GPU it leaves idle.
template <size_t kCount>
int gemm_tile(const Kernel& call, const GemmSizes& s, const GemmNumbers (&tiles)[kCount]) {
  int best = 0;
  double best_speed = 0;
  for (int i = 0; i < static_cast<int>(kCount); ++i) {
    const GemmNumbers& tile = tiles[i];
    const double blocks = static_cast<double>(gemm_blocks(s, tile));
    const double useful = static_cast<double>(s.rows) * static_cast<double>(s.columns) *
                          static_cast<double>(s.batch) / (blocks * tile.m * tile.n);
    const double all = blocks * static_cast<double>(gemm_slices(call, s, tile));
    const double speed = tile.speed * useful * std::min(1.0, all / call.multiprocessors());
    if (speed > best_speed) best = i, best_speed = speed;
  }
  return best;
}

// `numbers` are those of the tile.
template <class Tile, class T, class A, class B, class Output>
void launch_gemm(const Kernel& call, const GemmSizes& s, const GemmNumbers& numbers, const A& a,
                 const B& b, const Output& output, const GemmEpilogue<T>& epilogue) {
  using Problem = GemmProblem<Tile, A, B, Output>;
  const int64_t cut = gemm_slices(call, s, numbers);
  const int64_t slice =
      blocks_of(blocks_of(std::max<int64_t>(1, s.depth), cut), kGemmStep) * kGemmStep;
  const int64_t slices = std::max<int64_t>(1, blocks_of(s.depth, slice));
  const GemmShape shape{s.rows,
                        s.columns,
                        s.depth,
                        s.batch,
                        blocks_of(s.rows, Tile::kM),
                        blocks_of(s.columns, Tile::kN),
                        slices,
                        slice};
  Problem problem{shape, a, b, output, epilogue, nullptr, call.tensor_terms()};
  const int64_t sums = s.batch * s.rows * s.columns;
  if (slices > 1) problem.partial = call.scratch<T>(slices * sums);
  call.launch(gemm_kernel<Problem>,
              {shape.tiles_m * shape.tiles_n * slices * s.batch, Tile::kThreads, Tile::shared()},
              problem);
  if (slices == 1) return;
  call.launch(gemm_finish<T, B, Output>, {blocks_of(sums, kGemmFinishThreads), kGemmFinishThreads},
              GemmSlices<T, B, Output>{shape, b, output, epilogue, problem.partial});
}

// Some of rows, columns and batch are not zero; the depth may be.
template <class T, class A, class B, class Output>
void multiply(const Kernel& call, const GemmSizes& s, const A& a, const B& b, const Output& output,
              const GemmEpilogue<T>& epilogue) {
  const auto with = [&](auto index) {
    constexpr GemmNumbers kNumbers = gemm_numbers<T>(decltype(index)::value);
    using Tile =
        GemmTile<T, kNumbers.m, kNumbers.n, kNumbers.thread_m, kNumbers.thread_n, kNumbers.blocks>;
    launch_gemm<Tile>(call, s, kNumbers, a, b, output, epilogue);
  };
  if constexpr (sizeof(T) == 8) {
    if (gemm_tile(call, s, kGemmTilesF64) == 0) return with(std::integral_constant<int, 0>{});
    with(std::integral_constant<int, 1>{});
  } else {
    const int tile = gemm_tile(call, s, kGemmTilesF32);
    if (tile == 2) return with(std::integral_constant<int, 2>{});
    if (call.tensor_terms() != 0) {
      constexpr GemmNumbers kNumbers = kGemmTensorTile;
      using Tile = TensorTile<kNumbers.m, kNumbers.n, kNumbers.blocks>;
      return launch_gemm<Tile>(call, s, kNumbers, a, b, output, epilogue);
    }
    if (tile == 0) return with(std::integral_constant<int, 0>{});
    with(std::integral_constant<int, 1>{});
  }
}

}  // namespace fluxion::cuda
