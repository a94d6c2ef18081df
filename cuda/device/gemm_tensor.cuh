// The sums of gemm_tile.cuh on tensor cores, for float: an opt-in.
//
// One term: both factors of a product are rounded to TF32, an error of up to 2^-10 of it. Three terms: each
// factor x = high + low with high = tf32(x) and low = tf32(x - high), which leaves 2^-22 |x|, and
// x y = high high' + high low' + low high' leaves out low low' of at most 2^-22 |x y|: 3 * 2^-22 of the product in
// all, against the 2^-24 of a rounded one (Ootomo & Yokota, "Recovering single precision accuracy from tensor
// cores", 2022). The sums are those of the tensor cores, which may cut instead of round: 2^-23 of the largest
// partial sum for each step. So for a depth of K the bound is (2 K + 12) 2^-24 sum |x y|, where the exact kernel
// has K 2^-24 sum |x y|; it is not the same, so three terms are not the default.
#pragma once

#include "gemm_tile.cuh"
#include "mma.cuh"

namespace fluxion::cuda {

// A tile whose warps have 32 x 64 sums each: 2 x 8 products of 16 x 8.
template <int kM_, int kN_, int kBlocks_>
struct TensorTile {
  using T = float;
  static constexpr int kM = kM_, kN = kN_, kVector = 4, kBlocks = kBlocks_;
  static constexpr int kWarpM = 32, kWarpN = 64;
  static constexpr int kThreads = kWarp * (kM / kWarpM) * (kN / kWarpN);
  // Rows 8 words longer: four of them and eight columns, the fragments of a warp, are in 32 different banks.
  static constexpr int kPitchM = kM + 8, kPitchN = kN + 8;
  static constexpr int kBufferM = kGemmStep * kPitchM, kBufferN = kGemmStep * kPitchN;
  static_assert(kM % kWarpM == 0 && kN % kWarpN == 0 && kThreads % kM == 0 && kThreads >= kN);
  static constexpr size_t shared() {
    return shared_bytes<T>(kGemmStages * kBufferM) + shared_bytes<T>(kGemmStages * kBufferN);
  }
};

template <class Tile>
struct TensorSums {
  static constexpr int kProductsM = Tile::kWarpM / 16, kProductsN = Tile::kWarpN / 8;
  static constexpr int kRows = 2 * kProductsM, kColumns = 2 * kProductsN, kRun = 2;
  float sums[kProductsM][kProductsN][4];
  int row, column;

  __device__ __forceinline__ TensorSums() {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    constexpr int kWarpsM = Tile::kM / Tile::kWarpM;
    row = warp % kWarpsM * Tile::kWarpM + lane / 4;
    column = warp / kWarpsM * Tile::kWarpN + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kProductsM; ++i)
#pragma unroll
      for (int j = 0; j < kProductsN; ++j)
#pragma unroll
        for (int l = 0; l < 4; ++l) sums[i][j][l] = 0.0f;
  }
  __device__ __forceinline__ float at(int i, int j) const {
    return sums[i / 2][j / 2][i % 2 * 2 + j % 2];
  }
  __device__ __forceinline__ int row_of(int i) const { return row + i * 8; }
  __device__ __forceinline__ int column_of(int j) const { return column + j / 2 * 8 + j % 2; }

  template <int kCount>
  __device__ static __forceinline__ void split(float (&high)[kCount], float (&low)[kCount]) {
#pragma unroll
    for (int l = 0; l < kCount; ++l) {
      const float x = high[l];
      high[l] = to_tf32(x);
      low[l] = to_tf32(x - high[l]);
    }
  }

  __device__ __forceinline__ void add_step(const Shared<float>& a, const Shared<float>& b, int stage,
                                           int terms) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, t = lane % 4;
    const int first_a = stage * Tile::kBufferM + t * Tile::kPitchM + row;
    const int first_b = stage * Tile::kBufferN + t * Tile::kPitchN + column - t * 2 + g;
    float left[kProductsM][4], left_low[kProductsM][4];
#pragma unroll
    for (int i = 0; i < kProductsM; ++i) {
#pragma unroll
      for (int l = 0; l < 4; ++l)
        left[i][l] = a[first_a + l / 2 * 4 * Tile::kPitchM + i * 16 + l % 2 * 8];
      split(left[i], left_low[i]);
    }
#pragma unroll
    for (int j = 0; j < kProductsN; ++j) {
      float right[2], right_low[2];
#pragma unroll
      for (int l = 0; l < 2; ++l) right[l] = b[first_b + l * 4 * Tile::kPitchN + j * 8];
      split(right, right_low);
      if (terms == 3) {
#pragma unroll
        for (int i = 0; i < kProductsM; ++i) {
          multiply_tf32(sums[i][j], left_low[i], right);
          multiply_tf32(sums[i][j], left[i], right_low);
        }
      }
#pragma unroll
      for (int i = 0; i < kProductsM; ++i) multiply_tf32(sums[i][j], left[i], right);
    }
  }
};

template <int kM, int kN, int kBlocks>
struct GemmSumsOf<TensorTile<kM, kN, kBlocks>> {
  using type = TensorSums<TensorTile<kM, kN, kBlocks>>;
};

}  // namespace fluxion::cuda
