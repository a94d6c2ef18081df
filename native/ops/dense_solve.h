// Parameters and memory of the dense solvers: LU with partial pivoting, Cholesky, triangular systems.
// Matrices are the last two dimensions, contiguous; the dimensions before them are a batch.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct LuSolveParams {
  bool transposed = false;  // solves A^T x = b
  template <class V>
  void visit(V& v) {
    v("transposed", transposed);
  }
};

struct SolveTriangularParams {
  bool upper = false, unitriangular = false;
  template <class V>
  void visit(V& v) {
    v("upper", upper);
    v("unitriangular", unitriangular);
  }
};

// Columns that are factored at a time.
inline constexpr int64_t kFactorPanel = 64;
// Smaller systems are solved one by one, in parallel; the threads share larger ones.
inline constexpr int64_t kSharedSystem = 128;

// Memory of one factorisation: the matrix, a panel, the pivots; offsets in bytes.
struct FactorMemory {
  size_t panel, pivots, bytes;
  FactorMemory(int64_t n, size_t element) {
    const auto aligned = [](size_t b) { return (b + 63) / 64 * 64; };
    panel = aligned(static_cast<size_t>(n * n) * element);
    pivots = panel + aligned(static_cast<size_t>(n * kFactorPanel) * element);
    bytes = pivots + aligned(static_cast<size_t>(n) * sizeof(int32_t));
  }
};

}  // namespace fluxion
