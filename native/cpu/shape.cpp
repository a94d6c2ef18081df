// Ops that move elements: strided copies, concatenation, padding, selection and their adjoints.
//
// All strided moves are one routine, move() (move.h). Parallel: blocks of elements or tiles, fixed by the
// shapes.
// Adjoints of selections add in the order of the index, each output element within one block: the sum
// is the same for any number of threads.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/shape.h"

#define FLUXION_KERNELS "cpu/shape.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"

#include "cpu/move.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

char* element(const TensorView& view, int64_t offset) {
  return view.as<char>() + offset * static_cast<int64_t>(size_of(view.dtype));
}

// Stands outside the lambda below, which GCC does not compile for the instruction set.
template <class T>
void fill_run(T* to, int64_t n, T value) {
  for (int64_t i = 0; i < n; ++i) to[i] = value;
}

// A number as an element.
template <class T>
struct Filling {
  static T of(double value) { return convert<T>(value); }
};
template <class T>
struct Filling<Complex<T>> {
  static Complex<T> of(double value) { return {static_cast<T>(value), T(0)}; }
};

void fill_with(const Kernel& k, const TensorView& out, double value) {
  const int64_t n = out.size();
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* const to = out.as<T>();
    const T v = Filling<T>::of(value);
    k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
      const int64_t begin = block * kElementsPerBlock;
      fill_run(to + begin, std::min(kElementsPerBlock, n - begin), v);
    });
  });
}

double poison(DType dtype) {
  return is_floating(dtype) || is_complex(dtype) ? std::numeric_limits<double>::quiet_NaN() : 0.0;
}

// True when all indices lie in [0, size); else the first that does not becomes the fault.
bool indices_valid(const Kernel& k, const TensorView& index, int64_t size) {
  const int32_t* at = index.as<int32_t>();
  const int64_t n = index.size();
  // An unsigned comparison rejects negative indices too; sizes beyond int32 admit any other.
  const uint32_t end = static_cast<uint32_t>(std::min<int64_t>(size, int64_t{1} << 31));
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= static_cast<uint32_t>(at[i]) >= end;
  if (!bad) return true;
  for (int64_t i = 0; i < n; ++i) {
    if (static_cast<uint32_t>(at[i]) < end) continue;
    k.fault(ErrorCode::InvalidArgument, "index must be in [0, %lld), got %d",
            static_cast<long long>(size), at[i]);
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

void k_copy(const NoParams&, const Kernel& k) {
  move(k, k.in(0), k.out(0).as<char>(), contiguous_strides(k.out(0).shape));
}

void k_full(const FillParams& p, const Kernel& k) { fill_with(k, k.out(0), p.value); }

void k_cat(const ConcatParams& p, const Kernel& k) {
  const int dim = static_cast<int>(p.dim);
  const Shape strides = contiguous_strides(k.out(0).shape);
  int64_t offset = 0;
  for (int i = 0; i < k.n_inputs; ++i) {
    move(k, k.in(i), element(k.out(0), offset), strides);
    offset += k.in(i).shape[dim] * strides[dim];
  }
}

void k_pad(const PadParams& p, const Kernel& k) {
  const Shape strides = contiguous_strides(k.out(0).shape);
  int64_t offset = 0;
  for (int i = 0; i < strides.ndim; ++i) offset += p.before[i] * strides[i];
  fill_with(k, k.out(0), p.value);
  move(k, k.in(0), element(k.out(0), offset), strides);
}

void k_slice_vjp(const SliceVjpParams& p, const Kernel& k) {
  Shape strides = contiguous_strides(p.input_shape);
  int64_t offset = 0;
  for (int i = 0; i < strides.ndim; ++i) {
    offset += p.starts[i] * strides[i];
    strides[i] *= p.steps[i];
  }
  fill_with(k, k.out(0), 0);
  move(k, k.in(0), element(k.out(0), offset), strides);
}

void k_index_select(const IndexSelectParams& p, const Kernel& k) {
  const Axis axis(k.in(0).shape, p.dim);
  const int64_t count = k.in(1).size(),
                bytes = axis.inner * static_cast<int64_t>(size_of(k.in(0).dtype));
  if (k.out(0).size() == 0) return;
  const int32_t* const index = k.in(1).as<int32_t>();
  if (!indices_valid(k, k.in(1), axis.size)) fill_with(k, k.out(0), poison(k.out(0).dtype));
  const int64_t per_block = std::max<int64_t>(1, kElementsPerBlock / axis.inner);
  const int64_t rows = axis.outer * count;
  k.parallel_for(blocks_of(rows, per_block), [&](int64_t block, int) {
    for (int64_t row = block * per_block; row < std::min(rows, (block + 1) * per_block); ++row) {
      const int64_t at = index[row % count];
      if (at < 0 || at >= axis.size) continue;
      std::memcpy(k.out(0).as<char>() + row * bytes,
                  k.in(0).as<char>() + (row / count * axis.size + at) * bytes,
                  static_cast<size_t>(bytes));
    }
  });
}

// Each block owns a range of target rows and scans the whole index for them: no row is shared.
void k_index_select_vjp(const IndexSelectVjpParams& p, const Kernel& k) {
  constexpr int64_t kMaxRanges = 16;
  const Axis from(k.in(0).shape, p.dim);
  const bool valid = indices_valid(k, k.in(1), p.size);
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
        if (index[j] >= begin && index[j] < end) add_to(out + index[j] * inner, g, inner);
    });
  });
}

void k_gather(const GatherParams& p, const Kernel& k) {
  const Lines lines(k.in(1).shape, k.in(0).shape, p.dim);
  const int64_t size = k.in(0).shape[static_cast<int>(p.dim)];
  if (!indices_valid(k, k.in(1), size)) fill_with(k, k.out(0), poison(k.out(0).dtype));
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

// Scatter-add: lines along dim do not share targets, and one thread adds a line in its order.
void k_gather_vjp(const GatherVjpParams& p, const Kernel& k) {
  const Lines lines(k.in(1).shape, p.input_shape, p.dim);
  const bool valid = indices_valid(k, k.in(1), p.input_shape[static_cast<int>(p.dim)]);
  fill_with(k, k.out(0), valid ? 0.0 : poison(k.out(0).dtype));
  if (!valid) return;
  const int32_t* const index = k.in(1).as<int32_t>();
  const int64_t parts = parts_of(k.out(0).dtype);
  dispatch_all(real_of(k.out(0).dtype), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const g = k.in(0).as<T>();
    T* const out = k.out(0).as<T>();
    lines.for_each(k, [&](int64_t from, int64_t to) {
      for (int64_t i = 0; i < lines.length; ++i, from += lines.index_step)
        add_to(out + (to + index[from] * lines.target_step) * parts, g + from * parts, parts);
    });
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
