// Parameters of the running sum along a dimension.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct CumsumParams {
  int64_t dim = 0;
  bool reverse = false;  // from the last element: the adjoint of the sum from the first
  template <class V>
  void visit(V& v) {
    v("dim", dim);
    v("reverse", reverse);
  }
};

}  // namespace fluxion
