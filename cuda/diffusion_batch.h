// Implicit diffusion with constant coefficients on the GPU: what its launchers share.
#pragma once

#include "device/line_tile.cuh"
#include "kernel.h"
#include "ops/diffusion.h"

namespace fluxion::cuda {

static_assert(static_cast<int>(Boundary::neumann) == kMirrorEnds &&
              static_cast<int>(Boundary::dirichlet) == kZeroEnds &&
              static_cast<int>(Boundary::periodic) == kRingEnds);

// r of the lines along an axis: rate times the diffusivity of the channel.
template <class T>
struct AxisRates {
  const T* diffusivity;
  int64_t stride;  // from channel to channel
  double rate;
  int ends;

  // Lines of n cells in segments that have room for `room`.
  __device__ __forceinline__ LineOperator line(int channel, int64_t n, int64_t room) const {
    return {static_cast<double>(diffusivity[channel * stride]) * rate, n, ends, room != n};
  }
};

// A step on [N, C, (D,) H, W].
template <class T>
struct DiffusionBatch {
  const DiffusionStep& step;
  const Kernel& call;
  const TensorView& diffusivity;
  Cells cells;
  int64_t samples;
  int channels;

  int64_t volumes() const { return samples * channels; }
  int64_t size() const { return volumes() * cells.size(); }
  AxisRates<T> rates(int axis) const {
    return {diffusivity.as<T>() + axis * diffusivity.strides[1], diffusivity.strides[0],
            step.rate(axis), static_cast<int>(step.boundary)};
  }
};

// Planes of H x W cells, dealt to blocks: each takes up to `per_block` planes of one channel. Planes of a stack
// (3d) follow each other; single ones are taken across the samples.
struct PlaneDeal {
  int64_t plane;  // cells
  int64_t samples;
  int channels, depth;
  int per_block;
  int per_volume;  // blocks of a stack

  int64_t blocks() const {
    const int64_t stacks = depth > 1 ? samples : (samples + per_block - 1) / per_block;
    return stacks * channels * per_volume;
  }
  __device__ __forceinline__ PlaneRun run(int64_t block) const {
    if (depth > 1) {
      const int64_t volume = block / per_volume;
      const int first = static_cast<int>(block - volume * per_volume) * per_block;
      const int count = depth - first < per_block ? depth - first : per_block;
      return {(volume * depth + first) * plane, plane, static_cast<int>(volume % channels), count};
    }
    const int64_t stack = block / channels, first = stack * per_block;
    const int channel = static_cast<int>(block - stack * channels);
    const int64_t left = samples - first;
    const int count = left < per_block ? static_cast<int>(left) : per_block;
    return {(first * channels + channel) * plane, channels * plane, channel, count};
  }
};

inline PlaneDeal plane_deal(int64_t plane, int64_t samples, int channels, int64_t depth,
                            int64_t per_block) {
  PlaneDeal deal{plane, samples, channels, static_cast<int>(depth), 0, 1};
  const int64_t most = depth > 1 ? depth : samples;
  deal.per_block = static_cast<int>(per_block < 1 ? 1 : per_block < most ? per_block : most);
  if (depth > 1) deal.per_volume = static_cast<int>((depth + deal.per_block - 1) / deal.per_block);
  return deal;
}

template <class T>
bool aligned(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

// Inner products with the undivided D, -<a, D b>, as partial sums: `at[block * axes + axis]`, `per_channel` blocks of each
// channel, block (i / per_volume * channels + channel) * per_volume + i % per_volume.
struct PartialSums {
  double* at;
  int64_t per_channel;
  int channels, per_volume;
};

// --- diffusion_plane.cu: x and y of every plane in one pass; from may be to unless the step is Douglas'.
template <class T>
bool planes_fit(const DiffusionBatch<T>& b);
template <class T>
void step_planes(const DiffusionBatch<T>& b, const T* from, T* to);

// --- diffusion_plane_vjp.cu: of the first two axes in one pass.
template <class T>
bool plane_adjoints_fit(const DiffusionBatch<T>& b);
// The gradients in the diffusivity of axes 0 and 1, and (unless null) gu.
template <class T>
void plane_adjoints(const DiffusionBatch<T>& b, const T* g, const T* saved, T* gu, T* gk);

// --- diffusion_sweep.cu
// to = S from along an axis, or 2 S from - from; from may be to.
template <class T>
void sweep(const DiffusionBatch<T>& b, int axis, const T* from, T* to, bool reflect);
// Also the gradient gk[., axis] in the diffusivity, of <S from, D other>, or with S other where `solves`. `to` may be
// null.
template <class T>
void sweep_adjoint(const DiffusionBatch<T>& b, int axis, const T* from, T* to, bool reflect,
                   const T* other, bool solves, T* gk);

// --- diffusion_fields.cu
// to = a x + b y + c z.
template <class T>
void combine(const DiffusionBatch<T>& b, T* to, double a, const T* x, double bb, const T* y,
             double c, const T* z);
// gk[c, axis] = -gradient_scale(axis) of the partial sums, over blocks in order, for `axes` axes from `axis` on.
template <class T>
void finish_sums(const DiffusionBatch<T>& b, const PartialSums& sums, int axis, int axes, T* gk);

}  // namespace fluxion::cuda
