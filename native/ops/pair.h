// Lists of two or three integers, ([depth,] height, width), among the parameters of an op on NCHW images or
// NCDHW volumes.
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

// The same for three axes, [depth, height, width].
struct Triple {
  int64_t d = 1, h = 1, w = 1;
  int64_t given = 0;

  template <class V>
  void visit(V& v, const char* name) {
    Shape list;
    v(name, list);
    given = list.ndim;
    d = list[0];
    h = list[1];
    w = list[2];
  }
};

void require_pair(const Infer& infer, const char* argument, const Pair& pair, int64_t minimum);
void require_triple(const Infer& infer, const char* argument, const Triple& triple,
                    int64_t minimum);
void require_nchw(const Infer& infer, const char* argument, const Shape& shape);
void require_ncdhw(const Infer& infer, const char* argument, const Shape& shape);

}  // namespace fluxion
