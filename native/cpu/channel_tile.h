// A group of channels as a tile [pixel][lane], one channel in each SIMD lane: per-channel operators of any
// kind (gathers, solves along both axes) then work on whole vectors, without transposes between them.
// Read once per instruction set, after simd.h, transpose.h and line_solver.h.

namespace fluxion::cpu::FLUXION_TARGET {

// The channels of a group, from and to planes [channel][pixel]. Missing channels are zero.
template <class T>
inline void load_tile(const T* planes, int64_t pixels, int channels, T* tile) {
  load_transposed(planes, pixels, channels, pixels, tile, kLanes<T>);
}
template <class T>
inline void store_tile(const T* tile, int64_t pixels, int channels, T* planes) {
  store_transposed<T>(tile, kLanes<T>, channels, pixels, planes, pixels, nullptr);
}

// --- diffusion: the factors of line_solver.h, one channel in each lane

// Of n cells: m, rm and z [n][lane], w_last [lane].
template <class T>
struct TileFactors {
  const T *m, *rm, *z, *w_last;
  bool periodic;
};

template <class T>
constexpr int64_t tile_factor_size(int64_t n) {
  return (3 * n + 1) * kLanes<T>;
}

template <class T>
inline TileFactors<T> tile_factors_at(const T* table, int64_t n, Boundary boundary) {
  const int64_t step = n * kLanes<T>;
  return {table, table + step, table + 2 * step, table + 3 * step,
          boundary == Boundary::periodic && n > 2};
}

// rates[lane] = dt k / spacing^2; `line` has room for line_factor_count(n) doubles.
template <class T>
inline void factor_tile(const double* rates, int64_t n, Boundary boundary, double* line, T* table) {
  constexpr int w = kLanes<T>;
  const LineFactors<double> f = line_factors_at<double>(line, n, 1);
  for (int lane = 0; lane < w; ++lane) {
    factor_line(rates[lane], n, boundary, line);
    for (int64_t i = 0; i < n; ++i) {
      table[i * w + lane] = static_cast<T>(f.m[i]);
      table[(n + i) * w + lane] = static_cast<T>(f.rm[i]);
      table[(2 * n + i) * w + lane] = static_cast<T>(f.z[i]);
    }
    table[3 * n * w + lane] = static_cast<T>(*f.w_last / f.m[n - 1]);
  }
}

// G lines of n cells, `cell` elements between cells and `line` between lines, from -> to (may be equal).
template <class T, int G>
inline void solve_tile_lines(const T* from, T* to, int64_t cell, int64_t line, int64_t n,
                             const TileFactors<T>& f) {
  constexpr int w = kLanes<T>;
  Vec<T> x[G] = {};
  for (int64_t i = 0; i < n; ++i) {
    const Vec<T> m = load(f.m + i * w), rm = load(f.rm + i * w);
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      x[g] = m * load(from + i * cell + g * line) + rm * x[g];
      store(to + i * cell + g * line, x[g]);
    }
  }
  for (int64_t i = n - 2; i >= 0; --i) {
    const Vec<T> rm = load(f.rm + i * w);
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      T* at = to + i * cell + g * line;
      x[g] = load(at) + rm * x[g];
      store(at, x[g]);
    }
  }
  if (!f.periodic) return;
  const Vec<T> w_last = load(f.w_last);
#pragma GCC unroll 8
  for (int g = 0; g < G; ++g) x[g] = x[g] + w_last * load(to + (n - 1) * cell + g * line);
  for (int64_t i = 0; i < n; ++i) {
    const Vec<T> z = load(f.z + i * w);
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      T* at = to + i * cell + g * line;
      store(at, load(at) - z * x[g]);
    }
  }
}

// All `lines` lines of a tile along one axis.
template <class T>
inline void solve_tile(const T* from, T* to, int64_t cell, int64_t line, int64_t n, int64_t lines,
                       const TileFactors<T>& f) {
  int64_t l = 0;
  for (; l + 8 <= lines; l += 8)
    solve_tile_lines<T, 8>(from + l * line, to + l * line, cell, line, n, f);
  for (; l + 2 <= lines; l += 2)
    solve_tile_lines<T, 2>(from + l * line, to + l * line, cell, line, n, f);
  for (; l < lines; ++l) solve_tile_lines<T, 1>(from + l * line, to + l * line, cell, line, n, f);
}

// sums[lane] += <a, D b> spacing^2 along one axis, by parts over the faces.
template <class T>
inline void add_tile_laplacian(const T* a, const T* b, int64_t cell, int64_t line, int64_t n,
                               int64_t lines, Boundary boundary, double* sums) {
  constexpr int w = kLanes<T>;
  for (int64_t l = 0; l < lines; ++l, a += line, b += line) {
    Vec<T> sum{};
    for (int64_t i = 0; i + 1 < n; ++i) {
      sum -= (load(a + (i + 1) * cell) - load(a + i * cell)) *
             (load(b + (i + 1) * cell) - load(b + i * cell));
    }
    const Vec<T> a0 = load(a), b0 = load(b), a1 = load(a + (n - 1) * cell),
                 b1 = load(b + (n - 1) * cell);
    if (boundary == Boundary::periodic) sum -= (a0 - a1) * (b0 - b1);
    if (boundary == Boundary::dirichlet) sum -= a0 * b0 + a1 * b1;
    for (int lane = 0; lane < w; ++lane) sums[lane] += static_cast<double>(sum[lane]);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
