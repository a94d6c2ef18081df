// Parameters of pooling over windows of NCHW images.
#pragma once

#include "ops/pair.h"

namespace fluxion {

struct Pool2dParams {
  Pair kernelSize, stride, padding;
  Pair dilation = {1, 1, 2};  // distance of the taps of a window; 1 for averages
  bool ceilMode = false;      // whether a last window that leaves the padded input counts
  template <class V>
  void visit(V& v) {
    kernelSize.visit(v, "kernelSize");
    stride.visit(v, "stride");
    padding.visit(v, "padding");
    dilation.visit(v, "dilation");
    v("ceilMode", ceilMode);
  }
};

struct MaxPool2dVjpParams : Pool2dParams {
  Shape inputShape;
  template <class V>
  void visit(V& v) {
    Pool2dParams::visit(v);
    v("inputShape", inputShape);
  }
};

struct AvgPool2dParams : Pool2dParams {
  bool countIncludePad = true;
  int64_t divisorOverride = 0;  // 0: the number of elements
  template <class V>
  void visit(V& v) {
    Pool2dParams::visit(v);
    v("countIncludePad", countIncludePad);
    v("divisorOverride", divisorOverride);
  }
};

struct AvgPool2dVjpParams : AvgPool2dParams {
  Shape inputShape;
  template <class V>
  void visit(V& v) {
    AvgPool2dParams::visit(v);
    v("inputShape", inputShape);
  }
};

struct AdaptiveAvgPool2dParams {
  Pair outputSize;
  template <class V>
  void visit(V& v) {
    outputSize.visit(v, "outputSize");
  }
};

struct AdaptiveAvgPool2dVjpParams {
  Shape inputShape;
  template <class V>
  void visit(V& v) {
    v("inputShape", inputShape);
  }
};

}  // namespace fluxion
