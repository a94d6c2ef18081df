// Upwind advection of planes (lines, volumes) with the flow a, unsplit over the axes:
//     first order, advective     u_i -= dt/dx (max(a_i, 0) (u_i - u_{i-1}) + min(a_i, 0) (u_{i+1} - u_i))
//     first order, conservative  u_i -= dt/dx (F_{i+1/2} - F_{i-1/2}), F = max(a, 0) u_i + min(a, 0) u_{i+1}
//                                with the mean a of the two cells, 0 at walls
//     second order               the same with limited linear reconstruction of u (MUSCL), and Heun's method
//                                in time: u1 = u + dt L(u), u' = (u + u1 + dt L(u1)) / 2
// Sources: R. LeVeque, Finite Volume Methods for Hyperbolic Problems (2002), chapters 4, 6, 9; S. Gottlieb,
// C.-W. Shu and E. Tadmor, SIAM Review 43 (2001) for Heun's method as a strong-stability-preserving one.
//
// Layout [N, C, *S]. One step of first order: a block is a band of rows, whose velocity stays in L2 while the
// channels pass; memory floor 8 bytes a cell and 4 d bytes a cell of the velocity in float32. Otherwise a
// block is a plane, with the states between the stages in scratch planes.
// The adjoint gathers, so it needs no order of its own; velocity gradients are added over the planes of a
// chunk in order, then over the chunks: the same bits for any number of threads.
#include <utility>

#include "cpu/kernel.h"
#include "ops/upwind.h"

#define FLUXION_KERNELS "cpu/upwind.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/upwind_rows.h"
#include "cpu/upwind_limited_rows.h"
#include "cpu/upwind_plane.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Velocities of a band take at most half of L2; with few planes there are at least kBands bands in all.
constexpr int64_t kBandBytes = int64_t{1} << 20;
constexpr int64_t kBands = VelocityGroups::kBlocks, kBandRows = VelocityGroups::kBandRows;

struct Bands {
  int64_t count, rows;
  Bands(const Grid& grid, int64_t planes, int64_t element) : count(1), rows(grid.rows) {
    const int64_t velocity_row = grid.dims * grid.width * element;
    if (velocity_row * rows > kBandBytes) rows = std::max<int64_t>(1, kBandBytes / velocity_row);
    if (planes > 0 && planes < kBands) {
      const int64_t wanted = (kBands + planes - 1) / planes;
      rows = std::min(rows, std::max(kBandRows, (grid.rows + wanted - 1) / wanted));
    }
    count = rows > 0 ? (grid.rows + rows - 1) / rows : 0;
  }
};

// Streaming stores pay for results that do not fit the cache, and need aligned rows.
constexpr int64_t kStreamBytes = int64_t{4} << 20;

template <class T>
bool may_stream(const T* data, int64_t width, int64_t elements) {
  return data && elements * static_cast<int64_t>(sizeof(T)) >= kStreamBytes &&
         width % kLanes<T> == 0 && reinterpret_cast<uintptr_t>(data) % FLUXION_VECTOR_BYTES == 0;
}

// Points the stage at the velocity of a group; constants are spread over rows.
template <class T>
void set_velocity(Stage<T>& stage, const VelocityGroups& groups, const T* velocity, int64_t group) {
  const Grid& grid = stage.grid;
  if (!groups.constant) {
    stage.velocity = {velocity + group * grid.dims * grid.cells, grid.cells, grid.width};
    return;
  }
  for (int k = 0; k < grid.dims; ++k) {
    const T a = velocity[group * grid.dims + k];
    T* row = stage.work.constant(k);
    for (int64_t j = 0; j < grid.width; ++j) row[j] = a;
  }
  stage.velocity = {stage.work.constant(0), stage.work.pitch(), 0};
}

// One step; `middle` holds the stage between. out may be u for second order only.
template <class T>
void step_plane(const Stage<T>& stage, const T* u, T* middle, T* out, bool streaming) {
  const int64_t rows = stage.grid.rows;
  if (stage.scheme == UpwindScheme::first_order) {
    advect_rows<T>(stage, u, nullptr, out, 0, rows, streaming);
    return;
  }
  advect_rows<T>(stage, u, nullptr, middle, 0, rows, false);
  advect_rows<T>(stage, middle, u, out, 0, rows, streaming);
}

template <class T>
void advect_plane(const Stage<T>& stage, int64_t steps, const T* u, T* out, bool streaming) {
  const bool first = stage.scheme == UpwindScheme::first_order;
  const T* from = u;
  for (int64_t i = 0; i < steps; ++i) {
    const bool last = i == steps - 1;
    T* to = last ? out : stage.plane(first ? i % 2 : 1);
    step_plane(stage, from, stage.plane(0), to, last && streaming);
    from = to;
  }
  if (streaming) stream_fence();
}

template <class T>
void advect(const AdvectUpwindParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  const VelocityGroups groups(shape, call.in(1).shape);
  const Grid grid(shape);
  const T* u = call.in(0).as<T>();
  const T* velocity = call.in(1).as<T>();
  T* out = call.out(0).as<T>();
  const int64_t planes = shape[0] * shape[1], channels = shape[1];
  const bool streaming = may_stream(out, grid.width, planes * grid.cells);
  if (p.scheme != UpwindScheme::first_order || p.steps > 1) {
    call.parallel_for(planes, [&](int64_t plane, int thread) {
      Stage<T> stage(p, shape, call.scratch<char>(thread));
      set_velocity(stage, groups, velocity, groups.group_of(plane));
      advect_plane(stage, p.steps, u + plane * grid.cells, out + plane * grid.cells, streaming);
    });
    return;
  }
  const Bands bands(grid, planes, sizeof(T));
  call.parallel_for(planes * bands.count, [&](int64_t block, int thread) {
    const int64_t plane = block / (bands.count * channels) * channels + block % channels;
    const int64_t begin = block / channels % bands.count * bands.rows;
    Stage<T> stage(p, shape, call.scratch<char>(thread));
    set_velocity(stage, groups, velocity, groups.group_of(plane));
    advect_rows<T>(stage, u + plane * grid.cells, nullptr, out + plane * grid.cells, begin,
                   std::min(begin + bands.rows, grid.rows), streaming);
    if (streaming) stream_fence();
  });
}

// --- adjoint

// The states of the steps of one plane, computed again from the first.
template <class T>
class States {
 public:
  // Planes from `first_plane` of the stage's scratch on; `middle` is another one.
  States(const Stage<T>& stage, const StepSegments& segments, int64_t first_plane, T* middle,
         const T* u, int64_t steps)
      : stage_(stage),
        segments_(segments),
        plane_(first_plane),
        middle_(middle),
        u_(u),
        steps_(steps) {
    for (int64_t s = 0; s + 1 < segments_.count; ++s) {
      fill(s);
      step_plane(stage_, inside(s, segments_.length - 1), middle_, checkpoint(s + 1), false);
    }
    fill(segments_.count - 1);
  }
  // The state before a step; to be asked for from the last step to the first.
  const T* before(int64_t step) {
    const int64_t segment = step / segments_.length;
    if (segment != filled_) fill(segment);
    return inside(segment, step % segments_.length);
  }

 private:
  T* checkpoint(int64_t segment) const { return stage_.plane(plane_ + segment - 1); }
  T* interior(int64_t i) const { return stage_.plane(plane_ + segments_.count - 1 + i - 1); }
  const T* inside(int64_t segment, int64_t i) const {
    return i > 0 ? interior(i) : segment > 0 ? checkpoint(segment) : u_;
  }
  void fill(int64_t segment) {
    const int64_t length = std::min(segments_.length, steps_ - segment * segments_.length);
    for (int64_t i = 1; i < length; ++i)
      step_plane(stage_, inside(segment, i - 1), middle_, interior(i), false);
    filled_ = segment;
  }

  const Stage<T>& stage_;
  const StepSegments& segments_;
  int64_t plane_;
  T* middle_;
  const T* u_;
  int64_t steps_, filled_ = -1;
};

// Several steps of first order. Scratch planes 0 and 1 hold cotangents, the others states.
template <class T>
void pull_steps(const Stage<T>& stage, const AdvectUpwindParams& p, const T* u, const T* g, T* gu,
                const ComponentRows<T>& ga) {
  const StepSegments segments(p.steps, upwind_plane_bytes(stage.grid.cells, sizeof(T)));
  const int64_t rows = stage.grid.rows;
  const T* from = g;
  const auto target = [&](int64_t step) { return step > 0 ? stage.plane(step % 2) : gu; };
  if (!ga.data) {
    for (int64_t step = p.steps - 1; step >= 0; --step) {
      pull_rows<T>(stage, nullptr, from, target(step), ga, VelocityGradient::none, 0, rows, false);
      from = target(step);
    }
    return;
  }
  States<T> states(stage, segments, 2, nullptr, u, p.steps);
  for (int64_t step = p.steps - 1; step >= 0; --step) {
    pull_rows<T>(stage, states.before(step), from, target(step), ga, VelocityGradient::add, 0, rows,
                 false);
    from = target(step);
  }
}

// Steps of second order: u' = (u + v + dt L(v)) / 2 with v = u + dt L(u), so with h = g / 2 and A = (dt L)^T
//     gv = h + A(v) h,   gu = h + gv + A(u) gv.
// Scratch planes: 0 v, 1 h, 2 gv, 3 gu, then states.
template <class T>
void pull_limited_steps(const Stage<T>& stage, const AdvectUpwindParams& p, const T* u, const T* g,
                        T* gu, const ComponentRows<T>& ga) {
  const StepSegments segments(p.steps, upwind_plane_bytes(stage.grid.cells, sizeof(T)));
  const int64_t rows = stage.grid.rows, cells = stage.grid.cells;
  T *v = stage.plane(0), *h = stage.plane(1), *gv = stage.plane(2);
  States<T> states(stage, segments, 4, v, u, p.steps);
  const T* from = g;
  for (int64_t step = p.steps - 1; step >= 0; --step) {
    const T* state = states.before(step);
    advect_rows<T>(stage, state, nullptr, v, 0, rows, false);
    for (int64_t i = 0; i < cells; ++i) gv[i] = h[i] = from[i] * T(0.5);
    pull_limited<T>(stage, v, h, gv, ga);
    T* to = step > 0 || !gu ? stage.plane(3) : gu;
    for (int64_t i = 0; i < cells; ++i) to[i] = h[i] + gv[i];
    pull_limited<T>(stage, state, gv, to, ga);
    from = to;
  }
}

template <class T>
struct Adjoint {
  const AdvectUpwindParams& p;
  const Kernel& call;
  Shape shape;
  VelocityGroups groups;
  Grid grid;
  const T *g, *u, *velocity;
  T *gu, *ga;
  bool single, streaming;

  Adjoint(const AdvectUpwindParams& params, const Kernel& kernel)
      : p(params),
        call(kernel),
        shape(kernel.in(0).shape),
        groups(shape, kernel.in(2).shape),
        grid(shape) {
    g = call.in(0).as<T>();
    u = call.in(1).as<T>();
    velocity = call.in(2).as<T>();
    gu = call.out(0).as<T>();
    ga = call.out(1).as<T>();
    single = single_stage(p);
    streaming = single && may_stream(gu, grid.width, shape.size()) &&
                (!ga || reinterpret_cast<uintptr_t>(ga) % FLUXION_VECTOR_BYTES == 0);
  }

  void pull_plane(const Stage<T>& stage, int64_t plane, const ComponentRows<T>& to) const {
    const int64_t at = plane * grid.cells;
    T* gu_plane = gu ? gu + at : nullptr;
    if (single) {
      const VelocityGradient gradient = to.data ? VelocityGradient::add : VelocityGradient::none;
      pull_rows<T>(stage, u + at, g + at, gu_plane, to, gradient, 0, grid.rows, streaming);
    } else if (p.scheme == UpwindScheme::first_order) {
      pull_steps<T>(stage, p, u + at, g + at, gu_plane, to);
    } else {
      pull_limited_steps<T>(stage, p, u + at, g + at, gu_plane, to);
    }
    if (streaming) stream_fence();
  }

  // gu only, or also the sums over a plane that constant velocities want.
  void plane_block(int64_t plane, int thread, double* sums) const {
    Stage<T> stage(p, shape, call.scratch<char>(thread));
    set_velocity(stage, groups, velocity, groups.group_of(plane));
    ComponentRows<T> to{nullptr, 0, 0};
    if (sums) {
      to = {stage.work.sum(0), stage.work.pitch(), 0};
      for (int k = 0; k < grid.dims; ++k)
        for (int64_t j = 0; j < grid.width; ++j) to.row(k, 0)[j] = T(0);
    }
    pull_plane(stage, plane, to);
    for (int k = 0; sums && k < grid.dims; ++k) {
      double total = 0;
      for (int64_t j = 0; j < grid.width; ++j) total += static_cast<double>(to.row(k, 0)[j]);
      sums[plane * grid.dims + k] = total;
    }
  }

  // The planes of a chunk of a group of planes that share a velocity field.
  void chunk_block(int64_t block, int thread, T* fields) const {
    const int64_t chunks = groups.chunks(), group = block / chunks, chunk = block % chunks;
    const int64_t begin = groups.members * chunk / chunks,
                  end = groups.members * (chunk + 1) / chunks;
    const int64_t size = grid.dims * grid.cells;
    Stage<T> stage(p, shape, call.scratch<char>(thread));
    set_velocity(stage, groups, velocity, group);
    const ComponentRows<T> to{fields + block * size, grid.cells, grid.width};
    for (int64_t i = 0; i < size; ++i) to.data[i] = T(0);
    for (int64_t m = begin; m < end; ++m) pull_plane(stage, groups.plane(group, m), to);
  }

  // A band of rows of all planes that share a velocity field; a single first-order step. The first plane
  // writes the velocity gradient, the others add to it, in the cache.
  void band_block(int64_t block, int thread, const Bands& bands) const {
    const int64_t group = block / bands.count, begin = block % bands.count * bands.rows;
    const int64_t end = std::min(begin + bands.rows, grid.rows);
    Stage<T> stage(p, shape, call.scratch<char>(thread));
    set_velocity(stage, groups, velocity, group);
    const ComponentRows<T> to{ga + group * grid.dims * grid.cells, grid.cells, grid.width};
    const bool alone = groups.members == 1;
    for (int64_t m = 0; m < groups.members; ++m) {
      const int64_t at = groups.plane(group, m) * grid.cells;
      const bool around = streaming && (m > 0 || alone);
      pull_rows<T>(stage, u + at, g + at, gu ? gu + at : nullptr, to,
                   m == 0 ? VelocityGradient::write : VelocityGradient::add, begin, end, around);
    }
    if (streaming) stream_fence();
  }

  void add_sums(const double* sums) const {
    for (int64_t group = 0; group < groups.groups; ++group) {
      for (int k = 0; k < grid.dims; ++k) {
        double total = 0;
        for (int64_t m = 0; m < groups.members; ++m)
          total += sums[groups.plane(group, m) * grid.dims + k];
        ga[group * grid.dims + k] = static_cast<T>(total);
      }
    }
  }

  void add_chunks(const T* fields) const {
    const int64_t chunks = groups.chunks(), size = grid.dims * grid.cells;
    for (int64_t group = 0; group < groups.groups; ++group) {
      T* to = ga + group * size;
      for (int64_t i = 0; i < size; ++i) to[i] = fields[group * chunks * size + i];
      for (int64_t chunk = 1; chunk < chunks; ++chunk)
        add_row(fields + (group * chunks + chunk) * size, to, size);
    }
  }
};

template <class T>
void advect_vjp(const AdvectUpwindParams& p, const Kernel& call) {
  const Adjoint<T> adjoint(p, call);
  const int64_t planes = adjoint.shape[0] * adjoint.shape[1];
  if (!adjoint.ga || adjoint.groups.constant) {
    double* sums = adjoint.ga ? call.workspace<double>() : nullptr;
    call.parallel_for(planes,
                      [&](int64_t plane, int thread) { adjoint.plane_block(plane, thread, sums); });
    if (sums) adjoint.add_sums(sums);
    return;
  }
  if (adjoint.single && adjoint.groups.splits_rows(adjoint.grid.rows)) {
    const Bands bands(adjoint.grid, adjoint.groups.groups, sizeof(T));
    call.parallel_for(adjoint.groups.groups * bands.count,
                      [&](int64_t block, int thread) { adjoint.band_block(block, thread, bands); });
    return;
  }
  const int64_t chunks = adjoint.groups.chunks();
  T* fields = chunks > 1 ? call.workspace<T>() : adjoint.ga;
  call.parallel_for(adjoint.groups.groups * chunks,
                    [&](int64_t block, int thread) { adjoint.chunk_block(block, thread, fields); });
  if (chunks > 1) adjoint.add_chunks(fields);
}

}  // namespace

void k_advect_upwind(const AdvectUpwindParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    advect<T>(p, call);
  });
}

void k_advect_upwind_vjp(const AdvectUpwindParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (call.in(0).size() == 0) {
      T* ga = call.out(1).as<T>();
      for (int64_t i = 0; ga && i < call.out(1).size(); ++i) ga[i] = T(0);
      return;
    }
    advect_vjp<T>(p, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
