// Softmax and log-softmax along one dimension, and their adjoints:
//   y = e^(x - m) / s,  y = x - m - log s   with m = max x, s = sum e^(x - m)
//   y (g - sum g y),    g - e^y sum g
// Layout: contiguous, seen as [outer, size, inner]. With inner = 1 a row is handled at a time, in kLaneCount
// accumulators; else tiles of kTile columns, row by row. Sums are kept in double.
// Parallel: blocks of rows or tiles. A NaN makes its row NaN.
#include <cstdint>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/softmax.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/vector_math.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int kLaneCount = 16;
constexpr int64_t kTile = 256;  // columns: the accumulators of a tile and a few rows stay in the L1

template <class T>
T larger(T a, T x) {
  return x > a || x != x ? x : a;  // once NaN, a stays NaN
}

template <class T>
T max_of_row(const T* __restrict x, int64_t n) {
  T acc[kLaneCount];
  std::fill(acc, acc + kLaneCount, -std::numeric_limits<T>::infinity());
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount)
    for (int j = 0; j < kLaneCount; ++j) acc[j] = larger(acc[j], x[i + j]);
  for (int j = 0; i + j < n; ++j) acc[j] = larger(acc[j], x[i + j]);
  for (int width = kLaneCount / 2; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) acc[j] = larger(acc[j], acc[j + width]);
  return acc[0];
}

// Sum of term(i) over i in [0, n).
template <class Term>
double sum_of_row(int64_t n, const Term& term) {
  double acc[kLaneCount] = {};
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount)
    for (int j = 0; j < kLaneCount; ++j) acc[j] += static_cast<double>(term(i + j));
  for (int j = 0; i + j < n; ++j) acc[j] += static_cast<double>(term(i + j));
  for (int width = kLaneCount / 2; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) acc[j] += acc[j + width];
  return acc[0];
}

// The four ops as terms of a sum and a result; `shift` is the maximum, unused by the adjoints.
struct Softmax {
  static constexpr bool kAdjoint = false;
  template <class T>
  static T term(T x, T, T shift) {
    return vexp(x - shift);
  }
  template <class T>
  static T scale(double sum) {
    return static_cast<T>(1 / sum);
  }
  template <class T>
  static T result(T x, T, T shift, T scale) {
    return vexp(x - shift) * scale;
  }
};

struct LogSoftmax : Softmax {
  template <class T>
  static T scale(double sum) {
    return static_cast<T>(std::log(sum));
  }
  template <class T>
  static T result(T x, T, T shift, T scale) {
    return (x - shift) - scale;
  }
};

struct SoftmaxVjp {
  static constexpr bool kAdjoint = true;
  template <class T>
  static T term(T g, T y, T) {
    return g * y;
  }
  template <class T>
  static T scale(double sum) {
    return static_cast<T>(sum);
  }
  template <class T>
  static T result(T g, T y, T, T scale) {
    return y * (g - scale);
  }
};

struct LogSoftmaxVjp : SoftmaxVjp {
  template <class T>
  static T term(T g, T, T) {
    return g;
  }
  template <class T>
  static T result(T g, T y, T, T scale) {
    return g - vexp(y) * scale;
  }
};

// a is x, or g with b = y.
template <class Op, class T>
void row(const T* __restrict a, const T* __restrict b, T* __restrict out, int64_t n) {
  const T shift = Op::kAdjoint ? T(0) : max_of_row(a, n);
  const double sum = sum_of_row(n, [=](int64_t i) { return Op::term(a[i], b[i], shift); });
  const T scale = Op::template scale<T>(sum);
  for (int64_t i = 0; i < n; ++i) out[i] = Op::result(a[i], b[i], shift, scale);
}

template <class Op, class T>
void columns(const T* a, const T* b, T* out, int64_t rows, int64_t inner, int64_t width) {
  T shift[kTile], scale[kTile];
  double sum[kTile];
  std::fill(shift, shift + width, Op::kAdjoint ? T(0) : -std::numeric_limits<T>::infinity());
  std::fill(sum, sum + width, 0.0);
  for (int64_t r = 0; !Op::kAdjoint && r < rows; ++r) {
    const T* __restrict ar = a + r * inner;
    for (int64_t j = 0; j < width; ++j) shift[j] = larger(shift[j], ar[j]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const T *__restrict ar = a + r * inner, *__restrict br = b + r * inner;
    for (int64_t j = 0; j < width; ++j) sum[j] += static_cast<double>(Op::term(ar[j], br[j], shift[j]));
  }
  for (int64_t j = 0; j < width; ++j) scale[j] = Op::template scale<T>(sum[j]);
  for (int64_t r = 0; r < rows; ++r) {
    const T *__restrict ar = a + r * inner, *__restrict br = b + r * inner;
    T* __restrict to = out + r * inner;
    for (int64_t j = 0; j < width; ++j) to[j] = Op::result(ar[j], br[j], shift[j], scale[j]);
  }
}

template <class Op>
void run(const AxisParams& p, const Kernel& k) {
  const Shape& shape = k.out(0).shape;
  if (k.out(0).size() == 0) return;
  const int dim = static_cast<int>(p.dim);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < dim; ++i) outer *= shape[i];
  for (int i = dim + 1; i < shape.ndim; ++i) inner *= shape[i];
  const int64_t size = shape[dim], tiles = blocks_of(inner, kTile), total = outer * tiles;
  const int64_t per_block = std::max<int64_t>(1, kElementsPerBlock / 4 / (size * std::min(inner, kTile)));
  dispatch_floating(k.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const a = k.in(0).as<T>();
    const T* const b = Op::kAdjoint ? k.in(1).as<T>() : a;
    T* const out = k.out(0).as<T>();
    k.parallel_for(blocks_of(total, per_block), [&](int64_t block, int) {
      for (int64_t t = block * per_block; t < std::min(total, (block + 1) * per_block); ++t) {
        const int64_t column = t % tiles * kTile, at = t / tiles * size * inner + column;
        if (inner == 1) {
          row<Op>(a + at, b + at, out + at, size);
        } else {
          columns<Op>(a + at, b + at, out + at, size, inner, std::min(kTile, inner - column));
        }
      }
    });
  });
}

}  // namespace

void k_softmax(const AxisParams& p, const Kernel& k) { run<Softmax>(p, k); }
void k_log_softmax(const AxisParams& p, const Kernel& k) { run<LogSoftmax>(p, k); }
void k_softmax_vjp(const AxisParams& p, const Kernel& k) { run<SoftmaxVjp>(p, k); }
void k_log_softmax_vjp(const AxisParams& p, const Kernel& k) { run<LogSoftmaxVjp>(p, k); }

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
