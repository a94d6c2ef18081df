// Elementwise ops: out[i] = f(a[i], b[i], ...), inputs broadcast as in NumPy and PyTorch.
// Both inputs of a binary op have one dtype: promotion is done in TypeScript; mul and div also take (complex,
// real of its precision). Comparisons give uint8.
#pragma once

#include "ops/op.h"

namespace fluxion {

// The shape to which the first `count` inputs broadcast; an error names the input that does not fit.
Shape broadcast_shape(const Infer& infer, int count, const char* const* arguments);

struct SlopeParams {
  double negative_slope = 0.01;
  template <class V>
  void visit(V& v) {
    v("negativeSlope", negative_slope);
  }
};

struct AlphaParams {
  double alpha = 1;
  template <class V>
  void visit(V& v) {
    v("alpha", alpha);
  }
};

struct SoftplusParams {
  double beta = 1, threshold = 20;
  template <class V>
  void visit(V& v) {
    v("beta", beta);
    v("threshold", threshold);
  }
};

enum class GeluForm : int32_t { none, tanh };
inline constexpr const char* kGeluFormNames[] = {"none", "tanh"};

struct GeluParams {
  GeluForm approximate = GeluForm::none;
  template <class V>
  void visit(V& v) {
    v.choice("approximate", approximate, kGeluFormNames);
  }
};

struct ClampParams {
  double min = 0, max = 0;  // may be infinite
  template <class V>
  void visit(V& v) {
    v("min", min);
    v("max", max);
  }
};

struct CastParams {
  DType dtype = DType::f32;
  template <class V>
  void visit(V& v) {
    v("dtype", dtype);
  }
};

}  // namespace fluxion
