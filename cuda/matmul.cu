// y[.., M, N] = a[.., M, K] b[.., K, N] with broadcast batch dimensions, and the linear layer
// y[M, N] = act(x[M, K] weight[N, K]^T + bias + residual).
//
// Any strides: transposed and expanded views cost no copy. Tiles of gemm_tile.cuh; a block reads its rows of a and
// columns of b once, so that a product moves 4 (M K ceil(N / 128) + K N ceil(M / 128)) bytes through L2 and
// about 4 (M K + K N + M N) through memory. A batch that only a has is more rows of a. Products with one row or
// column are bound by memory and go another way (gemm_vector.cuh).
#include "matrix_product.h"

#include "device/gemm_operand.cuh"
#include "device/gemm_vector.cuh"
#include "gemm.h"
#include "ops/matmul.h"
#include "strided_space.h"

namespace fluxion::cuda {
namespace {

template <class T>
constexpr int64_t kVector = 16 / static_cast<int64_t>(sizeof(T));

template <class T>
bool aligned(const T* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

template <class T>
bool whole_vectors(const StridedSpace<2>& batches, int which) {
  for (int axis = 0; axis < batches.ndim; ++axis)
    if (batches.size[axis] > 1 && batches.stride[which][axis] % kVector<T> != 0) return false;
  return true;
}

// `rows` of an operand: those of a, the columns of b.
template <class T>
StridedOperand<T> operand(const T* data, int64_t rows, int64_t row_stride, int64_t depth_stride,
                          const StridedSpace<2>& batches, int which) {
  const bool vectors = row_stride == 1 && depth_stride % kVector<T> == 0 &&
                       rows % kVector<T> == 0 && aligned(data) && whole_vectors<T>(batches, which);
  const GemmOrder order = vectors                                  ? GemmOrder::row_vectors
                          : rows > 1 && row_stride <= depth_stride ? GemmOrder::rows
                                                                   : GemmOrder::depths;
  return {data, row_stride, depth_stride, order, batches};
}

StridedSpace<2> exchanged(const StridedSpace<2>& from) {
  StridedSpace<2> space = from;
  std::swap(space.stride[0], space.stride[1]);
  return space;
}

// The same product with a and b in each other's place: y^T = b^T a^T.
template <class T>
void launch_product(const Kernel& call, const MatrixProduct<T>& p, bool turned) {
  const GemmSizes sizes = turned ? GemmSizes{p.columns, p.rows, p.depth, p.batch}
                                 : GemmSizes{p.rows, p.columns, p.depth, p.batch};
  const StridedOperand<T> a = operand(p.a, p.rows, p.a_row, p.a_depth, p.batches, 0);
  const StridedOperand<T> b = operand(p.b, p.columns, p.b_column, p.b_depth, p.batches, 1);
  GemmEpilogue<T> epilogue = p.epilogue;
  MatrixOutput<T> output{p.y, p.rows * p.columns, p.columns, 1, false};
  if (!turned) {
    output.vectors = p.columns % kVector<T> == 0 && aligned(p.y) &&
                     (!epilogue.residual || aligned(epilogue.residual));
    return multiply<T>(call, sizes, a, b, output, epilogue);
  }
  std::swap(output.row_stride, output.column_stride);
  epilogue.bias_of_columns = !epilogue.bias_of_columns;
  StridedOperand<T> left = b, right = a;
  left.batches = right.batches = exchanged(p.batches);
  multiply<T>(call, sizes, left, right, output, epilogue);
}

// One row or column, and enough of the others that each has a warp or a lane of its own.
template <class T>
bool launch_vector(const Kernel& call, const MatrixProduct<T>& p) {
  if (p.rows != 1 && p.columns != 1) return false;
  const bool row = p.rows == 1;  // the vector is a
  VectorProduct<T> v{row ? p.b : p.a,
                     row ? p.a : p.b,
                     row ? p.columns : p.rows,
                     p.depth,
                     row ? p.b_column : p.a_row,
                     row ? p.b_depth : p.a_depth,
                     row ? p.a_depth : p.b_depth,
                     row ? exchanged(p.batches) : p.batches,
                     p.y,
                     p.epilogue,
                     false};
  if (row) v.epilogue.bias_of_columns = !v.epilogue.bias_of_columns;
  const bool by_rows = v.depth_stride == 1 || v.row_stride != 1;
  const int64_t blocks = p.batch * blocks_of(v.rows, by_rows ? kVectorWarps : kWarp);
  if (blocks < call.multiprocessors() && p.depth > kVectorLongDepth) return false;
  const int threads = kWarp * kVectorWarps;
  if (!by_rows) {
    call.launch(vector_by_depths<T>, {blocks, threads, shared_bytes<T>(threads)}, v);
    return true;
  }
  v.vectors = v.depth_stride == 1 && v.x_stride == 1 && p.depth % kVector<T> == 0 &&
              (v.rows == 1 || v.row_stride % kVector<T> == 0) && aligned(v.a) && aligned(v.x) &&
              whole_vectors<T>(v.batches, 0) && whole_vectors<T>(v.batches, 1);
  call.launch(vector_by_rows<T>, {blocks, threads}, v);
  return true;
}

template <class T>
void multiply_any(const Kernel& call, MatrixProduct<T> p) {
  if (p.rows == 0 || p.columns == 0 || p.batch == 0) return;
  const StridedSpace<2>& batches = p.batches;
  if (p.batch > 1 && batches.ndim == 1 && batches.stride[1][0] == 0 &&
      (p.rows == 1 || batches.stride[0][0] == p.rows * p.a_row) &&
      (!p.epilogue.bias || p.epilogue.bias_of_columns)) {
    if (p.rows == 1) p.a_row = batches.stride[0][0];
    p.rows *= p.batch;
    p.batch = 1;
    p.batches = StridedSpace<2>{};
  }
  if (launch_vector(call, p)) return;
  // Few columns are the rows of a tile, of which there are smaller ones.
  const int64_t narrow = gemm_numbers<T>(0).n / 2;
  launch_product(call, p, p.columns <= narrow && p.rows > p.columns);
}

// The leading dimensions of the product as an iteration space over a and b.
StridedSpace<2> batches_of(const TensorView& a, const TensorView& b, const TensorView& y) {
  const auto leading = [](TensorView view) {
    view.shape.ndim -= 2;
    view.strides.ndim -= 2;
    return view;
  };
  const TensorView batch_a = leading(a), batch_b = leading(b);
  return strided_space<2>(leading(y).shape, {&batch_a, &batch_b});
}

template <class T>
void matmul(const Kernel& call) {
  const TensorView &a = call.in(0), &b = call.in(1), &y = call.out(0);
  const int da = a.ndim(), db = b.ndim(), dy = y.ndim();
  const int64_t m = y.shape[dy - 2], n = y.shape[dy - 1];
  if (y.size() == 0) return;
  multiply_any<T>(call, {m, n, a.shape[da - 1], y.size() / (m * n), a.as<T>(), a.strides[da - 2],
                         a.strides[da - 1], b.as<T>(), b.strides[db - 2], b.strides[db - 1],
                         batches_of(a, b, y), y.as<T>(),
                         GemmEpilogue<T>{nullptr, nullptr, EpilogueKind::none, true, 1}});
}

template <class T>
void linear(const LinearParams& params, const Kernel& call) {
  const TensorView &x = call.in(0), &weight = call.in(1), &y = call.out(0);
  multiply_any<T>(
      call, {y.shape[0], y.shape[1], x.shape[1], 1, x.as<T>(), x.strides[0], x.strides[1],
             weight.as<T>(), weight.strides[1], weight.strides[0], StridedSpace<2>{}, y.as<T>(),
             gemm_epilogue<T>(call, params.activation, true, 1)});
}

}  // namespace

void multiply_matrices(const Kernel& call, const MatrixProduct<float>& product) {
  multiply_any(call, product);
}
void multiply_matrices(const Kernel& call, const MatrixProduct<double>& product) {
  multiply_any(call, product);
}

void k_matmul(const NoParams&, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { matmul<typename decltype(tag)::type>(call); });
}

void k_linear(const LinearParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { linear<typename decltype(tag)::type>(params, call); });
}

}  // namespace fluxion::cuda
