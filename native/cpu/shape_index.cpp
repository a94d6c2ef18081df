// Reading and adding at positions given by a tensor: index_select, embedding, gather, scatter_add, adjoints.
//
// Parallel: blocks of rows of the output, ranges of target rows, or lines along dim, fixed by the shapes.
// What adds does so in the order of the index, each output element within one block: the sum is the same
// for any number of threads.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/shape_index.h"

#define FLUXION_KERNELS "cpu/shape_index.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"

#include "cpu/fill.h"
#include "cpu/move.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

double poison(DType dtype) {
  return is_floating(dtype) || is_complex(dtype) ? std::numeric_limits<double>::quiet_NaN() : 0.0;
}

// True when all indices lie in [0, size); else the first that does not becomes the fault.
bool indices_valid(const Kernel& k, const TensorView& index, int64_t size, int64_t dim) {
  const int32_t* at = index.as<int32_t>();
  const int64_t n = index.size();
  // An unsigned comparison rejects negative indices too; sizes beyond int32 admit any other.
  const uint32_t end = static_cast<uint32_t>(std::min<int64_t>(size, int64_t{1} << 31));
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= static_cast<uint32_t>(at[i]) >= end;
  if (!bad) return true;
  for (int64_t i = 0; i < n; ++i) {
    if (static_cast<uint32_t>(at[i]) < end) continue;
    k.fault(ErrorCode::InvalidArgument, "index must be in [0, %lld) in dim %lld, got %d",
            static_cast<long long>(size), static_cast<long long>(dim), at[i]);
    break;
  }
  return false;
}

// A shape seen from one dimension: outer x size x inner.
struct Axis {
  int64_t outer = 1, size = 1, inner = 1;
  Axis(const Shape& shape, int64_t dim) {
    for (int i = 0; i < shape.ndim; ++i) (i < dim ? outer : i == dim ? size : inner) *= shape[i];
  }
};

template <class T>
void add_to(T* __restrict to, const T* __restrict from, int64_t n) {
  using Sum = std::conditional_t<std::is_floating_point_v<T>, T, uint32_t>;  // integers wrap
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(Sum(to[i]) + Sum(from[i]));
}

// Where the lines along `dim` of an index tensor start in that tensor and in the one it points into.
struct Lines {
  Box box;
  int64_t length, index_step, target_step;

  Lines(const Shape& index, const Shape& target, int64_t dim)
      : box(lines_of(index, dim), contiguous_strides(index), contiguous_strides(target)) {
    const int d = static_cast<int>(dim);
    length = index[d];
    index_step = contiguous_strides(index)[d];
    target_step = contiguous_strides(target)[d];
  }
  static Shape lines_of(Shape index, int64_t dim) {
    index[static_cast<int>(dim)] = 1;
    return index;
  }
  // f(start in the index, start in the target), in parallel over the lines.
  template <class F>
  void for_each(const Kernel& k, const F& f) const {
    const int64_t n = length == 0 ? 0 : box.size();
    const int64_t per_block =
        std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, length));
    k.parallel_for(blocks_of(n, per_block), [&](int64_t block, int) {
      const int64_t begin = block * per_block, end = std::min(n, begin + per_block);
      const int last = box.ndim - 1;
      Walk walk(box, begin);
      for (int64_t line = begin; line < end; ++line) {
        f(walk.from, walk.to);
        walk.from += box.from[last];
        walk.to += box.to[last];
        if (++walk.at[last] == box.dim[last]) walk.next_row();
      }
    });
  }
};

template <class U>
void gather_lines(const Kernel& k, const Lines& lines, int64_t size) {
  const U* const x = k.in(0).as<U>();
  const int32_t* const index = k.in(1).as<int32_t>();
  U* const out = k.out(0).as<U>();
  lines.for_each(k, [&](int64_t from, int64_t to) {
    for (int64_t i = 0; i < lines.length; ++i, from += lines.index_step) {
      const int64_t at = index[from];
      if (at >= 0 && at < size) out[from] = x[to + at * lines.target_step];
    }
  });
}

}  // namespace

namespace {

// Rows of the output: those of x at the positions of the index along an axis.
void select_rows(const Kernel& k, const TensorView& x, const TensorView& index, int64_t dim) {
  const Axis axis(x.shape, dim);
  const int64_t count = index.size(), bytes = axis.inner * static_cast<int64_t>(size_of(x.dtype));
  const TensorView& out = k.out(0);
  if (out.size() == 0) return;
  const int32_t* const chosen = index.as<int32_t>();
  if (!indices_valid(k, index, axis.size, dim)) fill_with(k, out, poison(out.dtype));
  const int64_t per_block = std::max<int64_t>(1, kElementsPerBlock / axis.inner);
  const int64_t rows = axis.outer * count;
  k.parallel_for(blocks_of(rows, per_block), [&](int64_t block, int) {
    for (int64_t row = block * per_block; row < std::min(rows, (block + 1) * per_block); ++row) {
      const int64_t at = chosen[row % count];
      if (at < 0 || at >= axis.size) continue;
      std::memcpy(out.as<char>() + row * bytes,
                  x.as<char>() + (row / count * axis.size + at) * bytes,
                  static_cast<size_t>(bytes));
    }
  });
}

}  // namespace

void k_index_select(const IndexSelectParams& p, const Kernel& k) {
  select_rows(k, k.in(0), k.in(1), p.dim);
}

void k_embedding(const NoParams&, const Kernel& k) { select_rows(k, k.in(1), k.in(0), 0); }

// Each block owns a range of target rows and scans the whole index for them: no row is shared.
void k_index_select_vjp(const IndexSelectVjpParams& p, const Kernel& k) {
  constexpr int64_t kMaxRanges = 16;
  const Axis from(k.in(0).shape, p.dim);
  const bool valid = indices_valid(k, k.in(1), p.size, p.dim);
  fill_with(k, k.out(0), valid ? 0.0 : poison(k.out(0).dtype));
  const int64_t n = k.in(0).size();
  if (!valid || n == 0) return;
  const int32_t* const index = k.in(1).as<int32_t>();
  const int64_t ranges =
      std::clamp<int64_t>(std::min(p.size, n / kElementsPerBlock), 1, kMaxRanges);
  const int64_t inner = from.inner * parts_of(k.out(0).dtype);
  dispatch_all(real_of(k.out(0).dtype), [&](auto tag) {
    using T = typename decltype(tag)::type;
    k.parallel_for(from.outer * ranges, [&](int64_t block, int) {
      const int64_t outer = block / ranges, range = block % ranges;
      const int64_t begin = p.size * range / ranges, end = p.size * (range + 1) / ranges;
      const T* g = k.in(0).as<T>() + outer * from.size * inner;
      T* const out = k.out(0).as<T>() + outer * p.size * inner;
      for (int64_t j = 0; j < from.size; ++j, g += inner)
        if (index[j] >= begin && index[j] < end && index[j] != p.skip)
          add_to(out + index[j] * inner, g, inner);
    });
  });
}

void k_gather(const GatherParams& p, const Kernel& k) {
  if (k.out(0).size() == 0) return;
  const Lines lines(k.in(1).shape, k.in(0).shape, p.dim);
  const int64_t size = k.in(0).shape[static_cast<int>(p.dim)];
  if (!indices_valid(k, k.in(1), size, p.dim)) fill_with(k, k.out(0), poison(k.out(0).dtype));
  switch (size_of(k.out(0).dtype)) {
    case 1:
      return gather_lines<uint8_t>(k, lines, size);
    case 4:
      return gather_lines<uint32_t>(k, lines, size);
    case 8:
      return gather_lines<uint64_t>(k, lines, size);
    default:
      return gather_lines<Complex<double>>(k, lines, size);
  }
}

namespace {

// out[.., index, ..] += src: lines along dim do not share targets, and one thread adds a line in its order.
void add_at(const Kernel& k, const TensorView& index, const TensorView& src, int64_t dim) {
  const TensorView& out = k.out(0);
  if (src.size() == 0) return;
  const Lines lines(index.shape, out.shape, dim);
  const int32_t* const at = index.as<int32_t>();
  const int64_t parts = parts_of(out.dtype);
  dispatch_all(real_of(out.dtype), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const from = src.as<T>();
    T* const to = out.as<T>();
    lines.for_each(k, [&](int64_t i, int64_t start) {
      for (int64_t left = lines.length; left > 0; --left, i += lines.index_step)
        add_to(to + (start + at[i] * lines.target_step) * parts, from + i * parts, parts);
    });
  });
}

}  // namespace

void k_gather_vjp(const GatherVjpParams& p, const Kernel& k) {
  const int64_t size = k.out(0).shape[static_cast<int>(p.dim)];
  const bool valid = k.in(1).size() == 0 || indices_valid(k, k.in(1), size, p.dim);
  fill_with(k, k.out(0), valid ? 0.0 : poison(k.out(0).dtype));
  if (valid) add_at(k, k.in(1), k.in(0), p.dim);
}

void k_scatter_add(const GatherParams& p, const Kernel& k) {
  const int64_t size = k.out(0).shape[static_cast<int>(p.dim)];
  if (k.in(1).size() > 0 && !indices_valid(k, k.in(1), size, p.dim))
    return fill_with(k, k.out(0), poison(k.out(0).dtype));
  move(k, k.in(0), k.out(0).as<char>(), contiguous_strides(k.out(0).shape));
  add_at(k, k.in(1), k.in(2), p.dim);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
