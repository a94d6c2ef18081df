// y[.., M, N] = a[.., M, K] b[.., K, N] with broadcast batch dimensions, and the linear layer
// y[M, N] = act(x[M, K] weight[N, K]^T + bias + residual).
//
// Any strides: transposed and expanded views cost no copy. One panel of b at a time is packed into L1 and meets
// the rows of a block; rows of a that are contiguous along the depth are read where they are unless enough panels
// of b reuse them, others packed.
// Products with one row or column are bound by memory and go another way (matvec.h). Parallel over blocks of
// kMatmulBlockRows x kMatmulBlockCols of each product, or over groups of small products.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/matmul.h"

#define FLUXION_KERNELS "cpu/matmul.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/gemm.h"
#include "cpu/matvec.h"

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct Product {
  int64_t rows, cols, depth;
  const T* a;
  int64_t a_row, a_depth;
  const T* b;
  int64_t b_depth, b_col;
  T* y;
  int64_t pitch;
  Epilogue<T> epilogue;

  Product block(int64_t row, int64_t column, int64_t row_count, int64_t col_count) const {
    Product part = *this;
    part.rows = row_count, part.cols = col_count;
    part.a += row * a_row, part.b += column * b_col;
    part.y += row * pitch + column;
    part.epilogue = epilogue.at(row, column, row * pitch + column);
    return part;
  }
};

// The tiles of one panel of b for the range [k, k + now) of the depth. Without packed panels, a is read in
// place.
template <class T>
static void multiply_panel(const Product<T>& p, int64_t k, int64_t now, int64_t j, int valid,
                           const T* packed_a, const T* b, int64_t b_pitch, const T* next) {
  const int64_t tiles = ceil_div(p.rows, kTileRows);
  const bool last = k + now == p.depth;
  for (int64_t t = 0; t < tiles; ++t) {
    if (next) prefetch_panel(next, p.b_depth, now * t / tiles, now * (t + 1) / tiles);
    const int64_t i = t * kTileRows;
    const int here = static_cast<int>(std::min<int64_t>(kTileRows, p.rows - i));
    const Epilogue<T> part = p.epilogue.at(i, j, i * p.pitch + j);
    T* to = p.y + i * p.pitch + j;
    Tile<T> tile{now, to, p.pitch, here, valid, k > 0, nullptr};
    if (k == 0) tile.residual = part.residual, tile.columns = part.columns;
    if (last) tile.floor = part.floor();
    const T* a = p.a + i * p.a_row + k * p.a_depth;
    dispatch_tile<T>(here, valid, [&](auto shape) {
      if (packed_a) {
        packed_tile<T, shape.rows, shape.vectors>(tile, packed_a + i * now, b);
      } else {
        strided_tile<T, shape.rows, shape.vectors>(tile, a, p.a_row, p.a_depth, b, b_pitch);
      }
    });
    if (last && part.smooth()) activate_rows(part.activation, to, p.pitch, here, valid);
  }
}

// A block; scratch holds a panel of b and the packed rows of a.
template <class T>
static void multiply(const Product<T>& p, T* scratch) {
  if (p.depth == 0) {
    for (int64_t i = 0; i < p.rows; ++i) std::fill_n(p.y + i * p.pitch, p.cols, T{});
    return finish_rows(p.epilogue, p.y, p.pitch, p.rows, p.cols);
  }
  constexpr int64_t bytes = static_cast<int64_t>(sizeof(T));
  const int64_t step = matmul_step(p.depth, bytes);
  T *panel = scratch, *a_panels = scratch + step * kTileCols<T>;
  // Few rows do not repay a copy of b. A panel read in place must not reach beyond its row.
  const bool direct = p.b_col == 1 && p.rows <= kMatmulDirectRows;
  const bool pack_a =
      p.a_depth != 1 ? p.rows * step * bytes > kMatmulDirectBytes
                     : p.rows > kMatmulDirectRows && p.cols >= kMatmulPackPanels * kTileCols<T>;
  const bool ahead = p.b_col == 1 && p.depth * p.b_depth * bytes > kMatmulResidentBytes;
  for (int64_t k = 0; k < p.depth; k += step) {
    const int64_t now = std::min(step, p.depth - k);
    for (int64_t r = 0; pack_a && r < p.rows; r += kTileRows) {
      pack_panel<T, kTileRows>(p.a + r * p.a_row + k * p.a_depth, p.a_depth, p.a_row,
                               static_cast<int>(std::min<int64_t>(kTileRows, p.rows - r)), now,
                               a_panels + r * now);
    }
    for (int64_t j = 0; j < p.cols;) {
      const int valid = panel_cols<T>(p.cols - j);
      const T* from = p.b + k * p.b_depth + j * p.b_col;
      const bool in_place = direct && !pack_a && valid % kLanes<T> == 0;
      if (!in_place) pack_panel<T, kTileCols<T>>(from, p.b_depth, p.b_col, valid, now, panel);
      const bool more = ahead && j + valid + kTileCols<T> <= p.cols;
      multiply_panel(p, k, now, j, valid, pack_a ? a_panels : nullptr, in_place ? from : panel,
                     in_place ? p.b_depth : kTileCols<T>, more ? from + valid : nullptr);
      j += valid;
    }
  }
}

// How a product is cut: blocks of rows x cols, or several whole products.
struct Blocking {
  int64_t row_step, col_step, items;

  Blocking(int64_t m, int64_t n, int64_t depth, int64_t batch, int64_t tile_cols) {
    row_step = round_up(ceil_div(m, ceil_div(m, kMatmulBlockRows)), kTileRows);
    col_step = round_up(ceil_div(n, ceil_div(n, kMatmulBlockCols)), tile_cols);
    items = 1;
    const auto work = [&] { return row_step * col_step * std::max<int64_t>(depth, 1); };
    // Smaller blocks for small products, so that every core has some, unless a block would be done before
    // another thread is awake.
    while (batch * ceil_div(m, row_step) * ceil_div(n, col_step) < kMatmulMinBlocks &&
           work() > kMatmulMinWork) {
      if (col_step > 3 * tile_cols) {
        col_step = round_up(col_step / 2, tile_cols);
      } else if (row_step > 4 * kTileRows) {
        row_step = round_up(row_step / 2, kTileRows);
      } else {
        break;
      }
    }
    if (row_step >= m && col_step >= n)
      items = std::clamp<int64_t>(kMatmulMinWork / work(), 1, ceil_div(batch, kMatmulMinBlocks));
  }
};

// product(item) is one of `batch` products of one shape.
template <class T, class F>
static void multiply_all(const Kernel& kernel, int64_t batch, int64_t m, int64_t n, int64_t depth,
                         const F& product) {
  const Blocking cut(m, n, depth, batch, kTileCols<T>);
  const int64_t row_blocks = ceil_div(m, cut.row_step), col_blocks = ceil_div(n, cut.col_step);
  kernel.parallel_for(
      ceil_div(batch, cut.items) * row_blocks * col_blocks, [&](int64_t block, int thread) {
        const int64_t j = block % col_blocks * cut.col_step;
        const int64_t i = block / col_blocks % row_blocks * cut.row_step;
        const int64_t first = block / (col_blocks * row_blocks) * cut.items;
        for (int64_t item = first; item < std::min(first + cut.items, batch); ++item) {
          const Product<T> p = product(item);
          multiply(p.block(i, j, std::min(cut.row_step, m - i), std::min(cut.col_step, n - j)),
                   kernel.scratch<T>(thread));
        }
      });
}

// A product with one row or one column as matrix times vector. False where no stride of the matrix is 1.
template <class T, class F>
static bool multiply_vector(const Kernel& kernel, int64_t batch, int64_t m, int64_t n,
                            const F& product) {
  if (m != 1 && n != 1) return false;
  const auto problem = [m](const Product<T>& p) {
    return m == 1 ? MatVec<T>{p.cols, p.depth, p.b, p.b_col, p.b_depth, p.a}
                  : MatVec<T>{p.rows, p.depth, p.a, p.a_row, p.a_depth, p.b};
  };
  const Product<T> any = product(0);
  MatVec<T> shape = problem(any);
  if (shape.row_stride != 1 && shape.depth_stride != 1) return false;
  const int64_t vector_stride = m == 1 ? any.a_depth : any.b_depth;
  const int64_t rows = shape.rows;
  const int64_t step = std::clamp<int64_t>(
      round_up(kMatmulMinWork / 8 / std::max<int64_t>(1, shape.depth), 64), 64, 1024);
  const int64_t blocks = ceil_div(rows, step);
  kernel.parallel_for(batch * blocks, [&](int64_t block, int thread) {
    const Product<T> p = product(block / blocks);
    MatVec<T> v = problem(p);
    if (vector_stride != 1 && v.depth > 1) {
      T* copy = kernel.scratch<T>(thread);
      for (int64_t k = 0; k < v.depth; ++k) copy[k] = v.x[k * vector_stride];
      v.x = copy;
    }
    const int64_t row = block % blocks * step, count = std::min(step, rows - row);
    matvec_rows(v, row, count, p.y + row);
    Epilogue<T> e = m == 1 ? p.epilogue.at(0, row, row) : p.epilogue.at(0, 0, row);
    if (m != 1 && e.columns) {  // the one column's bias is that of every row
      const T bias = *e.columns;
      for (int64_t i = 0; i < count; ++i) p.y[row + i] += bias;
      e.columns = nullptr;
    }
    if (!e.empty()) finish_rows(e, p.y + row, count, 1, count);
  });
  return true;
}

template <class T, class F>
static void multiply_batch(const Kernel& kernel, int64_t batch, int64_t m, int64_t n, int64_t depth,
                           const F& product) {
  if (!multiply_vector<T>(kernel, batch, m, n, product))
    multiply_all<T>(kernel, batch, m, n, depth, product);
}

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
  multiply_batch<T>(kernel, y.size() / (m * n), m, n, depth, [&](int64_t item) {
    return Product<T>{m,
                      n,
                      depth,
                      a.as<T>() + batch_offset(a, y.shape, item),
                      a.strides[da - 2],
                      a.strides[da - 1],
                      b.as<T>() + batch_offset(b, y.shape, item),
                      b.strides[db - 2],
                      b.strides[db - 1],
                      y.as<T>() + item * m * n,
                      n,
                      {}};
  });
}

template <class T>
static void linear(const LinearParams& params, const Kernel& kernel) {
  const TensorView &x = kernel.in(0), &weight = kernel.in(1), &y = kernel.out(0);
  const int64_t m = y.shape[0], n = y.shape[1], depth = x.shape[1];
  if (y.size() == 0) return;
  const auto optional = [&](int i) {
    return kernel.in(i).present ? kernel.in(i).as<T>() : nullptr;
  };
  const Epilogue<T> epilogue{nullptr, optional(2), optional(3), params.activation};
  multiply_batch<T>(kernel, 1, m, n, depth, [&](int64_t) {
    return Product<T>{m,
                      n,
                      depth,
                      x.as<T>(),
                      x.strides[0],
                      x.strides[1],
                      weight.as<T>(),
                      weight.strides[1],
                      weight.strides[0],
                      y.as<T>(),
                      n,
                      epilogue};
  });
}

void k_matmul(const NoParams&, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { matmul<typename decltype(tag)::type>(kernel); });
}

void k_linear(const LinearParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { linear<typename decltype(tag)::type>(params, kernel); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
