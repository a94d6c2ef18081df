// The adjoint of one first-order upwind step, planes in global memory. A thread owns a vector of a row in all
// planes of a chunk that share a velocity: it gathers gu from the cells that u moved to, and keeps the sums of
// the velocity gradient in registers, so that they are added in the order of the planes.
// Bytes of DRAM a cell in float32: 12, and 8 d of the velocity and its gradient once for all planes that share
// it (the floor), plus 8 d for every chunk of them where few fields are spread over many threads.
#include "device/block_sum.cuh"
#include "device/upwind_vector.cuh"
#include "upwind_pull_plan.h"

namespace fluxion::cuda {
namespace {

template <class T, int V, int kDims, bool kConservative>
__global__ void __launch_bounds__(kUpwindThreads) pull_step(PullStep<T> args) {
  const UpwindGrid<T>& grid = args.grid;
  const VelocitySums<T>& to = args.velocity;
  const Split block = split(blockIdx.x, args.tiles), chunk = split(block.whole, to.chunks);
  const int64_t item = block.whole, group = chunk.whole, first = chunk.rest * to.members;
  const int tile = block.rest;
  const int64_t last = to.last_member(first, args.groups.members);
  const int64_t vector = static_cast<int64_t>(tile) * blockDim.x + threadIdx.x;
  const bool inside = vector * V < grid.cells, with_velocity = to.wanted();
  T ga[kDims][V] = {};
  const UpwindCell c = cell_of(grid, inside ? static_cast<int>(vector * V) : 0, grid.step);
  if (inside) {
    const Flow<T> flow = args.flow.of(group);
    // Twice the velocities of the faces, or those of the cell and its neighbours, times what they multiply.
    T own_a[kDims][V], above_a[kDims][V], below_a[kDims][V];
#pragma unroll
    for (int k = 0; k < kDims; ++k) {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const int number = c.number + i, at = k == 0 ? c.x + i : c.at(k);
        if constexpr (kConservative) {
          above_a[k][i] = face_velocity(grid, flow, k, number, at) * (grid.courant[k] / 2);
          below_a[k][i] = face_below(grid, flow, k, number, at) * (grid.courant[k] / 2);
        } else {
          own_a[k][i] = flow.at(k, number) * grid.courant[k];
          above_a[k][i] =
              positive_part(velocity_at(grid, flow, k, number, at, 1)) * grid.courant[k];
          below_a[k][i] =
              negative_part(velocity_at(grid, flow, k, number, at, -1)) * grid.courant[k];
        }
      }
    }
    const Beside<kDims> near_g = beside<kDims, V>(grid, c, grid.cotangent);
    const Beside<kDims> near_u = beside<kDims, V>(grid, c, grid.field);
    for (int64_t m = first; m < last; ++m) {
      const int64_t at = args.groups.plane(group, m) * grid.cells + c.number;
      const Pack<T, V> g = *reinterpret_cast<const Pack<T, V>*>(args.g + at);
      Pack<T, V> gu = g, u{};
      if (with_velocity) u = *reinterpret_cast<const Pack<T, V>*>(args.u + at);
#pragma unroll
      for (int k = 0; k < kDims; ++k) {
        const Neighbours<T, V> gn = neighbours<V>(args.g + at, g, k, near_g);
#pragma unroll
        for (int i = 0; i < V; ++i) {
          if constexpr (kConservative) {
            gu.v[i] += positive_part(above_a[k][i]) * (gn.above[i] - g.v[i]) +
                       negative_part(below_a[k][i]) * (g.v[i] - gn.below[i]);
          } else {
            gu.v[i] += above_a[k][i] * gn.above[i] - below_a[k][i] * gn.below[i] -
                       magnitude(own_a[k][i]) * g.v[i];
          }
        }
        if (!with_velocity) continue;
        const Neighbours<T, V> un = neighbours<V>(args.u + at, u, k, near_u);
#pragma unroll
        for (int i = 0; i < V; ++i) {
          if constexpr (kConservative) {
            ga[k][i] += (gn.above[i] - g.v[i]) * (above_a[k][i] > T(0) ? u.v[i] : un.above[i]) +
                        (g.v[i] - gn.below[i]) * (below_a[k][i] > T(0) ? un.below[i] : u.v[i]);
          } else {
            ga[k][i] -= g.v[i] * (own_a[k][i] > T(0) ? u.v[i] - un.below[i] : un.above[i] - u.v[i]);
          }
        }
      }
      if (args.gu) *reinterpret_cast<Pack<T, V>*>(args.gu + at) = gu;
    }
  }
  if (!with_velocity) return;
#pragma unroll
  for (int k = 0; k < kDims; ++k) {
    const T factor = kConservative ? grid.courant[k] / 2 : grid.courant[k];
#pragma unroll
    for (int i = 0; i < V; ++i) ga[k][i] *= factor;
  }
  if (to.fields) {
    if (!inside) return;
#pragma unroll
    for (int k = 0; k < kDims; ++k) {
      T* field = to.fields + (item * kDims + k) * grid.cells + c.number;
      Pack<T, V> sum{};
      if (to.add) sum = *reinterpret_cast<const Pack<T, V>*>(field);
#pragma unroll
      for (int i = 0; i < V; ++i) sum.v[i] += ga[k][i];
      *reinterpret_cast<Pack<T, V>*>(field) = sum;
    }
    return;
  }
  SharedMemory memory;
  Shared<double> room = memory.take<double>(kUpwindThreads / kWarp);
#pragma unroll
  for (int k = 0; k < kDims; ++k) {
    double own = 0;
#pragma unroll
    for (int i = 0; i < V; ++i) own += static_cast<double>(ga[k][i]);
    const double sum = block_sum(own, room);
    if (threadIdx.x == 0) to.sums[(item * to.slots + tile) * kDims + k] += sum;
  }
}

template <class T, int V>
void launch_vectors(const Kernel& call, const PullStep<T>& args) {
  const cuda::Grid grid{args.groups.groups * args.velocity.chunks * args.tiles,
                        kUpwindThreads, shared_bytes<double>(kUpwindThreads / kWarp)};
  const bool conservative = args.grid.conservative;
  switch (args.grid.dims) {
    case 1:
      return conservative ? call.launch(pull_step<T, V, 1, true>, grid, args)
                          : call.launch(pull_step<T, V, 1, false>, grid, args);
    case 2:
      return conservative ? call.launch(pull_step<T, V, 2, true>, grid, args)
                          : call.launch(pull_step<T, V, 2, false>, grid, args);
    default:
      return conservative ? call.launch(pull_step<T, V, 3, true>, grid, args)
                          : call.launch(pull_step<T, V, 3, false>, grid, args);
  }
}

}  // namespace

template <class T>
void launch_pull_step(const Kernel& call, const PullStep<T>& given) {
  PullStep<T> args = given;
  constexpr int kVector = sizeof(T) == 4 ? 4 : 2;
  const bool vectors =
      in_vectors<kVector, T>(args.grid, {args.u, args.g, args.gu, args.velocity.fields});
  const int width = vectors ? kVector : 1;
  args.tiles = static_cast<int>(blocks_of(args.grid.cells / width, kUpwindThreads));
  if (vectors) {
    launch_vectors<T, kVector>(call, args);
  } else {
    launch_vectors<T, 1>(call, args);
  }
}

template void launch_pull_step<float>(const Kernel&, const PullStep<float>&);
template void launch_pull_step<double>(const Kernel&, const PullStep<double>&);

}  // namespace fluxion::cuda
