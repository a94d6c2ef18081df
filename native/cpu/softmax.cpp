// Softmax and log-softmax along one dimension, and their adjoints:
//   y = e^(x - m) / s,  y = x - m - log s   with m = max x, s = sum e^(x - m)
//   y (g - sum g y),    g - e^y sum g
// Layout: contiguous, seen as [outer, size, inner]. With inner = 1 a row is handled at a time, in kLaneCount
// accumulators; else tiles of kTile columns, row by row. Sums are kept in double.
// Parallel: blocks of rows or tiles. A NaN makes its row NaN.
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/softmax.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// More than 16: GCC unrolls shorter loops over the lanes before it could vectorise them.
constexpr int kLaneCount = 32;
constexpr int64_t kShortRow = 64, kGroup = 32;  // rows up to this size are handled in such groups
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

// The four ops as terms of a sum and a result; `shift` is the maximum, unused by the adjoints.
struct Softmax {
  static constexpr bool kAdjoint = false, kKeepsTerms = true;
  template <class T>
  static T term(T x, T, T shift) {
    return vexp(x - shift);
  }
  template <class T>
  static T scale(double sum) {
    return static_cast<T>(1 / sum);
  }
  template <class T>
  static T result(T term, T, T, T scale) {
    return term * scale;
  }
};

struct LogSoftmax : Softmax {
  static constexpr bool kKeepsTerms = false;
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
  static constexpr bool kAdjoint = true, kKeepsTerms = false;
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

// The sum of the terms of a row; softmax keeps them in `out`.
template <class Op, class T>
double sum_of_row(const T* __restrict a, const T* __restrict b, T* __restrict out, int64_t n,
                  T shift) {
  double acc[kLaneCount] = {};
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount) {
    for (int j = 0; j < kLaneCount; ++j) {
      const T term = Op::term(a[i + j], b[i + j], shift);
      if (Op::kKeepsTerms) out[i + j] = term;
      acc[j] += static_cast<double>(term);
    }
  }
  for (int j = 0; i + j < n; ++j) {
    const T term = Op::term(a[i + j], b[i + j], shift);
    if (Op::kKeepsTerms) out[i + j] = term;
    acc[j] += static_cast<double>(term);
  }
  for (int width = kLaneCount / 2; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) acc[j] += acc[j + width];
  return acc[0];
}

// a is x, or g with b = y.
template <class Op, class T>
void row(const T* __restrict a, const T* __restrict b, T* __restrict out, int64_t n) {
  const T shift = Op::kAdjoint ? T(0) : max_of_row(a, n);
  const T scale = Op::template scale<T>(sum_of_row<Op>(a, b, out, n, shift));
  if (Op::kKeepsTerms) {
    for (int64_t i = 0; i < n; ++i) out[i] = Op::result(out[i], T(), shift, scale);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = Op::result(a[i], b[i], shift, scale);
  }
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
    const T* __restrict ar = a + r * inner, * __restrict br = b + r * inner;
    T* __restrict to = out + r * inner;
    for (int64_t j = 0; j < width; ++j) {
      const T term = Op::term(ar[j], br[j], shift[j]);
      if (Op::kKeepsTerms) to[j] = term;
      sum[j] += static_cast<double>(term);
    }
  }
  for (int64_t j = 0; j < width; ++j) scale[j] = Op::template scale<T>(sum[j]);
  for (int64_t r = 0; r < rows; ++r) {
    T* to = out + r * inner;
    const T *ar = Op::kKeepsTerms ? to : a + r * inner, *br = b + r * inner;
#pragma GCC ivdep
    for (int64_t j = 0; j < width; ++j) to[j] = Op::result(ar[j], br[j], shift[j], scale[j]);
  }
}

// Many short rows: a group of them is transposed into a small matrix whose columns they are, and back.
template <class Op, class T>
void short_rows(const T* a, const T* b, T* out, int64_t rows, int64_t size) {
  constexpr int w = kLanes<T>;
  alignas(64) T columns_a[kShortRow * kGroup], columns_b[kShortRow * kGroup],
      result[kShortRow * kGroup];
  for (int64_t i = 0; i < rows; i += kGroup) {
    const int64_t count = std::min(kGroup, rows - i);
    for (int64_t r = 0; r < count; r += w) {
      const int lanes = static_cast<int>(std::min<int64_t>(w, count - r));
      load_transposed(a + (i + r) * size, size, lanes, size, columns_a + r, kGroup);
      if (Op::kAdjoint)
        load_transposed(b + (i + r) * size, size, lanes, size, columns_b + r, kGroup);
    }
    columns<Op>(columns_a, Op::kAdjoint ? columns_b : columns_a, result, size, kGroup, count);
    for (int64_t r = 0; r < count; r += w) {
      const int lanes = static_cast<int>(std::min<int64_t>(w, count - r));
      store_transposed(result + r, kGroup, lanes, size, out + (i + r) * size, size,
                       static_cast<const T*>(nullptr));
    }
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
  const int64_t per_block =
      std::max<int64_t>(1, kElementsPerBlock / 4 / (size * std::min(inner, kTile)));
  dispatch_floating(k.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const a = k.in(0).as<T>();
    const T* const b = Op::kAdjoint ? k.in(1).as<T>() : a;
    T* const out = k.out(0).as<T>();
    k.parallel_for(blocks_of(total, per_block), [&](int64_t block, int) {
      const int64_t begin = block * per_block, end = std::min(total, begin + per_block);
      if (inner == 1 && size <= kShortRow)
        return short_rows<Op>(a + begin * size, b + begin * size, out + begin * size, end - begin,
                              size);
      for (int64_t t = begin; t < end; ++t) {
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
