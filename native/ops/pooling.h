// Parameters of pooling over windows of NCHW images.
#pragma once

#include "ops/pair.h"

namespace fluxion {

struct Pool2dParams {
  Pair kernelSize, stride, padding;
  template <class V>
  void visit(V& v) {
    kernelSize.visit(v, "kernelSize");
    stride.visit(v, "stride");
    padding.visit(v, "padding");
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
  template <class V>
  void visit(V& v) {
    Pool2dParams::visit(v);
    v("countIncludePad", countIncludePad);
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
