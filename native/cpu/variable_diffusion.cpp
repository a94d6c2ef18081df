// Implicit diffusion with cell-centred diffusivity, u_t = sum over axes of d/dx(k du/dx), split by axes:
//     S_i = (I - theta tau_i A_i)^-1, theta = 1 (backward Euler) or 1/2 (Crank-Nicolson)
//     Lie, Strang   v = B_m ... B_1 u,  B = S or 2 S - I          Douglas   v = u + S_m ... S_1 tau A u
// A_i(k) is symmetric and so are S_i and B_i, but those of different axes do not commute: the adjoint
// applies them in the opposite order. With <g, dB u> = tau <S g, dA S u> for both schemes, the diffusivity
// gradient needs the solution S u of each sweep, which backward computes again from u (accurate for any
// dt, where stencils of the result would amplify its rounding) and the solution S g of the same sweep of
// the adjoint, which uses the same factors. Inner products with dA are sums over faces.
//
// A block is a group of planes (n, c) that share a diffusivity plane; the factors of a shared plane are
// computed once. A plane stays in cache through all sweeps. Planes beyond the cache are swept in parallel
// over their lines. Gradients of a shared diffusivity: one partial for each group, added in order.
// Memory floor in float32, 12 bytes a cell forward and 20 backward, 8 and 16 when k is shared.
#include <utility>

#include "cpu/kernel.h"
#include "ops/variable_diffusion.h"

#define FLUXION_KERNELS "cpu/variable_diffusion.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/row_lines.h"
#include "cpu/reciprocal.h"
#include "cpu/variable_diffusion_lines.h"
#include "cpu/variable_diffusion_steps.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// One plane of u, k and the results, the memory to solve it in, and how its lines are walked.
template <class T>
class Plane {
 public:
  Plane(const VariableDiffusionParams& p, const Kernel& call, const VariableLayout& layout,
        int thread, bool tables)
      : p_(p), call_(call), layout_(layout), sweeps_(sweeps_of(p.splitting, layout.axes)) {
    char* scratch = call.scratch<char>(thread);
    const size_t lines = line_buffer_bytes(layout);
    buffers_ = reinterpret_cast<T*>(scratch);
    buffer_size_ = static_cast<int64_t>(lines / sizeof(T));
    char* fields = layout.in_cache ? scratch + kLineBuffers * lines : call.workspace<char>();
    fields_ = reinterpret_cast<T*>(fields);
    field_size_ = static_cast<int64_t>(plane_buffer_bytes(layout, dtype()) / sizeof(T));
    if (!tables) return;
    // The tables follow the fields, of which there are one (forward) or adjoint_fields.
    const int count = call.n_outputs == 1 ? 1 : adjoint_fields(sweeps_);
    char* table = fields + static_cast<size_t>(count) * plane_buffer_bytes(layout, dtype());
    for (int a = 0; a < layout.axes; ++a) {
      const size_t bytes = factor_array_bytes(layout, a, dtype());
      tables_[a] = {reinterpret_cast<T*>(table), reinterpret_cast<T*>(table + bytes),
                    reinterpret_cast<T*>(table + 2 * bytes)};
      table += 3 * bytes;
    }
  }

  // Another diffusivity; 1d: a band of `lines` lines.
  void set_diffusivity(const T* k, int64_t lines) {
    k_ = k;
    lines_ = lines;
    for (bool& factored : factored_) factored = false;
  }

  // v = B u, or its transpose.
  void apply(const T* u, T* v, bool stream) {
    if (p_.splitting == Splitting::douglas) return apply_douglas(u, v);
    const T* from = u;
    for (int i = 0; i < sweeps_.count; ++i) {
      const bool last = i + 1 == sweeps_.count;
      SolveStep<T> step = solve(p_.adjoint ? sweeps_.count - 1 - i : i);
      step.from = from;
      step.to = last || !layout_.in_cache ? v : fields_;
      step.reflect = crank();
      step.stream = last && stream;
      from = step.to;
      walk(step);
      factored_[step_axis_] = step.table.c != nullptr;
    }
  }

  // gu = B^T g (null: not wanted), gk += d<g, B u>/dk.
  void pull_back(const T* g, const T* u, T* gu, T* gk, bool stream) {
    if (p_.splitting == Splitting::douglas) return pull_back_douglas(g, u, gu, gk);
    const int count = sweeps_.count;
    T* running = field(count);
    const T* from = u;
    for (int i = 0; i < count; ++i) {
      SolveStep<T> step = solve(i);
      step.from = from;
      step.to = crank() ? (i + 1 < count ? running : nullptr) : field(i);
      step.solution = crank() ? field(i) : nullptr;
      step.reflect = crank();
      from = step.to;
      walk(step);
      factored_[step_axis_] = step.table.c != nullptr;
    }
    from = g;
    for (int i = count - 1; i >= 0; --i) {
      SolveStep<T> step = solve(i);
      step.from = from;
      step.to = i ? running : gu;
      step.reflect = crank();
      step.stream = i == 0 && stream;
      step.state = field(i);
      step.gk = gk;
      step.weight = tau(i);
      from = step.to;
      walk(step);
    }
  }

 private:
  static DType dtype() { return sizeof(T) == 8 ? DType::f64 : DType::f32; }
  bool crank() const { return p_.scheme == DiffusionScheme::crank_nicolson; }
  T* field(int i) const { return fields_ + i * field_size_; }
  int64_t cells() const { return layout_.axes == 1 ? layout_.extent[0] * lines_ : layout_.cells; }

  // The whole time of sweep i over spacing^2.
  double tau(int i) const {
    const double spacing[] = {p_.dx, p_.dy, p_.dz};
    const Sweep& sweep = sweeps_.at[i];
    return p_.dt * sweep.fraction / (spacing[sweep.axis] * spacing[sweep.axis]);
  }

  AxisLines lines_along(int axis) const {
    const int64_t* extent = layout_.extent;
    const int64_t n = extent[axis];
    if (axis == 0) return {n, 1, cells() / n, 1, true};
    const int64_t stride = axis == 1 ? extent[0] : extent[0] * extent[1];
    return {n, stride, stride, cells() / n / stride, false};
  }

  AxisOperator<T> along(int sweep, double fraction) {
    const int axis = sweeps_.at[sweep].axis;
    step_axis_ = axis;
    return {lines_along(axis),
            k_,
            p_.face_mean == FaceMean::harmonic,
            p_.boundary,
            tau(sweep) * fraction,
            buffers_,
            buffer_size_};
  }

  SolveStep<T> solve(int sweep) {
    SolveStep<T> step{};
    static_cast<AxisOperator<T>&>(step) = along(sweep, crank() ? 0.5 : 1.0);
    step.table = tables_[step_axis_];
    step.factored = factored_[step_axis_];
    return step;
  }

  template <class Step>
  void walk(const Step& step) const {
    constexpr int w = kLanes<T>;
    const int64_t blocks = step.axis.blocks(w);
    if (layout_.in_cache) {
      for (int64_t block = 0; block < blocks; ++block) run_block<T>(step, block);
      return;
    }
    call_.parallel_for(blocks, [&](int64_t block, int thread) {
      Step mine = step;
      mine.buffers = call_.scratch<T>(thread);
      run_block<T>(mine, block);
    });
  }

  void add_flux(const T* from, T* to) {
    for (int i = 0; i < sweeps_.count; ++i) {
      FluxStep<T> step{};
      static_cast<AxisOperator<T>&>(step) = along(i, 1);
      step.from = from;
      step.to = to;
      walk(step);
    }
  }

  // Solves from `from` to `to` with sweep i; `state` and gk may be null.
  void solve_increment(int i, const T* from, T* to, const T* state, T* gk) {
    SolveStep<T> step = solve(i);
    step.from = from;
    step.to = to;
    step.state = state;
    step.gk = gk;
    step.weight = step.tau;
    walk(step);
    factored_[step_axis_] = step.table.c != nullptr;
  }

  // In increments: delta = tau A u, then each S in turn, v = u + delta; the transpose in reverse.
  void apply_douglas(const T* u, T* v) {
    const int count = sweeps_.count;
    T* delta = layout_.in_cache ? fields_ : v;
    if (!p_.adjoint) {
      std::memset(delta, 0, static_cast<size_t>(cells()) * sizeof(T));
      add_flux(u, delta);
      for (int i = 0; i < count; ++i) solve_increment(i, delta, delta, nullptr, nullptr);
      for (int64_t i = 0; i < cells(); ++i) v[i] = u[i] + delta[i];
      return;
    }
    delta = fields_;
    for (int i = count - 1; i >= 0; --i)
      solve_increment(i, i == count - 1 ? u : delta, delta, nullptr, nullptr);
    std::memcpy(v, u, static_cast<size_t>(cells()) * sizeof(T));
    add_flux(delta, v);
  }

  void pull_back_douglas(const T* g, const T* u, T* gu, T* gk) {
    const int count = sweeps_.count;
    std::memset(field(0), 0, static_cast<size_t>(cells()) * sizeof(T));
    add_flux(u, field(0));
    for (int i = 0; i < count; ++i)
      solve_increment(i, field(i ? i - 1 : 0), field(i), nullptr, nullptr);
    T* running = field(count);
    for (int i = count - 1; i >= 0; --i)
      solve_increment(i, i == count - 1 ? g : running, running, field(i), gk);
    for (int i = 0; i < count; ++i) {
      FaceGradientStep<T> step{};
      static_cast<AxisOperator<T>&>(step) = along(i, 1);
      step.p = running;
      step.q = u;
      step.gk = gk;
      walk(step);
    }
    if (!gu) return;
    std::memcpy(gu, g, static_cast<size_t>(cells()) * sizeof(T));
    add_flux(running, gu);
  }

  const VariableDiffusionParams& p_;
  const Kernel& call_;
  const VariableLayout& layout_;
  SweepList sweeps_;
  T* buffers_;
  int64_t buffer_size_;
  T* fields_;
  int64_t field_size_;
  Factors<T> tables_[3] = {};
  bool factored_[3] = {};
  const T* k_ = nullptr;
  int64_t lines_ = 0;
  int step_axis_ = 0;
};

// The planes that share diffusivity plane q: their number among all, in order.
struct SharedPlanes {
  int64_t channels, k_samples, k_channels, sharing_channels;
  SharedPlanes(const Shape& u, const Shape& k)
      : channels(u[1]), k_samples(k[0]), k_channels(k[1]), sharing_channels(k[1] == 1 ? u[1] : 1) {}
  int64_t plane(int64_t q, int64_t j) const {
    const int64_t n = k_samples == 1 ? j / sharing_channels + 0 * q : q / k_channels;
    const int64_t c = k_channels == 1 ? j % sharing_channels : q % k_channels;
    return n * channels + c;
  }
};

// Whether the result is larger than the caches and its rows are whole aligned vectors.
template <class T>
bool streams(const TensorView& out, const VariableLayout& layout) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(out.data);
  const int64_t row = layout.extent[0] * static_cast<int64_t>(sizeof(T));
  return layout.in_cache && out.data && address % FLUXION_VECTOR_BYTES == 0 &&
         row % FLUXION_VECTOR_BYTES == 0 &&
         out.size() * static_cast<int64_t>(sizeof(T)) > 2 * kCachedPlaneBytes;
}

// Calls job(plane, q, group, first, end): the planes first..end of those that share diffusivity q.
template <class T, class Job>
void for_groups(const VariableDiffusionParams& p, const Kernel& call, const VariableLayout& layout,
                bool tables, const Job& job) {
  const auto run = [&](int64_t block, int thread) {
    const int64_t q = block / layout.groups, group = block % layout.groups;
    const int64_t each = (layout.sharing + layout.groups - 1) / layout.groups;
    Plane<T> plane(p, call, layout, thread, tables);
    job(plane, q, group, std::min(group * each, layout.sharing),
        std::min((group + 1) * each, layout.sharing));
    stream_fence();
  };
  const int64_t blocks = layout.k_planes * layout.groups;
  if (layout.in_cache) {
    call.parallel_for(blocks, run);
  } else {
    for (int64_t block = 0; block < blocks; ++block) run(block, 0);
  }
}

// Lines of a 1d band; elsewhere unused.
inline int64_t lines_of_band(const VariableLayout& layout, int64_t band) {
  return layout.axes > 1 ? 0 : std::min(layout.extent[1], layout.lines - band * layout.extent[1]);
}

template <class T>
void diffuse(const VariableDiffusionParams& p, const Kernel& call) {
  const TensorView &u = call.in(0), &k = call.in(1), &v = call.out(0);
  const VariableLayout layout = layout_of(u.shape, k.shape, u.dtype);
  const SharedPlanes shared(u.shape, k.shape);
  const bool stream = streams<T>(v, layout);
  const bool tables = layout.in_cache && layout.sharing > 1;
  for_groups<T>(p, call, layout, tables,
                [&](Plane<T>& plane, int64_t q, int64_t, int64_t first, int64_t end) {
                  plane.set_diffusivity(k.as<T>() + q * layout.cells, lines_of_band(layout, q));
                  for (int64_t j = first; j < end; ++j) {
                    const int64_t at = (layout.axes == 1 ? q : shared.plane(q, j)) * layout.cells;
                    plane.apply(u.as<T>() + at, v.as<T>() + at, stream);
                  }
                });
}

// Sums the partials of each diffusivity plane over its groups, in order.
template <class T>
void add_partials(const Kernel& call, const VariableLayout& layout, const T* partials,
                  int64_t plane_size, T* gk) {
  call.parallel_for(layout.k_planes, [&](int64_t q, int) {
    T* to = gk + q * layout.cells;
    for (int64_t group = 0; group < layout.groups; ++group) {
      const T* from = partials + (q * layout.groups + group) * plane_size;
      for (int64_t i = 0; i < layout.cells; ++i) to[i] = group ? to[i] + from[i] : from[i];
    }
  });
}

template <class T>
void diffuse_vjp(const VariableDiffusionParams& p, const Kernel& call) {
  const TensorView &g = call.in(0), &k = call.in(1), &u = call.in(2);
  const TensorView &gu = call.out(0), &gk = call.out(1);
  const VariableLayout layout = layout_of(u.shape, k.shape, u.dtype);
  const SharedPlanes shared(u.shape, k.shape);
  const bool stream = streams<T>(gu, layout);
  const int64_t plane_size = static_cast<int64_t>(plane_buffer_bytes(layout, u.dtype) / sizeof(T));
  T* partials = layout.groups > 1 ? call.workspace<T>() : nullptr;
  for_groups<T>(p, call, layout, layout.keeps_factors,
                [&](Plane<T>& plane, int64_t q, int64_t group, int64_t first, int64_t end) {
                  const int64_t lines = lines_of_band(layout, q);
                  plane.set_diffusivity(k.as<T>() + q * layout.cells, lines);
                  T* sums = partials ? partials + (q * layout.groups + group) * plane_size
                                     : gk.as<T>() + q * layout.cells;
                  const int64_t cells = layout.axes == 1 ? lines * layout.extent[0] : layout.cells;
                  std::memset(sums, 0, static_cast<size_t>(cells) * sizeof(T));
                  for (int64_t j = first; j < end; ++j) {
                    const int64_t at = (layout.axes == 1 ? q : shared.plane(q, j)) * layout.cells;
                    plane.pull_back(g.as<T>() + at, u.as<T>() + at,
                                    gu.data ? gu.as<T>() + at : nullptr, sums, stream);
                  }
                });
  if (partials) add_partials<T>(call, layout, partials, plane_size, gk.as<T>());
}

}  // namespace

void k_variable_diffusion(const VariableDiffusionParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { diffuse<typename decltype(tag)::type>(p, call); });
}

// The gradient in k is always computed: without it the adjoint is variable_diffusion itself.
void k_variable_diffusion_vjp(const VariableDiffusionParams& p, const Kernel& call) {
  const TensorView& gk = call.out(1);
  if (call.in(0).size() == 0) {
    if (gk.data) std::memset(gk.data, 0, static_cast<size_t>(gk.size()) * size_of(gk.dtype));
    return;
  }
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { diffuse_vjp<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
