// Validation, output shapes and memory of the dense solvers.
#include "ops/dense_solve.h"

namespace fluxion {

namespace {

// The size n of the matrices [.., n, n] of input i.
int64_t require_square(Infer& infer, int i, const char* argument) {
  const Shape& a = infer.shape(i);
  infer.require_floating(i, argument);
  infer.require(
      a.ndim >= 2 && a[a.ndim - 1] == a[a.ndim - 2], ErrorCode::ShapeMismatch,
      format("%s must have square matrices, got shape %s", argument, describe(a).c_str()));
  infer.need_contiguous();
  return a[a.ndim - 1];
}

// Right sides [.., n, k] with the batch of A.
void require_sides(const Infer& infer, int a, int b) {
  const Shape &matrix = infer.shape(a), &sides = infer.shape(b);
  Shape expected = matrix;
  if (sides.ndim > 0) expected[expected.ndim - 1] = sides[sides.ndim - 1];
  infer.require_dtype(b, "B", infer.dtype(a));
  infer.require(sides == expected, ErrorCode::ShapeMismatch,
                format("B must have the batch and the rows of A of shape %s, got %s",
                       describe(matrix).c_str(), describe(sides).c_str()));
}

Shape vectors_of(const Shape& matrices) {
  Shape shape = matrices;
  --shape.ndim;
  return shape;
}

int64_t batch_of(const Shape& a) {
  int64_t n = 1;
  for (int i = 0; i + 2 < a.ndim; ++i) n *= a[i];
  return n;
}

// The faults of the batch, and the memory of a factorisation for all threads or for each.
void plan_factor(Infer& infer, int64_t n) {
  const FactorMemory memory(n, size_of(infer.dtype(0)));
  const size_t faults = (static_cast<size_t>(batch_of(infer.shape(0))) * sizeof(int32_t) + 63) / 64;
  infer.workspace = faults * 64 + (n >= kSharedSystem ? memory.bytes : 0);
  infer.scratch = n >= kSharedSystem ? 0 : memory.bytes;
  infer.work = infer.in(0).size() * n;
}

}  // namespace

void infer_solve(const NoParams&, Infer& infer) {
  const int64_t n = require_square(infer, 0, "A");
  require_sides(infer, 0, 1);
  infer.output(infer.dtype(0), infer.shape(1));
  infer.output(infer.dtype(0), infer.shape(0));
  infer.output(DType::i32, vectors_of(infer.shape(0)));
  plan_factor(infer, n);
  infer.work += 2 * n * infer.in(1).size();
}

void infer_lu_solve(const LuSolveParams&, Infer& infer) {
  const int64_t n = require_square(infer, 0, "A");
  infer.require_dtype(1, "LU", infer.dtype(0));
  infer.require_shape(1, "LU", infer.shape(0));
  infer.require_dtype(2, "pivots", DType::i32);
  infer.require_shape(2, "pivots", vectors_of(infer.shape(0)));
  require_sides(infer, 0, 3);
  infer.contiguous_inputs = 0b1110;  // A itself is for the derivative only
  infer.output(infer.dtype(0), infer.shape(3));
  infer.work = 2 * n * infer.in(3).size();
}

void infer_inv(const NoParams&, Infer& infer) {
  const int64_t n = require_square(infer, 0, "A");
  infer.output(infer.dtype(0), infer.shape(0));
  plan_factor(infer, n);
  infer.work *= 3;
}

void infer_cholesky(const NoParams&, Infer& infer) {
  const int64_t n = require_square(infer, 0, "A");
  infer.output(infer.dtype(0), infer.shape(0));
  plan_factor(infer, n);
}

void infer_solve_triangular(const SolveTriangularParams&, Infer& infer) {
  const int64_t n = require_square(infer, 0, "A");
  require_sides(infer, 0, 1);
  infer.output(infer.dtype(0), infer.shape(1));
  infer.work = n * infer.in(1).size();
}

}  // namespace fluxion
