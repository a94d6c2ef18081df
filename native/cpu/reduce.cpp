// Reductions: out[o] = fold over r of x[o, r]; sum, mean, max, min, and the places of extrema.
//
// Layout: the dimensions of the view are sorted by stride and merged, so any permuted dense tensor is read
// in the order of its memory. If the innermost dimension is reduced, each output folds runs into kLanes
// accumulators (then a fixed tree); if it is kept, rows are folded into a tile of kReduceTile accumulators.
// Parallel: blocks of output tiles; when there are fewer than kReduceBlocks tiles the reduction is cut into
// slices whose partial results meet in the workspace, in a fixed order. All of it depends on shapes only.
// Accuracy: floats add in double (the result is within an ulp or so of the exact sum), integers in int64.
#include <cstdint>
#include <type_traits>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/reduce.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"

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

// The view as loops. Reduced dimensions [0, reduced) and kept ones [0, kept), outermost first; the
// innermost of one of them is taken out as the inner loop.
struct Plan {
  struct Loop {
    int64_t size, in, out;  // strides of the input and of the output (0: reduced)
  };
  Loop kept[kMaxDims], reduced[kMaxDims];
  int kepts = 0, reduceds = 0;
  Loop inner{1, 1, 0};
  bool inner_kept = false;
  int64_t outputs = 1, folds = 1;  // without the inner loop
  static constexpr int64_t kShortRun = 32;

  Plan(const TensorView& x, uint32_t dims) {
    Loop loops[kMaxDims];
    int count = 0;
    int64_t step = 1;
    for (int i = x.ndim() - 1; i >= 0; --i) {  // innermost first
      const bool is_reduced = (dims >> i) & 1u;
      if (x.shape[i] != 1) loops[count++] = {x.shape[i], x.strides[i], is_reduced ? 0 : step};
      if (!is_reduced) step *= x.shape[i];
    }
    // Stable: equal strides keep their order. Repeated (stride 0) dimensions go outside.
    const auto rank = [](const Loop& l) {
      return l.in == 0 ? std::numeric_limits<int64_t>::max() : l.in;
    };
    for (int i = 1; i < count; ++i)
      for (int j = i; j > 0 && rank(loops[j]) < rank(loops[j - 1]); --j)
        std::swap(loops[j], loops[j - 1]);
    count = merge(loops, count);
    int first = 0;
    // Short reduced runs would spend their time on starting: fold strided columns instead.
    if (count > 1 && loops[0].out == 0 && loops[0].size < kShortRun && loops[1].out != 0 &&
        loops[1].size >= kShortRun)
      std::swap(loops[0], loops[1]);
    if (count > 0) {
      inner = loops[0];
      inner_kept = inner.out != 0;
      first = 1;
    }
    for (int i = count - 1; i >= first; --i) {
      if (loops[i].out != 0) {
        kept[kepts++] = loops[i];
        outputs *= loops[i].size;
      } else {
        reduced[reduceds++] = loops[i];
        folds *= loops[i].size;
      }
    }
  }

  static int merge(Loop* loops, int count) {
    int merged = 0;
    for (int i = 0; i < count; ++i) {
      Loop* const last = merged > 0 ? &loops[merged - 1] : nullptr;
      const bool same = last && (last->out != 0) == (loops[i].out != 0) &&
                        loops[i].in == last->in * last->size &&
                        loops[i].out == last->out * last->size;
      if (same) {
        last->size *= loops[i].size;
      } else {
        loops[merged++] = loops[i];
      }
    }
    return merged;
  }
};

// A position in some of the loops, outermost first.
struct Position {
  const Plan::Loop* loops;
  int count;
  int64_t at[kMaxDims], in = 0, out = 0;

  Position(const Plan::Loop* l, int n, int64_t index) : loops(l), count(n) {
    for (int i = count - 1; i >= 0; --i) {
      at[i] = index % loops[i].size;
      index /= loops[i].size;
      in += at[i] * loops[i].in;
      out += at[i] * loops[i].out;
    }
  }
  void next() {
    for (int i = count - 1; i >= 0; --i) {
      in += loops[i].in;
      out += loops[i].out;
      if (++at[i] < loops[i].size) return;
      in -= at[i] * loops[i].in;
      out -= at[i] * loops[i].out;
      at[i] = 0;
    }
  }
};

constexpr int kLaneCount = 64;  // accumulators of a run: enough to hide the latency of an addition

template <class Op, class T>
void fold_row(typename Op::Acc* __restrict acc, const T* __restrict x, int64_t n, int64_t step) {
  using Acc = typename Op::Acc;
  if (step == 1) {
    for (int64_t i = 0; i < n; ++i) acc[i] = Op::fold(acc[i], static_cast<Acc>(x[i]));
  } else {
    for (int64_t i = 0; i < n; ++i) acc[i] = Op::fold(acc[i], static_cast<Acc>(x[i * step]));
  }
}

// Folds a contiguous run into kLaneCount accumulators; used is the number of them that are in use.
template <class Op, class T>
void fold_run(typename Op::Acc* __restrict acc, const T* __restrict x, int64_t n) {
  using Acc = typename Op::Acc;
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount)
    for (int j = 0; j < kLaneCount; ++j) acc[j] = Op::fold(acc[j], static_cast<Acc>(x[i + j]));
  for (int j = 0; i + j < n; ++j) acc[j] = Op::fold(acc[j], static_cast<Acc>(x[i + j]));
}

template <class Op>
typename Op::Acc fold_lanes(typename Op::Acc* acc) {
  for (int width = kLaneCount / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) acc[i] = Op::fold(acc[i], acc[i + width]);
  return acc[0];
}

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

// A tile of outputs whose innermost dimension is kept: folds the rows [begin, end).
template <class Op, class T>
void fold_rows(const Plan& plan, const T* x, int64_t begin, int64_t end, int64_t width,
               typename Op::Acc* acc) {
  std::fill(acc, acc + width, Op::kStart);
  Position row(plan.reduced, plan.reduceds, begin);
  for (int64_t r = begin; r < end; ++r, row.next())
    fold_row<Op>(acc, x + row.in, width, plan.inner.in);
}

// How outputs and reduced elements are cut into blocks: tiles of `width` outputs, `slices` of the folds.
struct Cut {
  int64_t width, tiles_per_row, tiles, folds, slices, tiles_per_block;

  explicit Cut(const Plan& plan) {
    width = plan.inner_kept ? std::min(plan.inner.size, kReduceTile) : 1;
    tiles_per_row = plan.inner_kept ? blocks_of(plan.inner.size, kReduceTile) : 1;
    tiles = plan.outputs * tiles_per_row;
    folds = plan.inner_kept ? plan.folds : plan.folds * plan.inner.size;
    slices = 1;
    if (tiles < kReduceBlocks)
      slices = std::clamp<int64_t>(folds * width / kElementsPerBlock, 1,
                                   blocks_of(kReduceBlocks, tiles));
    const int64_t tile_elements = std::max<int64_t>(1, folds / slices * width);
    tiles_per_block = slices > 1 ? 1 : std::max<int64_t>(1, kElementsPerBlock / tile_elements);
  }
};

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

namespace {

// The first place of the extremum of a contiguous row; a NaN is the extremum, as in PyTorch.
template <class Op, class T>
int32_t place_in_row(const T* x, int64_t n) {
  T acc[kLaneCount];
  std::fill(acc, acc + kLaneCount, Op::kStart);
  fold_run<Op>(acc, x, n);
  const T extremum = fold_lanes<Op>(acc);
  int64_t i = 0;
  if (extremum == extremum) {
    while (i < n - 1 && x[i] != extremum) ++i;
  } else {
    while (i < n - 1 && x[i] == x[i]) ++i;
  }
  return static_cast<int32_t>(i);
}

// The same for `width` columns of a matrix with rows of `inner` elements.
template <class Op, class T>
void places_in_columns(const T* x, int64_t rows, int64_t inner, int64_t width,
                       int32_t* __restrict place) {
  T best[kReduceTile];
  std::copy(x, x + width, best);
  std::fill(place, place + width, 0);
  for (int64_t r = 1; r < rows; ++r) {
    const T* __restrict row = x + r * inner;
    const int32_t at = static_cast<int32_t>(r);
    for (int64_t j = 0; j < width; ++j) {
      // fold() changes the value only for a better one; a later NaN does not replace an earlier one.
      const T folded = Op::fold(best[j], row[j]);
      const bool better = best[j] == best[j] && folded != best[j];
      place[j] = better ? at : place[j];
      best[j] = folded;
    }
  }
}

template <template <class> class Op>
void find_extremum(const ArgReduceParams& p, const Kernel& k) {
  const Shape& shape = k.in(0).shape;
  const int dim = static_cast<int>(p.dim);
  int64_t inner = 1;
  for (int i = dim + 1; i < shape.ndim; ++i) inner *= shape[i];
  const int64_t size = shape[dim], outputs = k.out(0).size();
  if (outputs == 0) return;
  int32_t* const out = k.out(0).as<int32_t>();
  const int64_t tiles = blocks_of(inner, kReduceTile), total = outputs / inner * tiles;
  const int64_t per_block =
      std::max<int64_t>(1, kElementsPerBlock / (size * std::min(inner, kReduceTile)));
  dispatch_all(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const x = k.in(0).as<T>();
    k.parallel_for(blocks_of(total, per_block), [&](int64_t block, int) {
      for (int64_t t = block * per_block; t < std::min(total, (block + 1) * per_block); ++t) {
        const int64_t outer = t / tiles, column = t % tiles * kReduceTile;
        const T* const from = x + outer * size * inner + column;
        int32_t* const to = out + outer * inner + column;
        if (inner == 1) {
          *to = place_in_row<Op<T>>(from, size);
        } else {
          places_in_columns<Op<T>>(from, size, inner, std::min(kReduceTile, inner - column), to);
        }
      }
    });
  });
}

}  // namespace

void k_argmax(const ArgReduceParams& p, const Kernel& k) { find_extremum<Max>(p, k); }
void k_argmin(const ArgReduceParams& p, const Kernel& k) { find_extremum<Min>(p, k); }

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
