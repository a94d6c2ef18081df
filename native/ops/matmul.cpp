// Validation, output shape and memory of the matrix product.
#include <algorithm>

#include "ops/matmul.h"
#include "ops/op.h"

namespace fluxion {

namespace {

// For a step of the depth: a panel of b and the packed rows of a, or the panels of a block's columns and the rows
// of a tile; or a vector.
void plan_product(Infer& infer, int64_t m, int64_t n, int64_t k, int64_t elements) {
  infer.work = elements * std::max<int64_t>(k, 1);
  const int64_t bytes = static_cast<int64_t>(size_of(infer.dtype(0)));
  const int64_t step = matmul_step(k, bytes), panel = kMaxTileRowBytes / bytes;
  const int64_t few = std::min(m, kMatmulFewRows) + kMaxTileRows + panel;
  const int64_t many = kMaxTileRows + round_up(std::min(n, kMatmulBlockCols), panel);
  int64_t elements_of_scratch = step * (m <= kMatmulFewRows ? few : std::max(few, many)) + 64;
  if (m == 1 || n == 1) elements_of_scratch = std::max(elements_of_scratch, k);
  infer.scratch = static_cast<size_t>(elements_of_scratch * bytes);
}

}  // namespace

void infer_matmul(const NoParams&, Infer& infer) {
  infer.require_floating(0, "a");
  infer.require_dtype(1, "b", infer.dtype(0));
  const Shape &a = infer.shape(0), &b = infer.shape(1);
  infer.require(a.ndim >= 2, ErrorCode::ShapeMismatch,
                "a must have at least 2 dimensions, got " + describe(a));
  infer.require(b.ndim >= 2, ErrorCode::ShapeMismatch,
                "b must have at least 2 dimensions, got " + describe(b));
  const int64_t m = a[a.ndim - 2], k = a[a.ndim - 1], n = b[b.ndim - 1];
  infer.require(b[b.ndim - 2] == k, ErrorCode::ShapeMismatch,
                format("b must have %lld rows to match a %s, got %s", static_cast<long long>(k),
                       describe(a).c_str(), describe(b).c_str()));
  Shape out;
  out.ndim = std::max(a.ndim, b.ndim);
  for (int back = 3; back <= out.ndim; ++back) {
    const int64_t da = back <= a.ndim ? a[a.ndim - back] : 1,
                  db = back <= b.ndim ? b[b.ndim - back] : 1;
    infer.require(da == db || da == 1 || db == 1, ErrorCode::ShapeMismatch,
                  format("b must have batch dimensions that broadcast with a %s, got %s",
                         describe(a).c_str(), describe(b).c_str()));
    out[out.ndim - back] = da == 1 ? db : da;
  }
  out[out.ndim - 2] = m;
  out[out.ndim - 1] = n;
  infer.output(infer.dtype(0), out);
  plan_product(infer, m, n, k, out.size());
}

void infer_linear(const LinearParams&, Infer& infer) {
  infer.require_ndim(0, "x", 2);
  infer.require_floating(0, "x");
  infer.require_ndim(1, "weight", 2);
  infer.require_dtype(1, "weight", infer.dtype(0));
  const int64_t m = infer.shape(0)[0], k = infer.shape(0)[1], n = infer.shape(1)[0];
  infer.require_shape(1, "weight", {n, k});
  if (infer.has(2)) {
    infer.require_dtype(2, "bias", infer.dtype(0));
    infer.require_shape(2, "bias", {n});
    infer.need_contiguous(2);
  }
  if (infer.has(3)) {
    infer.require_dtype(3, "residual", infer.dtype(0));
    infer.require_shape(3, "residual", {m, n});
    infer.need_contiguous(3);
  }
  infer.output(infer.dtype(0), {m, n});
  plan_product(infer, m, n, k, m * n);
}

}  // namespace fluxion
