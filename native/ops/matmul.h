// Parameters of the matrix products and their blocking beyond ops/gemm_blocking.h.
#pragma once

#include "ops/activation.h"
#include "ops/gemm_blocking.h"

namespace fluxion {

struct LinearParams {
  Activation activation = Activation::none;
  template <class V>
  void visit(V& v) {
    v.choice("activation", activation, kActivationNames);
  }
};

// Up to this many rows b is read in place, up to so many bytes a block of a whose depth is strided; rows of a
// that are contiguous are packed where this many panels of b reuse them. A larger b than that of the last is
// asked for ahead of its use.
inline constexpr int64_t kMatmulDirectRows = 32;
inline constexpr int64_t kMatmulPackPanels = 5;
inline constexpr int64_t kMatmulDirectBytes = int64_t{16} << 10;
inline constexpr int64_t kMatmulResidentBytes = int64_t{512} << 10;
// Multiply-adds of a block that is worth another thread: some microseconds.
inline constexpr int64_t kMatmulMinWork = int64_t{1} << 18;

// Rows of a step of the depth. Where the depth is cut, whole vectors, which are packed by transposing registers.
inline int64_t matmul_step(int64_t depth, int64_t element_bytes) {
  const int64_t step = depth_step(depth, kMatmulDepthBytes, element_bytes);
  return step == depth ? depth : round_up(step, 16);
}

}  // namespace fluxion
