// The transforms of Winograd's F(4 x 4, 3 x 3) along one axis,
//
//   y = A^T [(G w) * (B^T d)],   d: 6 inputs, w: 3 weights, y: 4 outputs
//
// for the points 0, +-a, +-b and infinity with a = 5/8 and b = 3/2: all constants of A and B are exact in
// float32, and of the usual choices these points lose the fewest digits (docs/decisions/0005-winograd-for-3x3.md;
// construction: Lavin and Gray, arXiv:1509.09308; points: Barabasz et al., ACM TOMS 46, 2020). No include
// guard: read once per instruction set, after simd.h. Lanes are independent.

namespace fluxion::cpu::FLUXION_TARGET {

using Floats = Vec<float>;

namespace winograd {
inline constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b, a3 = a2 * a, b3 = b2 * b;
// Rows of G are divided by the products of the distances to the other points.
inline constexpr float g0 = 1 / (a2 * b2), ga = 1 / (2 * a2 * (a2 - b2)),
                       gb = 1 / (2 * b2 * (b2 - a2));
}  // namespace winograd

// B^T d
inline __attribute__((always_inline)) void winograd_input(const Floats (&d)[6], Floats (&t)[6]) {
  using namespace winograd;
  const Floats even_a = d[4] - b2 * d[2], odd_a = d[3] - b2 * d[1];
  const Floats even_b = d[4] - a2 * d[2], odd_b = d[3] - a2 * d[1];
  t[0] = (a2 * b2) * d[0] + (d[4] - (a2 + b2) * d[2]);
  t[1] = even_a + a * odd_a;
  t[2] = even_a - a * odd_a;
  t[3] = even_b + b * odd_b;
  t[4] = even_b - b * odd_b;
  t[5] = (a2 * b2) * d[1] + (d[5] - (a2 + b2) * d[3]);
}

// A^T m
inline __attribute__((always_inline)) void winograd_output(const Floats (&m)[6], Floats (&y)[4]) {
  using namespace winograd;
  const Floats sum_a = m[1] + m[2], sum_b = m[3] + m[4];
  const Floats difference_a = m[1] - m[2], difference_b = m[3] - m[4];
  y[0] = m[0] + sum_a + sum_b;
  y[1] = a * difference_a + b * difference_b;
  y[2] = a2 * sum_a + b2 * sum_b;
  y[3] = a3 * difference_a + (b3 * difference_b + m[5]);
}

// A g, the transpose of the above
inline __attribute__((always_inline)) void winograd_cotangent(const Floats (&g)[4],
                                                              Floats (&t)[6]) {
  using namespace winograd;
  const Floats even_a = g[0] + a2 * g[2], odd_a = g[1] + a2 * g[3];
  const Floats even_b = g[0] + b2 * g[2], odd_b = g[1] + b2 * g[3];
  t[0] = g[0];
  t[1] = even_a + a * odd_a;
  t[2] = even_a - a * odd_a;
  t[3] = even_b + b * odd_b;
  t[4] = even_b - b * odd_b;
  t[5] = g[3];
}

// G w
inline __attribute__((always_inline)) void winograd_weight(const Floats (&w)[3], Floats (&t)[6]) {
  using namespace winograd;
  const Floats even_a = ga * w[0] + (ga * a2) * w[2], even_b = gb * w[0] + (gb * b2) * w[2];
  t[0] = g0 * w[0];
  t[1] = even_a + (ga * a) * w[1];
  t[2] = even_a - (ga * a) * w[1];
  t[3] = even_b + (gb * b) * w[1];
  t[4] = even_b - (gb * b) * w[1];
  t[5] = w[2];
}

// G^T s
inline __attribute__((always_inline)) void winograd_weight_gradient(const Floats (&s)[6],
                                                                    Floats (&w)[3]) {
  using namespace winograd;
  const Floats sum_a = s[1] + s[2], sum_b = s[3] + s[4];
  const Floats difference_a = s[1] - s[2], difference_b = s[3] - s[4];
  w[0] = g0 * s[0] + (ga * sum_a + gb * sum_b);
  w[1] = (ga * a) * difference_a + (gb * b) * difference_b;
  w[2] = (ga * a2) * sum_a + ((gb * b2) * sum_b + s[5]);
}

// --- four values of a tile side by side in memory, or in four vectors with one tile in each lane

template <size_t... I>
inline __attribute__((always_inline)) Floats even_lanes(Floats x, Floats y,
                                                        std::index_sequence<I...>) {
  return __builtin_shufflevector(x, y, static_cast<int>(2 * I)...);
}

template <size_t... I>
inline __attribute__((always_inline)) Floats odd_lanes(Floats x, Floats y,
                                                       std::index_sequence<I...>) {
  return __builtin_shufflevector(x, y, static_cast<int>(2 * I + 1)...);
}

using FloatLanes = std::make_index_sequence<static_cast<size_t>(kLanes<float>)>;

// v[j] = from[4 * lane + j]
inline __attribute__((always_inline)) void load_four(const float* from, Floats* v) {
  constexpr int w = kLanes<float>;
  const Floats x0 = load(from), x1 = load(from + w), x2 = load(from + 2 * w),
               x3 = load(from + 3 * w);
  const Floats even0 = even_lanes(x0, x1, FloatLanes{}), even1 = even_lanes(x2, x3, FloatLanes{});
  const Floats odd0 = odd_lanes(x0, x1, FloatLanes{}), odd1 = odd_lanes(x2, x3, FloatLanes{});
  v[0] = even_lanes(even0, even1, FloatLanes{});
  v[1] = even_lanes(odd0, odd1, FloatLanes{});
  v[2] = odd_lanes(even0, even1, FloatLanes{});
  v[3] = odd_lanes(odd0, odd1, FloatLanes{});
}

// Lanes 0, 4, 8, ... of x and y together, then lanes 1, 5, 9, ...
template <size_t... I>
inline __attribute__((always_inline)) Floats first_two_of_four(Floats x, Floats y,
                                                               std::index_sequence<I...>) {
  constexpr size_t half = sizeof...(I) / 2;
  return __builtin_shufflevector(x, y, static_cast<int>(I < half ? 4 * I : 4 * (I - half) + 1)...);
}

template <int kFirst, size_t... I>
inline __attribute__((always_inline)) Floats join_halves(Floats x, Floats y,
                                                         std::index_sequence<I...>) {
  constexpr size_t n = sizeof...(I), half = n / 2;
  return __builtin_shufflevector(x, y, static_cast<int>(kFirst + (I < half ? I : n + I - half))...);
}

// The first two of them.
inline __attribute__((always_inline)) void load_two(const float* from, Floats* v) {
  constexpr int w = kLanes<float>;
  const Floats low = first_two_of_four(load(from), load(from + w), FloatLanes{}),
               high = first_two_of_four(load(from + 2 * w), load(from + 3 * w), FloatLanes{});
  v[0] = join_halves<0>(low, high, FloatLanes{});
  v[1] = join_halves<w / 2>(low, high, FloatLanes{});
}

// to[4 * lane + j] = v[j]
inline __attribute__((always_inline)) void store_by_four(const Floats (&v)[4], float* to) {
  constexpr int w = kLanes<float>;
  const Floats low0 = interleave_low(v[0], v[2], FloatLanes{}),
               low1 = interleave_low(v[1], v[3], FloatLanes{});
  const Floats high0 = interleave_high(v[0], v[2], FloatLanes{}),
               high1 = interleave_high(v[1], v[3], FloatLanes{});
  store(to, interleave_low(low0, low1, FloatLanes{}));
  store(to + w, interleave_high(low0, low1, FloatLanes{}));
  store(to + 2 * w, interleave_low(high0, high1, FloatLanes{}));
  store(to + 3 * w, interleave_high(high0, high1, FloatLanes{}));
}

}  // namespace fluxion::cpu::FLUXION_TARGET
