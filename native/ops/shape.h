// Ops that move or view elements without changing them. Lists run over all dimensions of the input and
// are normalised by TypeScript: no -1 in a shape, no negative dim, start or stop.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct ReshapeParams {
  Shape shape;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
  }
};

struct PermuteParams {
  Shape dims;
  template <class V>
  void visit(V& v) {
    v("dims", dims);
  }
};

struct ExpandParams {
  Shape shape;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
  }
};

struct SliceParams {
  Shape starts, stops, steps;  // 0 <= start <= stop <= size, step >= 1
  template <class V>
  void visit(V& v) {
    v("starts", starts);
    v("stops", stops);
    v("steps", steps);
  }
};

struct SliceVjpParams {
  Shape starts, steps, input_shape;
  template <class V>
  void visit(V& v) {
    v("starts", starts);
    v("steps", steps);
    v("inputShape", input_shape);
  }
};

struct FillParams {
  Shape shape;
  double value = 0;  // converted as cast does
  DType dtype = DType::f32;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("value", value);
    v("dtype", dtype);
  }
};

struct ConcatParams {
  int64_t dim = 0;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
  }
};

struct PadParams {
  Shape before, after;
  double value = 0;
  template <class V>
  void visit(V& v) {
    v("before", before);
    v("after", after);
    v("value", value);
  }
};

struct IndexSelectParams {
  int64_t dim = 0;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
  }
};

struct IndexSelectVjpParams {
  int64_t dim = 0, size = 0;  // size of the selected dimension of the primal
  template <class V>
  void visit(V& v) {
    v("dim", dim);
    v("size", size);
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

// Strides with which the elements of a view appear in `shape`, if one set of strides can say it.
bool reshaped_strides(const TensorView& view, const Shape& shape, Shape* strides);

}  // namespace fluxion
