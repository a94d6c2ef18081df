// Maxima and sums of exponentials of contiguous rows. Read once per instruction set, after simd.h,
// vector_math.h and wide_sum.h.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// e^x for x <= 0 (and a rounding error more): one power of two serves, which is 0 below the normal numbers,
// so that e^x is exactly 0 from -88 on. Otherwise as vexp, 2 ulp. A NaN stays.
inline float vexp_down(float x) {
  x = x < -88.0f ? -88.0f : x;
  const ExpParts p = exp_parts(x);
  return ((p.r * p.r * p.q + p.r) + 1.0f) * power_of_two(p.n);
}
inline double vexp_down(double x) { return std::exp(x); }

inline __attribute__((always_inline)) Vec<float> exp_down(Vec<float> x) {
  using Bits = typename VecOf<float>::mask;
  constexpr float kRound = 12582912.0f;
  const Vec<float> low = broadcast<float>(-88.0f);
  x = x < low ? low : x;
  const Vec<float> shifted = x * 1.44269504f + kRound, n = shifted - kRound;
  const Vec<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  const Vec<float> q =
      ((((1.388252154e-3f * r + 8.366520575e-3f) * r + 4.166719986e-2f) * r + 1.666654362e-1f) * r +
       4.999999815e-1f);
  // The low bits of `shifted` are n; moved into the exponent they make 2^n.
  const Bits power = (reinterpret_cast<Bits>(shifted) + 127) << 23;
  return ((r * r * q + r) + 1.0f) * reinterpret_cast<Vec<float>>(power);
}

inline __attribute__((always_inline)) Vec<double> exp_down(Vec<double> x) {
  double lanes[kLanes<double>];
  store(lanes, x);
  for (double& lane : lanes) lane = std::exp(lane);
  return load(lanes);
}

// The first n lanes from memory, the others a given value.
template <class T>
inline __attribute__((always_inline)) Vec<T> load_filled(const T* p, int n, T fill) {
  using Mask = typename VecOf<T>::mask;
  Mask lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane < (Mask{} + n) ? load_partial(p, n) : broadcast<T>(fill);
}

template <class T>
inline __attribute__((always_inline)) Vec<T> larger_of(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}

// Which of a NaN and a number is the larger is left open: a NaN shows in the sum that follows.
template <class T>
inline T max_of_row(const T* x, int64_t n) {
  constexpr int w = kLanes<T>;
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  Vec<T> a = broadcast<T>(kLowest), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    a = larger_of<T>(load(x + i), a);
    b = larger_of<T>(load(x + i + w), b);
    c = larger_of<T>(load(x + i + 2 * w), c);
    d = larger_of<T>(load(x + i + 3 * w), d);
  }
  for (; i + w <= n; i += w) a = larger_of<T>(load(x + i), a);
  if (i < n) b = larger_of<T>(load_filled(x + i, static_cast<int>(n - i), kLowest), b);
  a = larger_of<T>(larger_of<T>(a, b), larger_of<T>(c, d));
  T lanes[w], largest = kLowest;
  store(lanes, a);
#pragma GCC unroll 16
  for (int j = 0; j < w; ++j) largest = lanes[j] > largest ? lanes[j] : largest;
  return largest;
}

// sum e^(x - shift); with kKeeps the terms go to `terms`.
template <bool kKeeps, class T>
inline double exp_sum_of_row(const T* x, int64_t n, T shift, T* terms) {
  constexpr int w = kLanes<T>;
  const Vec<T> s = broadcast<T>(shift);
  WideSum<T> sum;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    Vec<T> t[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      t[k] = exp_down(load(x + i + k * w) - s);
      if (kKeeps) store(terms + i + k * w, t[k]);
    }
    sum.add((t[0] + t[1]) + (t[2] + t[3]));
  }
  for (; i + w <= n; i += w) {
    const Vec<T> t = exp_down(load(x + i) - s);
    if (kKeeps) store(terms + i, t);
    sum.add(t);
  }
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    const Vec<T> t = exp_down(load_filled(x + i, rest, -std::numeric_limits<T>::infinity()) - s);
    if (kKeeps) store_partial(terms + i, t, rest);
    sum.add(t);
  }
  return sum.total();
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
