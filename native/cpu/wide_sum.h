// Sums of vectors in double precision. Read once per instruction set, after simd.h.
//
// A vector of floats costs two conversions; the loops therefore add a few of them as floats in a tree first,
// which loses a few units of the last place of a term and halves the work. The order is always the same.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

using Wide = Vec<double>;
typedef float HalfVector __attribute__((vector_size(FLUXION_VECTOR_BYTES / 2)));

template <int kFirst, size_t... I>
inline __attribute__((always_inline)) Wide widen_half(Vec<float> v, std::index_sequence<I...>) {
  const HalfVector half = __builtin_shufflevector(v, v, (kFirst + static_cast<int>(I))...);
  return __builtin_convertvector(half, Wide);
}

template <class T>
struct WideSum;

template <>
struct WideSum<float> {
  Wide low{}, high{};
  inline __attribute__((always_inline)) void add(Vec<float> v) {
    constexpr int half = kLanes<float> / 2;
    using Lanes = std::make_index_sequence<static_cast<size_t>(half)>;
    low += widen_half<0>(v, Lanes{});
    high += widen_half<half>(v, Lanes{});
  }
  double total() const { return sum_lanes<double>(low + high); }
};

template <>
struct WideSum<double> {
  Wide all{};
  inline __attribute__((always_inline)) void add(Vec<double> v) { all += v; }
  double total() const { return sum_lanes<double>(all); }
};

struct SumPair {
  double a = 0, b = 0;
};

// The first n lanes of a repeated value; the others are zero.
template <class T>
inline __attribute__((always_inline)) Vec<T> repeat_partial(T x, int n) {
  T lanes[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = i < n ? x : T(0);
  return load(lanes);
}

// Of shifted values: a = sum(x - shift), b = sum((x - shift)^2).
template <class T>
inline SumPair moments(const T* x, int64_t n, T shift) {
  constexpr int w = kLanes<T>;
  WideSum<T> sum, squares;
  const Vec<T> s = broadcast<T>(shift);
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    const Vec<T> a = load(x + i) - s, b = load(x + i + w) - s, c = load(x + i + 2 * w) - s,
                 d = load(x + i + 3 * w) - s;
    sum.add((a + b) + (c + d));
    squares.add((a * a + b * b) + (c * c + d * d));
  }
  for (; i + w <= n; i += w) {
    const Vec<T> a = load(x + i) - s;
    sum.add(a);
    squares.add(a * a);
  }
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    const Vec<T> a = load_partial(x + i, rest) - repeat_partial(shift, rest);
    sum.add(a);
    squares.add(a * a);
  }
  return {sum.total(), squares.total()};
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
