// Implicit diffusion with cell-centred diffusivity: parameters, the sweeps of a step and the sizes that
// infer and the kernels agree on.
#pragma once

#include "ops/diffusion.h"

namespace fluxion {

enum class FaceMean : int32_t { harmonic, arithmetic };
inline constexpr const char* kFaceMeanNames[] = {"harmonic", "arithmetic"};

struct VariableDiffusionParams {
  double dt, dx, dy, dz;
  Boundary boundary;
  DiffusionScheme scheme;
  Splitting splitting;
  FaceMean face_mean;
  bool adjoint;  // apply the transposed operator
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v("dz", dz);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kDiffusionSchemeNames);
    v.choice("splitting", splitting, kSplittingNames);
    v.choice("faceMean", face_mean, kFaceMeanNames);
    v("adjoint", adjoint);
  }
};

// One implicit solve along an axis (0 is x, the last one of the shape) over a fraction of dt.
struct Sweep {
  int axis;
  double fraction;
};

struct SweepList {
  int count = 0;
  Sweep at[5];
};

// Lie and Douglas: x, y, z. Strang: halves of all axes but the last around it.
inline SweepList sweeps_of(Splitting splitting, int axes) {
  SweepList list;
  const bool strang = splitting == Splitting::strang;
  for (int a = 0; a < axes; ++a) list.at[list.count++] = {a, strang && a + 1 < axes ? 0.5 : 1.0};
  for (int a = axes - 2; strang && a >= 0; --a) list.at[list.count++] = {a, 0.5};
  return list;
}

// How the field of u is cut. In 2d and 3d a plane is one channel of one sample; in 1d it is a band of
// lines, each with its own diffusivity.
struct VariableLayout {
  int axes;            // spatial dimensions
  int64_t extent[3];   // of a plane, from x on; 1d: {length, lines of a band}
  int64_t cells;       // of a plane
  int64_t planes;      // 1d: bands (the last may be shorter)
  int64_t lines;       // 1d: all lines
  int64_t k_planes;    // planes of the diffusivity
  int64_t sharing;     // planes that share one of them
  int64_t groups;      // blocks that the sharing planes are cut into
  bool in_cache;       // a block is a group of planes, solved in all directions in cache
  bool keeps_factors;  // pivots of a plane stay in scratch for the solves to come
};

inline constexpr int64_t kVectorBytes = 64;  // the widest
inline constexpr int64_t kCachedPlaneBytes = 1 << 20;
inline constexpr int64_t kLineBuffers = 8;

// Vectors of lines that advance together: four hide the latency of the pivots; long lines take less scratch.
inline int64_t vectors_in_flight(int64_t n) { return n <= 4096 ? 4 : 1; }

VariableLayout layout_of(const Shape& u, const Shape& diffusivity, DType dtype);

inline int64_t longest_axis(const VariableLayout& layout) {
  int64_t n = layout.extent[0];
  for (int a = 1; a < layout.axes; ++a) n = layout.extent[a] > n ? layout.extent[a] : n;
  return n;
}

// Bytes of one line buffer: the vectors in flight of the longest axis.
inline size_t line_buffer_bytes(const VariableLayout& layout) {
  const int64_t n = longest_axis(layout);
  return static_cast<size_t>(n * vectors_in_flight(n) * kVectorBytes);
}

inline size_t plane_buffer_bytes(const VariableLayout& layout, DType dtype) {
  return (static_cast<size_t>(layout.cells) * size_of(dtype) + 63) / 64 * 64;
}

// One array of factors (pivots, multipliers or corner vectors) of all lines along an axis: lines side by
// side in whole vectors.
inline size_t factor_array_bytes(const VariableLayout& layout, int axis, DType dtype) {
  const int64_t lanes = kVectorBytes / static_cast<int64_t>(size_of(dtype));
  const int64_t n = layout.extent[axis];
  const int64_t inner =
      axis == 0 ? layout.cells / n : layout.extent[0] * (axis == 2 ? layout.extent[1] : 1);
  const int64_t outer = layout.cells / n / inner;
  return static_cast<size_t>(outer * ((inner + lanes - 1) / lanes) * n * kVectorBytes);
}

inline size_t factor_table_bytes(const VariableLayout& layout, DType dtype) {
  size_t bytes = 0;
  for (int a = 0; a < layout.axes; ++a) bytes += 3 * factor_array_bytes(layout, a, dtype);
  return bytes;
}

// Fields of a plane that the adjoint keeps: the solution of each sweep, and two running fields.
inline int adjoint_fields(const SweepList& sweeps) { return sweeps.count + 2; }

}  // namespace fluxion
