// Checks of lists of two integers and of image shapes.
#include "ops/pair.h"

namespace fluxion {

namespace {

// Products of these and sizes fit 64 bits, and a loop over the phases of a stride ends.
constexpr int64_t kMaxSize = int64_t{1} << 20;

void require_possible(const Infer& infer, const char* argument, const Shape& sizes) {
  bool possible = true;
  for (int i = 0; i < sizes.ndim; ++i) possible = possible && sizes[i] <= kMaxSize;
  infer.require_argument(
      possible, format("%s must be <= %lld, got %s", argument, static_cast<long long>(kMaxSize),
                       describe(sizes).c_str()));
}

}  // namespace

void require_pair(const Infer& infer, const char* argument, const Pair& pair, int64_t minimum) {
  infer.require_argument(pair.given == 2,
                         format("%s must be a list of 2 integers, got %lld integers", argument,
                                static_cast<long long>(pair.given)));
  infer.require_argument(
      pair.h >= minimum && pair.w >= minimum,
      format("%s must be >= %lld, got %s", argument, static_cast<long long>(minimum),
             describe({pair.h, pair.w}).c_str()));
  require_possible(infer, argument, {pair.h, pair.w});
}

void require_triple(const Infer& infer, const char* argument, const Triple& triple,
                    int64_t minimum) {
  infer.require_argument(triple.given == 3,
                         format("%s must be a list of 3 integers, got %lld integers", argument,
                                static_cast<long long>(triple.given)));
  infer.require_argument(
      triple.d >= minimum && triple.h >= minimum && triple.w >= minimum,
      format("%s must be >= %lld, got %s", argument, static_cast<long long>(minimum),
             describe({triple.d, triple.h, triple.w}).c_str()));
  require_possible(infer, argument, {triple.d, triple.h, triple.w});
}

namespace {
void require_dimensions(const Infer& infer, const char* argument, const Shape& shape, int ndim) {
  bool valid = shape.ndim == ndim;
  for (int i = 0; i < shape.ndim; ++i) valid = valid && shape[i] >= 0;
  infer.require(
      valid, ErrorCode::ShapeMismatch,
      format("%s must have %d dimensions, got shape %s", argument, ndim, describe(shape).c_str()));
}
}  // namespace

void require_nchw(const Infer& infer, const char* argument, const Shape& shape) {
  require_dimensions(infer, argument, shape, 4);
}

void require_ncdhw(const Infer& infer, const char* argument, const Shape& shape) {
  require_dimensions(infer, argument, shape, 5);
}

}  // namespace fluxion
