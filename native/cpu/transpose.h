// Square tiles transposed in registers. Read once per instruction set, after simd.h.
//
// log2(n) rounds of perfect shuffles on n vectors of n lanes: each round rotates the bits of the combined
// (row, lane) index by one place, so that after log2(n) of them rows and lanes have changed places.

namespace fluxion::cpu::FLUXION_TARGET {

template <class V, size_t... I>
inline __attribute__((always_inline)) V interleave_low(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, static_cast<int>(I % 2 ? sizeof...(I) + I / 2 : I / 2)...);
}

template <class V, size_t... I>
inline __attribute__((always_inline)) V interleave_high(V a, V b, std::index_sequence<I...>) {
  constexpr size_t n = sizeof...(I);
  return __builtin_shufflevector(a, b, static_cast<int>((I % 2 ? n + I / 2 : I / 2) + n / 2)...);
}

template <class T>
inline __attribute__((always_inline)) void transpose_tile(Vec<T> (&v)[kLanes<T>]) {
  constexpr int n = kLanes<T>;
  using Lanes = std::make_index_sequence<static_cast<size_t>(n)>;
#pragma GCC unroll 4
  for (int round = 1; round < n; round *= 2) {
    Vec<T> shuffled[n];
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i) {
      shuffled[2 * i] = interleave_low(v[i], v[i + n / 2], Lanes{});
      shuffled[2 * i + 1] = interleave_high(v[i], v[i + n / 2], Lanes{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) v[i] = shuffled[i];
  }
}

// lines[j][lane] = from[lane * stride + j] for j < n and lane < rows; other lanes are zero.
// Line j of the result begins at lines + j * pitch.
template <class T>
inline void load_transposed(const T* from, int64_t stride, int rows, int64_t n, T* lines,
                            int64_t pitch) {
  constexpr int w = kLanes<T>;
  for (int64_t j = 0; j < n; j += w) {
    const int columns = n - j < w ? static_cast<int>(n - j) : w;
    Vec<T> tile[w];
    if (rows == w && columns == w) {
      for (int i = 0; i < w; ++i) tile[i] = load(from + i * stride + j);
    } else {
      for (int i = 0; i < w; ++i) {
        tile[i] = i < rows ? load_partial(from + i * stride + j, columns) : Vec<T>{};
      }
    }
    transpose_tile<T>(tile);
    for (int i = 0; i < columns; ++i) store(lines + (j + i) * pitch, tile[i]);
  }
}

// The inverse. With `reflected`, writes 2 x - reflected instead of x (same layout as `to`).
template <class T>
inline void store_transposed(const T* lines, int64_t pitch, int rows, int64_t n, T* to,
                             int64_t stride, const T* reflected) {
  constexpr int w = kLanes<T>;
  for (int64_t j = 0; j < n; j += w) {
    const int columns = n - j < w ? static_cast<int>(n - j) : w;
    Vec<T> tile[w];
    for (int i = 0; i < w; ++i) tile[i] = i < columns ? load(lines + (j + i) * pitch) : Vec<T>{};
    transpose_tile<T>(tile);
    for (int i = 0; i < rows; ++i) {
      T* row = to + i * stride + j;
      Vec<T> x = tile[i];
      if (reflected) x = x + x - load_partial(reflected + i * stride + j, columns);
      if (columns == w) {
        store(row, x);
      } else {
        store_partial(row, x, columns);
      }
    }
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
