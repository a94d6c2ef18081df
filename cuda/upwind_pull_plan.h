// Where the kernels of the adjoint of upwind advection leave the gradient of the velocity.
#pragma once

#include "upwind_plan.h"

namespace fluxion::cuda {

// Chunks of the planes of a group share a velocity. Each leaves a field of its own, which are then added in
// order; for a velocity of one number a component, each block adds to a sum of its own in double.
template <class T>
struct VelocitySums {
  T* fields;     // [group][chunk][dims][cells]; null: nobody asked, or there are sums
  double* sums;  // [group][chunk][slots][dims], zero at the beginning
  bool add;      // to what is in the fields
  int64_t chunks, members;
  int slots;

  __device__ __forceinline__ bool wanted() const { return fields || sums; }
  __device__ __forceinline__ int64_t last_member(int64_t first, int64_t all) const {
    return first + members < all ? first + members : all;
  }
};

// A step of first order of planes in global memory, as in upwind_pull.cu: to = (I + dt L)^T from.
template <class T>
struct PullStep {
  UpwindGrid<T> grid;
  PlaneGroups groups;
  FlowFields<T> flow;
  const T *u, *g;
  T* gu;      // may be null
  int tiles;  // of a plane: set by the launcher
  VelocitySums<T> velocity;
};

// `slots` of the sums must be at least this.
inline int pull_step_slots(int64_t cells) {
  return static_cast<int>(blocks_of(cells, kUpwindThreads));
}
template <class T>
void launch_pull_step(const Kernel& call, const PullStep<T>& args);

}  // namespace fluxion::cuda
