// One step of advection, diffusion and reaction, split in this order (native/cpu/adr_step.cpp):
//     a = u(x + d(x))  bilinear,   v = (I - dt k_y D_yy)^-1 (I - dt k_x D_xx)^-1 a,   w = v + dt R(v)
// Two kernels forward: planes through advection and diffusion (adr_diffusion.cu), then tiles of pixels of all
// channels through the reaction in place (adr_reaction.cu). Bytes of DRAM a cell in float32: 16 where one kernel
// for all would have 8; that one would need all channels of a sample in the shared memory of a block.
// Backward starts from u again, nothing but the inputs is saved: v again (8), the reaction (12), the diffusion,
// which is symmetric (12), the transposed gather and the gradient of the displacement (16).
#include "adr_plan.h"
#include "plane_index.h"

namespace fluxion::cuda {
namespace {

AdrSizes sizes_of(const Kernel& call, int first) {
  const Shape& u = call.in(first).shape;
  return {u[0], u[1], u[2], u[3], call.in(first + 3).shape[0]};
}

// The operands of a step, from input `first` on.
template <class T>
struct AdrStep {
  AdrSizes size;
  Sampling<T> sampling;
  DiffusionLines<T> lines;
  Reaction<T> reaction;
  bool shared_displacement;

  AdrStep(const AdrStep2dParams& p, const Kernel& call, int first) : size(sizes_of(call, first)) {
    const Shape& field = call.in(first).shape;
    shared_displacement = call.in(first + 1).shape[0] == 1;
    sampling = sampling_of<T>(field, field, call.in(first + 1).as<T>(),
                              shared_displacement ? 0 : 2 * size.pixels());
    sampling.padding = padding_of(p.advection_boundary);
    sampling.taps = 2;
    sampling.image = call.in(first).as<T>();
    lines = diffusion_lines(p, call, size, call.in(first + 2).as<T>());
    reaction = {size,
                static_cast<T>(p.dt),
                static_cast<ReactionKind>(p.activation),
                call.in(first + 3).as<T>(),
                call.in(first + 4).as<T>(),
                call.in(first + 5).as<T>(),
                call.in(first + 6).as<T>()};
  }
};

// The gradient of the diffusivity from the sums of the planes, in the order of the samples.
template <class T>
__global__ void add_diffusivity(const double* sums, int64_t batch, int64_t channels, double along_x,
                                double along_y, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= 2 * channels) return;
  double total = 0;
  for (int64_t n = 0; n < batch; ++n) total += sums[n * 2 * channels + i];
  to[i] = static_cast<T>(total * (i % 2 == 0 ? along_x : along_y));
}

template <class T>
__global__ void add_samples(const T* from, int64_t batch, int64_t n, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T total = T(0);
  for (int64_t sample = 0; sample < batch; ++sample) total += from[sample * n + i];
  to[i] = total;
}

template <class T>
void step(const AdrStep2dParams& p, const Kernel& call) {
  const AdrStep<T> op(p, call, 0);
  if (!op.lines.tables) return;
  T* out = call.out(0).as<T>();
  launch_transport(call, op.lines, op.sampling, out);
  launch_reaction(call, op.reaction, out);
}

// Takes the cotangent of v, in `back`, through diffusion and advection.
template <class T>
void pull_transport(const AdrStep2dParams& p, const Kernel& call, const AdrStep<T>& op, const T* v,
                    T* back) {
  const AdrSizes& s = op.size;
  T* gdisplacement = call.out(1).as<T>();
  T* gdiffusivity = call.out(2).as<T>();
  double* sums = gdiffusivity ? call.scratch<double>(2 * s.batch * s.channels) : nullptr;
  if (gdiffusivity && !sums) return;
  launch_diffusion_vjp(call, op.lines, v, back, sums);
  if (gdiffusivity) {
    call.launch(add_diffusivity<T>, {blocks_of(2 * s.channels, kElementThreads), kElementThreads},
                sums, s.batch, s.channels, p.dt / (p.dx * p.dx), p.dt / (p.dy * p.dy),
                gdiffusivity);
  }
  Sampling<T> sampling = op.sampling;
  sampling.carried = back;
  sampling.scattered = call.out(0).as<T>();
  const bool add = gdisplacement && op.shared_displacement && s.batch > 1;
  sampling.position_gradient = add ? call.scratch<T>(s.batch * 2 * s.pixels()) : gdisplacement;
  if (gdisplacement && !sampling.position_gradient) return;
  run_sampling(call, sampling);
  if (add) {
    call.launch(add_samples<T>, {blocks_of(2 * s.pixels(), kElementThreads), kElementThreads},
                sampling.position_gradient, s.batch, 2 * s.pixels(), gdisplacement);
  }
}

template <class T>
void step_vjp(const AdrStep2dParams& p, const Kernel& call) {
  const AdrStep<T> op(p, call, 1);
  const int64_t size = op.size.batch * op.size.channels * op.size.pixels();
  T* v = call.scratch<T>(size);
  T* back = call.scratch<T>(size);
  if (!op.lines.tables || !v || !back) return;
  launch_transport(call, op.lines, op.sampling, v);
  launch_reaction_vjp(call, op.reaction, v, call.in(0).as<T>(), back, call.out(3).as<T>());
  if (call.out(0).data || call.out(1).data || call.out(2).data)
    pull_transport(p, call, op, v, back);
}

}  // namespace

void k_adr_step_2d(const AdrStep2dParams& p, const Kernel& call) {
  const Shape& u = call.out(0).shape;
  if (u.size() == 0 || !countable_plane(call, u[2] * u[3])) return;
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { step<typename decltype(tag)::type>(p, call); });
}

void k_adr_step_2d_vjp(const AdrStep2dParams& p, const Kernel& call) {
  const Shape& u = call.in(0).shape;
  if (u.size() == 0) {
    for (int i = 1; i < 4; ++i) {
      const TensorView& to = call.out(i);
      if (to.data) call.fill(to.data, 0, static_cast<size_t>(to.size()) * size_of(to.dtype));
    }
    return;
  }
  if (!countable_plane(call, u[2] * u[3])) return;
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { step_vjp<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cuda
