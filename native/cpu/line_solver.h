// Solves (I - r D) x = b along lines, D the 3-point second difference with a boundary, one line in each
// SIMD lane. Read once per instruction set, after simd.h and transpose.h.
//
// Thomas elimination with constant coefficients. The factors depend on the channel and the direction only
// and are computed once, in float64:
//     m_0 = 1 / b_0,   m_i = 1 / (b_i - r^2 m_{i-1}),   b_i the diagonal
//     forward   d_i = m_i b_i + (r m_i) d_{i-1}         backward   x_i = d_i + (r m_i) x_{i+1}
// so a step is one fused multiply-add on the critical path and there is no division. Four lines of vectors
// advance together to hide its latency. Periodic lines use Sherman-Morrison: the corners are removed from
// the matrix, and x = y - (y_0 + w_last y_{n-1}) z corrects with the precomputed z.
// Source: Press et al., Numerical Recipes, 2.4 and 2.7; layout as in Laszlo, Giles, Appleyard (TOMS 2016).

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct LineFactors {
  const T* m;
  const T* rm;
  const T* z;  // null when not periodic
  T w_last;
};

// Factors of one line in double; `out` has line_factor_size(n) places: m, rm, z, w_last.
inline void factor_line(double r, int64_t n, Boundary boundary, double* out) {
  double* m = out;
  double* rm = out + n;
  double* z = out + 2 * n;
  bool cyclic = boundary == Boundary::periodic && n > 2;
  if (boundary == Boundary::periodic && n == 2) r *= 2;  // both neighbours are the same cell
  const bool open = boundary == Boundary::dirichlet;  // zero outside: the end cells lose flux too
  const double middle = 1 + 2 * r;
  const double end = open ? middle : (n == 1 ? 1.0 : 1 + r);
  // Sherman-Morrison with gamma = -middle: the corners leave, the end diagonals change.
  const double first = cyclic ? 2 * middle : end;
  const double last = cyclic ? middle + r * r / middle : end;
  double previous = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double b = i == 0 ? first : (i == n - 1 ? last : middle);
    m[i] = 1 / (b - (i ? r * r * previous : 0));
    previous = m[i];
    rm[i] = r * m[i];
  }
  out[3 * n] = 0;
  if (!cyclic) return;
  // z = q / (1 + v.q) with T q = (gamma, 0, ..., 0, -r) and v = (1, 0, ..., 0, r / middle).
  z[0] = m[0] * -middle;
  for (int64_t i = 1; i < n; ++i) z[i] = m[i] * (i == n - 1 ? -r : 0.0) + rm[i] * z[i - 1];
  for (int64_t i = n - 2; i >= 0; --i) z[i] += rm[i] * z[i + 1];
  const double w_last = r / middle;
  const double scale = 1 / (1 + z[0] + w_last * z[n - 1]);
  for (int64_t i = 0; i < n; ++i) z[i] *= scale;
  out[3 * n] = w_last;
}

// One step of G vectors: to = a * x + b * carried, and carried = to.
template <class T, int G>
inline __attribute__((always_inline)) void advance(Vec<T> (&carried)[G], const T* x, T a, T b) {
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) carried[g] = a * load(x + g * kLanes<T>) + b * carried[g];
}

// Solves G vectors of lines. Cell i of the right-hand side is at from + i * from_pitch; the solution goes to
// `to` (which may be `from`).
template <class T, int G>
inline void solve_lines(const T* from, int64_t from_pitch, T* to, int64_t to_pitch, int64_t n,
                        const LineFactors<T>& f) {
  constexpr int w = kLanes<T>;
  Vec<T> x[G] = {};
  for (int64_t i = 0; i < n; ++i) {
    advance<T, G>(x, from + i * from_pitch, f.m[i], f.rm[i]);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) store(to + i * to_pitch + g * w, x[g]);
  }
  for (int64_t i = n - 2; i >= 0; --i) {
    advance<T, G>(x, to + i * to_pitch, T(1), f.rm[i]);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) store(to + i * to_pitch + g * w, x[g]);
  }
  if (!f.z) return;
  // x holds y_0 now.
  Vec<T> correction[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g)
    correction[g] = x[g] + f.w_last * load(to + (n - 1) * to_pitch + g * w);
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      T* cell = to + i * to_pitch + g * w;
      store(cell, load(cell) - f.z[i] * correction[g]);
    }
  }
}

// --- planes [rows][columns]: `lines` is scratch of [max(rows, columns)][4 vectors].
// With `reflect` the result is 2 x - b (the Crank-Nicolson operator; see numerics/diffusion).

// Along x: lines are rows, 4 vectors of rows at a time are transposed into `lines`. from may be to.
template <class T>
inline void solve_rows(const T* from, T* to, int64_t rows, int64_t columns, const LineFactors<T>& f,
                       bool reflect, T* lines) {
  constexpr int w = kLanes<T>;
  int64_t row = 0;
  for (; row + 4 * w <= rows; row += 4 * w) {
    for (int g = 0; g < 4; ++g) {
      load_transposed(from + (row + g * w) * columns, columns, w, columns, lines + g * w, 4 * w);
    }
    solve_lines<T, 4>(lines, 4 * w, lines, 4 * w, columns, f);
    for (int g = 0; g < 4; ++g) {
      const int64_t at = (row + g * w) * columns;
      store_transposed(lines + g * w, 4 * w, w, columns, to + at, columns,
                       reflect ? from + at : nullptr);
    }
  }
  for (; row < rows; row += w) {
    const int count = rows - row < w ? static_cast<int>(rows - row) : w;
    const int64_t at = row * columns;
    load_transposed(from + at, columns, count, columns, lines, w);
    solve_lines<T, 1>(lines, w, lines, w, columns, f);
    store_transposed(lines, w, count, columns, to + at, columns, reflect ? from + at : nullptr);
  }
}

// Copies `count` <= G * w columns between a plane and lines, and reflects when asked.
template <class T, int G>
inline void solve_column_block(const T* from, T* to, int64_t rows, int64_t columns, int count,
                               const LineFactors<T>& f, bool reflect, T* lines) {
  constexpr int w = kLanes<T>, pitch = G * w;
  if (count == pitch && !reflect) {
    solve_lines<T, G>(from, columns, to, columns, rows, f);
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int g = 0; g < G; ++g) {
      const int left = count - g * w;
      const T* cell = from + i * columns + g * w;
      store(lines + i * pitch + g * w,
            left >= w ? load(cell) : load_partial(cell, left > 0 ? left : 0));
    }
  }
  solve_lines<T, G>(lines, pitch, lines, pitch, rows, f);
  for (int64_t i = 0; i < rows; ++i) {
    for (int g = 0; g * w < count; ++g) {
      const int part = std::min(count - g * w, w);
      const int64_t cell = i * columns + g * w;
      const Vec<T> x = load(lines + i * pitch + g * w);
      store_partial(to + cell, reflect ? x + x - load_partial(from + cell, part) : x, part);
    }
  }
}

// Along y: lines are columns, which lie side by side already.
template <class T>
inline void solve_columns(const T* from, T* to, int64_t rows, int64_t columns,
                          const LineFactors<T>& f, bool reflect, T* lines) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + 4 * w <= columns; j += 4 * w) {
    solve_column_block<T, 4>(from + j, to + j, rows, columns, 4 * w, f, reflect, lines);
  }
  for (; j < columns; j += w) {
    const int count = columns - j < w ? static_cast<int>(columns - j) : w;
    solve_column_block<T, 1>(from + j, to + j, rows, columns, count, f, reflect, lines);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
