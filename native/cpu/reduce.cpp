// Reductions: out[o] = fold over r of x[o, r]; sum, mean, product, norms, max and min.
//
// Layout and parallel decomposition: reduce_plan.h. A run is folded into kLaneCount accumulators, then by a
// fixed tree; slices of a reduction with few outputs meet in the workspace, in a fixed order.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/reduce.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/reduce_plan.h"
#include "cpu/reduce_fold.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// One output whose innermost dimension is reduced: folds [begin, end) of the flattened reduced elements.
template <class Op, class T>
typename Op::Acc fold_elements(const Plan& plan, const T* x, int64_t begin, int64_t end) {
  using Acc = typename Op::Acc;
  const int64_t length = plan.inner.size, step = plan.inner.in;
  Acc acc[kLaneCount];
  std::fill(acc, acc + kLaneCount, Op::kStart);
  Position row(plan.reduced, plan.reduceds, begin / length);
  int64_t column = begin % length;
  for (int64_t left = end - begin; left > 0;) {
    const int64_t run = std::min(left, length - column);
    const T* const at = x + row.in + column * step;
    if (step == 1) {
      fold_run<Op>(acc, at, run);
    } else {
      for (int64_t i = 0; i < run; i += kLaneCount)
        fold_row<Op>(acc, at + i * step, std::min<int64_t>(kLaneCount, run - i), step);
    }
    left -= run;
    column = 0;
    row.next();
  }
  return fold_lanes<Op>(acc);
}

// Short contiguous runs, one for each output of the tile: a vector of them is transposed and folded as rows.
template <class Op, class T>
void fold_transposed(const Plan& plan, const T* x, int64_t begin, int64_t end, int64_t width,
                     typename Op::Acc* acc) {
  constexpr int w = kLanes<T>;
  alignas(64) T lines[Plan::kShortRun * w];
  const int64_t length = plan.reduced[plan.reduceds - 1].size;
  for (int64_t r = begin; r < end;) {
    const int64_t run = std::min(end - r, length - r % length);
    const T* const from = x + Position(plan.reduced, plan.reduceds, r).in;
    for (int64_t j = 0; j < width; j += w) {
      const int lanes = static_cast<int>(std::min<int64_t>(w, width - j));
      load_transposed(from + j * plan.inner.in, plan.inner.in, lanes, run, lines, w);
      for (int64_t i = 0; i < run; ++i) fold_row<Op>(acc + j, lines + i * w, lanes, 1);
    }
    r += run;
  }
}

// A tile of outputs whose innermost dimension is kept: folds the rows [begin, end).
template <class Op, class T>
void fold_rows(const Plan& plan, const T* x, int64_t begin, int64_t end, int64_t width,
               typename Op::Acc* acc) {
  std::fill(acc, acc + width, Op::kStart);
  if constexpr (std::is_floating_point_v<T>) {
    if (plan.transposed) return fold_transposed<Op>(plan, x, begin, end, width, acc);
  }
  Position row(plan.reduced, plan.reduceds, begin);
  for (int64_t r = begin; r < end; ++r, row.next())
    fold_row<Op>(acc, x + row.in, width, plan.inner.in);
}

// Results of one tile as they leave the fold: to the output, or to a slice of the workspace.
template <class Op, class T, class Out, class Finish>
void reduce(const Kernel& k, uint32_t dims, const Finish& finish) {
  using Acc = typename Op::Acc;
  const T* const x = k.in(0).as<T>();
  Out* const out = k.out(0).as<Out>();
  const int64_t n_out = k.out(0).size();
  if (n_out == 0) return;
  if (k.in(0).size() == 0) return std::fill(out, out + n_out, finish(Op::kStart));
  const Plan plan(k.in(0), dims);
  const Cut cut(plan);
  Acc* const partials = k.workspace<Acc>();
  const int64_t out_step = plan.inner.out;
  // The tile's first input element, its first output and its width.
  const auto fold_tile = [&](int64_t tile, int64_t slice, Acc* acc, int64_t* to) {
    const Position position(plan.kept, plan.kepts, tile / cut.tiles_per_row);
    const int64_t column = tile % cut.tiles_per_row * kReduceTile;
    const int64_t begin = cut.folds * slice / cut.slices,
                  end = cut.folds * (slice + 1) / cut.slices;
    *to = position.out + column * out_step;
    if (!plan.inner_kept) {
      acc[0] = fold_elements<Op>(plan, x + position.in, begin, end);
      return int64_t{1};
    }
    const int64_t width = std::min(kReduceTile, plan.inner.size - column);
    fold_rows<Op>(plan, x + position.in + column * plan.inner.in, begin, end, width, acc);
    return width;
  };
  if (cut.slices == 1) {
    k.parallel_for(blocks_of(cut.tiles, cut.tiles_per_block), [&](int64_t block, int) {
      Acc acc[kReduceTile];
      const int64_t end = std::min(cut.tiles, (block + 1) * cut.tiles_per_block);
      for (int64_t tile = block * cut.tiles_per_block, to; tile < end; ++tile) {
        const int64_t width = fold_tile(tile, 0, acc, &to);
        for (int64_t i = 0; i < width; ++i) out[to + i * out_step] = finish(acc[i]);
      }
    });
    return;
  }
  k.parallel_for(cut.tiles * cut.slices, [&](int64_t block, int) {
    int64_t to;
    fold_tile(block / cut.slices, block % cut.slices, partials + block * cut.width, &to);
  });
  for (int64_t tile = 0; tile < cut.tiles; ++tile) {
    const Position position(plan.kept, plan.kepts, tile / cut.tiles_per_row);
    const int64_t column = tile % cut.tiles_per_row * kReduceTile;
    const int64_t width = plan.inner_kept ? std::min(kReduceTile, plan.inner.size - column) : 1;
    Acc* const first = partials + tile * cut.slices * cut.width;
    for (int64_t s = 1; s < cut.slices; ++s)
      for (int64_t i = 0; i < width; ++i) first[i] = Op::fold(first[i], first[s * cut.width + i]);
    for (int64_t i = 0; i < width; ++i)
      out[position.out + (column + i) * out_step] = finish(first[i]);
  }
}

template <template <class> class Op>
void reduce_extremum(const ReduceParams& p, const Kernel& k) {
  dispatch_all(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    reduce<Op<T>, T, T>(k, reduced_dims(p, k.in(0).ndim()), [](T v) { return v; });
  });
}

}  // namespace

void k_sum(const ReduceParams& p, const Kernel& k) {
  dispatch_any(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Out = std::conditional_t<std::is_integral_v<T>, int32_t, T>;
    reduce<Add<T>, T, Out>(k, reduced_dims(p, k.in(0).ndim()),
                           [](typename Add<T>::Acc v) { return static_cast<Out>(v); });
  });
}

void k_mean(const ReduceParams& p, const Kernel& k) {
  const int64_t outputs = k.out(0).size();
  // An empty mean is 0 / 0.
  const double count = outputs == 0 ? 1.0 : static_cast<double>(k.in(0).size() / outputs);
  if (is_complex(k.in(0).dtype)) {
    return dispatch_complex(k.in(0).dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      reduce<Add<T>, T, T>(k, reduced_dims(p, k.in(0).ndim()), [count](Complex<double> v) {
        return static_cast<T>(Complex<double>(v.re / count, v.im / count));
      });
    });
  }
  dispatch_floating(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    reduce<Add<T>, T, T>(k, reduced_dims(p, k.in(0).ndim()),
                         [count](double v) { return static_cast<T>(v / count); });
  });
}

void k_max(const ReduceParams& p, const Kernel& k) { reduce_extremum<Max>(p, k); }
void k_min(const ReduceParams& p, const Kernel& k) { reduce_extremum<Min>(p, k); }

void k_prod(const ReduceParams& p, const Kernel& k) {
  dispatch_all(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Out = std::conditional_t<std::is_integral_v<T>, int32_t, T>;
    reduce<Mul<T>, T, Out>(k, reduced_dims(p, k.in(0).ndim()), [](typename Mul<T>::Acc v) {
      if constexpr (std::is_integral_v<T>) return static_cast<Out>(static_cast<uint32_t>(v));
      return static_cast<Out>(v);
    });
  });
}

void k_norm(const NormParams& p, const Kernel& k) {
  const uint32_t dims = reduced_dims(p, k.in(0).ndim());
  dispatch_floating(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    switch (p.order) {
      case NormOrder::zero:
        return reduce<AddNonzero<T>, T, T>(k, dims, [](double v) { return static_cast<T>(v); });
      case NormOrder::one:
        return reduce<AddMagnitude<T>, T, T>(k, dims, [](double v) { return static_cast<T>(v); });
      case NormOrder::two:
        return reduce<AddSquare<T>, T, T>(k, dims,
                                          [](double v) { return static_cast<T>(std::sqrt(v)); });
      case NormOrder::largest:
        return reduce<MaxMagnitude<T>, T, T>(k, dims, [](T v) { return v; });
      case NormOrder::smallest:
        return reduce<MinMagnitude<T>, T, T>(k, dims, [](T v) { return v; });
    }
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
