// The adjoint of several upwind steps, or of second order: a block takes the planes of a chunk that share a
// velocity one after the other through all steps, three planes in shared memory. The states of the steps are
// computed again and kept in memory of the block, which stays in L2 for few steps.
// Bytes of DRAM a cell in float32: 12, and 8 d of the velocity and its gradient for all planes of the chunk;
// through L2, 8 for each state and 4 d (8 d with the gradient of a field) for each stage.
// Rows along x stand an odd number of elements apart, so that threads which walk along rows meet no bank of
// shared memory twice.
#include "device/block_sum.cuh"
#include "device/upwind_pull.cuh"
#include "upwind_plane_vjp.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct PlaneWork {
  PlanePull<T> op;
  StepStates states;
  T* memory;  // of the states: slots() planes for each block
  int64_t items, steps;
  int room;  // elements of a plane in shared memory
};

template <class T, Reconstruction R>
class PlaneBlock {
 public:
  __device__ PlaneBlock(const PlaneWork<T>& work, SharedMemory& memory)
      : work_(work),
        grid_(work.op.grid),
        a_(memory.take<T>(work.room)),
        b_(memory.take<T>(work.room)),
        c_(memory.take<T>(work.room)),
        sums_(memory.take<double>(kUpwindPullThreads / kWarp)),
        states_(work.memory + blockIdx.x * work.states.slots() * work.op.grid.cells) {}

  __device__ void run(int64_t item) {
    const VelocitySums<T>& to = work_.op.velocity;
    const Split chunk = split(item, to.chunks);
    const int64_t group = chunk.whole, first = chunk.rest * to.members;
    const int64_t last = to.last_member(first, work_.op.groups.members);
    flow_ = work_.op.flow.of(group);
    item_ = item;
    for (int k = 0; k < 3; ++k) total_[k] = 0;
    add_ = false;
    for (int64_t m = first; m < last; ++m) pull_plane(work_.op.groups.plane(group, m));
    if (!to.sums) return;
    for (int k = 0; k < grid_.dims; ++k) {
      const double sum = block_sum(k == 0 ? total_[0] : k == 1 ? total_[1] : total_[2], sums_);
      if (threadIdx.x == 0) to.sums[item * to.slots * grid_.dims + k] += sum;
    }
  }

 private:
  template <class F>
  __device__ void each_cell(const F& f) const {
    for (int i = threadIdx.x; i < grid_.cells; i += blockDim.x) f(cell_of(grid_, i, grid_.pitch));
  }
  __device__ void load(const T* from, const Shared<T>& to) const {
    each_cell([&](const UpwindCell& c) { to[c.place] = from[c.number]; });
  }
  __device__ const T* before(int64_t step) const {
    return step == 0 ? u_ : states_ + work_.states.slot(step) * grid_.cells;
  }
  // b = a + dt L(a).
  __device__ void stage(const Shared<T>& a, const Shared<T>& b) const {
    each_cell([&](const UpwindCell& c) {
      b[c.place] = advanced<R>(grid_, flow_, a, c, grid_.pitch);
    });
  }
  // Keeps the states after the steps [begin, end); the first is computed from the state before it.
  __device__ void keep_states(int64_t begin, int64_t end) {
    if (begin >= end) return;
    load(before(begin), a_);
    __syncthreads();
    for (int64_t step = begin; step < end; ++step) {
      T* to = states_ + work_.states.slot(step + 1) * grid_.cells;
      stage(a_, b_);
      __syncthreads();
      each_cell([&](const UpwindCell& c) {
        T next = b_[c.place];
        if constexpr (R != Reconstruction::first_order)
          next = (a_[c.place] + advanced<R>(grid_, flow_, b_, c, grid_.pitch)) * T(0.5);
        a_[c.place] = next;
        to[c.number] = next;
      });
      __syncthreads();
    }
  }
  __device__ void give_velocity(int k, int number, T gradient) {
    const VelocitySums<T>& to = work_.op.velocity;
    if (to.fields) {
      T* cell = to.fields + (item_ * grid_.dims + k) * grid_.cells + number;
      *cell = add_ ? *cell + gradient : gradient;
    } else if (k == 0) {
      total_[0] += static_cast<double>(gradient);
    } else if (k == 1) {
      total_[1] += static_cast<double>(gradient);
    } else {
      total_[2] += static_cast<double>(gradient);
    }
  }
  __device__ void pull_plane(int64_t plane);
  __device__ void pull_first(int64_t step, bool with_velocity);
  __device__ void pull_second(int64_t step);
  __device__ void pull_axis(int k, int pass);

  const PlaneWork<T>& work_;
  const UpwindGrid<T>& grid_;
  Shared<T> a_, b_, c_;
  Shared<double> sums_;
  T* states_;
  Flow<T> flow_;
  const T* u_ = nullptr;
  int64_t item_ = 0;
  double total_[3];
  bool add_ = false;
};

template <class T, Reconstruction R>
__device__ void PlaneBlock<T, R>::pull_plane(int64_t plane) {
  constexpr bool kFirst = R == Reconstruction::first_order;
  const bool with_velocity = work_.op.velocity.wanted(), with_states = with_velocity || !kFirst;
  const StepStates& states = work_.states;
  u_ = work_.op.u + plane * grid_.cells;
  if (with_states) keep_states(0, work_.steps - 1);
  int64_t filled = (work_.steps - 1) / states.length;
  load(work_.op.g + plane * grid_.cells, c_);
  for (int64_t step = work_.steps - 1; step >= 0; --step) {
    if (with_states && step / states.length != filled) {
      filled = step / states.length;
      keep_states(filled * states.length, step);
    }
    __syncthreads();
    if constexpr (kFirst) {
      pull_first(step, with_velocity);
    } else {
      pull_second(step);
    }
    __syncthreads();
    add_ = true;
  }
  if (work_.op.gu) {
    T* gu = work_.op.gu + plane * grid_.cells;
    each_cell([&](const UpwindCell& c) { gu[c.number] = c_[c.place]; });
  }
  __syncthreads();
}

// c = (I + dt L)^T c.
template <class T, Reconstruction R>
__device__ void PlaneBlock<T, R>::pull_first(int64_t step, bool with_velocity) {
  if (with_velocity) load(before(step), a_);
  __syncthreads();
  each_cell([&](const UpwindCell& c) {
    T next = c_[c.place];
    for (int k = 0; k < grid_.dims; ++k) {
      T ga = T(0);
      next += pulled_first<T>(grid_, flow_, a_, c_, c, k, grid_.pitch, with_velocity, ga);
      if (with_velocity) give_velocity(k, c.number, ga);
    }
    b_[c.place] = next;
  });
  __syncthreads();
  const Shared<T> old = c_;
  c_ = b_;
  b_ = old;
}

// c = (c + gv + A(state) gv) / 2 with gv = c + A(v) c in b.
template <class T, Reconstruction R>
__device__ void PlaneBlock<T, R>::pull_second(int64_t step) {
  const T* state = before(step);
  load(state, b_);
  __syncthreads();
  stage(b_, a_);
  __syncthreads();
  for (int pass = 0; pass < 2; ++pass) {
    if (pass == 1) {
      load(state, a_);
      __syncthreads();
    }
    for (int k = 0; k < grid_.dims; ++k) pull_axis(k, pass);
    add_ = true;
  }
}

// Along axis k; a is v in pass 0 and the state in pass 1. Ends with a barrier.
template <class T, Reconstruction R>
__device__ void PlaneBlock<T, R>::pull_axis(int k, int pass) {
  const bool with_velocity = work_.op.velocity.wanted();
  const Shared<T> from = pass == 0 ? c_ : b_, to = pass == 0 ? b_ : c_;
  const int lines = grid_.cells / grid_.n[k];
  const int segments = (grid_.n[k] + kUpwindSegment - 1) / kUpwindSegment;
  for (int i = threadIdx.x; i < lines * segments; i += blockDim.x) {
    const int begin = i / lines * kUpwindSegment;
    const int end = begin + kUpwindSegment < grid_.n[k] ? begin + kUpwindSegment : grid_.n[k];
    pull_segment<R>(
        grid_, flow_, a_, from, k, grid_.pitch, line_of(grid_, k, i % lines, grid_.pitch), begin,
        end,
        [&](int, int place, T sum) {
          if (pass == 1) {
            to[place] = k == 0 ? (to[place] + from[place] + sum) * T(0.5)
                               : to[place] + sum * T(0.5);
          } else {
            to[place] = (k == 0 ? from[place] : to[place]) + sum;
          }
        },
        [&](int number, T gradient) {
          if (with_velocity) give_velocity(k, number, gradient * T(0.5));
        });
  }
  __syncthreads();
}

template <class T, Reconstruction R>
__global__ void __launch_bounds__(kUpwindPullThreads) plane_pull(PlaneWork<T> work) {
  SharedMemory memory;
  PlaneBlock<T, R> block(work, memory);
  for (int64_t item = blockIdx.x; item < work.items; item += gridDim.x) block.run(item);
}

// Rows of an odd length for second order.
template <class T>
int64_t plane_room(const AdvectUpwindParams& p, const UpwindGrid<T>& grid) {
  const int64_t row = p.scheme == UpwindScheme::first_order ? grid.n[0] : grid.n[0] | 1;
  return row * grid.rows;
}

template <class T>
size_t pull_shared(const AdvectUpwindParams& p, const UpwindGrid<T>& grid) {
  return 3 * shared_bytes<T>(plane_room(p, grid)) + shared_bytes<double>(kUpwindPullThreads / kWarp);
}

}  // namespace

template <class T>
bool plane_pull_fits(const Kernel& call, const AdvectUpwindParams& p, const UpwindGrid<T>& grid) {
  return pull_shared(p, grid) <= call.shared_limit();
}

template <class T>
void launch_plane_pull(const Kernel& call, const AdvectUpwindParams& p, const PlanePull<T>& args) {
  UpwindGrid<T> grid = args.grid;
  const size_t shared = pull_shared(p, grid);
  const int64_t room = plane_room(p, grid);
  grid.pitch[1] = static_cast<int>(room / grid.rows);
  grid.pitch[2] = grid.pitch[1] * grid.n[1];
  const int threads = std::min(plane_threads(grid.cells), kUpwindPullThreads);
  const int64_t items = args.groups.groups * args.velocity.chunks;
  // As many blocks as are under way at a time; each keeps states of its own.
  const int64_t resident = std::max<int64_t>(
      1, std::min<int64_t>(2048 / threads, static_cast<int64_t>(call.shared_limit() / shared)));
  const int64_t blocks = std::min(items, resident * call.multiprocessors());
  const StepStates states(p.steps, blocks * grid.cells * static_cast<int64_t>(sizeof(T)));
  PlaneWork<T> work{args, states, nullptr, items, p.steps, static_cast<int>(room)};
  work.op.grid = grid;
  work.memory = call.scratch<T>(std::max<int64_t>(blocks * states.slots(), 1) * grid.cells);
  if (!work.memory) return;
  dispatch_scheme(p.scheme, [&](auto scheme) {
    call.launch(plane_pull<T, decltype(scheme)::value>, {blocks, threads, shared}, work);
  });
}

template bool plane_pull_fits<float>(const Kernel&, const AdvectUpwindParams&,
                                     const UpwindGrid<float>&);
template bool plane_pull_fits<double>(const Kernel&, const AdvectUpwindParams&,
                                      const UpwindGrid<double>&);
template void launch_plane_pull<float>(const Kernel&, const AdvectUpwindParams&,
                                       const PlanePull<float>&);
template void launch_plane_pull<double>(const Kernel&, const AdvectUpwindParams&,
                                        const PlanePull<double>&);

}  // namespace fluxion::cuda
