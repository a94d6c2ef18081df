// Variance and standard deviation in one pass: with d = x - s, s the first value of the output's elements,
//
//   mean = s + sum(d) / n,  variance = (sum(d^2) - sum(d)^2 / n) / (n - correction)
//
// The shift is one of the values, so sum(d)^2 / n is at most n times the variance and little is lost to
// cancellation whatever the mean is (Chan, Golub & LeVeque, Am. Stat. 37, 1983); sums are in double. Layout
// and parallel decomposition: reduce_plan.h; slices share the shift, so their sums are simply added.
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/variance.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/reduce_plan.h"
#include "cpu/wide_sum.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// The sums of a tile of outputs.
struct TileSums {
  double a[kReduceTile], b[kReduceTile];
};

template <class T>
void add_row(const T* __restrict x, const double* __restrict shift, int64_t n, double* __restrict a,
             double* __restrict b) {
  for (int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - shift[i];
    a[i] += d;
    b[i] += d * d;
  }
}

template <class T>
struct VarianceFold {
  const Plan& plan;
  const Cut& cut;
  const T* x;

  // A tile whose innermost dimension is kept.
  void rows(const T* from, int64_t begin, int64_t end, int64_t width, TileSums& s) const {
    double shift[kReduceTile];
    for (int64_t j = 0; j < width; ++j) shift[j] = static_cast<double>(from[j * plan.inner.in]);
    std::fill(s.a, s.a + width, 0.0);
    std::fill(s.b, s.b + width, 0.0);
    if (plan.transposed) return short_runs(from, begin, end, width, shift, s);
    Position row(plan.reduced, plan.reduceds, begin);
    for (int64_t r = begin; r < end; ++r, row.next())
      add_row(from + row.in, shift, width, s.a, s.b);
  }
  void short_runs(const T* from, int64_t begin, int64_t end, int64_t width, const double* shift,
                  TileSums& s) const {
    constexpr int w = kLanes<T>;
    alignas(64) T lines[Plan::kShortRun * w];
    const int64_t length = plan.reduced[plan.reduceds - 1].size;
    for (int64_t r = begin; r < end;) {
      const int64_t run = std::min(end - r, length - r % length);
      const T* const at = from + Position(plan.reduced, plan.reduceds, r).in;
      for (int64_t j = 0; j < width; j += w) {
        const int lanes = static_cast<int>(std::min<int64_t>(w, width - j));
        load_transposed(at + j * plan.inner.in, plan.inner.in, lanes, run, lines, w);
        for (int64_t i = 0; i < run; ++i)
          add_row(lines + i * w, shift + j, lanes, s.a + j, s.b + j);
      }
      r += run;
    }
  }
  // One output of contiguous runs.
  SumPair elements(const T* from, int64_t begin, int64_t end) const {
    const int64_t length = plan.inner.size;
    Position row(plan.reduced, plan.reduceds, begin / length);
    int64_t column = begin % length;
    SumPair sums;
    for (int64_t left = end - begin; left > 0; row.next()) {
      const int64_t run = std::min(left, length - column);
      const SumPair s = moments(from + row.in + column, run, from[0]);
      sums.a += s.a;
      sums.b += s.b;
      left -= run;
      column = 0;
    }
    return sums;
  }

  struct Tile {
    const T* from;
    int64_t out, width;
  };
  Tile tile_at(int64_t tile) const {
    const Position position(plan.kept, plan.kepts, tile / cut.tiles_per_row);
    const int64_t column = tile % cut.tiles_per_row * kReduceTile;
    return {x + position.in + column * plan.inner.in, position.out + column * plan.inner.out,
            plan.inner_kept ? std::min(kReduceTile, plan.inner.size - column) : 1};
  }
  void fold(const Tile& t, int64_t slice, TileSums& s) const {
    const int64_t begin = cut.folds * slice / cut.slices,
                  end = cut.folds * (slice + 1) / cut.slices;
    if (plan.inner_kept) return rows(t.from, begin, end, t.width, s);
    const SumPair sums = elements(t.from, begin, end);
    s.a[0] = sums.a;
    s.b[0] = sums.b;
  }
};

template <class T>
struct VarianceFinish {
  const VarianceParams& params;
  double count;
  T *variance, *mean;

  void operator()(int64_t at, double first, double a, double b) const {
    const double divisor = std::max(0.0, count - params.correction);
    const double squares = b - a * a / count;
    const double v = (squares < 0 ? 0.0 : squares) / divisor;
    if (variance) variance[at] = static_cast<T>(params.root ? std::sqrt(v) : v);
    if (mean) mean[at] = static_cast<T>(first + a / count);
  }
};

template <class T>
void variance(const VarianceParams& params, const Kernel& k) {
  const int64_t outputs =
      std::max(k.out(0).data ? k.out(0).size() : 0, k.out(1).data ? k.out(1).size() : 0);
  if (outputs == 0) return;
  const T* const x = k.in(0).as<T>();
  const VarianceFinish<T> finish{params, static_cast<double>(k.in(0).size() / outputs),
                                 k.out(0).as<T>(), k.out(1).as<T>()};
  if (k.in(0).size() == 0) {
    for (int64_t i = 0; i < outputs; ++i) finish(i, 0, 0, 0);  // 0 / 0
    return;
  }
  const Plan plan(k.in(0), reduced_dims(params, k.in(0).ndim()));
  const Cut cut(plan);
  const VarianceFold<T> fold{plan, cut, x};
  const int64_t step = plan.inner.out, in = plan.inner.in;
  const auto write = [&](const auto& t, const double* a, const double* b) {
    for (int64_t i = 0; i < t.width; ++i)
      finish(t.out + i * step, static_cast<double>(t.from[plan.inner_kept ? i * in : 0]), a[i],
             b[i]);
  };
  if (cut.slices == 1) {
    k.parallel_for(blocks_of(cut.tiles, cut.tiles_per_block), [&](int64_t block, int) {
      TileSums s;
      const int64_t end = std::min(cut.tiles, (block + 1) * cut.tiles_per_block);
      for (int64_t tile = block * cut.tiles_per_block; tile < end; ++tile) {
        const auto t = fold.tile_at(tile);
        fold.fold(t, 0, s);
        write(t, s.a, s.b);
      }
    });
    return;
  }
  double* const partial = k.workspace<double>();  // [tile][slice][2][width]
  k.parallel_for(cut.tiles * cut.slices, [&](int64_t block, int) {
    TileSums s;
    const auto t = fold.tile_at(block / cut.slices);
    fold.fold(t, block % cut.slices, s);
    std::copy(s.a, s.a + t.width, partial + 2 * block * cut.width);
    std::copy(s.b, s.b + t.width, partial + (2 * block + 1) * cut.width);
  });
  for (int64_t tile = 0; tile < cut.tiles; ++tile) {
    const auto t = fold.tile_at(tile);
    double* const first = partial + 2 * tile * cut.slices * cut.width;
    for (int64_t s = 1; s < cut.slices; ++s) {
      for (int64_t i = 0; i < t.width; ++i) {
        first[i] += first[2 * s * cut.width + i];
        first[cut.width + i] += first[(2 * s + 1) * cut.width + i];
      }
    }
    write(t, first, first + cut.width);
  }
}

}  // namespace

void k_variance(const VarianceParams& params, const Kernel& k) {
  dispatch_floating(k.in(0).dtype,
                    [&](auto tag) { variance<typename decltype(tag)::type>(params, k); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
