// Implicit diffusion and tridiagonal systems: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {

enum class Boundary : int32_t { neumann, dirichlet, periodic };
inline constexpr const char* kBoundaryNames[] = {"neumann", "dirichlet", "periodic"};

enum class DiffusionScheme : int32_t { backward_euler, crank_nicolson };
inline constexpr const char* kDiffusionSchemeNames[] = {"backward-euler", "crank-nicolson"};

enum class Splitting : int32_t { lie, strang, douglas };
inline constexpr const char* kSplittingNames[] = {"lie", "strang", "douglas"};

struct ImplicitDiffusion1dParams {
  double dt, dx;
  Boundary boundary;
  DiffusionScheme scheme;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kDiffusionSchemeNames);
  }
};

struct ImplicitDiffusion2dParams {
  double dt, dx, dy;
  Boundary boundary;
  DiffusionScheme scheme;
  Splitting splitting;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kDiffusionSchemeNames);
    v.choice("splitting", splitting, kSplittingNames);
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

struct ImplicitDiffusion3dParams {
  double dt, dx, dy, dz;
  Boundary boundary;
  DiffusionScheme scheme;
  Splitting splitting;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v("dz", dz);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kDiffusionSchemeNames);
    v.choice("splitting", splitting, kSplittingNames);
  }
};

// The three ops in one form. Axes are counted x, y, z: axis a is dimension ndim - 1 - a of the input.
struct DiffusionStep {
  int axes;
  double dt;
  double spacing[3];
  Boundary boundary;
  DiffusionScheme scheme;
  Splitting splitting;

  bool crank_nicolson() const { return scheme == DiffusionScheme::crank_nicolson; }
  // How often the step along an axis is taken: Strang's halves of all axes but the last.
  int times(int axis) const { return splitting == Splitting::strang && axis + 1 < axes ? 2 : 1; }
  // r of (I - r D) is this times the diffusivity, D the undivided second difference.
  double rate(int axis) const {
    return dt / (spacing[axis] * spacing[axis]) * (crank_nicolson() ? 0.5 : 1.0) / times(axis);
  }
  // The adjoint in the diffusivity reads the output of the step, else its input.
  bool saves_output() const { return !crank_nicolson() && splitting != Splitting::douglas; }
  // d/dk of the step along an axis is this times the inner product with the undivided D that
  // cpu/diffusion_program.h states.
  double gradient_scale(int axis) const {
    const double factors = splitting == Splitting::douglas && axes > 1 ? 1.0 : times(axis);
    return rate(axis) * factors * (crank_nicolson() ? 2.0 : 1.0);
  }
  // Alternating directions in two axes with Crank-Nicolson is C_x C_y, as locally one-dimensional.
  bool factorised() const {
    return splitting == Splitting::lie || axes == 1 ||
           (splitting == Splitting::douglas && axes == 2 && crank_nicolson());
  }
};

inline DiffusionStep step_of(const ImplicitDiffusion1dParams& p) {
  return {1, p.dt, {p.dx, 1, 1}, p.boundary, p.scheme, Splitting::lie};
}
inline DiffusionStep step_of(const ImplicitDiffusion2dParams& p) {
  return {2, p.dt, {p.dx, p.dy, 1}, p.boundary, p.scheme, p.splitting};
}
inline DiffusionStep step_of(const ImplicitDiffusion3dParams& p) {
  return {3, p.dt, {p.dx, p.dy, p.dz}, p.boundary, p.scheme, p.splitting};
}

// Cells of one channel of one sample, as [depth][height][width].
struct Cells {
  int64_t depth, height, width;
  int64_t plane() const { return height * width; }
  int64_t size() const { return depth * height * width; }
  int64_t along(int axis) const { return axis == 0 ? width : axis == 1 ? height : depth; }
  int64_t longest() const {
    const int64_t n = width > height ? width : height;
    return n > depth ? n : depth;
  }
};

inline Cells channel_cells(const Shape& shape) {
  const int n = shape.ndim;
  return {n > 4 ? shape[n - 3] : 1, n > 3 ? shape[n - 2] : 1, shape[n - 1]};
}

// Bytes of a line of n vectors (64 bytes is the widest vector).
inline size_t vector_line_bytes(int64_t n) { return static_cast<size_t>(n) * 64; }
inline size_t round_to_line(size_t bytes) { return (bytes + 63) / 64 * 64; }

// A row of a scratch plane: whole vectors, and one more, so that rows of a power of two do not meet in the
// same sets of the cache.
inline size_t scratch_row_bytes(int64_t width, size_t element) {
  return round_to_line(static_cast<size_t>(width) * element) + 64;
}
inline size_t scratch_plane_bytes(const Cells& n, size_t element) {
  return scratch_row_bytes(n.width, element) * static_cast<size_t>(n.height);
}
// Scratch of a fused plane, without its planes: lines of vectors along x, and rows.
inline size_t plane_lines_bytes(const Cells& n, size_t element) {
  return 4 * vector_line_bytes(n.width) + 4 * scratch_row_bytes(n.width, element);
}
// Scratch of a sweep along any axis: n + 1 rows of 4 vectors.
inline size_t sweep_bytes(const Cells& n) { return 4 * vector_line_bytes(n.longest() + 1); }

// A channel that fits the second-level cache is taken through all axes before the next one; a larger one
// is swept axis by axis through memory.
inline constexpr size_t kResidentBytes = size_t{1} << 20;
inline bool resident(const Cells& n, size_t element) {
  return static_cast<size_t>(n.size()) * element <= kResidentBytes;
}

// Fields that a step or its adjoint works in beside the output (cpu/diffusion_program.h): in the scratch of
// each thread for resident channels, else in the workspace.
inline constexpr int kWorkingFields = 3;

// Partial sums of the gradient in the diffusivity: one of each plane and axis.
inline size_t diffusivity_partial_bytes(const DiffusionStep& step, const Shape& shape) {
  const int64_t planes = shape[0] * shape[1] * channel_cells(shape).depth;
  return round_to_line(static_cast<size_t>(planes * step.axes) * sizeof(double));
}

}  // namespace fluxion
