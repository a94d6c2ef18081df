// Parameters of the linalg family: products, convolutions, pooling, normalisation, cross entropy.
// Layouts are NCHW; a list of two integers is [height, width].
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

struct Conv2dParams {
  Pair stride, padding, dilation;
  int64_t groups = 1;
  template <class V>
  void visit(V& v) {
    stride.visit(v, "stride");
    padding.visit(v, "padding");
    dilation.visit(v, "dilation");
    v("groups", groups);
  }
};

struct Conv2dInputVjpParams : Conv2dParams {
  Shape inputShape;
  template <class V>
  void visit(V& v) {
    Conv2dParams::visit(v);
    v("inputShape", inputShape);
  }
};

struct Conv2dWeightVjpParams : Conv2dParams {
  Shape weightShape;
  template <class V>
  void visit(V& v) {
    Conv2dParams::visit(v);
    v("weightShape", weightShape);
  }
};

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

struct BatchNormParams {
  double eps = 1e-5;
  template <class V>
  void visit(V& v) {
    v("eps", eps);
  }
};

struct LayerNormVjpParams {
  int64_t normalizedDims = 1;  // number of trailing dimensions
  template <class V>
  void visit(V& v) {
    v("normalizedDims", normalizedDims);
  }
};

struct LayerNormParams : LayerNormVjpParams {
  double eps = 1e-5;
  template <class V>
  void visit(V& v) {
    LayerNormVjpParams::visit(v);
    v("eps", eps);
  }
};

struct CrossEntropyParams {
  double labelSmoothing = 0;
  template <class V>
  void visit(V& v) {
    v("labelSmoothing", labelSmoothing);
  }
};

// --- Blocking shared by infer (memory) and kernels (loops). It must not depend on the instruction set
// --- beyond these upper bounds, nor on the number of threads.

// Upper bounds of a register tile of the GEMM (cpu/gemm.h) on any instruction set.
inline constexpr int64_t kMaxTileRows = 8;
inline constexpr int64_t kMaxTileRowBytes = 192;
// Depth of a packed panel in bytes of one column. A matmul packs many panels for L2; a convolution packs
// one at a time, which should stay in L1 beside the image (docs/decisions/0004-own-gemm-microkernel.md).
inline constexpr int64_t kMatmulDepthBytes = 1024;
inline constexpr int64_t kConvDepthBytes = 576;

inline int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }
inline int64_t round_up(int64_t n, int64_t multiple) { return ceil_div(n, multiple) * multiple; }

// The depth is cut into equal steps, of at most the panel's depth.
inline int64_t depth_step(int64_t depth, int64_t bytes, int64_t element_bytes) {
  const int64_t limit = bytes / element_bytes;
  return depth <= limit ? depth : ceil_div(depth, ceil_div(depth, limit));
}

inline constexpr int64_t kMatmulBlockRows = 256;
inline constexpr int64_t kMatmulBlockCols = 512;
inline constexpr int64_t kMatmulMinBlocks = 8;

// Sums over many rows or planes are cut into slices with partial sums, added in order of the slices.
inline constexpr int64_t kStatisticsSlices = 8;
inline constexpr int64_t kLayerNormChunk = 512;  // columns of one block of the weight gradients

}  // namespace fluxion
