// C[rows, cols] = act(A B + bias + residual) from packed panels, C row-major. No include guard: read once per
// instruction set, after simd.h, transpose.h and epilogue.h.
//
//   A panel  [depth][kTileRows]   rows of A, broadcast one by one
//   B panel  [depth][kTileCols]   whole vectors of columns
//
// A tile of C is kept in registers while a panel of A meets a panel of B: kTileRows * kTileVectors
// accumulators hide the latency of the FMAs (4 cycles, 2 a cycle), and each step loads fewer values than it
// multiplies. The order is that of Goto and van de Geijn (ACM TOMS 34, 2008), except that only one panel
// of B is packed at a time: it lies in L1/L2 while the panels of A, at most kMaxBlockRows rows, stream past.
// The caller cuts C into blocks; nothing here is parallel.

namespace fluxion::cpu::FLUXION_TARGET {

#if FLUXION_VECTOR_BYTES == 64 || defined(__aarch64__)  // 32 vector registers
inline constexpr int kTileRows = 8, kTileVectors = 3;
#elif FLUXION_VECTOR_BYTES == 32  // 16
inline constexpr int kTileRows = 6, kTileVectors = 2;
#else
inline constexpr int kTileRows = 4, kTileVectors = 2;
#endif

template <class T>
inline constexpr int kTileCols = kTileVectors * kLanes<T>;
static_assert(kTileRows <= kMaxTileRows && kTileVectors * FLUXION_VECTOR_BYTES <= kMaxTileRowBytes);

// --- packing

// to[k * W + i] = from[k * depth_stride + i * lane_stride] for i < valid, zero for valid <= i < W.
template <class T, int W>
inline void pack_strided(const T* from, int64_t depth_stride, int64_t lane_stride, int valid,
                         int64_t depth, T* to) {
  for (int64_t k = 0; k < depth; ++k, from += depth_stride, to += W) {
    for (int i = 0; i < valid; ++i) to[i] = from[i * lane_stride];
    for (int i = valid; i < W; ++i) to[i] = T{};
  }
}

// The lanes are `lane_stride` apart, the depth is contiguous: square tiles transposed in registers.
template <class T, int W>
inline void pack_transposed(const T* from, int64_t lane_stride, int valid, int64_t depth, T* to) {
  constexpr int n = kLanes<T>;
  const int64_t whole = depth / n * n;
#pragma GCC unroll 1
  for (int i0 = 0; i0 < W; i0 += n) {
    for (int64_t k = 0; k < whole; k += n) {
      Vec<T> tile[n];
#pragma GCC unroll 16
      for (int i = 0; i < n; ++i) {
        tile[i] = i0 + i < valid ? load(from + (i0 + i) * lane_stride + k) : Vec<T>{};
      }
      transpose_tile<T>(tile);
      T* line = to + k * W + i0;
      if (W % n == 0 || i0 + n <= W) {
#pragma GCC unroll 16
        for (int j = 0; j < n; ++j) store(line + j * W, tile[j]);
      } else {
#pragma GCC unroll 16
        for (int j = 0; j < n; ++j) __builtin_memcpy(line + j * W, &tile[j], (W % n) * sizeof(T));
      }
    }
  }
  pack_strided<T, W>(from + whole, 1, lane_stride, valid, depth - whole, to + whole * W);
}

// Consecutive panels from rows of `cols` contiguous elements: whole rows, since a row read piecemeal costs
// a page translation per piece.
template <class T, int W>
inline void pack_row_panels(const T* from, int64_t depth_stride, int64_t cols, int64_t depth,
                            T* to) {
  const int64_t whole = cols / W * W;
  for (int64_t k = 0; k < depth; ++k, from += depth_stride) {
    T* line = to + k * W;
    for (int64_t j = 0; j < whole; j += W, line += depth * W)
      __builtin_memcpy(line, from + j, W * sizeof(T));
    for (int64_t j = whole; j < cols; ++j) line[j - whole] = from[j];
    for (int64_t j = cols; j < round_up(cols, W); ++j) line[j - whole] = T{};
  }
}

template <class T, int W>
inline void pack_panel(const T* from, int64_t depth_stride, int64_t lane_stride, int valid,
                       int64_t depth, T* to) {
  if (lane_stride == 1) {
    pack_row_panels<T, W>(from, depth_stride, valid, depth, to);
  } else if (depth_stride == 1) {
    pack_transposed<T, W>(from, lane_stride, valid, depth, to);
  } else {
    pack_strided<T, W>(from, depth_stride, lane_stride, valid, depth, to);
  }
}

// --- register tile

// acc[i][v] += sum_k a(k, i) * b[k * kTileCols + v]
template <class T, int R, int V, class A>
inline __attribute__((always_inline)) void accumulate(Vec<T> (&acc)[R][V], int64_t depth,
                                                      const A& a, const T* b) {
  for (int64_t k = 0; k < depth; ++k, b += kTileCols<T>) {
    Vec<T> columns[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) columns[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const Vec<T> row = broadcast<T>(a(k, i));
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) acc[i][v] += row * columns[v];
    }
  }
}

template <class T>
struct Tile {
  int64_t depth;
  T* c;
  int64_t pitch;
  int rows, cols;  // what of the tile lies in C
  bool add;        // to C, else it is written; the next two are for a tile that is written
  const T* bias;   // one for each row
  const T* residual = nullptr;                    // laid out as C
  const T* columns = nullptr;                     // a bias for each column
  T floor = -std::numeric_limits<T>::infinity();  // what is stored is at least this; a NaN stays
};

// One row of a tile: acc + what is there + bias, not below the floor.
template <class T, int V>
inline __attribute__((always_inline)) void write_row(Vec<T> (&acc)[V], const Tile<T>& tile, int i,
                                                     const T* prior) {
  const Vec<T> bias = broadcast(tile.bias ? tile.bias[i] : T{}), floor = broadcast(tile.floor);
#pragma GCC unroll 3
  for (int v = 0; v < V; ++v) {
    Vec<T> y = acc[v] + bias;
    if (prior) y += load(prior + i * tile.pitch + v * kLanes<T>);
    if (tile.columns) y += load(tile.columns + v * kLanes<T>);
    store(tile.c + i * tile.pitch + v * kLanes<T>, raise_to<T>(floor, y));
  }
}

// Writes the first rows x cols of a tile to C, with bias and residual when there are any, or adds them.
// A tile at the edge goes through memory, in a loop of its own: calls or branches while the accumulators
// are alive make the compiler keep some of them in memory, also in the loop over the depth.
template <class T, int R, int V>
inline __attribute__((always_inline)) void write_tile(Vec<T> (&acc)[R][V], const Tile<T>& tile) {
  constexpr int width = V * kLanes<T>;
  const T* prior = tile.add ? tile.c : tile.residual;
  if (tile.rows == R && tile.cols == width) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) write_row<T, V>(acc[i], tile, i, prior);
    return;
  }
  alignas(64) T values[R * width];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(values + i * width + v * kLanes<T>, acc[i][v]);
  }
  for (int i = 0; i < tile.rows; ++i) {
    const T bias = tile.bias ? tile.bias[i] : T{};
    for (int j = 0; j < tile.cols; ++j) {
      T y = values[i * width + j] + bias;
      if (prior) y += prior[i * tile.pitch + j];
      if (tile.columns) y += tile.columns[j];
      tile.c[i * tile.pitch + j] = y < tile.floor ? tile.floor : y;
    }
  }
}

template <class T, int R, int V>
__attribute__((noinline)) void packed_tile(const Tile<T>& tile, const T* a, const T* b) {
  Vec<T> acc[R][V] = {};
  // The tile of C is on its way while the products are summed.
  for (int i = 0; i < tile.rows; ++i)
    for (int v = 0; v < V; ++v) __builtin_prefetch(tile.c + i * tile.pitch + v * kLanes<T>, 1);
  accumulate<T, R, V>(
      acc, tile.depth, [a](int64_t k, int i) { return a[k * kTileRows + i]; }, b);
  write_tile<T, R, V>(acc, tile);
}

// Calls f with the smallest tile <R, V> that holds rows x cols; few shapes keep the code small.
template <int R, int V>
struct TileShape {
  static constexpr int rows = R, vectors = V;
};

template <int R, class F>
inline void dispatch_vectors(int vectors, F&& f) {
  if (vectors == 1) return f(TileShape<R, 1>{});
  if constexpr (kTileVectors == 3) {
    if (vectors == 2) return f(TileShape<R, 2>{});
  }
  f(TileShape<R, kTileVectors>{});
}

template <class T, class F>
inline void dispatch_tile(int rows, int cols, F&& f) {
  const int vectors = (cols + kLanes<T> - 1) / kLanes<T>;
  if (rows <= 2) return dispatch_vectors<2>(vectors, f);
  if constexpr (kTileRows > 4) {
    if (rows <= 4) return dispatch_vectors<4>(vectors, f);
  }
  dispatch_vectors<kTileRows>(vectors, f);
}

// --- block

// One block of C. pack_a(k, depth) returns all panels of A for that range of the depth, one after the
// other; pack_b(k, depth, column, valid) returns the panel of B with `valid` columns from `column` on.
// Columns are asked for in ascending order; the depth is cut into ranges of `step`. Bias and residual of the
// epilogue are added in the first of them, the activation is applied in the last.
template <class T, class PackA, class PackB>
void gemm_block(int64_t rows, int64_t cols, int64_t depth, int64_t step, const PackA& pack_a,
                const PackB& pack_b, T* c, int64_t pitch, const Epilogue<T>& epilogue) {
  if (depth == 0) {
    for (int64_t i = 0; i < rows; ++i) std::fill_n(c + i * pitch, cols, T{});
    return finish_rows(epilogue, c, pitch, rows, cols);
  }
  for (int64_t k = 0; k < depth; k += step) {
    const int64_t now = std::min(step, depth - k);
    const T* a = pack_a(k, now);
    for (int64_t j = 0; j < cols; j += kTileCols<T>) {
      const int valid = static_cast<int>(std::min<int64_t>(kTileCols<T>, cols - j));
      const T* b = pack_b(k, now, j, valid);
      for (int64_t i = 0; i < rows; i += kTileRows) {
        const int here = static_cast<int>(std::min<int64_t>(kTileRows, rows - i));
        T* to = c + i * pitch + j;
        Tile<T> tile{now, to, pitch, here, valid, k > 0, nullptr};
        const Epilogue<T> part = epilogue.at(i, j, i * pitch + j);
        if (k == 0)
          tile.bias = part.bias, tile.residual = part.residual, tile.columns = part.columns;
        if (k + now == depth) tile.floor = part.floor();
        dispatch_tile<T>(here, valid, [&](auto shape) {
          packed_tile<T, shape.rows, shape.vectors>(tile, a + i * now, b);
        });
        if (k + now == depth && part.smooth())
          activate_rows(part.activation, to, pitch, here, valid);
      }
    }
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
