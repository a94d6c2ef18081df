// pad: out_i = x_source(i), where source(i) = i - before inside of [0, n) and outside depends on the mode;
// and the adjoint, gx_j = sum of g_i over source(i) = j.
//
// Layout: contiguous. The dimensions behind the last padded one are one run of `inner` elements. Each row of
// the last padded dimension is written once, in one pass: a copied middle and its edges. The adjoint gathers:
// a row of gx reads the few rows of g that are copies of it, in a fixed order.
// Parallel: blocks of rows of the output, fixed by the shapes.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/pad.h"

#define FLUXION_KERNELS "cpu/pad.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"

#include "cpu/fill.h"
#include "cpu/move.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// One padded dimension: n elements become `out`.
struct Side {
  int64_t n, before, out;
  PadMode mode;

  // Positions [low, high) of the output are the elements themselves.
  int64_t low() const { return std::clamp<int64_t>(before, 0, out); }
  int64_t high() const { return std::clamp<int64_t>(before + n, low(), out); }
  // Where position i comes from; -1: from nowhere.
  int64_t source(int64_t i) const {
    const int64_t j = i - before;
    if (j >= 0 && j < n) return j;
    switch (mode) {
      case PadMode::Reflect:
        return j < 0 ? -j : 2 * (n - 1) - j;
      case PadMode::Replicate:
        return j < 0 ? 0 : n - 1;
      case PadMode::Circular:
        return j < 0 ? j + n : j - n;
      default:
        return -1;
    }
  }
};

// The dimensions up to the last padded one, and what lies behind it as runs.
struct Padding {
  int ndim = 0;  // 0: nothing is padded
  Side side[kMaxDims];
  int64_t inner = 1;

  Padding(const Shape& x, const Shape& before, const Shape& after, PadMode mode) {
    for (int i = 0; i < x.ndim; ++i) {
      side[i] = {x[i], before[i], before[i] + x[i] + after[i], mode};
      if (before[i] != 0 || after[i] != 0) ndim = i + 1;
    }
    for (int i = ndim; i < x.ndim; ++i) inner *= x[i];
  }
  const Side& last() const { return side[ndim - 1]; }
};

// --- forward

template <class U>
void pad_row(const Side& side, int64_t inner, const U* from, U* to, U value) {
  const int64_t low = side.low(), high = side.high();
  if (side.mode == PadMode::Constant) {
    fill_run(to, low * inner, value);
    fill_run(to + high * inner, (side.out - high) * inner, value);
  } else {
    for (int64_t i = 0; i < low; ++i)
      move_run(to + i * inner, from + side.source(i) * inner, inner, 1, 1);
    for (int64_t i = high; i < side.out; ++i)
      move_run(to + i * inner, from + side.source(i) * inner, inner, 1, 1);
  }
  move_run(to + low * inner, from + (low - side.before) * inner, (high - low) * inner, 1, 1);
}

// Number of the input's row that row `row` of the output copies; -1: none.
int64_t source_row(const Padding& padding, int64_t row) {
  int64_t at = 0, step = 1;
  for (int d = padding.ndim - 2; d >= 0; --d) {
    const Side& side = padding.side[d];
    const int64_t source = side.source(row % side.out);
    if (source < 0) return -1;
    row /= side.out;
    at += source * step;
    step *= side.n;
  }
  return at;
}

template <class U>
void pad_rows(const Padding& padding, const U* x, U* out, U value, int64_t begin, int64_t end) {
  const Side& side = padding.last();
  const int64_t inner = padding.inner, width = side.out * inner;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t from = source_row(padding, row);
    if (from < 0) {
      fill_run(out + row * width, width, value);
    } else {
      pad_row(side, inner, x + from * side.n * inner, out + row * width, value);
    }
  }
}

template <class U>
void pad_all(const Kernel& k, const Padding& padding, U value) {
  const int64_t width = padding.last().out * padding.inner;
  const int64_t rows = k.out(0).size() / width;
  const int64_t per_block = std::max<int64_t>(1, kElementsPerBlock / width);
  k.parallel_for(blocks_of(rows, per_block), [&](int64_t block, int) {
    pad_rows(padding, k.in(0).as<U>(), k.out(0).as<U>(), value, block * per_block,
             std::min(rows, (block + 1) * per_block));
  });
}

// --- adjoint

// Positions [begin, end) of the output that copy one element.
struct Copies {
  int64_t begin[3], end[3];
  int count = 0;

  Copies(const Side& s, int64_t j) {
    add(s, j + s.before, j + s.before + 1);
    if (s.mode == PadMode::Reflect) {
      if (j >= 1) add(s, s.before - j, s.before - j + 1);
      const int64_t mirrored = s.before + 2 * (s.n - 1) - j;
      if (j <= s.n - 2) add(s, mirrored, mirrored + 1);
    } else if (s.mode == PadMode::Circular) {
      add(s, j + s.before - s.n, j + s.before - s.n + 1);
      add(s, j + s.before + s.n, j + s.before + s.n + 1);
    } else {
      if (j == 0) add(s, 0, s.before);
      if (j == s.n - 1) add(s, s.before + s.n, s.out);
    }
  }
  void add(const Side& s, int64_t from, int64_t to) {
    begin[count] = std::max<int64_t>(from, 0);
    end[count] = std::min(to, s.out);
    if (begin[count] < end[count]) ++count;
  }
};

template <class T>
void add_run(T* __restrict to, const T* __restrict from, int64_t n) {
  using Sum = std::conditional_t<std::is_floating_point_v<T>, T, uint32_t>;  // integers wrap
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(Sum(to[i]) + Sum(from[i]));
}

// Adds the edges of a row of g to what they are copies of, after its middle.
template <class T>
void add_row(const Side& side, int64_t inner, const T* g, T* to, bool first) {
  const int64_t low = side.low(), high = side.high();
  const int64_t begin = low - side.before, end = high - side.before;
  if (first) {
    fill_run(to, begin * inner, T(0));
    move_run(to + begin * inner, g + low * inner, (end - begin) * inner, 1, 1);
    fill_run(to + end * inner, (side.n - end) * inner, T(0));
  } else {
    add_run(to + begin * inner, g + low * inner, (end - begin) * inner);
  }
  for (int64_t i = 0; i < low; ++i) add_run(to + side.source(i) * inner, g + i * inner, inner);
  for (int64_t i = high; i < side.out; ++i)
    add_run(to + side.source(i) * inner, g + i * inner, inner);
}

// Adds all rows of g that copy one row: the product of the copies along the dimensions before the last.
template <class T>
struct RowGather {
  const Padding& padding;
  const T* g;
  T* to;
  const int64_t* at;  // the row, by dimensions
  bool first = true;

  void visit(int d, int64_t row) {
    if (d == padding.ndim - 1) {
      const Side& side = padding.last();
      add_row(side, padding.inner, g + row * side.out * padding.inner, to, first);
      first = false;
      return;
    }
    const Side& side = padding.side[d];
    const Copies copies(side, at[d]);
    for (int c = 0; c < copies.count; ++c)
      for (int64_t i = copies.begin[c]; i < copies.end[c]; ++i) visit(d + 1, row * side.out + i);
  }
};

template <class T>
void gather_row(const Padding& padding, const T* g, T* to, int64_t row) {
  int64_t at[kMaxDims];
  for (int d = padding.ndim - 2; d >= 0; --d) {
    at[d] = row % padding.side[d].n;
    row /= padding.side[d].n;
  }
  RowGather<T> gather{padding, g, to, at};
  gather.visit(0, 0);
  if (gather.first) fill_run(to, padding.last().n * padding.inner, T(0));  // all cut away
}

}  // namespace

void k_pad(const PadParams& p, const Kernel& k) {
  const TensorView& out = k.out(0);
  const Padding padding(k.in(0).shape, p.before, p.after, p.mode);
  if (out.size() == 0) return;
  if (padding.ndim == 0) return move(k, k.in(0), out.as<char>(), contiguous_strides(out.shape));
  if (k.in(0).size() == 0) return fill_with(k, out, p.value);
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    pad_all<T>(k, padding, Filling<T>::of(p.value));
  });
}

void k_pad_vjp(const PadVjpParams& p, const Kernel& k) {
  const TensorView &g = k.in(0), &out = k.out(0);
  Padding padding(p.input_shape, p.before, p.after, p.mode);
  if (out.size() == 0) return;
  if (padding.ndim == 0) return move(k, g, out.as<char>(), contiguous_strides(out.shape));
  if (g.size() == 0) return fill_with(k, out, 0);
  padding.inner *= parts_of(out.dtype);
  const int64_t width = padding.last().n * padding.inner;
  const int64_t rows = out.size() * parts_of(out.dtype) / width;
  const int64_t per_block = std::max<int64_t>(1, kElementsPerBlock / width);
  dispatch_all(real_of(out.dtype), [&](auto tag) {
    using T = typename decltype(tag)::type;
    k.parallel_for(blocks_of(rows, per_block), [&](int64_t block, int) {
      const int64_t end = std::min(rows, (block + 1) * per_block);
      for (int64_t row = block * per_block; row < end; ++row)
        gather_row(padding, g.as<T>(), out.as<T>() + row * width, row);
    });
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
