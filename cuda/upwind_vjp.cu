// The adjoint of upwind advection: which kernels take the cotangent back.
//     first order    gu = (I + dt L)^T g, step by step
//     second order   u' = (u + v + dt L(v)) / 2 with v = u + dt L(u), so with A = (dt L)^T
//                        gv = g + A(v) g,   gu = (g + gv + A(u) gv) / 2
// A single first-order step: upwind_pull.cu. Otherwise a block owns a plane (upwind_plane_vjp.cu), or where it
// does not fit, each stage is a launch over all planes, with the states in global memory: 8 bytes of DRAM a
// cell and stage to compute the states again, 12 to go back through one, 24 d with the velocity gradient.
// All sums have a fixed order; no atomics.
#include "device/block_sum.cuh"
#include "device/upwind_pull.cuh"
#include "upwind_plane_vjp.h"

namespace fluxion::cuda {
namespace {

// ga = the sum over the chunks of each group, in order.
template <class T>
__global__ void add_fields(const T* fields, int64_t chunks, int64_t size, int64_t n, T* ga) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const T* from = fields + i / size * chunks * size + i % size;
  T sum = from[0];
  for (int64_t chunk = 1; chunk < chunks; ++chunk) sum += from[chunk * size];
  ga[i] = sum;
}

// A block adds the sums of a group and component.
template <class T>
__global__ void add_sums(const double* sums, int64_t count, int dims, T* ga) {
  SharedMemory memory;
  Shared<double> room = memory.take<double>(kUpwindThreads / kWarp);
  const int64_t group = blockIdx.x / dims, k = blockIdx.x % dims;
  double own = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
    own += sums[(group * count + i) * dims + k];
  const double sum = block_sum(own, room);
  if (threadIdx.x == 0) ga[blockIdx.x] = static_cast<T>(sum);
}

// A stage of second order along axis k, planes in global memory: a thread owns a segment of a line in all
// planes of a chunk. to = scale (base1 + base2 + A_k g), or to += scale A_k g without bases.
template <class T>
struct PullAxis {
  UpwindGrid<T> grid;
  PlaneGroups groups;
  FlowFields<T> flow;
  const T *u, *g, *base1, *base2;
  T* to;
  T scale;
  int axis, segments, lines, tiles;
  VelocitySums<T> velocity;
};

template <class T, Reconstruction R>
__global__ void __launch_bounds__(kUpwindThreads) pull_axis(PullAxis<T> args) {
  SharedMemory memory;
  Shared<double> room = memory.take<double>(kUpwindThreads / kWarp);
  const UpwindGrid<T>& grid = args.grid;
  const VelocitySums<T>& sums = args.velocity;
  const int k = args.axis;
  const Split block = split(blockIdx.x, args.tiles), chunk = split(block.whole, sums.chunks);
  const int64_t item = block.whole, group = chunk.whole, first = chunk.rest * sums.members;
  const int tile = block.rest;
  const int64_t last = sums.last_member(first, args.groups.members);
  const int64_t thread = static_cast<int64_t>(tile) * blockDim.x + threadIdx.x;
  const bool inside = thread < static_cast<int64_t>(args.lines) * args.segments;
  // Neighbouring threads: segments of a row, or the same segment of neighbouring lines.
  const int by = k == 0 ? args.segments : args.lines;
  const Split at_line = split(thread, by);
  const int slow = static_cast<int>(at_line.whole), fast = at_line.rest;
  const int begin = (k == 0 ? fast : slow) * kUpwindSegment;
  const int end = begin + kUpwindSegment < grid.n[k] ? begin + kUpwindSegment : grid.n[k];
  const UpwindLine line = line_of(grid, k, inside ? (k == 0 ? slow : fast) : 0, grid.step);
  const Flow<T> flow = args.flow.of(group);
  T* field = sums.fields ? sums.fields + (item * grid.dims + k) * grid.cells : nullptr;
  double own = 0;
  for (int64_t m = first; inside && m < last; ++m) {
    const int64_t at = args.groups.plane(group, m) * grid.cells;
    pull_segment<R>(
        grid, flow, args.u + at, args.g + at, k, grid.step, line, begin, end,
        [&](int number, int, T sum) {
          T* cell = args.to + at + number;
          if (args.base1) {
            *cell = (args.base1[at + number] + (args.base2 ? args.base2[at + number] : T(0)) + sum) *
                    args.scale;
          } else {
            *cell += sum * args.scale;
          }
        },
        [&](int number, T gradient) {
          gradient *= T(0.5);
          if (field) {
            field[number] = sums.add || m > first ? field[number] + gradient : gradient;
          } else {
            own += static_cast<double>(gradient);
          }
        });
  }
  if (!sums.sums) return;
  const double sum = block_sum(own, room);
  if (threadIdx.x == 0) sums.sums[(item * sums.slots + tile) * grid.dims + k] += sum;
}

// The adjoint over launches on planes in global memory.
template <class T>
class GlobalPull {
 public:
  GlobalPull(const PlanePull<T>& args, const AdvectUpwindParams& p, const Kernel& call)
      : args_(args), p_(p), call_(call), size_(args.groups.groups * args.groups.members *
                                              args.grid.cells) {}

  void run() {
    const bool second = p_.scheme != UpwindScheme::first_order;
    const StepStates states(p_.steps, size_ * static_cast<int64_t>(sizeof(T)));
    if (second || args_.velocity.wanted()) {
      states_ = call_.scratch<T>(std::max<int64_t>(states.slots(), 1) * size_);
      if (!states_) return;
    }
    first_ = call_.scratch<T>(size_);
    second_ = call_.scratch<T>(size_);
    middle_ = second ? call_.scratch<T>(size_) : first_;
    if (!first_ || !second_ || !middle_) return;
    if (states_) {
      for (int64_t step = 0; step + 1 < p_.steps; ++step) keep_state(states, step);
    }
    int64_t filled = (p_.steps - 1) / states.length;
    const T* from = args_.g;
    for (int64_t step = p_.steps - 1; step >= 0; --step) {
      if (states_ && step / states.length != filled) {
        filled = step / states.length;
        for (int64_t s = filled * states.length; s < step; ++s) keep_state(states, s);
      }
      const T* state = states_ ? before(states, step) : nullptr;
      from = second ? pull_second(state, from, step == 0) : pull_first(state, from, step == 0);
      args_.velocity.add = true;
    }
  }

 private:
  const T* before(const StepStates& states, int64_t step) const {
    return step == 0 ? args_.u : states_ + states.slot(step) * size_;
  }
  void stage(const T* from, const T* base, T* to) const {
    launch_upwind_stage(call_, p_.scheme, args_.grid, args_.groups, args_.flow, from, base, to);
  }
  // Computes the state after a step and keeps it.
  void keep_state(const StepStates& states, int64_t step) const {
    const T* from = before(states, step);
    T* to = states_ + states.slot(step + 1) * size_;
    if (p_.scheme == UpwindScheme::first_order) return stage(from, nullptr, to);
    stage(from, nullptr, middle_);
    stage(middle_, from, to);
  }
  const T* pull_first(const T* state, const T* from, bool last) const {
    T* to = last ? args_.gu : from == first_ ? second_ : first_;
    launch_pull_step(call_, PullStep<T>{args_.grid, args_.groups, args_.flow,
                                        args_.velocity.wanted() ? state : nullptr, from, to, 0,
                                        args_.velocity});
    return to;
  }
  const T* pull_second(const T* state, const T* from, bool last) {
    stage(state, nullptr, middle_);
    pull(middle_, from, from, nullptr, T(1), second_);
    args_.velocity.add = true;
    T* to = last && args_.gu ? args_.gu : first_;
    pull(state, second_, from, second_, T(0.5), to);
    return to;
  }
  void pull(const T* u, const T* g, const T* base1, const T* base2, T scale, T* to) const {
    const UpwindGrid<T>& grid = args_.grid;
    for (int k = 0; k < grid.dims; ++k) {
      const int segments = static_cast<int>(blocks_of(grid.n[k], kUpwindSegment));
      const int lines = grid.cells / grid.n[k];
      const int tiles = static_cast<int>(
          blocks_of(static_cast<int64_t>(lines) * segments, kUpwindThreads));
      const PullAxis<T> axis{grid, args_.groups, args_.flow, u, g, k == 0 ? base1 : nullptr,
                             k == 0 ? base2 : nullptr, to, scale, k, segments, lines, tiles,
                             args_.velocity};
      dispatch_scheme(p_.scheme, [&](auto scheme) {
        constexpr Reconstruction R = decltype(scheme)::value;
        if constexpr (R != Reconstruction::first_order) {
          call_.launch(pull_axis<T, R>,
                       {args_.groups.groups * args_.velocity.chunks * tiles, kUpwindThreads,
                        shared_bytes<double>(kUpwindThreads / kWarp)},
                       axis);
        }
      });
    }
  }

  PlanePull<T> args_;
  const AdvectUpwindParams& p_;
  const Kernel& call_;
  int64_t size_;
  T *states_ = nullptr, *first_ = nullptr, *second_ = nullptr, *middle_ = nullptr;
};

// Chooses the memory of the velocity gradient. False: there is none, and the op has failed.
template <class T>
bool prepare_sums(const Kernel& call, const PlanePull<T>& args, bool constant, T* ga,
                  int64_t threads, VelocitySums<T>& to) {
  const UpwindGrid<T>& grid = args.grid;
  const MemberChunks chunks(call, args.groups, args.groups.members, threads);
  const int64_t items = args.groups.groups * chunks.count;
  to = {nullptr, nullptr, false, chunks.count, chunks.size, pull_step_slots(grid.cells)};
  if (!ga) return true;
  if (constant) {
    const int64_t n = items * to.slots * grid.dims;
    to.sums = call.scratch<double>(n);
    if (to.sums) call.fill(to.sums, 0, static_cast<size_t>(n) * sizeof(double));
    return to.sums != nullptr;
  }
  to.fields = chunks.count == 1 ? ga : call.scratch<T>(items * grid.dims * grid.cells);
  return to.fields != nullptr;
}

template <class T>
void finish_sums(const Kernel& call, const PlanePull<T>& args, T* ga) {
  const VelocitySums<T>& from = args.velocity;
  const int64_t size = int64_t{args.grid.dims} * args.grid.cells, groups = args.groups.groups;
  if (from.sums) {
    call.launch(add_sums<T>,
                {groups * args.grid.dims, kUpwindThreads,
                 shared_bytes<double>(kUpwindThreads / kWarp)},
                from.sums, from.chunks * from.slots, args.grid.dims, ga);
  } else if (from.fields && from.fields != ga) {
    call.launch(add_fields<T>, {blocks_of(groups * size, kUpwindThreads), kUpwindThreads},
                from.fields, from.chunks, size, groups * size, ga);
  }
}

template <class T>
void advect_vjp(const AdvectUpwindParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  if (!countable_plane(call, cells_of(shape))) return;
  const VelocityGroups groups(shape, call.in(2).shape);
  PlanePull<T> args{};
  args.grid = upwind_grid<T>(p, shape);
  args.groups = plane_groups(groups);
  args.flow = flow_fields(call.in(2), groups, args.grid);
  args.g = call.in(0).as<T>();
  args.u = call.in(1).as<T>();
  args.gu = call.out(0).as<T>();
  T* ga = call.out(1).as<T>();
  const bool direct = single_stage(p), fits = !direct && plane_pull_fits(call, p, args.grid);
  const int64_t threads = fits ? plane_threads(args.grid.cells) : blocks_of(args.grid.cells, 4);
  if (!prepare_sums(call, args, groups.constant, ga, threads, args.velocity)) return;
  if (direct) {
    launch_pull_step(call, PullStep<T>{args.grid, args.groups, args.flow,
                                       args.velocity.wanted() ? args.u : nullptr, args.g, args.gu,
                                       0, args.velocity});
  } else if (fits) {
    launch_plane_pull(call, p, args);
  } else {
    GlobalPull<T>(args, p, call).run();
  }
  finish_sums(call, args, ga);
}

}  // namespace

void k_advect_upwind_vjp(const AdvectUpwindParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (call.in(0).size() > 0) return advect_vjp<T>(p, call);
    const TensorView& ga = call.out(1);
    if (ga.data) call.fill(ga.data, 0, static_cast<size_t>(ga.size()) * sizeof(T));
  });
}

}  // namespace fluxion::cuda
