// Ops that move elements without changing them: copies (move.h), fills, triangles.
#include "ops/shape.h"

#include "fill.h"
#include "kernel.h"
#include "move.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

// Rows of a matrix: the columns on one side of the diagonal, zeros on the other.
template <class W>
__global__ void copy_triangle(Divisor columns, Divisor rows, uint32_t n, int64_t diagonal,
                              bool upper, const W* from, W* to) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const uint32_t line = columns.quotient(i), column = i - line * columns.by;
  const int64_t row = line - rows.quotient(line) * rows.by;
  const int64_t past = static_cast<int64_t>(column) - row - diagonal;
  to[i] = (upper ? past >= 0 : past <= 0) ? from[i] : W{};
}

template <class W>
void triangle(const Kernel& call, int64_t diagonal, bool upper) {
  const TensorView& out = call.out(0);
  const int64_t columns = out.shape[out.ndim() - 1], rows = out.shape[out.ndim() - 2];
  const int64_t matrix = rows * columns, matrices = out.size() / matrix;
  const int64_t run = std::max<int64_t>(1, kPieceElements / matrix);
  for (int64_t first = 0; first < matrices; first += run) {
    const int64_t n = std::min(run, matrices - first) * matrix;
    call.launch(copy_triangle<W>, {blocks_of(n, kElementThreads), kElementThreads},
                Divisor(columns), Divisor(rows), static_cast<uint32_t>(n), diagonal, upper,
                call.in(0).as<W>() + first * matrix, out.as<W>() + first * matrix);
  }
}

void copy_triangles(const Kernel& call, int64_t diagonal, bool upper) {
  if (call.out(0).size() == 0) return;
  switch (size_of(call.out(0).dtype)) {
    case 1:
      return triangle<uint8_t>(call, diagonal, upper);
    case 4:
      return triangle<uint32_t>(call, diagonal, upper);
    case 8:
      return triangle<uint2>(call, diagonal, upper);
    default:
      return triangle<uint4>(call, diagonal, upper);
  }
}

}  // namespace

void k_copy(const NoParams&, const Kernel& call) { move_view(call, call.in(0), call.out(0)); }

// Behind the inputs: the memory of the first (Infer::update).
void k_assign(const NoParams&, const Kernel& call) { move_view(call, call.in(1), call.in(2)); }

void k_full(const FillParams& params, const Kernel& call) {
  fill_view(call, call.out(0), params.value);
}

void k_cat(const ConcatParams& params, const Kernel& call) {
  const int dim = static_cast<int>(params.dim);
  const TensorView& out = call.out(0);
  int64_t offset = 0;
  for (int i = 0; i < call.n_inputs; ++i) {
    const TensorView& in = call.in(i);
    move_view(call, in, part_of(out, in.shape, out.strides, offset));
    offset += in.shape[dim] * out.strides[dim];
  }
}

void k_slice_vjp(const SliceVjpParams& params, const Kernel& call) {
  const TensorView& out = call.out(0);
  Shape strides = out.strides;
  int64_t offset = 0;
  for (int i = 0; i < strides.ndim; ++i) {
    offset += params.starts[i] * strides[i];
    strides[i] *= params.steps[i];
  }
  fill_view(call, out, 0);
  move_view(call, call.in(0), part_of(out, call.in(0).shape, strides, offset));
}

void k_tril(const TriangleParams& params, const Kernel& call) {
  copy_triangles(call, params.diagonal, false);
}
void k_triu(const TriangleParams& params, const Kernel& call) {
  copy_triangles(call, params.diagonal, true);
}

}  // namespace fluxion::cuda
