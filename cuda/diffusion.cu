// Implicit diffusion with constant coefficients: what is launched for each step and adjoint
// (docs/numerics/diffusion.md). Planes that fit shared memory are taken through x and y in one pass; along z, for
// larger planes, and for the splittings without a fused form, a sweep of all lines along an axis after the
// other. S_i (I - r_i D_i)^-1, C_i = 2 S_i - I; all of them commute and are symmetric.
#include "diffusion_batch.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
void sweep_times(const DiffusionBatch<T>& b, int axis, int times, const T* from, T* to) {
  for (int i = 0; i < times; ++i) {
    sweep(b, axis, from, to, b.step.crank_nicolson());
    from = to;
  }
}

// Douglas in three axes, or with planes beyond shared memory:
//     w = u + (2 S_x S_y - S_x - S_y) u / theta,   w = u + (3 S_x S_y S_z - S_y S_z - S_x S_z - S_x S_y) u / theta
template <class T>
void step_douglas(const DiffusionBatch<T>& b, const T* u, T* w) {
  const double scale = b.step.crank_nicolson() ? 2 : 1;
  T* p = b.call.template scratch<T>(b.size());
  T* q = b.call.template scratch<T>(b.size());
  if (!p || !q) return;
  sweep(b, 0, u, p, false);
  if (b.step.axes == 2) {
    combine<T>(b, q, 2, p, -1, u, 0, u);
    sweep<T>(b, 1, q, q, false);
    return combine<T>(b, w, 1, u, scale, q, -scale, p);
  }
  T* s = b.call.template scratch<T>(b.size());
  if (!s) return;
  sweep<T>(b, 1, p, q, false);
  combine<T>(b, s, 3, p, -1, u, 0, u);
  sweep<T>(b, 1, s, s, false);
  combine<T>(b, s, 1, s, -1, p, 0, p);
  sweep<T>(b, 2, s, s, false);
  combine<T>(b, w, 1, u, scale, s, -scale, q);
}

template <class T>
void take_step(const DiffusionBatch<T>& b, const T* u, T* w) {
  const DiffusionStep& step = b.step;
  const bool douglas = step.splitting == Splitting::douglas && !step.factorised();
  if (step.axes == 1) return sweep(b, 0, u, w, step.crank_nicolson());
  const bool fused = planes_fit(b) && !(douglas && step.axes == 3);
  if (fused) {
    step_planes(b, u, w);
    if (step.axes == 3) sweep_times<T>(b, 2, step.times(2), w, w);
    return;
  }
  if (douglas) return step_douglas(b, u, w);
  for (int axis = 0; axis < step.axes; ++axis)
    sweep_times<T>(b, axis, step.times(axis), axis ? w : u, w);
}

// What stands right of D_i in the inner product of axis i, but for S_i. Into t[0], or u itself.
template <class T>
const T* right_factor(const DiffusionBatch<T>& b, int axis, const T* u, T* const* t) {
  const DiffusionStep& step = b.step;
  if (step.splitting != Splitting::douglas || step.factorised()) {
    const T* from = u;
    for (int j = 0; j < step.axes; ++j) {
      const int times = step.times(j) - (j == axis ? 1 : 0);
      sweep_times(b, j, times, from, t[0]);
      if (times > 0) from = t[0];
    }
    return from;
  }
  const int j = axis == 0 ? 1 : 0;
  if (step.axes == 2) {
    sweep(b, j, u, t[0], false);
    combine<T>(b, t[0], 2, t[0], -1, u, 0, u);
    return t[0];
  }
  const int k = 3 - axis - j;
  sweep(b, j, u, t[1], false);
  combine<T>(b, t[0], 3, t[1], -1, u, 0, u);
  sweep<T>(b, k, t[0], t[0], false);
  combine<T>(b, t[0], 1, t[0], -1, t[1], 0, u);
  return t[0];
}

template <class T>
void adjoint_lines(const DiffusionBatch<T>& b, const T* g, const T* saved, T* gu, T* gk) {
  const bool crank = b.step.crank_nicolson();
  sweep_adjoint(b, 0, g, gu, crank, saved, crank, gk);
}

// Sweep by sweep.
template <class T>
void adjoint_sweeps(const DiffusionBatch<T>& b, const T* g, const T* saved, T* gu, T* gk) {
  const DiffusionStep& step = b.step;
  if (step.saves_output()) {
    for (int axis = 0; axis < step.axes; ++axis)
      sweep_adjoint<T>(b, axis, g, nullptr, false, saved, false, gk);
  } else {
    T* t[2] = {b.call.template scratch<T>(b.size()), b.call.template scratch<T>(b.size())};
    if (!t[0] || !t[1]) return;
    for (int axis = 0; axis < step.axes; ++axis) {
      const T* right = right_factor(b, axis, saved, t);
      sweep_adjoint<T>(b, axis, g, nullptr, false, right, true, gk);
    }
  }
  if (gu) take_step(b, g, gu);
}

template <class T>
void take_adjoint(const DiffusionBatch<T>& b, const T* g, const T* saved, T* gu, T* gk) {
  const DiffusionStep& step = b.step;
  if (!gk) return take_step(b, g, gu);
  if (step.axes == 1) return adjoint_lines(b, g, saved, gu, gk);
  // Crank-Nicolson's inner products of three axes, and of Strang's halves, have more factors.
  const bool lie = step.axes == 2 && step.factorised();
  if (!plane_adjoints_fit(b) || !(step.saves_output() || lie) ||
      (step.crank_nicolson() && step.times(0) > 1)) {
    return adjoint_sweeps(b, g, saved, gu, gk);
  }
  plane_adjoints(b, g, saved, gu, gk);
  if (step.axes == 2) return;
  sweep_adjoint<T>(b, 2, g, nullptr, false, saved, false, gk);
  if (gu) sweep_times<T>(b, 2, step.times(2), gu, gu);
}

template <class F>
void with_batch(const DiffusionStep& step, const Kernel& call, F&& f) {
  const TensorView& u = call.in(0);
  dispatch_floating(u.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    f(DiffusionBatch<T>{step, call, call.in(1), channel_cells(u.shape), u.shape[0],
                        static_cast<int>(u.shape[1])});
  });
}

void run(const DiffusionStep& step, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  with_batch(step, call, [&](const auto& b) {
    using T = typename std::remove_pointer_t<decltype(b.rates(0).diffusivity)>;
    using U = std::remove_const_t<T>;
    take_step<U>(b, call.in(0).as<U>(), call.out(0).as<U>());
  });
}

void run_adjoint(const DiffusionStep& step, const Kernel& call) {
  const TensorView& gk = call.out(1);
  if (call.in(0).size() == 0) {
    if (gk.data) call.fill(gk.data, 0, static_cast<size_t>(gk.size()) * size_of(gk.dtype));
    return;
  }
  with_batch(step, call, [&](const auto& b) {
    using T = typename std::remove_pointer_t<decltype(b.rates(0).diffusivity)>;
    using U = std::remove_const_t<T>;
    take_adjoint<U>(b, call.in(0).as<U>(), call.in(2).as<U>(), call.out(0).as<U>(), gk.as<U>());
  });
}

}  // namespace

void k_implicit_diffusion_1d(const ImplicitDiffusion1dParams& p, const Kernel& call) {
  run(step_of(p), call);
}
void k_implicit_diffusion_2d(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  run(step_of(p), call);
}
void k_implicit_diffusion_3d(const ImplicitDiffusion3dParams& p, const Kernel& call) {
  run(step_of(p), call);
}
void k_implicit_diffusion_1d_vjp(const ImplicitDiffusion1dParams& p, const Kernel& call) {
  run_adjoint(step_of(p), call);
}
void k_implicit_diffusion_2d_vjp(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  run_adjoint(step_of(p), call);
}
void k_implicit_diffusion_3d_vjp(const ImplicitDiffusion3dParams& p, const Kernel& call) {
  run_adjoint(step_of(p), call);
}

}  // namespace fluxion::cuda
