// Lists of two integers, [height, width], among the parameters of an op on NCHW images.
#pragma once

#include "ops/op.h"

namespace fluxion {

// A list of two integers from outside. Smaller than a Shape, of which only three fit into parameters.
struct Pair {
  int64_t h = 1, w = 1;
  int64_t given = 0;  // length of the list; infer demands 2

  template <class V>
  void visit(V& v, const char* name) {
    Shape list;
    v(name, list);
    given = list.ndim;
    h = list[0];
    w = list[1];
  }
};

void require_pair(const Infer& infer, const char* argument, const Pair& pair, int64_t minimum);
void require_nchw(const Infer& infer, const char* argument, const Shape& shape);

}  // namespace fluxion
