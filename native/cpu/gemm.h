// C[rows, cols] = act(A B + bias + residual) from packed panels, C row-major. No include guard: read once per
// instruction set, after simd.h, transpose.h and epilogue.h.
//
//   A panel  [depth][kTileRows]   rows of A, broadcast one by one
//   B panel  [depth][kTileCols]   whole vectors of columns
//
// A tile of C is kept in registers while a panel of A meets a panel of B: kTileRows * kTileVectors
// accumulators hide the latency of the FMAs (4 cycles, 2 a cycle), and each step loads fewer values than it
// multiplies. The order is the caller's: convolutions have the panels of A, few, stream past one
// panel of B in L1/L2; large products keep the rows of A of one tile in L1 while the panels of B stream past from
// L2 (Goto and van de Geijn, ACM TOMS 34, 2008, with the roles of A and B exchanged). Nothing here is parallel.

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

// Panels of contiguous rows. `V` vectors of a row are taken, of which `valid` elements exist.
template <class T, int V>
inline void copy_panel(const T* from, int64_t depth_stride, int valid, int64_t depth, T* to) {
  constexpr int n = kLanes<T>;
  const int rest = valid - (V - 1) * n;
  for (int64_t k = 0; k < depth; ++k, from += depth_stride, to += kTileCols<T>) {
    const T* last = from + (V - 1) * n;
#pragma GCC unroll 3
    for (int v = 0; v < V - 1; ++v) store(to + v * n, load(from + v * n));
    store(to + (V - 1) * n, rest == n ? load(last) : load_partial(last, rest));
  }
}

template <class T>
inline void copy_panel(const T* from, int64_t depth_stride, int valid, int64_t depth, T* to) {
  if (valid <= kLanes<T>) return copy_panel<T, 1>(from, depth_stride, valid, depth, to);
  if constexpr (kTileVectors == 3) {
    if (valid <= 2 * kLanes<T>) return copy_panel<T, 2>(from, depth_stride, valid, depth, to);
  }
  copy_panel<T, kTileVectors>(from, depth_stride, valid, depth, to);
}

template <class T, int W>
inline void pack_panel(const T* from, int64_t depth_stride, int64_t lane_stride, int valid,
                       int64_t depth, T* to) {
  if (lane_stride == 1 && W == kTileCols<T>) {
    copy_panel(from, depth_stride, valid, depth, to);
  } else if (lane_stride == 1 && valid == W) {
    for (int64_t k = 0; k < depth; ++k) {
      __builtin_memcpy(to + k * W, from + k * depth_stride, W * sizeof(T));
    }
  } else if (depth_stride == 1) {
    pack_transposed<T, W>(from, lane_stride, valid, depth, to);
  } else {
    pack_strided<T, W>(from, depth_stride, lane_stride, valid, depth, to);
  }
}

// Asks for rows [begin, end) of a panel that begins at `from`, into L2: in L1 lines a large power of two
// apart would displace each other.
template <class T>
inline void prefetch_panel(const T* from, int64_t depth_stride, int64_t begin, int64_t end) {
  constexpr int line = 64 / sizeof(T);
  for (int64_t k = begin; k < end; ++k) {
    for (int j = 0; j < kTileCols<T>; j += line)
      __builtin_prefetch(from + k * depth_stride + j, 0, 2);
  }
}

// The width of the next panel when `cols` are left: panels of nearly equal width, since a tile of one vector
// is slower than one of two.
template <class T>
inline int panel_cols(int64_t cols) {
  const int64_t vectors = ceil_div(cols, kLanes<T>), panels = ceil_div(vectors, kTileVectors);
  return static_cast<int>(std::min(cols, ceil_div(vectors, panels) * kLanes<T>));
}

// --- register tile

// acc[i][v] += sum_k a(k, i) * b[k * pitch + v]; with kAhead, rows of b that many steps later are asked for: a
// panel that lies in L2.
template <class T, int R, int V, int kAhead = 0, class A>
inline __attribute__((always_inline)) void accumulate(Vec<T> (&acc)[R][V], int64_t depth,
                                                      const A& a, const T* b,
                                                      int64_t pitch = kTileCols<T>) {
  for (int64_t k = 0; k < depth; ++k, b += pitch) {
    Vec<T> columns[V];
    if constexpr (kAhead > 0) {
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) __builtin_prefetch(b + kAhead * pitch + v * kLanes<T>);
    }
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
  const T* bias;   // one for each row, where the sums begin
  const T* residual = nullptr;                    // laid out as C
  const T* columns = nullptr;                     // a bias for each column
  T floor = -std::numeric_limits<T>::infinity();  // what is stored is at least this; a NaN stays
  bool stream = false;  // around the caches; C and the pitch must then be aligned to vectors
};

// A tile begins with the bias of its rows, which costs nothing: without one its values must still be set to zero.
template <class T, int R, int V>
inline __attribute__((always_inline)) void start_tile(Vec<T> (&acc)[R][V], const Tile<T>& tile) {
  static constexpr T kNoBias[R] = {};
  const T* bias = tile.bias ? tile.bias : kNoBias;
  const int last = tile.bias ? tile.rows - 1 : 0;
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    const Vec<T> row = broadcast(bias[std::min(i, last)]);
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) acc[i][v] = row;
  }
}

// A whole tile, with `prior` added (what is in C, or a residual) when there is one. One loop for each case: a
// branch for each vector costs as much as the products of ten steps of the depth.
template <class T, int R, int V, bool kPrior, bool kStream>
inline __attribute__((always_inline)) void write_whole(Vec<T> (&acc)[R][V], const Tile<T>& tile,
                                                       const T* prior, int64_t prior_pitch) {
  const Vec<T> floor = broadcast(tile.floor);
  const int64_t pitch =
      tile.pitch;  // loaded once: for the compiler the stores below might change the tile
  T* to = tile.c;
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i, to += pitch) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      Vec<T> y = acc[i][v];
      if constexpr (kPrior) y += load(prior + i * prior_pitch + v * kLanes<T>);
      y = raise_to<T>(floor, y);
      if constexpr (kStream) {
        stream(to + v * kLanes<T>, y);
      } else {
        store(to + v * kLanes<T>, y);
      }
    }
  }
}

// A tile at the edge of C, or with two things to add, from memory.
template <class T, int R, int V>
__attribute__((noinline)) void write_edge(const T* values, const Tile<T>& tile) {
  constexpr int n = kLanes<T>;
  const T* prior = tile.add ? tile.c : tile.residual;
  for (int i = 0; i < tile.rows; ++i, values += V * n) {
    for (int j = 0; j < tile.cols; j += n) {
      const int64_t at = i * tile.pitch + j;
      const int count = std::min(n, tile.cols - j);
      Vec<T> y = load(values + j);
      if (prior) y += load_partial(prior + at, count);
      if (tile.columns) y += load_partial(tile.columns + j, count);
      store_partial(tile.c + at, raise_to<T>(broadcast(tile.floor), y), count);
    }
  }
}

// Writes the first rows x cols of a tile to C, with the residual when there is one, or adds them.
// A tile at the edge goes through memory: calls or branches while the accumulators are alive make the
// compiler keep some of them in memory, also in the loop over the depth.
template <class T, int R, int V>
inline __attribute__((always_inline)) void write_tile(Vec<T> (&acc)[R][V], const Tile<T>& tile) {
  constexpr int n = kLanes<T>;
  const T* prior = tile.add ? tile.c : tile.residual;
  if (tile.rows == R && tile.cols == V * n && !(prior && tile.columns)) {
    const T* added = prior ? prior : tile.columns;
    const int64_t pitch = prior ? tile.pitch : 0;
    if (tile.stream) {
      if (added) return write_whole<T, R, V, true, true>(acc, tile, added, pitch);
      return write_whole<T, R, V, false, true>(acc, tile, nullptr, 0);
    }
    if (added) return write_whole<T, R, V, true, false>(acc, tile, added, pitch);
    return write_whole<T, R, V, false, false>(acc, tile, nullptr, 0);
  }
  alignas(64) T values[R * V * n];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(values + (i * V + v) * n, acc[i][v]);
  }
  write_edge<T, R, V>(values, tile);
}

template <class T, int R, int V>
inline __attribute__((always_inline)) void prefetch_tile(const Tile<T>& tile) {
  // What is added to the products, or else the tile of C, is on its way while they are summed.
  const T* soon = tile.add || !tile.residual ? tile.c : tile.residual;
  const int soon_rows = soon == tile.c && tile.stream ? 0 : tile.rows;
  for (int i = 0; i < soon_rows; ++i)
    for (int v = 0; v < V; ++v) __builtin_prefetch(soon + i * tile.pitch + v * kLanes<T>, 1);
}

template <class T, int R, int V>
__attribute__((noinline)) void packed_tile(const Tile<T>& tile, const T* a, const T* b) {
  Vec<T> acc[R][V];
  start_tile<T, R, V>(acc, tile);
  prefetch_tile<T, R, V>(tile);
  accumulate<T, R, V>(
      acc, tile.depth, [a](int64_t k, int i) { return a[k * kTileRows + i]; }, b);
  write_tile<T, R, V>(acc, tile);
}

// A step of the depth takes 12 cycles, a line from L2 some 15 to 50.
inline constexpr int kPanelAhead = 8;

// The same from a matrix A that is not packed: element (i, k) at a + i * row_stride + k * depth_stride. Rows
// beyond those of the tile repeat its last one.
template <class T, int R, int V>
__attribute__((noinline)) void strided_tile(const Tile<T>& tile, const T* a, int64_t row_stride,
                                            int64_t depth_stride, const T* b, int64_t b_pitch) {
  Vec<T> acc[R][V];
  start_tile<T, R, V>(acc, tile);
  prefetch_tile<T, R, V>(tile);
  const T* row[R];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) row[i] = a + std::min(i, tile.rows - 1) * row_stride;
  accumulate<T, R, V, kPanelAhead>(
      acc, tile.depth, [&](int64_t k, int i) { return row[i][k * depth_stride]; }, b, b_pitch);
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

}  // namespace fluxion::cpu::FLUXION_TARGET
