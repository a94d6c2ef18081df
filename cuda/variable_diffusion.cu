// Implicit diffusion with cell-centred diffusivity, split by axes (docs/numerics/variable-diffusion.md):
//     Lie, Strang   v = B_m ... B_1 u,  B = S or 2 S - I          Douglas   v = u + S_m ... S_1 tau A u
// The S_i are symmetric but do not commute: the adjoint applies them in the opposite order. The gradient in
// the diffusivity needs the solution S u of each sweep, computed again from u, and S g of the same sweep of the
// adjoint. Fields between the sweeps are in scratch memory: forward none (Douglas one), backward one for each
// sweep and two more. Each sweep moves 12 bytes a cell in float32 (variable_sweep.cu), each of its products
// 20 (variable_faces.cu); in one pass over planes in shared memory it would be 12 and 20 for all.
#include "variable_diffusion.h"

namespace fluxion::cuda {
namespace {

template <class T>
void apply_douglas(const VariableBatch<T>& b, const T* u, T* v) {
  const int count = b.sweeps.count;
  T* delta = b.call.template scratch<T>(b.fields.size());
  if (!delta) return;
  if (!b.p.adjoint) {
    add_flux<T>(b, u, nullptr, delta);
    for (int i = 0; i < count; ++i) variable_sweep<T>(b, i, delta, delta, false);
    return add_fields<T>(b, u, delta, v);
  }
  for (int i = count - 1; i >= 0; --i)
    variable_sweep<T>(b, i, i == count - 1 ? u : delta, delta, false);
  add_flux<T>(b, delta, u, v);
}

template <class T>
void apply(const VariableBatch<T>& b, const T* u, T* v) {
  if (b.p.splitting == Splitting::douglas) return apply_douglas(b, u, v);
  const int count = b.sweeps.count;
  const T* from = u;
  for (int i = 0; i < count; ++i) {
    variable_sweep<T>(b, b.p.adjoint ? count - 1 - i : i, from, v, b.crank());
    from = v;
  }
}

// The fields that backward works in.
template <class T>
struct Fields {
  T* state[5];  // the solution of each sweep
  T *running, *solution;

  bool take(const VariableBatch<T>& b) {
    for (int i = 0; i < b.sweeps.count; ++i)
      if (!(state[i] = b.call.template scratch<T>(b.fields.size()))) return false;
    running = b.call.template scratch<T>(b.fields.size());
    solution = b.call.template scratch<T>(b.fields.size());
    return running && solution;
  }
};

// gk here: of every volume.
template <class T>
void pull_back_douglas(const VariableBatch<T>& b, const Fields<T>& f, const T* g, const T* u,
                       T* gu, T* gk) {
  const int count = b.sweeps.count;
  add_flux<T>(b, u, nullptr, f.running);
  for (int i = 0; i < count; ++i)
    variable_sweep<T>(b, i, i ? f.state[i - 1] : f.running, f.state[i], false);
  for (int i = count - 1; i >= 0; --i) {
    variable_sweep<T>(b, i, i == count - 1 ? g : f.running, f.running, false);
    face_gradient<T>(b, i, b.crank() ? 0.5 : 1, f.running, f.state[i], i == count - 1, gk);
  }
  for (int i = 0; i < count; ++i) face_gradient<T>(b, i, 1, f.running, u, false, gk);
  if (gu) add_flux<T>(b, f.running, g, gu);
}

template <class T>
void pull_back(const VariableBatch<T>& b, const Fields<T>& f, const T* g, const T* u, T* gu,
               T* gk) {
  const int count = b.sweeps.count;
  const T* from = u;
  for (int i = 0; i < count; ++i) {
    if (b.crank()) {
      T* to = i + 1 < count ? f.running : nullptr;
      variable_sweep<T>(b, i, from, to, true, f.state[i]);
      from = to;
    } else {
      variable_sweep<T>(b, i, from, f.state[i], false);
      from = f.state[i];
    }
  }
  from = g;
  for (int i = count - 1; i >= 0; --i) {
    T* to = i ? f.running : gu;
    variable_sweep<T>(b, i, from, to, b.crank(), f.solution);
    face_gradient<T>(b, i, 1, f.solution, f.state[i], i == count - 1, gk);
    from = to;
  }
}

template <class T>
VariableBatch<T> batch_of(const VariableDiffusionParams& p, const Kernel& call) {
  const Shape &u = call.in(0).shape, &k = call.in(1).shape;
  VariableFields fields{u.ndim - 2, {1, 1, 1}, 1, u[0] * u[1], u[1], k[0], k[1]};
  for (int a = 0; a < fields.axes; ++a) {
    fields.extent[a] = u[u.ndim - 1 - a];
    fields.cells *= fields.extent[a];
  }
  return {p, call, fields, sweeps_of(p.splitting, fields.axes), call.in(1).as<T>()};
}

template <class T>
void run_vjp(const VariableDiffusionParams& p, const Kernel& call) {
  const VariableBatch<T> b = batch_of<T>(p, call);
  T *gu = call.out(0).as<T>(), *gk = call.out(1).as<T>();
  T* every = b.fields.shared() ? call.scratch<T>(b.fields.size()) : gk;
  Fields<T> f;
  if (!every || !f.take(b)) return;
  const T *g = call.in(0).as<T>(), *u = call.in(2).as<T>();
  if (p.splitting == Splitting::douglas) {
    pull_back_douglas(b, f, g, u, gu, every);
  } else {
    pull_back(b, f, g, u, gu, every);
  }
  if (b.fields.shared()) share_gradient(b, every, gk);
}

}  // namespace

void k_variable_diffusion(const VariableDiffusionParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    apply(batch_of<T>(p, call), call.in(0).as<T>(), call.out(0).as<T>());
  });
}

// The gradient in k is always computed: without it the adjoint is variable_diffusion itself.
void k_variable_diffusion_vjp(const VariableDiffusionParams& p, const Kernel& call) {
  const TensorView& gk = call.out(1);
  if (call.in(0).size() == 0) {
    if (gk.data) call.fill(gk.data, 0, static_cast<size_t>(gk.size()) * size_of(gk.dtype));
    return;
  }
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { run_vjp<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cuda
