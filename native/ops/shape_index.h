// Parameters of the ops that read and add at positions given by an int32 tensor. Dimensions are counted
// from the front. An index out of range is a fault of the kernel: infer sees no data.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct IndexSelectParams {
  int64_t dim = 0;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
  }
};

struct IndexSelectVjpParams {
  int64_t dim = 0, size = 0;  // size of the selected dimension of the primal
  int64_t skip = -1;          // an index whose slice takes no gradient; -1: none
  template <class V>
  void visit(V& v) {
    v("dim", dim);
    v("size", size);
    v("skip", skip);
  }
};

struct GatherParams {
  int64_t dim = 0;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
  }
};

struct GatherVjpParams {
  int64_t dim = 0;
  Shape input_shape;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
    v("inputShape", input_shape);
  }
};

}  // namespace fluxion
