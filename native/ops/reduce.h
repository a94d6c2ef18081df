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

enum class NormOrder : int32_t { zero, one, two, largest, smallest };
inline constexpr const char* kNormOrderNames[] = {"0", "1", "2", "Infinity", "-Infinity"};

struct NormParams : ReduceParams {
  NormOrder order = NormOrder::two;
  template <class V>
  void visit(V& v) {
    ReduceParams::visit(v);
    v.choice("order", order, kNormOrderNames);
  }
};

struct VarianceParams : ReduceParams {
  double correction = 1;
  bool root = false;  // the standard deviation
  template <class V>
  void visit(V& v) {
    ReduceParams::visit(v);
    v("correction", correction);
    v("root", root);
  }
};

// Adjoints of reductions, spread over what was reduced: with a and b of each result (broadcast to x)
//   centred a (x - b), exponential a e^(x - b), equal a where x = b and 0 elsewhere.
enum class SpreadKind : int32_t { centred, exponential, equal };
inline constexpr const char* kSpreadKindNames[] = {"centred", "exponential", "equal"};

struct SpreadParams {
  SpreadKind kind = SpreadKind::centred;
  template <class V>
  void visit(V& v) {
    v.choice("kind", kind, kSpreadKindNames);
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
