// Upwind advection: parameters of the ops, and the sizes that infer and the kernels must agree on.
#pragma once

#include "ops/diffusion.h"
#include "ops/op.h"

namespace fluxion {

// First order, or second order (MUSCL with Heun's method) with or without a limiter.
enum class UpwindScheme : int32_t { first_order, unlimited, minmod, van_leer, superbee };
inline constexpr const char* kUpwindSchemeNames[] = {"first-order", "unlimited", "minmod",
                                                     "van-leer", "superbee"};

enum class UpwindForm : int32_t { advective, conservative };
inline constexpr const char* kUpwindFormNames[] = {"advective", "conservative"};

struct AdvectUpwindParams {
  double dt;  // of all steps together
  double dx, dy, dz;
  int64_t steps;
  Boundary boundary;
  UpwindScheme scheme;
  UpwindForm form;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v("dz", dz);
    v("steps", steps);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kUpwindSchemeNames);
    v.choice("form", form, kUpwindFormNames);
  }
};

struct OutflowRateParams {
  double dx, dy, dz;
  Boundary boundary;
  UpwindForm form;
  template <class V>
  void visit(V& v) {
    v("dx", dx);
    v("dy", dy);
    v("dz", dz);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("form", form, kUpwindFormNames);
  }
};

// How a velocity [N or 1, C or 1, d, *S or ones] belongs to the planes of u [N, C, *S]: it has `groups`
// fields of d components, each of which moves `members` planes.
struct VelocityGroups {
  static constexpr int64_t kBlocks = 16;  // enough for the threads of a small machine
  static constexpr int64_t kBandRows =
      8;                    // fewer, and reading the rows beside a band costs too much
  int64_t batch, channels;  // of u
  bool per_batch, per_channel, constant;
  int64_t groups, members;

  VelocityGroups(const Shape& u, const Shape& velocity)
      : batch(u[0]), channels(u[1]), per_batch(velocity[0] != 1), per_channel(velocity[1] != 1) {
    constant = true;
    for (int i = 3; i < velocity.ndim; ++i) constant = constant && velocity[i] == 1;
    groups = velocity[0] * velocity[1];
    members = (per_batch ? 1 : batch) * (per_channel ? 1 : channels);
  }
  // The plane of u that is member m of a group.
  int64_t plane(int64_t group, int64_t m) const {
    const int64_t velocity_channels = per_channel ? channels : 1;
    const int64_t inner = per_channel ? 1 : channels;
    const int64_t n = per_batch ? group / velocity_channels : m / inner;
    const int64_t c = per_channel ? group % velocity_channels : m % inner;
    return n * channels + c;
  }
  int64_t group_of(int64_t plane) const {
    const int64_t n = plane / channels, c = plane % channels;
    return (per_batch ? n : 0) * (per_channel ? channels : 1) + (per_channel ? c : 0);
  }
  // Whether the backward pass of a single first-order step may split planes into bands of rows: then one
  // block adds up the velocity gradients of all members. Else:
  bool splits_rows(int64_t rows) const {
    return groups * rows >= kBlocks * kBandRows || groups >= kBlocks;
  }
  // The members of a group are split into this many chunks, whose velocity gradients are added in order:
  // enough blocks for the threads, and the same for any number of them.
  int64_t chunks() const {
    if (groups == 0 || groups >= kBlocks) return 1;
    const int64_t wanted = (kBlocks + groups - 1) / groups;
    const int64_t chunks = wanted < members ? wanted : members;
    return chunks < 1 ? 1 : chunks;
  }
};

// The states of `steps` steps that the backward pass needs again: the first of each segment is kept, the
// others are computed again segment by segment. One segment if its states take at most kStateBytes.
struct StepSegments {
  static constexpr int64_t kStateBytes = int64_t{16} << 20;
  int64_t length, count;

  StepSegments(int64_t steps, int64_t plane_bytes) : length(steps), count(1) {
    if ((steps - 1) * plane_bytes <= kStateBytes) return;
    length = 1;
    while (length * length < steps) ++length;
    count = (steps + length - 1) / length;
  }
  int64_t planes() const { return (count - 1) + (length - 1); }
};

// Bytes of a row of a plane with room for ghost cells and a whole vector at both ends.
inline int64_t padded_row_bytes(int64_t width, int64_t element) {
  return (width * element + 63) / 64 * 64 + 128;
}
// Rows that get ghost cells at a time: far enough ahead that the stores have left the store buffer when the
// shifted loads come.
inline int64_t rows_ahead(int64_t width) {
  const int64_t rows = 1024 / (width < 1 ? 1 : width);
  return rows < 1 ? 1 : rows > 16 ? 16 : rows;
}
// Work rows of a thread (see cpu/upwind.cpp): three padded sets, and those with a name.
inline int64_t upwind_row_count(int64_t width) { return 3 * rows_ahead(width) + 24; }

inline int64_t upwind_plane_bytes(int64_t cells, int64_t element) {
  return (cells * element + 63) / 64 * 64;
}

inline bool single_stage(const AdvectUpwindParams& p) {
  return p.scheme == UpwindScheme::first_order && p.steps == 1;
}

// Planes of a thread: forward, two for the states between the stages.
inline int64_t forward_planes(const AdvectUpwindParams& p) {
  return p.scheme != UpwindScheme::first_order ? 2 : p.steps > 1 ? 2 : 0;
}
// Backward: states, for second order the middle stage, and cotangents.
inline int64_t backward_planes(const AdvectUpwindParams& p, int64_t plane_bytes) {
  const bool second = p.scheme != UpwindScheme::first_order;
  if (!second && p.steps == 1) return 0;
  return StepSegments(p.steps, plane_bytes).planes() + (second ? 4 : 2);
}

}  // namespace fluxion
