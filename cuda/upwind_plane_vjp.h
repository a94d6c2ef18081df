// The adjoint of upwind advection for blocks that own planes in shared memory.
#pragma once

#include "upwind_pull_plan.h"

namespace fluxion::cuda {

template <class T>
struct PlanePull {
  UpwindGrid<T> grid;
  PlaneGroups groups;
  FlowFields<T> flow;
  const T *u, *g;
  T* gu;  // may be null
  VelocitySums<T> velocity;
};

template <class T>
bool plane_pull_fits(const Kernel& call, const AdvectUpwindParams& p, const UpwindGrid<T>& grid);
template <class T>
void launch_plane_pull(const Kernel& call, const AdvectUpwindParams& p, const PlanePull<T>& args);

}  // namespace fluxion::cuda
