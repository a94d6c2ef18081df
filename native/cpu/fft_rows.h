// Transforms of contiguous complex lines of 64 points with a line in eight vectors of eight points, where
// vectors have 16 lanes. Read once per instruction set, after fft.h and transpose.h.
//
// 64 = 8 x 8: j = p + 8 m, k = k' + 8 q. The radix-8 butterfly over m works on the eight vectors as they lie,
// lane pair p; after the factors w^(p k') the 8 x 8 points are transposed in registers, and the butterfly
// over p yields vector q. Against one line in each lane this saves two transposes of the numbers (128 vectors
// each) for one of the points (8 vectors a line).

namespace fluxion::cpu::FLUXION_TARGET {

inline constexpr int64_t kRowPoints = 64;
inline constexpr int64_t kRowsInGroup = 64;  // the factors are loaded once for each group: 1 us

template <class T, size_t... I>
inline __attribute__((always_inline)) Vec<T> swap_pairs(Vec<T> v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, static_cast<int>(I ^ 1)...);
}
template <class T>
inline __attribute__((always_inline)) Vec<T> swap_pairs(Vec<T> v) {
  return swap_pairs<T>(v, std::make_index_sequence<static_cast<size_t>(kLanes<T>)>{});
}

// Pairs (c, c) of w^(p k), lanes p, then pairs (-s, s), k = 1 ... 7; null without memory.
template <class T>
inline const T* row_factors(const Kernel& call) {
  constexpr int w = kLanes<T>;
  const PlanKey key = PlanKey("fft-rows").add(sizeof(T)).add(FLUXION_VECTOR_BYTES);
  return static_cast<const T*>(call.plans->find(key.text(), 14 * w * sizeof(T), [](void* to) {
    T* out = static_cast<T*>(to);
    for (int64_t k = 1; k < 8; ++k, out += 2 * w) {
      for (int64_t p = 0; p < w / 2; ++p) {
        T root[2];
        fft_put_root(root, p * k, kRowPoints);
        out[2 * p] = out[2 * p + 1] = root[0];
        out[w + 2 * p] = -root[1];
        out[w + 2 * p + 1] = root[1];
      }
    }
  }));
}

// Interleaved vectors; turn is (1, -1) in each pair, so that swap_pairs(z) * turn = -i z (inverse: i z).
template <class T>
inline __attribute__((always_inline)) void row_butterfly(Vec<T> (&z)[8], Vec<T> turn) {
  const T h = static_cast<T>(0.70710678118654752440);
  const Vec<T> e0 = z[0] + z[4], e1 = z[1] + z[5], e2 = z[2] + z[6], e3 = z[3] + z[7];
  const Vec<T> o0 = z[0] - z[4], o1 = z[1] - z[5], o2 = z[2] - z[6], o3 = z[3] - z[7];
  const Vec<T> s = e0 + e2, t = e0 - e2, u = e1 + e3, v = swap_pairs<T>(e1 - e3);
  const Vec<T> a = o0 + swap_pairs<T>(o2) * turn, b = o0 - swap_pairs<T>(o2) * turn;
  const Vec<T> x = swap_pairs<T>(o1) * turn + o1, y = swap_pairs<T>(o3) * turn - o3;
  const Vec<T> sum = x + y, difference = swap_pairs<T>(x - y), half_turn = turn * h;
  z[0] = s + u;
  z[1] = a + h * sum;
  z[2] = t + v * turn;
  z[3] = b + difference * half_turn;
  z[4] = s - u;
  z[5] = a - h * sum;
  z[6] = t - v * turn;
  z[7] = b - difference * half_turn;
}

template <class T>
inline void transform_rows(const T* factors, bool inverse, T scale, const T* from, T* to,
                           int64_t rows) {
  constexpr int w = kLanes<T>;
  if constexpr (w == 16) {
    T signs[w];
    for (int l = 0; l < w; ++l) signs[l] = (l % 2 == 0) == inverse ? T(-1) : T(1);
    const Vec<T> turn = load(signs);
    const T sine = inverse ? T(-1) : T(1);
    Vec<T> cosines[8], sines[8];
    for (int k = 1; k < 8; ++k) {
      cosines[k] = load(factors + 2 * w * (k - 1)) * scale;
      sines[k] = load(factors + 2 * w * (k - 1) + w) * (sine * scale);
    }
    for (int64_t row = 0; row < rows; ++row, from += 8 * w, to += 8 * w) {
      Vec<T> z[8];
#pragma GCC unroll 8
      for (int m = 0; m < 8; ++m) z[m] = load(from + m * w);
      row_butterfly<T>(z, turn);
      Vec<double> points[w / 2];
      points[0] = reinterpret_cast<Vec<double>>(z[0] * scale);
#pragma GCC unroll 8
      for (int k = 1; k < 8; ++k) {
        points[k] =
            reinterpret_cast<Vec<double>>(z[k] * cosines[k] + swap_pairs<T>(z[k]) * sines[k]);
      }
      transpose_tile<double>(points);
#pragma GCC unroll 8
      for (int p = 0; p < 8; ++p) z[p] = reinterpret_cast<Vec<T>>(points[p]);
      row_butterfly<T>(z, turn);
#pragma GCC unroll 8
      for (int q = 0; q < 8; ++q) store(to + q * w, z[q]);
    }
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
