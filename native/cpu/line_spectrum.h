// Real eigenbases of the 3-point second difference along lines, two lines in each SIMD lane: line a in the
// real and line b in the imaginary part of one complex transform.
//     periodic   coefficients 2 Re A_k (k <= n/2) and 2 Im A_{n-k} (beyond), A = FFT a
//     neumann    DCT-II  2 sum_j a_j cos(pi k (2 j + 1) / 2n)
//     dirichlet  DST-I   2 sum_j a_j sin(pi (j + 1)(k + 1) / (n + 1))
// Coefficients that are their own partner (k = 0 and k = n / 2 of the first two) lack the factor 2, and that
// of the DCT also the cosine: line_scale makes synthesis invert analysis.
//
// DCT-II by Makhoul's reordering (even cells up, odd cells down), a complex transform of the same length and
// a rotation of the pair (k, n - k), which for the periodic basis is missing. DST-I by the odd extension to
// 2 (n + 1), stable unlike those of half the length; short lines, and those whose n + 1 has a large prime factor, by the
// matrix, folded into its even and odd halves. Sources: J. Makhoul, IEEE Trans. ASSP 28(1), 1980; Press et al., Numerical Recipes, 12.4.
// Read once per instruction set, after simd.h, transpose.h, fft.h and next_planes.h.

namespace fluxion::cpu::FLUXION_TARGET {

// Rows of the folded sine matrix that are computed together.
inline constexpr int kSineRows = 8;

template <class T>
struct LineBasis {
  Boundary boundary;
  int64_t n;             // cells of a line, and coefficients
  FftPlan<T> fft;        // unused with a matrix
  const T* matrix;       // of a short sine transform, else null
  const T* rotation;     // cos and sin of pi k / 2n (neumann)
  const int32_t* place;  // of cell j in the buffers of a line
  bool ready() const { return place && (matrix || fft.table); }
};

// The factor s_k of coefficient k: synthesis(s * analysis) is the identity, and <a, b> = sum s_k a^_k b^_k.
inline double line_scale(Boundary boundary, int64_t n, int64_t k) {
  const double cells = static_cast<double>(n);
  if (boundary == Boundary::dirichlet) return 0.5 / (cells + 1);
  return (k == 0 || 2 * k == n ? 1 : 0.5) / cells;
}

// Cycles of a transform for a vector of lines, roughly: 2.5 for each factor 2 and p + 3 for an odd prime p, a
// point; convolutions do two transforms of the padded length, from L2.
inline int64_t transform_cycles(int64_t n) {
  if (!fft_is_mixed_radix(n)) return 80 * fft_padded_length(n);
  int64_t halves = 0, rest = n;
  for (int64_t p = 2; rest > 1; p += p == 2 ? 1 : 2) {
    for (; rest % p == 0; rest /= p) halves += p == 2 ? 5 : 2 * p + 6;
  }
  return n * halves / 2;
}

// Whether the matrix, n / 2 multiply-adds of two lines for each coefficient, costs less than the transform:
// up to about 80 cells, and longer where n + 1 has a large prime factor (as after powers of 2 it often has).
inline bool sine_by_matrix(int64_t n) {
  constexpr int64_t kLongest = 512;  // half a megabyte of matrix in float32
  return n <= kLongest && n * n / 2 < transform_cycles(2 * n + 2);
}

inline int64_t sine_groups(int64_t n, int parity) {
  return ((n + 1 - parity) / 2 + kSineRows - 1) / kSineRows;
}

// [even then odd k][groups of rows][j < (n + 1) / 2][row]: 2 sin(pi (j + 1)(k + 1) / (n + 1)).
template <class T>
inline const T* sine_matrix(const Kernel& call, int64_t n) {
  const int64_t half = (n + 1) / 2, groups = sine_groups(n, 0) + sine_groups(n, 1);
  const size_t bytes = static_cast<size_t>(groups * half * kSineRows) * sizeof(T);
  const PlanKey key = PlanKey("sine matrix").add(n).add(sizeof(T));
  return static_cast<const T*>(call.plans->find(key.text(), bytes, [&](void* to) {
    T* out = static_cast<T*>(to);
    for (int parity = 0; parity < 2; ++parity) {
      for (int64_t row = 0; row < sine_groups(n, parity) * kSineRows; row += kSineRows) {
        for (int64_t j = 0; j < half; ++j) {
          for (int i = 0; i < kSineRows; ++i) {
            const int64_t turn = (j + 1) * (2 * (row + i) + parity + 1) % (2 * n + 2);
            *out++ =
                static_cast<T>(2 * std::sin(3.14159265358979323846 * static_cast<double>(turn) /
                                            static_cast<double>(n + 1)));
          }
        }
      }
    }
  }));
}

template <class T>
inline const T* half_turns(const Kernel& call, int64_t n) {
  const PlanKey key = PlanKey("half turns").add(n).add(sizeof(T));
  const size_t bytes = static_cast<size_t>(n / 2 + 1) * 2 * sizeof(T);
  return static_cast<const T*>(call.plans->find(key.text(), bytes, [&](void* to) {
    T* out = static_cast<T*>(to);
    for (int64_t k = 0; k <= n / 2; ++k) {
      const double angle =
          3.14159265358979323846 * static_cast<double>(k) / static_cast<double>(2 * n);
      out[2 * k] = static_cast<T>(std::cos(angle));
      out[2 * k + 1] = static_cast<T>(std::sin(angle));
    }
  }));
}

inline const int32_t* cell_places(const Kernel& call, int64_t n, Boundary boundary, int offset) {
  const PlanKey key = PlanKey("cell places").add(n).add(boundary).add(offset);
  const size_t bytes = static_cast<size_t>(n) * sizeof(int32_t);
  return static_cast<const int32_t*>(call.plans->find(key.text(), bytes, [&](void* to) {
    int32_t* out = static_cast<int32_t*>(to);
    for (int64_t j = 0; j < n; ++j) {
      const bool folded = boundary == Boundary::neumann;
      const int64_t place = !folded ? j + offset : (j % 2 ? n - 1 - j / 2 : j / 2);
      out[j] = static_cast<int32_t>(place);
    }
  }));
}

// Outside of parallel regions; n >= 1.
template <class T>
inline LineBasis<T> line_basis(const Kernel& call, int64_t n, Boundary boundary) {
  LineBasis<T> basis{boundary, n, {}, nullptr, nullptr, nullptr};
  const bool sine = boundary == Boundary::dirichlet;
  const bool by_matrix = sine && sine_by_matrix(n);
  basis.place = cell_places(call, n, boundary, sine && !by_matrix ? 1 : 0);
  if (by_matrix) {
    basis.matrix = sine_matrix<T>(call, n);
  } else {
    basis.fft = fft_plan<T>(call, spectral_line_length(n, boundary));
  }
  if (boundary == Boundary::neumann) {
    basis.rotation = half_turns<T>(call, n);
    if (!basis.rotation) basis.place = nullptr;
  }
  return basis;
}

// Coefficients of lines a and b: index k at a + k * stride and b + k * stride. Where there is no line b,
// it may be a: a is stored last and read for both.
template <class T>
struct LinePair {
  T *a, *b;
  int64_t stride;
};

template <class T, bool kRotate>
inline void separate_pairs(const LineBasis<T>& basis, const T* re, const T* im,
                           const LinePair<T>& into) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n, stride = into.stride;
  // Copies: stores of vectors may alias anything, and members would be read again behind each.
  const LinePair<T> to = into;
  const T* rotation = basis.rotation;
  for (int64_t k = 0; k < n; k += std::max<int64_t>(n / 2, 1)) {
    if (k != 0 && 2 * k != n) break;
    store(to.b + k * stride, load(im + k * w));
    store(to.a + k * stride, load(re + k * w));
  }
  for (int64_t k = 1; 2 * k < n; ++k) {
    const int64_t m = n - k;
    const Vec<T> p = load(re + k * w), q = load(im + k * w);
    const Vec<T> r = load(re + m * w), t = load(im + m * w);
    const Vec<T> ar = p + r, ai = q - t, br = q + t, bi = r - p;
    if constexpr (kRotate) {
      const T c = rotation[2 * k], s = rotation[2 * k + 1];
      store(to.b + k * stride, c * br + s * bi);
      store(to.b + m * stride, s * br - c * bi);
      store(to.a + k * stride, c * ar + s * ai);
      store(to.a + m * stride, s * ar - c * ai);
    } else {
      store(to.b + k * stride, br);
      store(to.b + m * stride, bi);
      store(to.a + k * stride, ar);
      store(to.a + m * stride, ai);
    }
  }
}

// The coefficients of `from`, times factors [k][lane] where there are any.
template <class T>
struct ScaledPair {
  const T *a, *b;
  int64_t stride;
  const T *factor_a, *factor_b;  // null: none
};

template <class T, bool kScaled>
inline __attribute__((always_inline)) Vec<T> coefficient_a(const ScaledPair<T>& from, int64_t k) {
  const Vec<T> x = load(from.a + k * from.stride);
  return kScaled ? x * load(from.factor_a + k * kLanes<T>) : x;
}
template <class T, bool kScaled>
inline __attribute__((always_inline)) Vec<T> coefficient_b(const ScaledPair<T>& from, int64_t k) {
  const Vec<T> x = load(from.b + k * from.stride);
  return kScaled ? x * load(from.factor_b + k * kLanes<T>) : x;
}

// The inverse of separate_pairs up to line_scale.
template <class T, bool kRotate, bool kScaled>
inline void merge_pairs(const LineBasis<T>& basis, const ScaledPair<T>& given, T* re, T* im) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n;
  const ScaledPair<T> from = given;  // copies, as in separate_pairs
  const T* rotation = basis.rotation;
  for (int64_t k = 0; k < n; k += std::max<int64_t>(n / 2, 1)) {
    if (k != 0 && 2 * k != n) break;
    store(re + k * w, coefficient_a<T, kScaled>(from, k));
    store(im + k * w, coefficient_b<T, kScaled>(from, k));
  }
  for (int64_t k = 1; 2 * k < n; ++k) {
    const int64_t m = n - k;
    Vec<T> ar = coefficient_a<T, kScaled>(from, k), ai = coefficient_a<T, kScaled>(from, m);
    Vec<T> br = coefficient_b<T, kScaled>(from, k), bi = coefficient_b<T, kScaled>(from, m);
    if constexpr (kRotate) {
      const T c = rotation[2 * k], s = rotation[2 * k + 1];
      const Vec<T> x = ar, y = br;
      ar = c * x + s * ai, ai = s * x - c * ai;
      br = c * y + s * bi, bi = s * y - c * bi;
    }
    store(re + k * w, ar - bi);
    store(im + k * w, ai + br);
    store(re + m * w, ar + bi);
    store(im + m * w, br - ai);
  }
}

// --- sine transforms

// Places 1..n of a buffer as the odd sequence of length 2 (n + 1).
template <class T>
inline void extend_odd(T* line, int64_t n) {
  constexpr int w = kLanes<T>;
  store(line, Vec<T>{});
  store(line + (n + 1) * w, Vec<T>{});
  for (int64_t j = 1; j <= n; ++j) store(line + (2 * n + 2 - j) * w, -load(line + j * w));
}

// x_j +- x_{n-1-j} in the lower and upper half; the middle of an odd n has no partner.
template <class T>
inline void fold_halves(T* line, int64_t n) {
  constexpr int w = kLanes<T>;
  for (int64_t j = 0; j < n / 2; ++j) {
    const Vec<T> x = load(line + j * w), y = load(line + (n - 1 - j) * w);
    store(line + j * w, x + y);
    store(line + (n - 1 - j) * w, x - y);
  }
}

// kSineRows coefficients of one parity of both lines. `step` walks along the folded half.
template <class T>
inline void sine_rows(const T* matrix, const T* re, const T* im, int64_t step, int64_t count,
                      int64_t first, int64_t n, const LinePair<T>& to) {
  Vec<T> a[kSineRows] = {}, b[kSineRows] = {};
  for (int64_t j = 0; j < count; ++j) {
    const Vec<T> x = load(re + j * step), y = load(im + j * step);
#pragma GCC unroll 8
    for (int i = 0; i < kSineRows; ++i) {
      const T m = matrix[j * kSineRows + i];
      a[i] += m * x;
      b[i] += m * y;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kSineRows; ++i) {
    const int64_t k = first + 2 * i;
    if (k >= n) break;
    store(to.b + k * to.stride, b[i]);
    store(to.a + k * to.stride, a[i]);
  }
}

// The DST-I, its own inverse up to line_scale. Destroys the buffers, which are not `to`.
template <class T>
inline void sine_by_folded_matrix(const LineBasis<T>& basis, T* re, T* im, const LinePair<T>& to) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n, half = (n + 1) / 2;
  fold_halves(re, n);
  fold_halves(im, n);
  const T* matrix = basis.matrix;
  for (int parity = 0; parity < 2; ++parity) {
    // Differences lie from the end downwards, as many as there are pairs.
    const int64_t start = parity ? (n - 1) * w : 0, step = parity ? -w : w;
    for (int64_t g = 0; g < sine_groups(n, parity); ++g, matrix += half * kSineRows) {
      sine_rows(matrix, re + start, im + start, step, parity ? n / 2 : half,
                2 * g * kSineRows + parity, n, to);
    }
  }
}

// --- analysis and synthesis

// Cells at their places in re and im -> coefficients. The buffers are destroyed.
template <class T>
inline void analyse_lines(const LineBasis<T>& basis, T* re, T* im, const LinePair<T>& to, T* fft,
                          NextPlanes* next) {
  constexpr int w = kLanes<T>;
  fetch_part(next);
  if (basis.matrix) return sine_by_folded_matrix(basis, re, im, to);
  if (basis.boundary == Boundary::dirichlet) {
    extend_odd(re, basis.n);
    extend_odd(im, basis.n);
    fft_lines(basis.fft, re, im, false, fft);  // -2 i (sines of a + i sines of b)
    fetch_part(next);
    T *a = to.a, *b = to.b;
    for (int64_t k = 0, n = basis.n, stride = to.stride; k < n; ++k) {
      store(b + k * stride, load(re + (k + 1) * w));
      store(a + k * stride, -load(im + (k + 1) * w));
    }
    return;
  }
  fft_lines(basis.fft, re, im, false, fft);
  fetch_part(next);
  if (basis.boundary == Boundary::neumann) {
    separate_pairs<T, true>(basis, re, im, to);
  } else {
    separate_pairs<T, false>(basis, re, im, to);
  }
}

template <class T, bool kScaled>
inline void load_coefficients(const LineBasis<T>& basis, const ScaledPair<T>& from, T* re, T* im) {
  constexpr int w = kLanes<T>;
  if (basis.boundary == Boundary::neumann)
    return merge_pairs<T, true, kScaled>(basis, from, re, im);
  if (basis.boundary == Boundary::periodic) {
    return merge_pairs<T, false, kScaled>(basis, from, re, im);
  }
  for (int64_t k = 0; k < basis.n; ++k) {
    const Vec<T> a = coefficient_a<T, kScaled>(from, k), b = coefficient_b<T, kScaled>(from, k);
    // -2 i times the sines of (-b + i a) are those of 2 (a + i b).
    const int64_t at = basis.place[k] * w;
    store(re + at, basis.matrix ? a : -b);
    store(im + at, basis.matrix ? b : a);
  }
}

// Coefficients -> cells at their places in cells.a and cells.b, which are re and im except with a matrix.
// `from` is neither.
template <class T>
inline LinePair<T> synthesise_lines(const LineBasis<T>& basis, const ScaledPair<T>& from, T* re,
                                    T* im, T* fft, NextPlanes* next) {
  constexpr int w = kLanes<T>;
  fetch_part(next);
  if (from.factor_a) {
    load_coefficients<T, true>(basis, from, re, im);
  } else {
    load_coefficients<T, false>(basis, from, re, im);
  }
  fetch_part(next);
  if (basis.matrix) {
    const LinePair<T> cells{fft, fft + basis.n * w, w};
    sine_by_folded_matrix(basis, re, im, cells);
    return cells;
  }
  if (basis.boundary == Boundary::dirichlet) {
    extend_odd(re, basis.n);
    extend_odd(im, basis.n);
  }
  fft_lines(basis.fft, re, im, basis.boundary != Boundary::dirichlet, fft);
  return {re, im, w};
}

}  // namespace fluxion::cpu::FLUXION_TARGET
