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

// Up to this many rows b is taken panel by panel and read in place, and a, if its depth is strided, up to so many
// bytes. A larger b than that of the last is asked for ahead of its use.
inline constexpr int64_t kMatmulFewRows = 32;
// Bytes between the rows of a b that is read in place whatever the rows of a.
inline constexpr int64_t kMatmulDirectPitch = 1024;
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
