// Reductions over a set of dimensions, arg-extrema and softmax along one dimension.
// Dimensions are normalised (0 <= dim < ndim) by TypeScript.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct ReduceParams {
  Shape dims;  // empty: all dimensions
  bool keepdim = false;
  template <class V>
  void visit(V& v) {
    v("dims", dims);
    v("keepdim", keepdim);
  }
};

struct ArgReduceParams {
  int64_t dim = 0;
  bool keepdim = false;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
    v("keepdim", keepdim);
  }
};

struct AxisParams {
  int64_t dim = 0;
  template <class V>
  void visit(V& v) {
    v("dim", dim);
  }
};

// Which dimensions of an input of `ndim` dimensions are reduced, as bits.
uint32_t reduced_dims(const ReduceParams& params, int ndim);

// A reduction with few outputs is cut into slices so that all cores work; a slice leaves one partial
// result of up to 8 bytes (complex: 16) per output in the workspace. Slices are cut only while the outputs fill fewer
// than kReduceBlocks tiles of kReduceTile, so these many partial results are enough for any input.
inline constexpr int64_t kReduceBlocks = 64;
inline constexpr int64_t kReduceTile = 512;
inline constexpr int64_t kReducePartials = 2 * kReduceBlocks * kReduceTile;

}  // namespace fluxion
