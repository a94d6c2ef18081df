// What the launchers of upwind advection tell their kernels of an op: the grid, the flow, who shares it.
#pragma once

#include <algorithm>

#include "device/upwind.cuh"
#include "kernel.h"
#include "ops/upwind.h"
#include "plane_index.h"
#include "tuning.h"

namespace fluxion::cuda {

static_assert(static_cast<int>(UpwindScheme::superbee) ==
                  static_cast<int>(Reconstruction::superbee) &&
              static_cast<int>(UpwindScheme::minmod) == static_cast<int>(Reconstruction::minmod));

template <class T>
UpwindGrid<T> upwind_grid(const AdvectUpwindParams& p, const Shape& u) {
  UpwindGrid<T> grid{};
  grid.dims = u.ndim - 2;
  int64_t cells = 1;
  const double step = p.dt / static_cast<double>(p.steps), spacing[3] = {p.dx, p.dy, p.dz};
  for (int k = 0; k < 3; ++k) {
    grid.n[k] = k < grid.dims ? static_cast<int>(u[u.ndim - 1 - k]) : 1;
    grid.step[k] = grid.pitch[k] = static_cast<int>(cells);
    cells *= grid.n[k];
    grid.courant[k] = static_cast<T>(step / spacing[k]);
  }
  grid.cells = static_cast<int>(cells);
  grid.rows = grid.cells / grid.n[0];
  grid.by_width = Divisor(grid.n[0]);
  grid.by_height = Divisor(grid.n[1]);
  grid.periodic = p.boundary == Boundary::periodic;
  grid.conservative = p.form == UpwindForm::conservative;
  const bool zero = p.boundary == Boundary::dirichlet;
  grid.field = grid.periodic ? Ghost::wrap : zero ? Ghost::zero : Ghost::edge;
  grid.cotangent = grid.periodic                    ? Ghost::wrap
                   : zero && !grid.conservative ? Ghost::zero
                                                    : Ghost::edge;
  return grid;
}

inline int64_t cells_of(const Shape& u) {
  int64_t cells = 1;
  for (int i = 2; i < u.ndim; ++i) cells *= u[i];
  return cells;
}

inline PlaneGroups plane_groups(const VelocityGroups& groups) {
  const int64_t channels = groups.channels;
  const int64_t group_step = groups.per_channel ? 1 : groups.per_batch ? channels : 0;
  const int64_t member_step = groups.per_channel ? channels : 1;
  return {groups.groups, groups.members, group_step, member_step, channels, groups.per_batch,
          groups.per_channel};
}

// The velocities of all groups: that of group i begins at data + i * stride.
template <class T>
struct FlowFields {
  const T* data;
  int64_t stride, cells;
  bool constant;
  __device__ __forceinline__ Flow<T> of(int64_t group) const {
    return {data + group * stride, cells, constant};
  }
};

template <class T>
FlowFields<T> flow_fields(const TensorView& velocity, const VelocityGroups& groups,
                          const UpwindGrid<T>& grid) {
  return {velocity.as<T>(), groups.constant ? grid.dims : int64_t{grid.dims} * grid.cells,
          grid.cells, groups.constant};
}

// Whether rows can be read in vectors of V from all of these.
template <int V, class T>
bool in_vectors(const UpwindGrid<T>& grid, std::initializer_list<const T*> data) {
  bool fits = grid.n[0] % V == 0;
  for (const T* p : data) fits = fits && reinterpret_cast<uintptr_t>(p) % (V * sizeof(T)) == 0;
  return fits;
}

// Threads of a block that owns a plane of that many cells.
inline int plane_threads(int64_t cells) {
  const int64_t wanted = blocks_of(cells, 4 * kWarp) * kWarp;
  return static_cast<int>(std::min<int64_t>(wanted, 1024));
}

// How the planes of a group that share a velocity are spread over blocks: chunks of them.
struct MemberChunks {
  int64_t count, size;
  MemberChunks(const Kernel& call, const PlaneGroups& groups, int64_t largest,
               int64_t threads_of_chunk) {
    const int64_t wanted = call.multiprocessors() * kUpwindThreadsWanted;
    size = std::min(groups.members, largest);
    while (size > 1 &&
           groups.groups * blocks_of(groups.members, size) * threads_of_chunk < wanted)
      size = (size + 1) / 2;
    count = blocks_of(groups.members, size);
  }
};

// Calls f with the scheme as a constant.
template <class F>
void dispatch_scheme(UpwindScheme scheme, F&& f) {
  using R = Reconstruction;
  switch (scheme) {
    case UpwindScheme::first_order:
      return f(std::integral_constant<R, R::first_order>{});
    case UpwindScheme::unlimited:
      return f(std::integral_constant<R, R::unlimited>{});
    case UpwindScheme::minmod:
      return f(std::integral_constant<R, R::minmod>{});
    case UpwindScheme::van_leer:
      return f(std::integral_constant<R, R::van_leer>{});
    case UpwindScheme::superbee:
      return f(std::integral_constant<R, R::superbee>{});
  }
}

// The states of `steps` steps that the backward pass needs again: checkpoints at the beginnings of segments
// and the states inside one of them, which are computed again segment by segment.
struct StepStates {
  int64_t length, count;  // of segments
  StepStates(int64_t steps, int64_t state_bytes) : length(steps), count(1) {
    if ((steps - 1) * state_bytes <= kUpwindStateBytes) return;
    length = 1;
    while (length * length < steps) ++length;
    count = blocks_of(steps, length);
  }
  __host__ __device__ int64_t slots() const { return (count - 1) + (length - 1); }
  // Where the state before step > 0 is kept.
  __host__ __device__ int64_t slot(int64_t step) const {
    return step % length == 0 ? step / length - 1 : count - 1 + step % length - 1;
  }
};

// Enqueues to = from + dt L(from), or (base + from + dt L(from)) / 2, of all planes in global memory.
template <class T>
void launch_upwind_stage(const Kernel& call, UpwindScheme scheme, const UpwindGrid<T>& grid,
                         const PlaneGroups& groups, const FlowFields<T>& flow, const T* from,
                         const T* base, T* to);

}  // namespace fluxion::cuda
