// What a reduction folds, and the loops over contiguous memory. Read once per instruction set, after simd.h.
// Floats add in double (the result is within an ulp or so of the exact one), integers in int64.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
struct Add {
  using Acc = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
  static constexpr Acc kStart = 0;
  static Acc fold(Acc a, Acc x) { return a + x; }
};

template <class T>
struct Add<Complex<T>> {
  using Acc = Complex<double>;
  static constexpr Acc kStart{0, 0};
  static Acc fold(Acc a, Acc x) { return {a.re + x.re, a.im + x.im}; }
};

template <class T>
struct Mul {
  using Acc = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
  static constexpr Acc kStart = 1;
  static Acc fold(Acc a, Acc x) {
    if constexpr (std::is_floating_point_v<T>) return a * x;
    return static_cast<Acc>(static_cast<uint64_t>(a) * static_cast<uint64_t>(x));  // wraps
  }
};

// Norms: of an element first what is folded.
template <class T>
struct AddMagnitude {
  using Acc = double;
  static constexpr Acc kStart = 0;
  static Acc of(T x) { return std::fabs(static_cast<double>(x)); }
  static Acc fold(Acc a, Acc x) { return a + x; }
};
template <class T>
struct AddSquare : AddMagnitude<T> {
  static double of(T x) { return static_cast<double>(x) * static_cast<double>(x); }
};
template <class T>
struct AddNonzero : AddMagnitude<T> {
  static double of(T x) { return x != T(0) ? 1.0 : 0.0; }
};

template <class T>
struct Max {
  using Acc = T;
  static constexpr T kStart = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                                          : std::numeric_limits<T>::min();
  static T fold(T a, T x) { return x > a || x != x ? x : a; }  // once NaN, a stays NaN
};

template <class T>
struct Min {
  using Acc = T;
  static constexpr T kStart = std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity()
                                                          : std::numeric_limits<T>::max();
  static T fold(T a, T x) { return x < a || x != x ? x : a; }
};

template <class T>
struct MaxMagnitude : Max<T> {
  static T of(T x) { return std::fabs(x); }
};
template <class T>
struct MinMagnitude : Min<T> {
  static T of(T x) { return std::fabs(x); }
};

// What an element contributes: itself, unless the fold says otherwise.
template <class Op, class T, class = void>
struct Term {
  static typename Op::Acc of(T x) { return static_cast<typename Op::Acc>(x); }
};
template <class Op, class T>
struct Term<Op, T, std::void_t<decltype(Op::of(T{}))>> {
  static typename Op::Acc of(T x) { return Op::of(x); }
};

constexpr int kLaneCount = 64;  // accumulators of a run: enough to hide the latency of an addition

template <class Op, class T>
void fold_row(typename Op::Acc* __restrict acc, const T* __restrict x, int64_t n, int64_t step) {
  if (step == 1) {
    for (int64_t i = 0; i < n; ++i) acc[i] = Op::fold(acc[i], Term<Op, T>::of(x[i]));
  } else {
    for (int64_t i = 0; i < n; ++i) acc[i] = Op::fold(acc[i], Term<Op, T>::of(x[i * step]));
  }
}

// Folds a contiguous run into kLaneCount accumulators; used is the number of them that are in use.
template <class Op, class T>
void fold_run(typename Op::Acc* __restrict acc, const T* __restrict x, int64_t n) {
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount)
    for (int j = 0; j < kLaneCount; ++j) acc[j] = Op::fold(acc[j], Term<Op, T>::of(x[i + j]));
  for (int j = 0; i + j < n; ++j) acc[j] = Op::fold(acc[j], Term<Op, T>::of(x[i + j]));
}

template <class Op>
typename Op::Acc fold_lanes(typename Op::Acc* acc) {
  for (int width = kLaneCount / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) acc[i] = Op::fold(acc[i], acc[i + width]);
  return acc[0];
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
