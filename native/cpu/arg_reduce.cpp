// Places of extrema along one dimension, the first of equal ones; a NaN is an extremum, as in PyTorch.
//
// Layout: contiguous, seen as [outer, size, inner]. Rows (inner = 1) find their extremum first and then its
// place, short ones transposed, a vector of them at a time; columns keep the best value and its place in a
// tile of kReduceTile. Parallel: blocks of tiles.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/arg_reduce.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/reduce_fold.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kShortRow = 64;

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

// The same for many short rows: a vector of them at a time becomes the columns of a small matrix.
template <class Op, class T>
void places_in_short_rows(const T* x, int64_t rows, int64_t size, int32_t* place) {
  if constexpr (std::is_floating_point_v<T>) {
    constexpr int w = kLanes<T>;
    alignas(64) T lines[kShortRow * w];
    for (int64_t r = 0; r < rows; r += w) {
      const int lanes = static_cast<int>(std::min<int64_t>(w, rows - r));
      load_transposed(x + r * size, size, lanes, size, lines, w);
      places_in_columns<Op>(lines, size, w, lanes, place + r);
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) place[r] = place_in_row<Op>(x + r * size, size);
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
      const int64_t begin = block * per_block, end = std::min(total, begin + per_block);
      if (inner == 1 && size <= kShortRow)
        return places_in_short_rows<Op<T>>(x + begin * size, end - begin, size, out + begin);
      for (int64_t t = begin; t < end; ++t) {
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
