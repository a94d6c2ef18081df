// Upwind advection of planes (lines, volumes), unsplit over the axes; equations in native/cpu/upwind.cpp.
//
// One step of first order: a thread owns 16 bytes of a row in up to 8 planes that share a velocity, whose
// Courant numbers stay in registers; neighbours come through L1. Bytes of DRAM a cell in float32: 8, and
// 4 d of the velocity once for all planes that share it: the floor.
// Several steps, or second order: a block owns a plane and takes all its steps in shared memory, two states
// of it: 8 bytes a cell for all of them, and the velocity from L2 in each stage.
// Planes that do not fit: a launch for each stage, whose tiles read their halos through L1 and L2: 8 bytes a
// cell and stage, 12 for the second one of a step.
// Sources: as in native/cpu/upwind.cpp; temporal blocking as in EBISU (Zhang et al., ICS 2023).
#include <type_traits>

#include "device/plane_copy.cuh"
#include "device/upwind_vector.cuh"
#include "upwind_plan.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct DirectStep {
  UpwindGrid<T> grid;
  PlaneGroups groups;
  FlowFields<T> flow;
  const T* u;
  T* out;
  int tiles;  // of a plane
  int64_t chunks, members;
};

template <class T, int V, int kDims, bool kConservative>
__global__ void __launch_bounds__(kUpwindThreads) direct_step(DirectStep<T> args) {
  const UpwindGrid<T>& grid = args.grid;
  const Split block = split(blockIdx.x, args.tiles), item = split(block.whole, args.chunks);
  const int64_t group = item.whole, first = item.rest * args.members;
  const int64_t last = first + args.members < args.groups.members ? first + args.members
                                                                  : args.groups.members;
  const int64_t vector = int64_t{block.rest} * blockDim.x + threadIdx.x;
  if (vector * V >= grid.cells) return;
  const UpwindCell c = cell_of(grid, static_cast<int>(vector * V), grid.step);
  const Flow<T> flow = args.flow.of(group);
  // Courant numbers: of the cells, or of the faces above and below them.
  T above[kDims][V], below[kConservative ? kDims : 1][V];
#pragma unroll
  for (int k = 0; k < kDims; ++k) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const int number = c.number + i, at = k == 0 ? c.x + i : c.at(k);
      if constexpr (kConservative) {
        above[k][i] = face_velocity(grid, flow, k, number, at) * (grid.courant[k] / 2);
        below[k][i] = k == 0 && i > 0
                          ? above[k][i > 0 ? i - 1 : 0]
                          : face_below(grid, flow, k, number, at) * (grid.courant[k] / 2);
      } else {
        above[k][i] = flow.at(k, number) * grid.courant[k];
      }
    }
  }
  const Beside<kDims> near = beside<kDims, V>(grid, c, grid.field);
#pragma unroll 2
  for (int64_t m = first; m < last; ++m) {
    const int64_t at = args.groups.plane(group, m) * grid.cells + c.number;
    const T* cell = args.u + at;
    const Pack<T, V> own = *reinterpret_cast<const Pack<T, V>*>(cell);
    Pack<T, V> next = own;
#pragma unroll
    for (int k = 0; k < kDims; ++k) {
      const Neighbours<T, V> u = neighbours<V>(cell, own, k, near);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const T a = above[k][i];
        if constexpr (kConservative) {
          const T b = below[k][i];
          next.v[i] -= a * (a > T(0) ? own.v[i] : u.above[i]) -
                       b * (b > T(0) ? u.below[i] : own.v[i]);
        } else {
          next.v[i] -= a * (a > T(0) ? own.v[i] - u.below[i] : u.above[i] - own.v[i]);
        }
      }
    }
    *reinterpret_cast<Pack<T, V>*>(args.out + at) = next;
  }
}

template <class T, int V>
void launch_direct(const Kernel& call, DirectStep<T> args) {
  const int64_t vectors = args.grid.cells / V;
  args.tiles = static_cast<int>(blocks_of(vectors, kUpwindThreads));
  const MemberChunks chunks(call, args.groups, kUpwindMembers, vectors);
  args.chunks = chunks.count;
  args.members = chunks.size;
  const cuda::Grid grid{args.groups.groups * args.chunks * args.tiles, kUpwindThreads};
  const bool conservative = args.grid.conservative;
  switch (args.grid.dims) {
    case 1:
      return conservative ? call.launch(direct_step<T, V, 1, true>, grid, args)
                          : call.launch(direct_step<T, V, 1, false>, grid, args);
    case 2:
      return conservative ? call.launch(direct_step<T, V, 2, true>, grid, args)
                          : call.launch(direct_step<T, V, 2, false>, grid, args);
    default:
      return conservative ? call.launch(direct_step<T, V, 3, true>, grid, args)
                          : call.launch(direct_step<T, V, 3, false>, grid, args);
  }
}

// --- all steps of a plane in shared memory

template <class T>
struct PlaneSteps {
  UpwindGrid<T> grid;
  PlaneGroups groups;
  FlowFields<T> flow;
  int64_t steps;
  const T* u;
  T* out;
};

template <class T, Reconstruction R>
__global__ void __launch_bounds__(1024) plane_steps(PlaneSteps<T> args) {
  const UpwindGrid<T>& grid = args.grid;
  SharedMemory memory;
  Shared<T> state = memory.take<T>(grid.cells), other = memory.take<T>(grid.cells);
  const int64_t plane = blockIdx.x;
  const Flow<T> flow = args.flow.of(args.groups.group_of(plane));
  T* out = args.out + plane * grid.cells;
  copy_plane(args.u + plane * grid.cells, state, grid.cells);
  copy_async_wait<0>();
  __syncthreads();
  for (int64_t step = 0; step < args.steps; ++step) {
    const bool last = step == args.steps - 1;
    const bool first_order = R == Reconstruction::first_order;
    for (int i = threadIdx.x; i < grid.cells; i += blockDim.x) {
      const T next = advanced<R>(grid, flow, state, cell_of(grid, i, grid.step), grid.step);
      if (first_order && last) {
        out[i] = next;
      } else {
        other[i] = next;
      }
    }
    __syncthreads();
    if constexpr (R == Reconstruction::first_order) {
      const Shared<T> before = state;
      state = other;
      other = before;
    } else {
      for (int i = threadIdx.x; i < grid.cells; i += blockDim.x) {
        const T next = advanced<R>(grid, flow, other, cell_of(grid, i, grid.step), grid.step);
        const T mean = (state[i] + next) * T(0.5);
        if (last) {
          out[i] = mean;
        } else {
          state[i] = mean;
        }
      }
      __syncthreads();
    }
  }
}

// --- a stage of planes in global memory

template <class T>
struct GlobalStage {
  UpwindGrid<T> grid;
  PlaneGroups groups;
  FlowFields<T> flow;
  const T *from, *base;
  T* to;
  int tiles;
};

template <class T, Reconstruction R>
__global__ void __launch_bounds__(kUpwindThreads) global_stage(GlobalStage<T> args) {
  const UpwindGrid<T>& grid = args.grid;
  const Split block = split(blockIdx.x, args.tiles);
  const int64_t plane = block.whole, i = int64_t{block.rest} * blockDim.x + threadIdx.x;
  if (i >= grid.cells) return;
  const Flow<T> flow = args.flow.of(args.groups.group_of(plane));
  const UpwindCell c = cell_of(grid, static_cast<int>(i), grid.step);
  const T* from = args.from + plane * grid.cells;
  const T next = advanced<R>(grid, flow, from, c, grid.step);
  const int64_t at = plane * grid.cells + i;
  args.to[at] = args.base ? (args.base[at] + next) * T(0.5) : next;
}

// Planes that do not fit into shared memory.
template <class T>
void launch_stages(const AdvectUpwindParams& p, const Kernel& call, const PlaneSteps<T>& args,
                   int64_t planes) {
  T* other = call.scratch<T>(planes * args.grid.cells);
  if (!other) return;
  const auto stage = [&](const T* from, const T* base, T* to) {
    launch_upwind_stage(call, p.scheme, args.grid, args.groups, args.flow, from, base, to);
  };
  const T* from = args.u;
  for (int64_t step = 0; step < p.steps; ++step) {
    if (p.scheme == UpwindScheme::first_order) {
      T* to = (p.steps - 1 - step) % 2 == 0 ? args.out : other;
      stage(from, nullptr, to);
      from = to;
    } else {
      stage(from, nullptr, other);
      stage(other, from, args.out);
      from = args.out;
    }
  }
}

template <class T>
void advect(const AdvectUpwindParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  if (!countable_plane(call, cells_of(shape))) return;
  const VelocityGroups groups(shape, call.in(1).shape);
  const UpwindGrid<T> grid = upwind_grid<T>(p, shape);
  const FlowFields<T> flow = flow_fields(call.in(1), groups, grid);
  const T* u = call.in(0).as<T>();
  T* out = call.out(0).as<T>();
  const int64_t planes = shape[0] * shape[1];
  if (single_stage(p)) {
    constexpr int kVector = 16 / sizeof(T);
    const DirectStep<T> args{grid, plane_groups(groups), flow, u, out, 0, 0, 0};
    return in_vectors<kVector>(grid, {u, out}) ? launch_direct<T, kVector>(call, args)
                                               : launch_direct<T, 1>(call, args);
  }
  const PlaneSteps<T> args{grid, plane_groups(groups), flow, p.steps, u, out};
  const size_t shared = 2 * shared_bytes<T>(grid.cells);
  if (shared > call.shared_limit()) return launch_stages(p, call, args, planes);
  dispatch_scheme(p.scheme, [&](auto scheme) {
    call.launch(plane_steps<T, decltype(scheme)::value>,
                {planes, plane_threads(grid.cells), shared}, args);
  });
}

}  // namespace

template <class T>
void launch_upwind_stage(const Kernel& call, UpwindScheme scheme, const UpwindGrid<T>& grid,
                         const PlaneGroups& groups, const FlowFields<T>& flow, const T* from,
                         const T* base, T* to) {
  const int tiles = static_cast<int>(blocks_of(grid.cells, kUpwindThreads));
  const GlobalStage<T> args{grid, groups, flow, from, base, to, tiles};
  dispatch_scheme(scheme, [&](auto scheme_tag) {
    call.launch(global_stage<T, decltype(scheme_tag)::value>,
                {groups.groups * groups.members * tiles, kUpwindThreads}, args);
  });
}

template void launch_upwind_stage<float>(const Kernel&, UpwindScheme, const UpwindGrid<float>&,
                                         const PlaneGroups&, const FlowFields<float>&,
                                         const float*, const float*, float*);
template void launch_upwind_stage<double>(const Kernel&, UpwindScheme, const UpwindGrid<double>&,
                                          const PlaneGroups&, const FlowFields<double>&,
                                          const double*, const double*, double*);

void k_advect_upwind(const AdvectUpwindParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    advect<typename decltype(tag)::type>(p, call);
  });
}

}  // namespace fluxion::cuda
