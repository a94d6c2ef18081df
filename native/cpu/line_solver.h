// Solves (I - r D) x = b along lines, D the 3-point second difference with a boundary, one line in each
// SIMD lane. Read once per instruction set, after simd.h and transpose.h.
//
// Thomas elimination with constant coefficients. The factors depend on r only and are computed in float64:
//     m_0 = 1 / b_0,   m_i = 1 / (b_i - r^2 m_{i-1}),   b_i the diagonal
//     forward   e_i = b_i + (r m_{i-1}) e_{i-1}
//     backward  v_i = e_i + (r m_{i+1}) v_{i+1},   y_i = m_i v_i
// so a step is one fused multiply-add on the critical path and there is no division. Periodic lines use
// Sherman-Morrison: the corners leave the matrix, and x = y - (y_0 + w y_{n-1}) z corrects with the
// precomputed z. y_0 = sum_i p_i e_i is gathered by the forward sweep, so that the backward sweep corrects
// as it goes and no line is read a third time.
// Source: Press et al., Numerical Recipes, 2.4 and 2.7; layout as in Laszlo, Giles, Appleyard (TOMS 2016).

namespace fluxion::cpu::FLUXION_TARGET {

// Of one line, or, where a sweep is told so (kPerLane), of kLanes<T> different ones side by side.
template <class T>
struct LineFactors {
  const T* m;
  const T* rm;      // r m_i; rm[-1] and rm[n] are 0
  const T* z;       // 0 where the line is not cyclic
  const T* p;       // likewise
  const T* w_last;  // one value: w m_{n-1}
};

// The factors of one line follow each other in a table: m, rm with its two zeros, z, p, w_last.
inline int64_t line_factor_count(int64_t n) { return 4 * n + 3; }

// `each` values stand side by side for every one of a line.
template <class T>
inline LineFactors<T> line_factors_at(const T* t, int64_t n, int64_t each) {
  return {t, t + (n + 1) * each, t + (2 * n + 2) * each, t + (3 * n + 2) * each,
          t + (4 * n + 2) * each};
}

inline void factor_line(double r, int64_t n, Boundary boundary, double* out) {
  double *m = out, *rm = out + n + 1, *z = out + 2 * n + 2, *p = out + 3 * n + 2;
  const bool cyclic = boundary == Boundary::periodic && n > 2;
  if (boundary == Boundary::periodic && n == 2) r *= 2;  // both neighbours are the same cell
  const double middle = 1 + 2 * r;
  // What the diagonal has at the ends beyond 1 and the faces between cells. Dirichlet: zero outside.
  // Cyclic: Sherman-Morrison with gamma = -middle, where the corners leave and the ends change.
  const double wall = boundary == Boundary::dirichlet ? r : 0;
  const double at_first = cyclic ? 1 + 3 * r : wall;
  const double at_last = cyclic ? r + r * r / middle : wall;
  // The pivot is q + r, and r - r^2 / (q + r) = r q / (q + r): nothing cancels, however large r is.
  double carried = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double q = 1 + (i == 0 ? at_first : 0) + (i == n - 1 ? at_last : 0) + carried;
    m[i] = 1 / (q + (i == n - 1 ? 0 : r));
    carried = r * q * m[i];
    rm[i] = r * m[i];
    z[i] = p[i] = 0;
  }
  rm[-1] = rm[n] = p[n] = 0;  // p[n] is the place of w_last
  if (!cyclic) return;
  // z = q / (1 + v.q) with T q = (gamma, 0, ..., 0, -r) and v = (1, 0, ..., 0, r / middle).
  z[0] = m[0] * -middle;
  for (int64_t i = 1; i < n; ++i) z[i] = m[i] * (i == n - 1 ? -r : 0.0) + rm[i] * z[i - 1];
  for (int64_t i = n - 2; i >= 0; --i) z[i] += rm[i] * z[i + 1];
  const double w_last = r / middle;
  const double scale = 1 / (1 + z[0] + w_last * z[n - 1]);
  double product = m[0];
  // Both decay geometrically: what is too small to count is 0, for subnormal numbers are slow.
  const auto kept = [](double v) { return v > 1e-30 || v < -1e-30 ? v : 0.0; };
  for (int64_t i = 0; i < n; ++i) {
    z[i] = kept(z[i] * scale);
    if (i) product *= rm[i];
    p[i] = kept(product);
  }
  p[n] = w_last * m[n - 1];
}

// x as it is, and no part of a fused multiply-add with what made it: the compiler may fuse one of two
// products or the other, and results must not depend on where a function is inlined.
template <class T>
inline __attribute__((always_inline)) Vec<T> rounded(Vec<T> x) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  asm("" : "+v"(x));
#elif defined(__x86_64__)
  asm("" : "+x"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#endif
  return x;
}

// a * b + c in one instruction where there is one: left to itself the compiler splits it across iterations,
// which doubles the latency of a sweep and rounds otherwise.
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
inline __attribute__((always_inline)) Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) {
  return reinterpret_cast<Vec<float>>(_mm512_fmadd_ps(
      reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
}
inline __attribute__((always_inline)) Vec<double> fused(Vec<double> a, Vec<double> b,
                                                        Vec<double> c) {
  return reinterpret_cast<Vec<double>>(_mm512_fmadd_pd(
      reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), reinterpret_cast<__m512d>(c)));
}
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
inline __attribute__((always_inline)) Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) {
  return reinterpret_cast<Vec<float>>(_mm256_fmadd_ps(
      reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
}
inline __attribute__((always_inline)) Vec<double> fused(Vec<double> a, Vec<double> b,
                                                        Vec<double> c) {
  return reinterpret_cast<Vec<double>>(_mm256_fmadd_pd(
      reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), reinterpret_cast<__m256d>(c)));
}
#else
template <class V>
inline __attribute__((always_inline)) V fused(V a, V b, V c) {
  return a * b + c;
}
#endif

template <class T, bool kPerLane>
inline __attribute__((always_inline)) Vec<T> coefficient(const T* table, int64_t i) {
  if constexpr (kPerLane) return load(table + i * kLanes<T>);
  return broadcast(table[i]);
}

// --- lines that lie side by side (along any axis but the last), G vectors of them at a time

// e_i of the cells at from + i * from_pitch goes to e + i * pitch. With kPeriodic the factor of the
// correction goes to `correction`. `count` < G vectors only if G is 1: the other lanes are 0.
template <class T, int G, bool kPeriodic>
inline __attribute__((always_inline)) void forward_strip(const T* from, int64_t from_pitch, T* e,
                                                         int64_t pitch, int64_t n, int count,
                                                         const LineFactors<T>& f, T* correction) {
  constexpr int w = kLanes<T>;
  Vec<T> x[G] = {}, first[G] = {};
  const bool whole = count == G * w;
  for (int64_t i = 0; i < n; ++i, from += from_pitch, e += pitch) {
    const Vec<T> rm = broadcast(f.rm[i - 1]);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const Vec<T> b = whole ? load(from + g * w) : load_partial(from + g * w, count);
      x[g] = fused(rm, x[g], b);
      if (kPeriodic) first[g] = fused(broadcast(f.p[i]), x[g], first[g]);
      store(e + g * w, x[g]);
    }
  }
  if (!kPeriodic) return;
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g)
    store(correction + g * w, fused(broadcast(*f.w_last), x[g], first[g]));
}

// x_i to `to`, which may be e; with `reflected`, 2 x_i - reflected_i.
template <class T, int G, bool kPeriodic>
inline __attribute__((always_inline)) void backward_strip(const T* e, int64_t pitch, T* to,
                                                          int64_t to_pitch, int64_t n, int count,
                                                          const LineFactors<T>& f,
                                                          const T* correction, const T* reflected,
                                                          int64_t reflected_pitch,
                                                          bool around_caches) {
  constexpr int w = kLanes<T>;
  Vec<T> v[G] = {}, shift[G] = {};
  const bool whole = count == G * w;
  if (kPeriodic) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) shift[g] = load(correction + g * w);
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    const Vec<T> rm = broadcast(f.rm[i + 1]), m = broadcast(f.m[i]);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      v[g] = fused(rm, v[g], load(e + i * pitch + g * w));
      Vec<T> x = rounded<T>(m * v[g]);
      if (kPeriodic) x = fused(broadcast(-f.z[i]), shift[g], x);
      T* cell = to + i * to_pitch + g * w;
      if (reflected) {
        const T* b = reflected + i * reflected_pitch + g * w;
        x = T(2) * x - (whole ? load(b) : load_partial(b, count));
      }
      if (!whole) {
        store_partial(cell, x, count);
      } else if (around_caches) {
        stream(cell, x);
      } else {
        store(cell, x);
      }
    }
  }
}

// Solves `count` <= 4 vectors of lines; from may be to. `scratch`: n + 1 rows of 4 vectors.
template <class T, bool kPeriodic>
inline void solve_strip(const T* from, T* to, int64_t pitch, int64_t n, int count,
                        const LineFactors<T>& f, bool reflect, T* scratch) {
  constexpr int w = kLanes<T>;
  T* correction = scratch + n * 4 * w;
  int at = 0;
  if (count == 4 * w) {
    forward_strip<T, 4, kPeriodic>(from, pitch, scratch, 4 * w, n, count, f, correction);
    backward_strip<T, 4, kPeriodic>(scratch, 4 * w, to, pitch, n, count, f, correction,
                                    reflect ? from : nullptr, pitch, false);
    return;
  }
  for (; at < count; at += w) {
    const int part = std::min(w, count - at);
    forward_strip<T, 1, kPeriodic>(from + at, pitch, scratch, w, n, part, f, correction);
    backward_strip<T, 1, kPeriodic>(scratch, w, to + at, pitch, n, part, f, correction,
                                    reflect ? from + at : nullptr, pitch, false);
  }
}

// --- lines along the last axis: a tile of w cells of w lines, transposed, is w cells side by side

// What a sweep carries from tile to tile.
template <class T>
struct LineCarry {
  Vec<T> value{};
  Vec<T> first{};  // going forward: y_0 so far; going backward: the correction
};

// Forward over cells j .. j + count of the lines; e to lines[j + i].
template <class T, bool kPerLane, bool kPeriodic>
inline __attribute__((always_inline)) void forward_tile(const Vec<T> (&tile)[kLanes<T>], int64_t j,
                                                        int count, const LineFactors<T>& f,
                                                        T* lines, LineCarry<T>& carry) {
  constexpr int w = kLanes<T>;
#pragma GCC unroll 16
  for (int i = 0; i < w; ++i) {
    if (i < count) {
      carry.value = fused(coefficient<T, kPerLane>(f.rm, j + i - 1), carry.value, tile[i]);
      if (kPeriodic)
        carry.first = fused(coefficient<T, kPerLane>(f.p, j + i), carry.value, carry.first);
      store(lines + (j + i) * w, carry.value);
    }
  }
}

// After the last tile: makes the carry ready for going backward.
template <class T, bool kPerLane, bool kPeriodic>
inline __attribute__((always_inline)) void turn(const LineFactors<T>& f, LineCarry<T>& carry) {
  if (kPeriodic)
    carry.first = fused(coefficient<T, kPerLane>(f.w_last, 0), carry.value, carry.first);
  carry.value = Vec<T>{};
}

// Backward over the same cells; x into the tile.
template <class T, bool kPerLane, bool kPeriodic>
inline __attribute__((always_inline)) void backward_tile(const T* lines, int64_t j, int count,
                                                         const LineFactors<T>& f,
                                                         LineCarry<T>& carry,
                                                         Vec<T> (&tile)[kLanes<T>]) {
  constexpr int w = kLanes<T>;
#pragma GCC unroll 16
  for (int i = w - 1; i >= 0; --i) {
    if (i < count) {
      carry.value =
          fused(coefficient<T, kPerLane>(f.rm, j + i + 1), carry.value, load(lines + (j + i) * w));
      tile[i] = rounded<T>(coefficient<T, kPerLane>(f.m, j + i) * carry.value);
      if (kPeriodic) tile[i] = fused(-coefficient<T, kPerLane>(f.z, j + i), carry.first, tile[i]);
    } else {
      tile[i] = Vec<T>{};
    }
  }
}

// A tile of rows from memory; missing rows and columns are zero.
template <class T>
inline __attribute__((always_inline)) void load_tile(const T* from, int64_t stride, int rows,
                                                     int columns, Vec<T> (&tile)[kLanes<T>]) {
  constexpr int w = kLanes<T>;
  if (rows == w && columns == w) {
#pragma GCC unroll 16
    for (int i = 0; i < w; ++i) tile[i] = load(from + i * stride);
  } else {
    for (int i = 0; i < w; ++i) {
      tile[i] = i < rows ? load_partial(from + i * stride, columns) : Vec<T>{};
    }
  }
}

template <class T>
inline __attribute__((always_inline)) void store_tile(const Vec<T> (&tile)[kLanes<T>], T* to,
                                                      int64_t stride, int rows, int columns,
                                                      bool around_caches) {
  constexpr int w = kLanes<T>;
  if (rows == w && columns == w && around_caches) {
#pragma GCC unroll 16
    for (int i = 0; i < w; ++i) stream(to + i * stride, tile[i]);
  } else if (rows == w && columns == w) {
#pragma GCC unroll 16
    for (int i = 0; i < w; ++i) store(to + i * stride, tile[i]);
  } else {
    for (int i = 0; i < rows; ++i) store_partial(to + i * stride, tile[i], columns);
  }
}

// 2 tile - from, the rows of a transposed tile.
template <class T>
inline __attribute__((always_inline)) void reflect_tile(Vec<T> (&tile)[kLanes<T>], const T* from,
                                                        int64_t stride, int rows, int columns) {
  constexpr int w = kLanes<T>;
  if (rows == w && columns == w) {
#pragma GCC unroll 16
    for (int i = 0; i < w; ++i) tile[i] = T(2) * tile[i] - load(from + i * stride);
  } else {
    for (int i = 0; i < rows; ++i)
      tile[i] = T(2) * tile[i] - load_partial(from + i * stride, columns);
  }
}

// Whether rows of `columns` elements at p may be written with stream().
template <class T>
inline bool streamable(const T* p, int64_t columns) {
  return reinterpret_cast<uintptr_t>(p) % 64 == 0 &&
         columns * static_cast<int64_t>(sizeof(T)) % 64 == 0;
}

// The address of every cell line of a tile of w rows.
template <class T>
inline __attribute__((always_inline)) void prefetch_tile(const T* from, int64_t stride) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) __builtin_prefetch(from + i * stride, 0, 2);
}

// Up to w rows of n cells.
template <class T>
struct RowBlock {
  const T* from;
  int64_t from_pitch;
  T* to;  // may be from
  int64_t to_pitch;
  int rows;
  int64_t n;
  bool around_caches;
  const T* next;  // rows (as many, n apart) to prefetch meanwhile, or null
};

// Solves them; `lines`: n vectors. With kReflect the result is 2 x - from.
template <class T, bool kPerLane, bool kPeriodic, bool kReflect>
inline void solve_row_block(const RowBlock<T>& block, const LineFactors<T>& f, T* lines) {
  constexpr int w = kLanes<T>;
  const int64_t n = block.n;
  LineCarry<T> carry;
  Vec<T> tile[w];
  int64_t j = 0;
  for (; j + w <= n; j += w) {
    load_tile(block.from + j, block.from_pitch, block.rows, w, tile);
    if (block.next) prefetch_tile(block.next + j, n);
    transpose_tile<T>(tile);
    forward_tile<T, kPerLane, kPeriodic>(tile, j, w, f, lines, carry);
  }
  const int left = static_cast<int>(n - j);
  if (left > 0) {
    load_tile(block.from + j, block.from_pitch, block.rows, left, tile);
    transpose_tile<T>(tile);
    forward_tile<T, kPerLane, kPeriodic>(tile, j, left, f, lines, carry);
  }
  turn<T, kPerLane, kPeriodic>(f, carry);
  if (left > 0) {
    backward_tile<T, kPerLane, kPeriodic>(lines, j, left, f, carry, tile);
    transpose_tile<T>(tile);
    if (kReflect) reflect_tile(tile, block.from + j, block.from_pitch, block.rows, left);
    store_tile(tile, block.to + j, block.to_pitch, block.rows, left, block.around_caches);
  }
  for (j -= w; j >= 0; j -= w) {
    backward_tile<T, kPerLane, kPeriodic>(lines, j, w, f, carry, tile);
    transpose_tile<T>(tile);
    if (kReflect) reflect_tile(tile, block.from + j, block.from_pitch, block.rows, w);
    store_tile(tile, block.to + j, block.to_pitch, block.rows, w, block.around_caches);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
