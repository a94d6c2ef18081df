// Adjoint of implicit diffusion on planes and volumes: the gradient in u is the step of g, and that in the
// diffusivity of axis i is dr_i/dk_i dL/dr_i (diffusion_program.h) summed over the batch. Planes that fit the
// cache and a factorised step take diffusion_plane_vjp.h; everything else runs as a program of sweeps.
// One partial sum per plane and axis, added in order. Memory floor 12 bytes per cell in float32.
#include <utility>

#include "cpu/kernel.h"
#include "ops/diffusion.h"

#define FLUXION_KERNELS "cpu/diffusion_vjp.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/line_solver.h"
#include "cpu/diffusion_factors.h"
#include "cpu/diffusion_program.h"
#include "cpu/diffusion_plane.h"
#include "cpu/diffusion_plane_vjp.h"
#include "cpu/diffusion_step.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T, bool kPeriodic, bool kCrank>
void plane_adjoints(const Batch<T>& b, const T* g, const T* saved, T* gu, double* sums) {
  const int64_t plane = b.cells.plane();
  const bool around = gu && streamable(gu, b.cells.width);
  b.call.parallel_for(b.volumes, [&](int64_t i, int thread) {
    const PlaneScratch<T> scratch(b.call.template scratch<char>(thread), b.cells);
    const int64_t at = i * plane;
    const bool more = i + 1 < b.volumes;
    const AdjointJob<T> job{g + at,
                            saved + at,
                            gu ? gu + at : nullptr,
                            b.cells.height,
                            b.cells.width,
                            b.step.boundary,
                            more ? g + at + plane : nullptr,
                            more ? saved + at + plane : nullptr,
                            around};
    const PlaneFactors<T> factors = b.plane_factors(i);
    if constexpr (kCrank) {
      CrankNicolsonAdjoint<T, kPeriodic>(job, factors, scratch).run(sums + 2 * i);
    } else {
      BackwardEulerAdjoint<T, kPeriodic>(job, factors, scratch).run(sums + 2 * i);
    }
    sums[2 * i] = -sums[2 * i];
    sums[2 * i + 1] = -sums[2 * i + 1];
    stream_fence();
  });
}

template <class T>
void plane_adjoints(const Batch<T>& b, const T* g, const T* saved, T* gu, double* sums) {
  const bool periodic = b.step.boundary == Boundary::periodic;
  if (b.step.crank_nicolson()) {
    if (periodic) return plane_adjoints<T, true, true>(b, g, saved, gu, sums);
    return plane_adjoints<T, false, true>(b, g, saved, gu, sums);
  }
  if (periodic) return plane_adjoints<T, true, false>(b, g, saved, gu, sums);
  return plane_adjoints<T, false, false>(b, g, saved, gu, sums);
}

template <class T>
void program_sums(const Batch<T>& b, const T* g, const T* saved, double* sums, T* workspace) {
  const int64_t size = b.cells.size();
  if (!resident(b.cells, sizeof(T))) {
    T* fields[kWorkingFields];
    for (int i = 0; i < kWorkingFields; ++i) fields[i] = workspace + i * b.volumes * size;
    diffusivity_sums(Banded<T>{b.machine(sums), b.volumes}, g, saved, fields);
    return;
  }
  b.call.parallel_for(b.volumes, [&](int64_t volume, int thread) {
    char* scratch = b.call.template scratch<char>(thread);
    ResidentFields<T> fields(scratch, b.cells);
    const Resident<T> machine{b.machine(sums), volume, reinterpret_cast<T*>(scratch)};
    diffusivity_sums(machine, g + volume * size, saved + volume * size, fields.field);
  });
}

// gk from the partial sums, over samples and planes in order.
template <class T>
void add_sums(const Batch<T>& b, const double* sums, T* gk) {
  const int axes = b.step.axes;
  const int64_t depth = b.cells.depth;
  for (int64_t c = 0; c < b.channels; ++c) {
    for (int axis = 0; axis < axes; ++axis) {
      double total = 0;
      for (int64_t volume = c; volume < b.volumes; volume += b.channels) {
        for (int64_t z = 0; z < depth; ++z) total += sums[(volume * depth + z) * axes + axis];
      }
      gk[axes * c + axis] = static_cast<T>(b.step.gradient_scale(axis) * total);
    }
  }
}

template <class T>
void adjoint_all(const DiffusionStep& step, const Kernel& call) {
  const TensorView& g = call.in(0);
  const Cells cells = channel_cells(g.shape);
  const FactorTable<T> factors(step, call, call.in(1), cells);
  if (!factors) return;
  const int64_t channels = g.shape[1];
  const Batch<T> b{step, call, factors, cells, g.shape[0] * channels, channels};
  T *gu = call.out(0).as<T>(), *gk = call.out(1).as<T>();
  double* sums = call.workspace<double>();
  T* fields =
      reinterpret_cast<T*>(call.workspace<char>() + diffusivity_partial_bytes(step, g.shape));
  const T* saved = call.in(2).as<T>();
  if (!gk) return diffuse(b, g.as<T>(), gu, fields);
  if (step.axes == 2 && step.factorised() && b.plane_fits()) {
    plane_adjoints(b, g.as<T>(), saved, gu, sums);
  } else {
    program_sums(b, g.as<T>(), saved, sums, fields);
    if (gu) diffuse(b, g.as<T>(), gu, fields);
  }
  add_sums(b, sums, gk);
}

void run(const DiffusionStep& step, const Kernel& call) {
  if (call.in(0).size() == 0) {
    const TensorView& gk = call.out(1);
    if (gk.data) std::memset(gk.data, 0, static_cast<size_t>(gk.size()) * size_of(gk.dtype));
    return;
  }
  if (call.in(0).dtype == DType::f64) {
    adjoint_all<double>(step, call);
  } else {
    adjoint_all<float>(step, call);
  }
}

}  // namespace

void k_implicit_diffusion_2d_vjp(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  run(step_of(p), call);
}

void k_implicit_diffusion_3d_vjp(const ImplicitDiffusion3dParams& p, const Kernel& call) {
  run(step_of(p), call);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
