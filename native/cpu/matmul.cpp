// y[.., M, N] = a[.., M, K] b[.., K, N] with broadcast batch dimensions.
//
// Any strides: operands are read once into packed panels, so that transposed and expanded views cost no
// copy. Blocks of kMatmulBlockRows x kMatmulBlockCols of each product run in parallel; a block packs its
// rows of a and its columns of b itself, which costs a few percent and needs no synchronisation.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/activation.h"
#include "ops/gemm_blocking.h"

#define FLUXION_KERNELS "cpu/matmul.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/gemm.h"

namespace fluxion::cpu::FLUXION_TARGET {

// Offset of a batch item in an operand whose batch dimensions broadcast with those of the product.
static int64_t batch_offset(const TensorView& operand, const Shape& product, int64_t item) {
  int64_t offset = 0;
  for (int d = product.ndim - 3; d >= 0; --d) {
    const int64_t i = item % product[d];
    item /= product[d];
    const int own = d - (product.ndim - operand.ndim());
    if (own >= 0 && operand.shape[own] != 1) offset += i * operand.strides[own];
  }
  return offset;
}

template <class T>
static void matmul(const Kernel& kernel) {
  const TensorView &a = kernel.in(0), &b = kernel.in(1), &y = kernel.out(0);
  const int da = a.ndim(), db = b.ndim(), dy = y.ndim();
  const int64_t m = y.shape[dy - 2], n = y.shape[dy - 1], depth = a.shape[da - 1];
  if (y.size() == 0) return;
  const int64_t a_row = a.strides[da - 2], a_depth = a.strides[da - 1];
  const int64_t b_depth = b.strides[db - 2], b_col = b.strides[db - 1];
  const int64_t batch = y.size() / (m * n);
  int64_t row_step = round_up(ceil_div(m, ceil_div(m, kMatmulBlockRows)), kTileRows);
  int64_t col_step = round_up(ceil_div(n, ceil_div(n, kMatmulBlockCols)), kTileCols<T>);
  // Smaller blocks for small products, so that every core has some; the smallest still shares its packing.
  while (batch * ceil_div(m, row_step) * ceil_div(n, col_step) < kMatmulMinBlocks) {
    if (row_step >= col_step && row_step > 8 * kTileRows) {
      row_step = round_up(row_step / 2, kTileRows);
    } else if (col_step > 2 * kTileCols<T>) {
      col_step = round_up(col_step / 2, kTileCols<T>);
    } else {
      break;
    }
  }
  const int64_t row_blocks = ceil_div(m, row_step), col_blocks = ceil_div(n, col_step);
  const int64_t step = depth_step(depth, kMatmulDepthBytes, sizeof(T));
  kernel.parallel_for(batch * row_blocks * col_blocks, [&](int64_t block, int thread) {
    const int64_t j = block % col_blocks * col_step;
    const int64_t i = block / col_blocks % row_blocks * row_step;
    const int64_t item = block / (col_blocks * row_blocks);
    const int64_t rows = std::min(row_step, m - i), cols = std::min(col_step, n - j);
    const T* from_a = a.as<T>() + batch_offset(a, y.shape, item) + i * a_row;
    const T* from_b = b.as<T>() + batch_offset(b, y.shape, item) + j * b_col;
    T* b_panels = kernel.scratch<T>(thread);
    T* a_panels = b_panels + step * round_up(cols, kTileCols<T>);
    const auto pack_a = [&](int64_t k, int64_t now) {
      for (int64_t r = 0; r < rows; r += kTileRows) {
        pack_panel<T, kTileRows>(from_a + r * a_row + k * a_depth, a_depth, a_row,
                                 static_cast<int>(std::min<int64_t>(kTileRows, rows - r)), now,
                                 a_panels + r * now);
      }
      return static_cast<const T*>(a_panels);
    };
    const auto pack_b = [&](int64_t k, int64_t now, int64_t col, int valid) {
      constexpr int width = kTileCols<T>;
      const T* from = from_b + k * b_depth + col * b_col;
      T* to = b_panels + col * now;
      if (b_col != 1) {
        pack_panel<T, width>(from, b_depth, b_col, valid, now, to);
      } else if (col == 0) {
        pack_row_panels<T, width>(from, b_depth, cols, now, to);
      }
      return static_cast<const T*>(to);
    };
    gemm_block<T>(rows, cols, depth, step, pack_a, pack_b, y.as<T>() + item * m * n + i * n + j, n,
                  Epilogue<T>{});
  });
}

void k_matmul(const NoParams&, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { matmul<typename decltype(tag)::type>(kernel); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
