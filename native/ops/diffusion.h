// Implicit diffusion and tridiagonal systems: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {

enum class Boundary : int32_t { neumann, dirichlet, periodic };
inline constexpr const char* kBoundaryNames[] = {"neumann", "dirichlet", "periodic"};

enum class DiffusionScheme : int32_t { backward_euler, crank_nicolson };
inline constexpr const char* kDiffusionSchemeNames[] = {"backward-euler", "crank-nicolson"};

struct ImplicitDiffusion2dParams {
  double dt, dx, dy;
  Boundary boundary;
  DiffusionScheme scheme;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kDiffusionSchemeNames);
  }
};

struct TridiagonalParams {
  bool periodic;
  template <class V>
  void visit(V& v) {
    v("periodic", periodic);
  }
};

// Systems up to this number are solved one by one; more of them in the lanes of this many vectors.
inline constexpr int64_t kFewSystems = 3;
inline constexpr int kTridiagonalVectors = 2;
// Unknowns whose coefficients are brought into lines at a time.
inline constexpr int64_t kTridiagonalPiece = 128;

// Doubles in the factors of one channel and direction of n cells: m, r m and z for each cell, and w_last
// (see cpu/line_solver.h).
inline int64_t line_factor_size(int64_t n) { return 3 * n + 1; }

}  // namespace fluxion
