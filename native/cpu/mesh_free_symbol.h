// The symbol of a mesh-free convolution at a vector of modes, evaluated where it is used:
//     c(w) = (a0 + i a1 wx + i a2 wy - a3 wx^2 - a4 wx wy - a5 wy^2) E,   E = exp(-t)
//     t = (p1 wx + p2 wy)^2 + (p3 wy)^2 = w^T P P^T w >= 0, a sum of squares so that nothing cancels
// Whatever is odd in wx or wy is left out where that mode is the Nyquist mode of an even number of cells, in
// t too: both signs of w are the same mode there, and the result has to be real.
//
// An exponential per bin, by a polynomial in the registers: about 20 instructions for a vector of bins, used for
// all samples. (A recurrence along a line of modes saves a third of them but needs anchors, and is lost where
// it crosses an underflow.)
// Read once per instruction set, after simd.h.

namespace fluxion::cpu::FLUXION_TARGET {

inline constexpr double kLog2E = 1.44269504088896340736;

// Modes of one axis. odd: 2 pi n / length, 0 at the Nyquist mode; square: its true square; edge: square - odd^2,
// not 0 at the Nyquist mode alone; weight: how many modes of the whole spectrum a kept one stands for.
template <class T>
struct ModeAxis {
  T *odd, *square, *edge, *weight;

  ModeAxis(T* at, int64_t size)
      : odd(at), square(at + size), edge(at + 2 * size), weight(at + 3 * size) {}

  // Modes 0..kept-1 of n cells; halved: those above n / 2 are conjugates of kept ones. Padding weighs 0.
  void fill(int64_t n, int64_t kept, int64_t padded, bool halved, double length) const {
    for (int64_t k = 0; k < padded; ++k) {
      set(k, n, k >= kept ? 0 : 2 * k <= n ? k : k - n, length);
      if (k >= kept) weight[k] = T(0);
      if (k < kept && halved && k > 0 && 2 * k != n) weight[k] = T(2);
    }
  }

  void set(int64_t at, int64_t n, int64_t mode, double length) const {
    const double w = 2 * 3.14159265358979323846 * static_cast<double>(mode) / length;
    const bool nyquist = 2 * mode == n;
    odd[at] = nyquist ? T(0) : static_cast<T>(w);
    square[at] = static_cast<T>(w * w);
    edge[at] = nyquist ? static_cast<T>(w * w) : T(0);
    weight[at] = T(1);
  }
};

// One vector of bins.
template <class T>
struct ModeVec {
  Vec<T> x, y, xx, xy, yy, x_edge, y_edge, weight;
  bool at_edge;  // some lane has a Nyquist mode
};

// The bins of a spectrum: for each mode of x `vectors` of modes of y, together `inner` of them; then, with the
// one mode of y at `extra`, vectors of modes of x.
template <class T>
struct ModeGrid {
  ModeAxis<T> x, y;
  int64_t vectors, inner, bins, extra;
  int64_t nyquist_x;  // -1 for an odd number of cells

  ModeVec<T> at(int64_t bin) const {
    constexpr int w = kLanes<T>;
    const bool in = bin < inner;
    const int64_t line = in ? bin / vectors : extra;
    const int64_t lane = (in ? bin % vectors : bin - inner) * w;
    const ModeAxis<T>& along = in ? y : x;
    const ModeAxis<T>& across = in ? x : y;
    const Vec<T> odd = load(along.odd + lane), square = load(along.square + lane);
    const Vec<T> edge = load(along.edge + lane);
    const Vec<T> fixed = broadcast(across.odd[line]), fixed_square = broadcast(across.square[line]);
    const Vec<T> fixed_edge = broadcast(across.edge[line]);
    ModeVec<T> m;
    m.x = in ? fixed : odd;
    m.xx = in ? fixed_square : square;
    m.x_edge = in ? fixed_edge : edge;
    m.y = in ? odd : fixed;
    m.yy = in ? square : fixed_square;
    m.y_edge = in ? edge : fixed_edge;
    m.xy = m.x * m.y;
    m.weight = load(along.weight + lane) * across.weight[line];
    // The modes of y in a vector are below the Nyquist mode.
    m.at_edge = !in || line == nyquist_x;
    return m;
  }
};

// Coefficients of a pair, kMeshFreeCoefficients of them; the p are scaled so that E = 2^-t.
enum Coefficient { kA0, kA1, kA2, kA3, kA4, kA5, kP1, kP2, kP3Square, kP2Square, kP1Square };

template <class T>
inline void set_widths(double p1, double p2, double p3, T* c) {
  c[kP1] = static_cast<T>(p1 * std::sqrt(kLog2E));
  c[kP2] = static_cast<T>(p2 * std::sqrt(kLog2E));
  c[kP3Square] = static_cast<T>(p3 * p3 * kLog2E);
  c[kP2Square] = static_cast<T>(p2 * p2 * kLog2E);
  c[kP1Square] = static_cast<T>(p1 * p1 * kLog2E);
}

// 2^-t for t >= 0, exactly 1 at 0; 0 where it is far below the rounding of 1, so that no subnormal numbers
// arise. Minimax polynomials of 2^f on [-1/2, 1/2] (Remez), relative errors 1.9e-9 and 3e-18.
inline __attribute__((always_inline)) Vec<float> exp2_negative(Vec<float> t) {
  using Bits = uint32_t __attribute__((vector_size(FLUXION_VECTOR_BYTES)));
  constexpr float kMagic =
      12582912.0f + 127.0f;  // 1.5 * 2^23: rounds; and the bias of the exponent
  const auto far = t > 100.0f;
  const Vec<float> m = far ? broadcast(-100.0f) : -t;
  const Vec<float> shifted = m + kMagic;
  const Vec<float> f = m - (shifted - kMagic);
  Vec<float> p = 1.53458121613e-4f * f + 1.33999311772e-3f;
  p = p * f + 9.61848895633e-3f;
  p = p * f + 5.55032877711e-2f;
  p = p * f + 2.40226468906e-1f;
  p = p * f + 6.93147205738e-1f;
  p = p * f + 1.0f;
  const Vec<float> value = p * reinterpret_cast<Vec<float>>(reinterpret_cast<Bits>(shifted) << 23);
  return far ? Vec<float>{} : value;
}
inline __attribute__((always_inline)) Vec<double> exp2_negative(Vec<double> t) {
  using Bits = uint64_t __attribute__((vector_size(FLUXION_VECTOR_BYTES)));
  constexpr double kMagic = 6755399441055744.0 + 1023.0;  // 1.5 * 2^52
  const auto far = t > 900.0;
  const Vec<double> m = far ? broadcast(-900.0) : -t;
  const Vec<double> shifted = m + kMagic;
  const Vec<double> f = m - (shifted - kMagic);
  Vec<double> p = 4.43528270695727715e-10 * f + 7.0741065135081428e-9;
  p = p * f + 1.01781980216719308e-7;
  p = p * f + 1.32154330896763992e-6;
  p = p * f + 1.52527273348898853e-5;
  p = p * f + 1.54035304625144321e-4;
  p = p * f + 1.33335581467899217e-3;
  p = p * f + 9.61812910758833524e-3;
  p = p * f + 5.55041086648199216e-2;
  p = p * f + 2.40226506959101562e-1;
  p = p * f + 6.9314718055994533e-1;
  p = p * f + 1.0;
  const Vec<double> value =
      p * reinterpret_cast<Vec<double>>(reinterpret_cast<Bits>(shifted) << 52);
  return far ? Vec<double>{} : value;
}

template <class T>
struct Damping {
  Vec<T> s;  // p1 wx + p2 wy, scaled
  Vec<T> e;
};

template <class T>
inline __attribute__((always_inline)) Damping<T> damping_at(const T* c, const ModeVec<T>& m) {
  const Vec<T> s = m.x * c[kP1] + m.y * c[kP2];
  Vec<T> t = m.yy * c[kP3Square] + s * s;
  if (m.at_edge) t += m.x_edge * c[kP1Square] + m.y_edge * c[kP2Square];
  return {s, exp2_negative(t)};
}

// E at all bins.
template <class T>
inline void tabulate_damping(const T* c, const ModeGrid<T>& grid, T* to) {
  for (int64_t bin = 0; bin < grid.bins; ++bin) {
    store(to + bin * kLanes<T>, damping_at(c, grid.at(bin)).e);
  }
}

// Real and imaginary part of the polynomial. (A constant real part must be a vector all the same.)
template <class T, bool kSecond>
inline __attribute__((always_inline)) void moments_at(const T* c, const ModeVec<T>& m, Vec<T>& re,
                                                      Vec<T>& im) {
  im = m.x * c[kA1] + m.y * c[kA2];
  re = broadcast(c[kA0]);
  if constexpr (kSecond) re += m.xx * c[kA3] + m.xy * c[kA4] + m.yy * c[kA5];
}

template <class T, bool kSecond, bool kShared>
inline __attribute__((always_inline)) void symbol_at(const T* c, const ModeVec<T>& m, Vec<T>& re,
                                                     Vec<T>& im) {
  moments_at<T, kSecond>(c, m, re, im);
  if constexpr (!kShared) {
    const Vec<T> e = damping_at(c, m).e;
    re *= e;
    im *= e;
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
