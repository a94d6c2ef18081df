// Validation, output shape and memory of the matrix product.
#include <algorithm>

#include "ops/gemm_blocking.h"
#include "ops/op.h"

namespace fluxion {

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
  infer.work = out.size() * std::max<int64_t>(k, 1);
  const int64_t bytes = static_cast<int64_t>(size_of(infer.dtype(0)));
  const int64_t step = depth_step(k, kMatmulDepthBytes, bytes);
  const int64_t rows = std::min(m, kMatmulBlockRows) + 2 * kMaxTileRows;
  const int64_t cols = std::min(n, kMatmulBlockCols) + 2 * kMaxTileRowBytes / bytes;
  infer.scratch = static_cast<size_t>(step * (rows + cols) * bytes);
}

}  // namespace fluxion
