// Ops that move elements: strided copies, concatenation, slices and their adjoints, triangles.
//
// All strided moves are one routine, move() (move.h). Parallel: blocks of elements or tiles, fixed by the
// shapes.
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

#include "cpu/fill.h"
#include "cpu/move.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

char* element(const TensorView& view, int64_t offset) {
  return view.as<char>() + offset * static_cast<int64_t>(size_of(view.dtype));
}

}  // namespace

void k_copy(const NoParams&, const Kernel& k) {
  move(k, k.in(0), k.out(0).as<char>(), contiguous_strides(k.out(0).shape));
}

void k_assign(const NoParams&, const Kernel& k) {
  const TensorView& to = k.in(2);  // behind the inputs: Infer::update
  move(k, k.in(1), to.as<char>(), contiguous_strides(to.shape));
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

namespace {

// Columns [begin(row), end(row)) of each row are copied, the others are zero.
void copy_triangle(const Kernel& k, int64_t diagonal, bool upper) {
  const Shape& shape = k.out(0).shape;
  const int64_t rows = shape[shape.ndim - 2], columns = shape[shape.ndim - 1];
  const int64_t n = shape.size();
  if (n == 0) return;
  const int64_t bytes = static_cast<int64_t>(size_of(k.out(0).dtype));
  const int64_t per_block = std::max<int64_t>(1, kElementsPerBlock / columns);
  k.parallel_for(blocks_of(n / columns, per_block), [&](int64_t block, int) {
    const int64_t end = std::min(n / columns, (block + 1) * per_block);
    for (int64_t line = block * per_block; line < end; ++line) {
      const int64_t cut = line % rows + diagonal + (upper ? 0 : 1);
      const size_t left = static_cast<size_t>(std::clamp<int64_t>(cut, 0, columns) * bytes);
      const size_t width = static_cast<size_t>(columns * bytes);
      const char* from = k.in(0).as<char>() + static_cast<size_t>(line) * width;
      char* to = k.out(0).as<char>() + static_cast<size_t>(line) * width;
      if (upper) {
        std::memset(to, 0, left);
        std::memcpy(to + left, from + left, width - left);
      } else {
        std::memcpy(to, from, left);
        std::memset(to + left, 0, width - left);
      }
    }
  });
}

}  // namespace

void k_tril(const TriangleParams& p, const Kernel& k) { copy_triangle(k, p.diagonal, false); }
void k_triu(const TriangleParams& p, const Kernel& k) { copy_triangle(k, p.diagonal, true); }

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
