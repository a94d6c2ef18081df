// Softmax, log-softmax and log-sum-exp along one dimension, and the adjoints of the first two:
//   y = e^(x - m) / s,  y = x - m - log s   with m = max x, s = sum e^(x - m)
//   y (g - sum g y),    g - e^y sum g
// Layout: contiguous, seen as [outer, size, inner]. With inner = 1 a row is handled at a time, or a group of
// short ones transposed; else tiles of kTile columns, row by row. Sums are kept in double, of which four
// terms are added as floats first. Large results go around the caches.
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
#include "cpu/wide_sum.h"
#include "cpu/write_out.h"
#include "cpu/softmax_row.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kShortRow = 64, kGroup = 32;  // rows up to this size are handled in such groups
constexpr int64_t kNearTerms = 4096;            // terms of a row kept apart from the result
constexpr int64_t kTile = 256;  // columns: the accumulators of a tile and a few rows stay in the L1

template <class T>
T larger(T a, T x) {
  return x > a ? x : a;
}

// The four ops as terms of a sum and a result, of vectors and of single numbers; `shift` is the maximum,
// unused by the adjoints.
inline float exponential(float x) { return vexp_down(x); }
inline double exponential(double x) { return vexp_down(x); }
inline __attribute__((always_inline)) Vec<float> exponential(Vec<float> x) { return exp_down(x); }
inline __attribute__((always_inline)) Vec<double> exponential(Vec<double> x) { return exp_down(x); }

struct Softmax {
  static constexpr bool kAdjoint = false, kKeepsTerms = true;
  template <class V>
  static inline __attribute__((always_inline)) V term(V x, V, V shift) {
    return exponential(x - shift);
  }
  template <class T>
  static T scale(double sum) {
    return static_cast<T>(1 / sum);
  }
  template <class V>
  static inline __attribute__((always_inline)) V result(V term, V, V, V scale) {
    return term * scale;
  }
};

struct LogSoftmax : Softmax {
  static constexpr bool kKeepsTerms = false;
  template <class T>
  static T scale(double sum) {
    return vlog(static_cast<T>(sum));
  }
  template <class V>
  static inline __attribute__((always_inline)) V result(V x, V, V shift, V scale) {
    return (x - shift) - scale;
  }
};

struct SoftmaxVjp {
  static constexpr bool kAdjoint = true, kKeepsTerms = false;
  template <class V>
  static inline __attribute__((always_inline)) V term(V g, V y, V) {
    return g * y;
  }
  template <class T>
  static T scale(double sum) {
    return static_cast<T>(sum);
  }
  template <class V>
  static inline __attribute__((always_inline)) V result(V g, V y, V, V scale) {
    return y * (g - scale);
  }
};

struct LogSoftmaxVjp : SoftmaxVjp {
  template <class V>
  static inline __attribute__((always_inline)) V term(V g, V, V) {
    return g;
  }
  template <class V>
  static inline __attribute__((always_inline)) V result(V g, V y, V, V scale) {
    return g - exponential(y) * scale;
  }
};

// The sum of the terms of a row of an adjoint; lanes beyond the row are zero and add nothing.
template <class Op, class T>
double adjoint_sum(const T* g, const T* y, int64_t n) {
  constexpr int w = kLanes<T>;
  const Vec<T> none{};
  WideSum<T> sum;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    Vec<T> t[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) t[k] = Op::term(load(g + i + k * w), load(y + i + k * w), none);
    sum.add((t[0] + t[1]) + (t[2] + t[3]));
  }
  for (; i < n; i += w) {
    const int rest = static_cast<int>(std::min<int64_t>(w, n - i));
    sum.add(Op::term(load_partial(g + i, rest), load_partial(y + i, rest), none));
  }
  return sum.total();
}

template <class Op, class T>
struct Results {
  const T *a, *b;
  Vec<T> shift, scale;
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const {
    return Op::result(load(a + i), load(b + i), shift, scale);
  }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return Op::result(load_partial(a + i, n), load_partial(b + i, n), shift, scale);
  }
};

// a is x, or g with b = y. Terms that are kept stay in the L1 where the result goes around it.
template <class Op, class T>
void row(const T* a, const T* b, T* out, int64_t n, bool streams) {
  if constexpr (Op::kAdjoint) {
    const Vec<T> scale = broadcast<T>(Op::template scale<T>(adjoint_sum<Op>(a, b, n)));
    write_out(out, n, streams, Results<Op, T>{a, b, {}, scale});
  } else {
    alignas(64) T near[Op::kKeepsTerms ? kNearTerms : 1];
    T* const terms = streams && n <= kNearTerms ? near : out;
    const T shift = max_of_row(a, n);
    const T scale = Op::template scale<T>(exp_sum_of_row<Op::kKeepsTerms>(a, n, shift, terms));
    const T* const from = Op::kKeepsTerms ? terms : a;
    write_out(out, n, streams && from != out,
              Results<Op, T>{from, from, broadcast<T>(shift), broadcast<T>(scale)});
  }
}

// Adds to sum[j] the terms of kRows rows, as floats first.
template <class Op, int kRows, class T>
void add_rows(const T* a, const T* b, T* out, int64_t inner, int64_t width,
              const T* __restrict shift, double* __restrict sum) {
  T terms[kRows][kTile];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const T* __restrict ar = a + r * inner, * __restrict br = b + r * inner;
    T* __restrict to = Op::kKeepsTerms ? out + r * inner : terms[r];
    for (int64_t j = 0; j < width; ++j) to[j] = Op::term(ar[j], br[j], shift[j]);
  }
  const T* row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = Op::kKeepsTerms ? out + r * inner : terms[r];
  for (int64_t j = 0; j < width; ++j) {
    if constexpr (kRows == 4) {
      sum[j] += static_cast<double>((row[0][j] + row[1][j]) + (row[2][j] + row[3][j]));
    } else {
      sum[j] += static_cast<double>(row[0][j]);
    }
  }
}

template <class Op, class T>
struct ColumnResults {
  const T *a, *b, *shift, *scale;
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const {
    return Op::result(load(a + i), load(b + i), load(shift + i), load(scale + i));
  }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return Op::result(load_partial(a + i, n), load_partial(b + i, n), load_partial(shift + i, n),
                      load_partial(scale + i, n));
  }
};

template <class Op, class T>
void columns(const T* a, const T* b, T* out, int64_t rows, int64_t inner, int64_t width,
             bool streams) {
  T shift[kTile], scale[kTile];
  double sum[kTile];
  std::fill(shift, shift + width, Op::kAdjoint ? T(0) : -std::numeric_limits<T>::infinity());
  std::fill(sum, sum + width, 0.0);
  for (int64_t r = 0; !Op::kAdjoint && r < rows; ++r) {
    const T* __restrict ar = a + r * inner;
    for (int64_t j = 0; j < width; ++j) shift[j] = larger(shift[j], ar[j]);
  }
  int64_t done = 0;
  for (; done + 4 <= rows; done += 4)
    add_rows<Op, 4>(a + done * inner, b + done * inner, out + done * inner, inner, width, shift,
                    sum);
  for (; done < rows; ++done)
    add_rows<Op, 1>(a + done * inner, b + done * inner, out + done * inner, inner, width, shift,
                    sum);
  for (int64_t j = 0; j < width; ++j) scale[j] = Op::template scale<T>(sum[j]);
  if (streams && !Op::kKeepsTerms) {
    for (int64_t r = 0; r < rows; ++r)
      write_out(out + r * inner, width, true,
                ColumnResults<Op, T>{a + r * inner, b + r * inner, shift, scale});
    return;
  }
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
    columns<Op>(columns_a, Op::kAdjoint ? columns_b : columns_a, result, size, kGroup, count,
                false);
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
    const bool streams = streams_to(out, k.out(0).size());
    k.parallel_for(blocks_of(total, per_block), [&](int64_t block, int) {
      const int64_t begin = block * per_block, end = std::min(total, begin + per_block);
      if (inner == 1 && size <= kShortRow)
        return short_rows<Op>(a + begin * size, b + begin * size, out + begin * size, end - begin,
                              size);
      for (int64_t t = begin; t < end; ++t) {
        const int64_t column = t % tiles * kTile, at = t / tiles * size * inner + column;
        if (inner == 1) {
          row<Op>(a + at, b + at, out + at, size, streams);
        } else {
          columns<Op>(a + at, b + at, out + at, size, inner, std::min(kTile, inner - column),
                      streams);
        }
      }
      if (streams) stream_fence();
    });
  });
}

// An infinite maximum is the result, and a NaN beside it too.
template <class T>
T extreme_of(const T* x, int64_t rows, int64_t inner, T largest) {
  for (int64_t r = 0; r < rows; ++r)
    if (x[r * inner] != x[r * inner]) return x[r * inner];
  return largest;
}

// Where results go: log sum e^x, and for the adjoint the maximum and the sum of e^(x - maximum).
template <class T>
struct LogSums {
  T *log_sum, *largest, *sum;

  LogSums at(int64_t i) const {
    return {log_sum + i, largest ? largest + i : nullptr, sum ? sum + i : nullptr};
  }
  // Of a finite maximum.
  void put(int64_t i, T top, double total) const {
    log_sum[i] = top + vlog(static_cast<T>(total));
    if (largest) largest[i] = top;
    if (sum) sum[i] = static_cast<T>(total);
  }
  void put_extreme(int64_t i, T top) const {
    log_sum[i] = top;
    if (largest) largest[i] = top;
    if (sum) sum[i] = T(1);
  }
};

template <class T>
bool is_finite(T x) {
  return std::fabs(x) <= std::numeric_limits<T>::max();
}

template <class T>
void log_sum_columns(const T* x, int64_t rows, int64_t inner, int64_t width,
                     const LogSums<T>& out) {
  T largest[kTile];
  double sum[kTile];
  std::fill(largest, largest + width, -std::numeric_limits<T>::infinity());
  std::fill(sum, sum + width, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    const T* __restrict row = x + r * inner;
    for (int64_t j = 0; j < width; ++j) largest[j] = larger(largest[j], row[j]);
  }
  int64_t done = 0;
  for (; done + 4 <= rows; done += 4)
    add_rows<LogSoftmax, 4, T>(x + done * inner, x + done * inner, nullptr, inner, width, largest,
                               sum);
  for (; done < rows; ++done)
    add_rows<LogSoftmax, 1, T>(x + done * inner, x + done * inner, nullptr, inner, width, largest,
                               sum);
  for (int64_t j = 0; j < width; ++j) out.put(j, largest[j], sum[j]);
  for (int64_t j = 0; j < width; ++j)
    if (!is_finite(largest[j])) out.put_extreme(j, extreme_of(x + j, rows, inner, largest[j]));
}

template <class T>
void log_sum_short_rows(const T* x, int64_t rows, int64_t size, const LogSums<T>& out) {
  constexpr int w = kLanes<T>;
  alignas(64) T lines[kShortRow * kGroup];
  for (int64_t i = 0; i < rows; i += kGroup) {
    const int64_t count = std::min(kGroup, rows - i);
    for (int64_t r = 0; r < count; r += w)
      load_transposed(x + (i + r) * size, size, static_cast<int>(std::min<int64_t>(w, count - r)),
                      size, lines + r, kGroup);
    log_sum_columns(lines, size, kGroup, count, out.at(i));
  }
}

template <class T>
void log_sum_row(const T* x, int64_t n, int64_t i, const LogSums<T>& out) {
  const T largest = max_of_row(x, n);
  if (!is_finite(largest)) return out.put_extreme(i, extreme_of(x, n, 1, largest));
  out.put(i, largest, exp_sum_of_row<false, T>(x, n, largest, nullptr));
}

template <class T>
void log_sum_exp(const AxisParams& p, const Kernel& k) {
  const Shape& shape = k.in(0).shape;
  const int dim = static_cast<int>(p.dim);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < dim; ++i) outer *= shape[i];
  for (int i = dim + 1; i < shape.ndim; ++i) inner *= shape[i];
  const int64_t size = shape[dim], tiles = blocks_of(inner, kTile), total = outer * tiles;
  const int64_t per_block = std::max<int64_t>(
      1, kElementsPerBlock / 2 / std::max<int64_t>(1, size * std::min(inner, kTile)));
  const T* const x = k.in(0).as<T>();
  const LogSums<T> out{k.out(0).as<T>(), k.out(1).as<T>(), k.out(2).as<T>()};
  k.parallel_for(blocks_of(total, per_block), [&](int64_t block, int) {
    const int64_t begin = block * per_block, end = std::min(total, begin + per_block);
    if (inner == 1 && size <= kShortRow)
      return log_sum_short_rows(x + begin * size, end - begin, size, out.at(begin));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t column = t % tiles * kTile, at = t / tiles * size * inner + column;
      if (inner == 1) {
        log_sum_row(x + at, size, t, out);
      } else {
        log_sum_columns(x + at, size, inner, std::min(kTile, inner - column),
                        out.at(t / tiles * inner + column));
      }
    }
  });
}

}  // namespace

void k_log_sum_exp(const AxisParams& p, const Kernel& k) {
  dispatch_floating(k.in(0).dtype,
                    [&](auto tag) { log_sum_exp<typename decltype(tag)::type>(p, k); });
}

void k_softmax(const AxisParams& p, const Kernel& k) { run<Softmax>(p, k); }
void k_log_softmax(const AxisParams& p, const Kernel& k) { run<LogSoftmax>(p, k); }
void k_softmax_vjp(const AxisParams& p, const Kernel& k) { run<SoftmaxVjp>(p, k); }
void k_log_softmax_vjp(const AxisParams& p, const Kernel& k) { run<LogSoftmaxVjp>(p, k); }

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
