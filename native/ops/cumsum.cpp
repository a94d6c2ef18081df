// Validation and output of the running sum.
#include "ops/cumsum.h"

#include "ops/shape.h"

namespace fluxion {

void infer_cumsum(const CumsumParams& p, Infer& infer) {
  infer.allow_complex();
  require_dim(infer, p.dim, infer.shape(0).ndim);
  infer.need_contiguous();
  infer.output(infer.dtype(0) == DType::u8 ? DType::i32 : infer.dtype(0), infer.shape(0));
}

}  // namespace fluxion
