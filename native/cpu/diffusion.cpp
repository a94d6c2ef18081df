// Implicit diffusion on planes and volumes (docs/numerics/diffusion.md). With S = (I - r D)^-1 along one
// axis and C = 2 S - I, which is (I - r D)^-1 (I + r D) exactly:
//     backward Euler   w = S_x S_y (S_z) u                  Crank-Nicolson   w = C_x C_y (C_z) u
// and the other splittings in diffusion_program.h. S and C act on different axes, hence commute, and are
// symmetric: the adjoint is the operator itself.
//
// Layout [N, C, (D,) H, W]; a block is one plane or one channel of one sample, solved along all axes while
// it stays in cache. Memory floor 8 bytes per cell in float32.
#include <utility>

#include "cpu/kernel.h"
#include "ops/diffusion.h"

#define FLUXION_KERNELS "cpu/diffusion.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/line_solver.h"
#include "cpu/diffusion_factors.h"
#include "cpu/diffusion_program.h"
#include "cpu/diffusion_plane.h"
#include "cpu/diffusion_step.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
void step_all(const DiffusionStep& step, const Kernel& call) {
  const TensorView& u = call.in(0);
  const Cells cells = channel_cells(u.shape);
  const FactorTable<T> factors(step, call, call.in(1), cells);
  if (!factors) return;
  const int64_t channels = u.shape[1];
  const Batch<T> batch{step, call, factors, cells, u.shape[0] * channels, channels};
  diffuse(batch, u.as<T>(), call.out(0).as<T>(), call.workspace<T>());
}

void run(const DiffusionStep& step, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  if (call.out(0).dtype == DType::f64) {
    step_all<double>(step, call);
  } else {
    step_all<float>(step, call);
  }
}

}  // namespace

void k_implicit_diffusion_2d(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  run(step_of(p), call);
}

void k_implicit_diffusion_3d(const ImplicitDiffusion3dParams& p, const Kernel& call) {
  run(step_of(p), call);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
