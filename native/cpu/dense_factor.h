// Blocks of dense factorisations: products with a small depth, triangular solves, LU of a panel. Row-major
// with any strides of the coefficients, so that transposes are strides. Read once per instruction set, after
// simd.h; nothing here is parallel.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

#if FLUXION_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int kUpdateRows = 8;
#else
constexpr int kUpdateRows = 4;
#endif
constexpr int kUpdateVectors = 2;
constexpr int64_t kUpdateDepth = 64;  // rows of X that are packed: 8 KiB
constexpr int64_t kLeaf = 8;          // triangles that are solved element by element

// A coefficient matrix: element (i, k) is at[i * row + k * column].
template <class T>
struct Coefficients {
  const T* at;
  int64_t row, column;
  T operator()(int64_t i, int64_t k) const { return at[i * row + k * column]; }
  Coefficients block(int64_t i, int64_t k) const {
    return {at + i * row + k * column, row, column};
  }
};

// `left` numbers at p, at most a vector of them; zeros in the place of the others.
template <class T>
inline Vec<T> load_left(const T* p, int64_t left) {
  if (left >= kLanes<T>) return load(p);
  return left > 0 ? load_partial(p, static_cast<int>(left)) : Vec<T>{};
}

// C -= a X for kRows rows and the columns of a packed X. Products are taken from C one by one, not from their sum:
// where a large one cancels C, those after it are rounded as small numbers.
template <int kRows, class T>
inline __attribute__((always_inline)) void update_tile(const Coefficients<T>& a, const T* packed,
                                                       int64_t depth, T* c, int64_t pitch,
                                                       int64_t columns) {
  constexpr int64_t w = kLanes<T>;
  Vec<T> rest[kRows][kUpdateVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    rest[i][0] = load_left(c + i * pitch, columns);
    rest[i][1] = load_left(c + i * pitch + w, columns - w);
  }
  for (int64_t k = 0; k < depth; ++k, packed += kUpdateVectors * w) {
    const Vec<T> x0 = load(packed), x1 = load(packed + w);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec<T> factor = broadcast(a(i, k));
      rest[i][0] -= factor * x0;
      rest[i][1] -= factor * x1;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    T* row = c + i * pitch;
#pragma GCC unroll 2
    for (int v = 0; v < kUpdateVectors; ++v) {
      const int64_t left = columns - v * w;
      if (left >= w) {
        store(row + v * w, rest[i][v]);
      } else if (left > 0) {
        store_partial(row + v * w, rest[i][v], static_cast<int>(left));
      }
    }
  }
}

template <class T>
void pack_columns(const T* x, int64_t pitch, int64_t depth, int64_t columns, T* packed) {
  constexpr int64_t w = kUpdateVectors * kLanes<T>;
  for (int64_t k = 0; k < depth; ++k, x += pitch, packed += w) {
    if (columns == w) {
      store(packed, load(x));
      store(packed + kLanes<T>, load(x + kLanes<T>));
    } else {
      for (int64_t j = 0; j < w; ++j) packed[j] = j < columns ? x[j] : T(0);
    }
  }
}

// C[rows, columns] -= a[rows, depth] X[depth, columns].
template <class T>
void update(const Coefficients<T>& a, int64_t rows, int64_t depth, const T* x, int64_t x_pitch,
            int64_t columns, T* c, int64_t c_pitch) {
  constexpr int64_t w = kUpdateVectors * kLanes<T>;
  alignas(64) T packed[kUpdateDepth * w];
  for (int64_t k = 0; k < depth; k += kUpdateDepth) {
    const int64_t part = std::min(kUpdateDepth, depth - k);
    for (int64_t j = 0; j < columns; j += w) {
      const int64_t width = std::min(w, columns - j);
      pack_columns(x + k * x_pitch + j, x_pitch, part, width, packed);
      int64_t i = 0;
      for (; i + kUpdateRows <= rows; i += kUpdateRows)
        update_tile<kUpdateRows>(a.block(i, k), packed, part, c + i * c_pitch + j, c_pitch, width);
      for (; i < rows; ++i)
        update_tile<1>(a.block(i, k), packed, part, c + i * c_pitch + j, c_pitch, width);
    }
  }
}

template <class T>
void subtract_row(T* __restrict to, const T* __restrict from, T factor, int64_t n) {
  for (int64_t j = 0; j < n; ++j) to[j] -= factor * from[j];
}

template <class T>
void scale_row(T* row, T factor, int64_t n) {
  for (int64_t j = 0; j < n; ++j) row[j] *= factor;
}

template <class T>
void divide_row(T* row, T divisor, int64_t n) {
  for (int64_t j = 0; j < n; ++j) row[j] /= divisor;
}

struct Triangle {
  bool upper, unit;
};

// X <- a^-1 X for a triangular a of n rows: halves, the second with the first taken away.
template <class T>
void solve_triangle(Triangle kind, const Coefficients<T>& a, int64_t n, T* x, int64_t pitch,
                    int64_t columns) {
  if (n > kLeaf) {
    const int64_t half = (n / 2 + kLeaf - 1) / kLeaf * kLeaf;
    T* const below = x + half * pitch;
    if (kind.upper) {
      solve_triangle(kind, a.block(half, half), n - half, below, pitch, columns);
      update(a.block(0, half), half, n - half, below, pitch, columns, x, pitch);
      solve_triangle(kind, a, half, x, pitch, columns);
    } else {
      solve_triangle(kind, a, half, x, pitch, columns);
      update(a.block(half, 0), n - half, half, x, pitch, columns, below, pitch);
      solve_triangle(kind, a.block(half, half), n - half, below, pitch, columns);
    }
    return;
  }
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = kind.upper ? n - 1 - step : step;
    T* const row = x + i * pitch;
    const int64_t begin = kind.upper ? i + 1 : 0, end = kind.upper ? n : i;
    for (int64_t k = begin; k < end; ++k) subtract_row(row, x + k * pitch, a(i, k), columns);
    if (!kind.unit) divide_row(row, a(i, i), columns);
  }
}

template <class T>
void swap_rows(T* a, T* b, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const T value = a[j];
    a[j] = b[j];
    b[j] = value;
  }
}

// Applies the exchanges of rows i and pivots[i], in order or in reverse.
template <class T>
void exchange_rows(const int32_t* pivots, int64_t begin, int64_t end, bool reverse, T* x,
                   int64_t pitch, int64_t columns) {
  for (int64_t step = begin; step < end; ++step) {
    const int64_t i = reverse ? begin + end - 1 - step : step;
    if (pivots[i] != i) swap_rows(x + i * pitch, x + pivots[i] * pitch, columns);
  }
}

// Row of the largest element of column j, from row j on.
template <class T>
int64_t pivot_row(const T* p, int64_t rows, int64_t pitch, int64_t j) {
  int64_t best = j;
  T largest = std::fabs(p[j * pitch + j]);
  for (int64_t i = j + 1; i < rows; ++i) {
    const T value = std::fabs(p[i * pitch + j]);
    if (value > largest) {
      largest = value;
      best = i;
    }
  }
  return best;
}

// LU of columns [begin, end) of a panel of `width` columns, rows from `begin` on; pivots count from the panel's
// first row. Returns the first column whose pivot is 0, or -1.
template <class T>
int64_t factor_columns(T* p, int64_t rows, int64_t pitch, int64_t width, int64_t begin, int64_t end,
                       int32_t* pivots) {
  if (end - begin > kLeaf) {
    const int64_t middle = begin + ((end - begin) / 2 + kLeaf - 1) / kLeaf * kLeaf;
    const int64_t left = factor_columns(p, rows, pitch, width, begin, middle, pivots);
    const Coefficients<T> lower{p + begin * pitch + begin, pitch, 1};
    T* const top = p + begin * pitch + middle;
    solve_triangle(Triangle{false, true}, lower, middle - begin, top, pitch, end - middle);
    update(lower.block(middle - begin, 0), rows - middle, middle - begin, top, pitch, end - middle,
           p + middle * pitch + middle, pitch);
    const int64_t right = factor_columns(p, rows, pitch, width, middle, end, pivots);
    return left >= 0 ? left : right;
  }
  int64_t zero = -1;
  for (int64_t j = begin; j < end; ++j) {
    const int64_t best = pivot_row(p, rows, pitch, j);
    pivots[j] = static_cast<int32_t>(best);
    if (best != j) swap_rows(p + j * pitch, p + best * pitch, width);
    const T pivot = p[j * pitch + j];
    if (pivot == T(0)) {
      if (zero < 0) zero = j;
      continue;
    }
    for (int64_t i = j + 1; i < rows; ++i) {
      T* const row = p + i * pitch;
      row[j] /= pivot;
      subtract_row(row + j + 1, p + j * pitch + j + 1, row[j], end - j - 1);
    }
  }
  return zero;
}

// Cholesky factor of a small matrix in its lower triangle, column by column. Returns the first column whose
// pivot is not positive, or -1.
template <class T>
int64_t factor_symmetric(T* a, int64_t n, int64_t pitch) {
  T column[kFactorPanel];
  for (int64_t j = 0; j < n; ++j) {
    const T pivot = a[j * pitch + j];
    if (!(pivot > T(0))) return j;
    const T root = std::sqrt(pivot);
    a[j * pitch + j] = root;
    for (int64_t i = j + 1; i < n; ++i) {
      column[i] = a[i * pitch + j] /= root;
      subtract_row(a + i * pitch + j + 1, column + j + 1, column[i], i - j);
    }
  }
  return -1;
}

template <class T>
void copy_rows(const T* from, int64_t from_pitch, int64_t rows, int64_t columns, T* to,
               int64_t to_pitch) {
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(to + i * to_pitch, from + i * from_pitch, static_cast<size_t>(columns) * sizeof(T));
}

// to[j][i] = from[i][j], and from its transpose.
template <class T>
void transpose_rows(const T* from, int64_t from_pitch, int64_t rows, int64_t columns, T* to,
                    int64_t to_pitch) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * to_pitch + i] = from[i * from_pitch + j];
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
