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

// Of the last two dimensions; what lies on the other side of the diagonal is zero.
struct TriangleParams {
  int64_t diagonal = 0;  // columns to the right of the main diagonal
  template <class V>
  void visit(V& v) {
    v("diagonal", diagonal);
  }
};

// Conditions that the ops of the family share.
void require_dim(const Infer& infer, int64_t dim, int ndim);
void require_list(const Infer& infer, const char* argument, const Shape& list, int length);
void require_sizes(const Infer& infer, const char* argument, const Shape& shape);

// Strides with which the elements of a view appear in `shape`, if one set of strides can say it.
bool reshaped_strides(const TensorView& view, const Shape& shape, Shape* strides);

}  // namespace fluxion
