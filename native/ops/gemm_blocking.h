// Blocking of the matrix products and convolutions, shared by infer (memory) and kernels (loops). It must not
// depend on the instruction set beyond these upper bounds, and the order of a sum not on the number of threads.
#pragma once

#include "core/rounding.h"

namespace fluxion {

// Upper bounds of a register tile of the GEMM (cpu/gemm.h) on any instruction set.
inline constexpr int64_t kMaxTileRows = 8;
inline constexpr int64_t kMaxTileRowBytes = 192;
// Depth of a packed panel in bytes of one column. That of a matmul lets kMatmulBlockCols columns lie in L2 and the
// rows of a tile in L1; that of a convolution lies beside the image (docs/decisions/0004-own-gemm-microkernel.md).
inline constexpr int64_t kMatmulDepthBytes = 1536;
inline constexpr int64_t kConvDepthBytes = 576;

// The depth is cut into equal steps, of at most the panel's depth.
inline int64_t depth_step(int64_t depth, int64_t bytes, int64_t element_bytes) {
  const int64_t limit = bytes / element_bytes;
  return depth <= limit ? depth : ceil_div(depth, ceil_div(depth, limit));
}

inline constexpr int64_t kMatmulBlockCols = 512;
inline constexpr int64_t kMatmulMinBlocks = 8;

}  // namespace fluxion
