// y[.., M, N] = a[.., M, K] b[.., K, N] with broadcast batch dimensions, and the linear layer
// y[M, N] = act(x[M, K] weight[N, K]^T + bias + residual).
//
// Any strides: transposed and expanded views cost no copy. A block packs its columns of b for a step of the depth
// into L2 once for all its rows; rows of a that are contiguous along the depth are read where they are, others
// packed eight at a time. Few rows take b panel by panel instead (multiply_few_rows).
// Products with one row or column are bound by memory and go another way (matvec.h). Parallel over blocks of rows
// and at most kMatmulBlockCols columns of each product, or over groups of small products; the order of a sum
// follows from the depth alone.
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

// A range of the depth.
struct Step {
  int64_t begin, size;
};

// Rows of a where they are, or packed: element (i, k) at `at` + i * row + k * depth.
template <class T>
struct Rows {
  const T* at;
  int64_t row, depth;
};

template <class T>
static Rows<T> rows_of(const Product<T>& p, const Step& k, int64_t i) {
  return {p.a + i * p.a_row + k.begin * p.a_depth, p.a_row, p.a_depth};
}

// The tile of y at (i, j), `valid` columns wide, gets the products of a range of the depth.
template <class T>
static void multiply_tile(const Product<T>& p, const Step& k, int64_t i, int64_t j, int valid,
                          const Rows<T>& a, const T* b, int64_t b_pitch) {
  const int here = static_cast<int>(std::min<int64_t>(kTileRows, p.rows - i));
  const Epilogue<T> part = p.epilogue.at(i, j, i * p.pitch + j);
  T* to = p.y + i * p.pitch + j;
  Tile<T> tile{k.size, to, p.pitch, here, valid, k.begin > 0, nullptr};
  if (k.begin == 0) tile.residual = part.residual, tile.columns = part.columns;
  const bool last = k.begin + k.size == p.depth;
  if (last) tile.floor = part.floor();
  dispatch_tile<T>(here, valid, [&](auto shape) {
    strided_tile<T, shape.rows, shape.vectors>(tile, a.at, a.row, a.depth, b, b_pitch);
  });
  if (last && part.smooth()) activate_rows(part.activation, to, p.pitch, here, valid);
}

template <class T>
static void pack_b(const Product<T>& p, const Step& k, int64_t j, int valid, T* panel) {
  pack_panel<T, kTileCols<T>>(p.b + k.begin * p.b_depth + j * p.b_col, p.b_depth, p.b_col, valid,
                              k.size, panel);
}

template <class T>
static void pack_a(const Product<T>& p, const Step& k, int64_t i, T* sliver) {
  pack_panel<T, kTileRows>(rows_of(p, k, i).at, p.a_depth, p.a_row,
                           static_cast<int>(std::min<int64_t>(kTileRows, p.rows - i)), k.size,
                           sliver);
}

// A few rows: one panel of b at a time meets them all, from L1 or from where it is.
template <class T>
static void multiply_few_rows(const Product<T>& p, const Step& k, T* scratch) {
  constexpr int64_t bytes = static_cast<int64_t>(sizeof(T));
  T *panel = scratch, *slivers = scratch + k.size * kTileCols<T>;
  const bool packs_a = p.a_depth != 1 && p.rows * k.size * bytes > kMatmulDirectBytes;
  const bool ahead = p.b_col == 1 && p.depth * p.b_depth * bytes > kMatmulResidentBytes;
  const int64_t tiles = ceil_div(p.rows, kTileRows);
  for (int64_t i = 0; packs_a && i < p.rows; i += kTileRows) pack_a(p, k, i, slivers + i * k.size);
  for (int64_t j = 0; j < p.cols;) {
    const int valid = panel_cols<T>(p.cols - j);
    const T* from = p.b + k.begin * p.b_depth + j * p.b_col;
    // A panel read in place must not reach beyond its row.
    const bool in_place = p.b_col == 1 && !packs_a && valid % kLanes<T> == 0;
    if (!in_place) pack_b(p, k, j, valid, panel);
    const bool more = ahead && j + valid + kTileCols<T> <= p.cols;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t i = t * kTileRows;
      if (more) {
        prefetch_panel(from + valid, p.b_depth, k.size * t / tiles, k.size * (t + 1) / tiles);
      }
      const Rows<T> a = packs_a ? Rows<T>{slivers + i * k.size, 1, kTileRows} : rows_of(p, k, i);
      multiply_tile(p, k, i, j, valid, a, in_place ? from : panel,
                    in_place ? p.b_depth : kTileCols<T>);
    }
    j += valid;
  }
}

// Many rows: all panels of b are packed, into L2, and stream past a tile's rows of a, which stay in L1. A narrow b
// is read where it is.
template <class T>
static void multiply_many_rows(const Product<T>& p, const Step& k, T* scratch) {
  constexpr int64_t bytes = static_cast<int64_t>(sizeof(T));
  T *sliver = scratch, *panels = scratch + round_up(k.size * kTileRows, kLanes<T>);
  const int64_t panel_size = k.size * kTileCols<T>;
  const bool in_place =
      p.b_col == 1 && p.cols % kLanes<T> == 0 && p.b_depth * bytes <= kMatmulDirectPitch;
  T* panel = panels;
  for (int64_t j = 0; !in_place && j < p.cols; panel += panel_size) {
    const int valid = panel_cols<T>(p.cols - j);
    pack_b(p, k, j, valid, panel);
    j += valid;
  }
  for (int64_t i = 0; i < p.rows; i += kTileRows) {
    Rows<T> a = rows_of(p, k, i);
    if (p.a_depth != 1) {
      pack_a(p, k, i, sliver);
      a = {sliver, 1, kTileRows};
    }
    panel = panels;
    for (int64_t j = 0; j < p.cols; panel += panel_size) {
      const int valid = panel_cols<T>(p.cols - j);
      if (in_place) {
        multiply_tile(p, k, i, j, valid, a, p.b + k.begin * p.b_depth + j, p.b_depth);
      } else {
        multiply_tile(p, k, i, j, valid, a, panel, kTileCols<T>);
      }
      j += valid;
    }
  }
}

template <class T>
static void multiply(const Product<T>& p, T* scratch) {
  if (p.depth == 0) {
    for (int64_t i = 0; i < p.rows; ++i) std::fill_n(p.y + i * p.pitch, p.cols, T{});
    return finish_rows(p.epilogue, p.y, p.pitch, p.rows, p.cols);
  }
  const int64_t step = matmul_step(p.depth, static_cast<int64_t>(sizeof(T)));
  for (int64_t begin = 0; begin < p.depth; begin += step) {
    const Step k{begin, std::min(step, p.depth - begin)};
    if (p.rows <= kMatmulFewRows) {
      multiply_few_rows(p, k, scratch);
    } else {
      multiply_many_rows(p, k, scratch);
    }
  }
}

// How a product is cut: blocks of rows x cols, or several whole products. No sum depends on it.
struct Blocking {
  int64_t row_step, col_step, items;

  Blocking(int64_t m, int64_t n, int64_t depth, int64_t batch, int threads, int64_t lanes) {
    row_step = round_up(m, kTileRows);
    col_step = round_up(ceil_div(n, ceil_div(n, kMatmulBlockCols)), lanes);
    items = 1;
    const auto work = [&] { return row_step * col_step * std::max<int64_t>(depth, 1); };
    const auto uneven = [&] {
      const int64_t blocks = batch * ceil_div(m, row_step) * ceil_div(n, col_step);
      return round_up(blocks, threads) > blocks + blocks / 8;
    };
    // Smaller blocks until the threads have equal shares, unless a block would be done before another thread
    // is awake. Columns are cut first: a block packs its own columns of b.
    while (uneven() && work() > kMatmulMinWork) {
      if (col_step > 6 * lanes) {
        col_step = round_up(col_step / 2, lanes);
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
  const Blocking cut(m, n, depth, batch, kernel.pool->threads(), kLanes<T>);
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
