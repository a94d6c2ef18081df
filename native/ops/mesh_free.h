// Mesh-free convolution: parameters of the ops, and the memory that infer states and kernels use.
#pragma once

#include <algorithm>

#include "ops/fft_plane.h"
#include "ops/op.h"

namespace fluxion {

struct MeshFreeConv1dParams {
  double length;
  template <class V>
  void visit(V& v) {
    v("length", length);
  }
};

struct MeshFreeConv2dParams {
  double lengthX, lengthY;
  template <class V>
  void visit(V& v) {
    v("lengthX", lengthX);
    v("lengthY", lengthY);
  }
};

// Both convolutions as one problem: a line is a plane of one row, halved along x in place of y.
struct MeshFreeProblem {
  bool line;
  bool shared;  // one Gaussian for each input channel, beside the weight
  int64_t batch, inputs, outputs, height, width;
  int64_t moments;  // of the polynomial on planes: 3 or 6 (a0, a1, a2, a3, a4, a5)
  size_t element;

  int64_t padded(int64_t n) const {
    const int64_t lanes = 64 / static_cast<int64_t>(element);
    return (n + lanes - 1) / lanes * lanes;
  }
  // Modes kept of a plane: (height + 1) / 2 along y, a vector of them for each mode of x, and the modes of x
  // once more for the last mode of y of an even height. Of a line: half of them.
  int64_t modes_x() const { return line ? width / 2 + 1 : width; }
  int64_t modes_y() const { return (height + 1) / 2; }
  bool extra_row() const { return line || height % 2 == 0; }
  // Bins of one spectrum with those that pad vectors of the widest set.
  int64_t bins() const {
    return (line ? 0 : width * padded(modes_y())) + (extra_row() ? padded(modes_x()) : 0);
  }
  // Gradient sums of a pair: moments, and p1, p2, p3 where they belong to the pair.
  int64_t sums() const { return moments + (shared ? 0 : 3); }
};

// Elements of one pair's coefficients (see cpu/mesh_free_symbol.h).
inline constexpr int64_t kMeshFreeCoefficients = 12;

// Where things lie in the workspace; offsets and sizes in bytes.
class MeshFreeWorkspace {
 public:
  // Spectra of a part of the batch, so that they stay within kSpectra bytes (unless one sample is larger);
  // a small even number of samples is what the register tiles want at least.
  static constexpr size_t kSpectra = size_t{32} << 20;
  // Partial sums of the weight's gradient: at most kGroups sets, of kPartials elements together.
  static constexpr int64_t kGroups = 16, kPartials = int64_t{1} << 21;

  MeshFreeWorkspace(const MeshFreeProblem& p, bool backward) {
    const int64_t planes = p.inputs * (backward ? 2 : 1) + p.outputs;
    const size_t sample = static_cast<size_t>(planes * 2 * p.bins()) * p.element;
    const int64_t fitting =
        std::max<int64_t>(static_cast<int64_t>(kSpectra / std::max<size_t>(sample, 1)), 2);
    const int64_t parts = std::max<int64_t>((p.batch + fitting - 1) / fitting, 1);
    chunk = std::min((p.batch + 2 * parts - 1) / (2 * parts) * 2, p.batch);
    const int64_t pairs = p.inputs * p.outputs;
    axes = take(static_cast<size_t>(4 * (p.padded(p.modes_x()) + p.padded(p.modes_y()) + 1)) *
                p.element);
    coefficients =
        take(static_cast<size_t>((pairs + p.inputs) * kMeshFreeCoefficients) * p.element);
    damping = take(p.shared ? static_cast<size_t>(p.inputs * p.bins()) * p.element : 0);
    spectra_u = take(panel_bytes(p, p.inputs));
    spectra_y = take(panel_bytes(p, p.outputs));
    if (!backward) return;
    adjoint = take(static_cast<size_t>(pairs * kMeshFreeCoefficients) * p.element);
    spectra_gu = take(panel_bytes(p, p.inputs));
    groups = std::clamp<int64_t>(kPartials / std::max<int64_t>(pairs * p.sums(), 1), 1, kGroups);
    partials = take(static_cast<size_t>(groups * pairs * p.sums()) * sizeof(double));
    channel_sums = take(static_cast<size_t>(3 * p.inputs + p.batch * p.outputs) * sizeof(double));
  }

  int64_t chunk = 0, groups = 0;
  size_t axes = 0, coefficients = 0, damping = 0, spectra_u = 0, spectra_y = 0;
  size_t adjoint = 0, spectra_gu = 0, partials = 0, channel_sums = 0;
  size_t total = 0;

 private:
  // A vector more in each panel keeps panels from falling on the same places of a cache.
  size_t panel_bytes(const MeshFreeProblem& p, int64_t channels) const {
    return static_cast<size_t>(2 * (channels * chunk + 1) * p.bins()) * p.element;
  }
  size_t take(size_t bytes) {
    const size_t at = total;
    total += (bytes + 63) / 64 * 64;
    return at;
  }
};

// Tiles of the sums over channels (see cpu/mesh_free_contract.h).
inline constexpr int64_t kMeshFreeTileRows = 4, kMeshFreeTileDepth = 32, kMeshFreeTileColumns = 8;

// A vector of transforms, real and imaginary parts; on planes a line of bins beside what the plane needs.
inline size_t mesh_free_transform_scratch(const MeshFreeProblem& p) {
  if (p.line) return 2 * static_cast<size_t>(p.width) * 64 + fft_scratch_bytes(p.width);
  const size_t plane = plane_fft_scratch_bytes(p.height, p.width, p.element);
  return (plane + 63) / 64 * 64 + 2 * static_cast<size_t>(p.padded(p.width)) * p.element;
}

inline size_t mesh_free_scratch(const MeshFreeProblem& p) {
  const size_t symbols = 2 * kMeshFreeTileRows * kMeshFreeTileDepth * 64;
  const size_t sums = kMeshFreeTileRows * kMeshFreeTileColumns * 9 * 64;
  const size_t transform = mesh_free_transform_scratch(p);
  const size_t contraction = symbols > sums ? symbols : sums;
  return transform > contraction ? transform : contraction;
}

}  // namespace fluxion
