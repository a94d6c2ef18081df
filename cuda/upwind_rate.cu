// The outflow rate of a velocity field [N, C, d, *S]: the largest share of a cell that leaves it in a unit of
// time (native/cpu/upwind_rate.cpp), in float64; NaN if any velocity is.
//
// Rates are not negative, so that their bit patterns order as they do, with NaN above: threads and blocks
// reduce patterns, and the maximum over blocks is an integer atomic. Every velocity is read once.
#include "device/block_sum.cuh"
#include "device/divide.cuh"
#include "kernel.h"
#include "ops/upwind.h"
#include "plane_index.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct RateArgs {
  int dims, n[3], step[3], cells, tiles;
  Divisor by[3];
  double inverse[3];
  bool conservative, periodic;
  const T* velocity;
  unsigned long long* most;
};

// Outflow through the two faces of a cell along axis k.
template <class T>
__device__ double outflow(const RateArgs<T>& s, const T* cell, int at, int k) {
  const int n = s.n[k], step = s.step[k];
  const double a = static_cast<double>(*cell);
  double below = -a, above = -a;  // beyond a wall: the face velocity is 0
  if (at > 0 || s.periodic) below = static_cast<double>(cell[at > 0 ? -step : (n - 1) * step]);
  if (at < n - 1 || s.periodic)
    above = static_cast<double>(cell[at < n - 1 ? step : -(n - 1) * step]);
  const double right = (a + above) / 2, left = (below + a) / 2;
  return (right < 0 ? 0 : right) - (left > 0 ? 0 : left);
}

// The pattern of |x|; one for all NaN.
__device__ unsigned long long pattern_of(double x) {
  if (x != x) return 0x7ff8000000000000ull;
  return static_cast<unsigned long long>(__double_as_longlong(x > 0 ? x : 0.0));
}

template <class T>
__global__ void __launch_bounds__(kUpwindThreads) largest_rate(RateArgs<T> s) {
  SharedMemory memory;
  Shared<unsigned long long> room = memory.take<unsigned long long>(kUpwindThreads / kWarp);
  const Split block = split(blockIdx.x, s.tiles);
  const int64_t field = block.whole;
  unsigned long long most = 0;
  for (int64_t i = int64_t{block.rest} * blockDim.x + threadIdx.x; i < s.cells;
       i += static_cast<int64_t>(s.tiles) * blockDim.x) {
    double rate = 0;
    int rest = static_cast<int>(i);
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      if (k >= s.dims) break;
      int at = rest;
      rest = s.by[k].split(at);
      const T* cell = s.velocity + (field * s.dims + k) * s.cells + i;
      const double a = static_cast<double>(*cell);
      rate += s.inverse[k] * (s.conservative ? outflow(s, cell, at, k) : (a < 0 ? -a : a));
    }
    const unsigned long long pattern = pattern_of(rate);
    most = pattern > most ? pattern : most;
  }
  most = block_max(most, room);
  if (threadIdx.x == 0) atomicMax(s.most, most);
}

}  // namespace

void k_outflow_rate(const OutflowRateParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  unsigned long long* most = call.out(0).as<unsigned long long>();
  call.fill(most, 0, sizeof *most);  // the pattern of 0.0
  if (call.in(0).size() == 0) return;
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RateArgs<T> args{};
    const double spacing[3] = {p.dx, p.dy, p.dz};
    int64_t cells = 1;
    args.dims = shape.ndim - 3;
    for (int k = 0; k < args.dims; ++k) cells *= shape[shape.ndim - 1 - k];
    if (!countable_plane(call, cells)) return;
    cells = 1;
    for (int k = 0; k < args.dims; ++k) {
      args.n[k] = static_cast<int>(shape[shape.ndim - 1 - k]);
      args.step[k] = static_cast<int>(cells);
      args.by[k] = Divisor(args.n[k]);
      args.inverse[k] = 1 / spacing[k];
      cells *= args.n[k];
    }
    args.cells = static_cast<int>(cells);
    args.tiles = static_cast<int>(std::min<int64_t>(blocks_of(cells, kUpwindThreads * 4), 1024));
    args.conservative = p.form == UpwindForm::conservative;
    args.periodic = p.boundary == Boundary::periodic;
    args.velocity = call.in(0).as<T>();
    args.most = most;
    call.launch(largest_rate<T>,
                {shape[0] * shape[1] * args.tiles, kUpwindThreads,
                 shared_bytes<unsigned long long>(kUpwindThreads / kWarp)},
                args);
  });
}

}  // namespace fluxion::cuda
