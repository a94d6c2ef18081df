// Launchers of the ops that read and add at positions given by a tensor (device/index.cuh). Positions in an
// index and in a piece of an output fit 31 bits.
#include "ops/shape_index.h"

#include <algorithm>
#include <limits>

#include "fill.h"
#include "move.h"
#include "device/index.cuh"
#include "sort.h"

namespace fluxion::cuda {
namespace {

FaultSite index_site(const Kernel& call, int64_t dim) {
  static constexpr const char* kPatterns[kMaxDims] = {
      "index must be in [0, %lld) in dim 0, got %lld",
      "index must be in [0, %lld) in dim 1, got %lld",
      "index must be in [0, %lld) in dim 2, got %lld",
      "index must be in [0, %lld) in dim 3, got %lld",
      "index must be in [0, %lld) in dim 4, got %lld",
      "index must be in [0, %lld) in dim 5, got %lld",
      "index must be in [0, %lld) in dim 6, got %lld",
      "index must be in [0, %lld) in dim 7, got %lld"};
  return call.fault_site(ErrorCode::InvalidArgument, kPatterns[dim]);
}

// What stands where an index was out of range.
template <class T>
T poison_of() {
  if constexpr (std::is_floating_point_v<T>) {
    return std::numeric_limits<T>::quiet_NaN();
  } else if constexpr (std::is_arithmetic_v<T>) {
    return T(0);
  } else {
    return T(std::numeric_limits<decltype(T::re)>::quiet_NaN(), 0);
  }
}

// A shape seen from one dimension: outer x size x inner.
struct Axis {
  int64_t outer = 1, size = 1, inner = 1;
  Axis(const Shape& shape, int64_t dim) {
    for (int i = 0; i < shape.ndim; ++i) (i < dim ? outer : i == dim ? size : inner) *= shape[i];
  }
};

// What kernels number in 31 bits; the host execution layer refuses early, so that its tests see it.
#if defined(__CUDACC__)
constexpr int64_t kNumbers = int64_t{1} << 31;
#else
constexpr int64_t kNumbers = int64_t{1} << 22;
#endif

bool numbered(const Kernel& call, int64_t count, const char* message) {
  if (count < kNumbers) return true;
  call.refuse(message);
  return false;
}
constexpr const char* kTooManyPlaces =
    "an index of 2^31 or more elements has no kernel on a GPU; split it";
constexpr const char* kTooLongRows =
    "rows of 2^31 or more elements have no kernel on a GPU; split them";

void select_rows(const Kernel& call, const TensorView& x, const TensorView& index, int64_t dim) {
  const Axis axis(x.shape, dim);
  const TensorView& out = call.out(0);
  const int64_t count = index.size();
  if (out.size() == 0) return;
  if (!numbered(call, count, kTooManyPlaces) || !numbered(call, axis.inner, kTooLongRows)) return;
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t rows = axis.outer * count;
    // The last row of a piece, counted from the place where its first one stands, has a number of 31 bits too.
    const int64_t run =
        std::clamp<int64_t>(kPieceElements / axis.inner, 1, (int64_t{1} << 31) - count);
    for (int64_t row = 0; row < rows; row += run) {
      const int64_t n = std::min(run, rows - row) * axis.inner;
      call.launch(select_words<T>, {blocks_of(n, kElementThreads), kElementThreads},
                  Divisor(axis.inner), Divisor(count), row / count,
                  static_cast<uint32_t>(row % count), static_cast<uint32_t>(n), axis.size,
                  index.as<int32_t>(), poison_of<T>(), index_site(call, dim), x.as<T>(),
                  out.as<T>());
    }
  });
}

// A flag that says whether an index is out of range; the fault is recorded.
const int* checked(const Kernel& call, const TensorView& index, int64_t size, int64_t dim) {
  int* bad = call.scratch<int>(1);
  call.fill(bad, 0, sizeof(int));
  const int64_t n = index.size();
  call.launch(check_index, {blocks_of(n, kElementThreads), kElementThreads}, index.as<int32_t>(), n,
              size, index_site(call, dim), bad);
  return bad;
}

IndexedLines lines_of(const Shape& index, const Shape& target, int64_t dim) {
  IndexedLines lines{};
  lines.ndim = index.ndim;
  lines.dim = static_cast<int>(dim);
  const Shape strides = contiguous_strides(target);
  for (int i = 0; i < index.ndim; ++i) {
    lines.size[i] = Divisor(std::max<int64_t>(1, index[i]));
    lines.target_stride[i] = strides[i];
  }
  lines.target_size = index.ndim > 0 ? target[lines.dim] : 1;
  if (index.ndim == 0) lines.target_stride[0] = 1;
  return lines;
}

}  // namespace

void k_index_select(const IndexSelectParams& p, const Kernel& call) {
  select_rows(call, call.in(0), call.in(1), p.dim);
}

void k_embedding(const NoParams&, const Kernel& call) {
  select_rows(call, call.in(1), call.in(0), 0);
}

void k_index_select_vjp(const IndexSelectVjpParams& p, const Kernel& call) {
  const TensorView &g = call.in(0), &index = call.in(1), &out = call.out(0);
  if (out.size() == 0 && index.size() == 0) return;
  if (!numbered(call, index.size(), kTooManyPlaces) ||
      !numbered(
          call, p.size * Axis(g.shape, p.dim).inner,
          "a gradient of 2^31 or more elements for one place of the dimensions before `dim` has "
          "no kernel on a GPU; split it")) {
    return;
  }
  const int* bad = checked(call, index, p.size, p.dim);
  if (out.size() == 0) return;
  const Axis axis(g.shape, p.dim);
  const int64_t places = index.size(), keys_size = sorted_keys(places);
  uint64_t* keys = call.scratch<uint64_t>(keys_size);
  call.launch(index_keys, {keys_size / kSortThreads, kSortThreads}, index.as<int32_t>(),
              static_cast<uint32_t>(places), p.skip, keys);
  sort_keys(call, keys, keys_size);
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t plane = p.size * axis.inner;
    const int64_t run = std::max<int64_t>(1, kPieceElements / plane);
    for (int64_t outer = 0; outer < axis.outer; outer += run) {
      const int64_t n = std::min(run, axis.outer - outer) * plane;
      call.launch(add_rows<T>, {blocks_of(n, kElementThreads), kElementThreads},
                  Divisor(axis.inner), Divisor(p.size), outer, static_cast<uint32_t>(n), keys,
                  static_cast<uint32_t>(places), places, bad, poison_of<T>(), g.as<T>(),
                  out.as<T>());
    }
  });
}

void k_gather(const GatherParams& p, const Kernel& call) {
  const TensorView &x = call.in(0), &index = call.in(1), &out = call.out(0);
  if (out.size() == 0) return;
  const IndexedLines lines = lines_of(index.shape, x.shape, p.dim);
  const int64_t n = out.size();
  if (!numbered(call, n, kTooManyPlaces)) return;
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    call.launch(gather_words<T>, {blocks_of(n, kElementThreads), kElementThreads}, lines,
                static_cast<uint32_t>(n), index.as<int32_t>(), poison_of<T>(),
                index_site(call, p.dim), x.as<T>(), out.as<T>());
  });
}

namespace {

int bits_of(int64_t count) {
  int bits = 0;
  while (int64_t{1} << bits < count) ++bits;
  return bits;
}

// out = base (or 0) + values at the positions of the index.
void add_at(const Kernel& call, const TensorView& index, const TensorView& values,
            const TensorView* base, int64_t dim) {
  const TensorView& out = call.out(0);
  if (out.size() == 0) return;
  const int64_t places = index.size(), keys_size = sorted_keys(places);
  const int bits = bits_of(places);
  if (!numbered(call, places, kTooManyPlaces)) return;
  if (bits + bits_of(out.size() + 1) > 64) {  // one more target: no key is all ones
    return call.refuse(
        "the product of the sizes of the index and of the result must be at most 2^63 on a GPU");
  }
  const IndexedLines lines = lines_of(index.shape, out.shape, dim);
  const int* bad = checked(call, index, lines.target_size, dim);
  uint64_t* keys = call.scratch<uint64_t>(keys_size);
  call.launch(line_keys, {keys_size / kSortThreads, kSortThreads}, lines,
              static_cast<uint32_t>(places), bits, index.as<int32_t>(), bad, keys);
  sort_keys(call, keys, keys_size);
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    call.launch(add_places<T>, {blocks_of(out.size(), kElementThreads), kElementThreads},
                out.size(), keys, static_cast<uint32_t>(places), bits, bad, poison_of<T>(),
                values.as<T>(), base ? base->as<T>() : nullptr, out.as<T>());
  });
}

}  // namespace

void k_gather_vjp(const GatherVjpParams& p, const Kernel& call) {
  add_at(call, call.in(1), call.in(0), nullptr, p.dim);
}

void k_scatter_add(const GatherParams& p, const Kernel& call) {
  add_at(call, call.in(1), call.in(2), &call.in(0), p.dim);
}

}  // namespace fluxion::cuda
