// Checks of lists of two integers and of image shapes.
#include "ops/pair.h"

namespace fluxion {

void require_pair(const Infer& infer, const char* argument, const Pair& pair, int64_t minimum) {
  infer.require_argument(pair.given == 2,
                         format("%s must be a list of 2 integers, got %lld integers", argument,
                                static_cast<long long>(pair.given)));
  infer.require_argument(
      pair.h >= minimum && pair.w >= minimum,
      format("%s must be >= %lld, got %s", argument, static_cast<long long>(minimum),
             describe({pair.h, pair.w}).c_str()));
}

void require_nchw(const Infer& infer, const char* argument, const Shape& shape) {
  bool valid = shape.ndim == 4;
  for (int i = 0; i < shape.ndim; ++i) valid = valid && shape[i] >= 0;
  infer.require(
      valid, ErrorCode::ShapeMismatch,
      format("%s must have 4 dimensions, got shape %s", argument, describe(shape).c_str()));
}

}  // namespace fluxion
