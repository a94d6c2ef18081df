// Semi-Lagrangian transport and grid sampling on channels [N, C, (D,) H, W]:
//     color   out(x) = u(x + d(x)) by interpolation           G(d) u
//     mass    out = sum over x of u(x) at x + d(x)            G(d)^T u, the exact transpose
// Both are linear in u and each is the other's adjoint. With g the cotangent,
//     color   gu = G^T g,  gd(x) = sum over channels of g(x) (grad I u)(x + d(x))
//     mass    gu = G g,    gd(x) = sum over channels of u(x) (grad I g)(x + d(x))
// so one pass over the positions yields both (semi_lagrangian_paths.h).
//
// Parallel decomposition: a block is one field of the batch and some of its channels, chosen from the shape
// alone. Blocks of a field that share its positions leave partial sums of the position gradient, which are
// added in order. Memory floor with a shared displacement: 8 bytes a cell in float32, 12 backward.
// Sources: Staniforth and Cote, Mon. Weather Rev. 119 (1991); torch.nn.functional.grid_sample.
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/semi_lagrangian.h"

#define FLUXION_KERNELS "cpu/semi_lagrangian.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/simd_gather.h"
#include "cpu/transpose.h"
#include "cpu/semi_lagrangian_taps.h"
#include "cpu/semi_lagrangian_paths.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
using BlockFn = void (*)(const Sampling<T>&, const ChannelBlock&, void*);

template <class T, int K, int AXES, int MODE>
BlockFn<T> in_lanes(const Sampling<T>& s) {
  return s.plan.channel_lanes ? sample_in_channel_lanes<T, K, AXES, MODE>
                              : sample_in_point_lanes<T, K, AXES, MODE>;
}

// With slopes a pass reads the field anyway: results that nobody wants are left out by a null pointer
// (gather), or the pass without them is taken (scatter).
template <class T, int K, int AXES>
BlockFn<T> in_mode(const Sampling<T>& s) {
  const bool slopes = s.position_gradient != nullptr;
  if constexpr (K == 1) {  // does not change with the position
    return s.scattered ? in_lanes<T, K, AXES, kScatter>(s) : in_lanes<T, K, AXES, kGather>(s);
  } else {
    if (slopes && s.scattered) return in_lanes<T, K, AXES, kScatter | kSlopes>(s);
    if (slopes) return in_lanes<T, K, AXES, kGather | kSlopes>(s);
    return s.scattered ? in_lanes<T, K, AXES, kScatter>(s) : in_lanes<T, K, AXES, kGather>(s);
  }
}

template <class T>
BlockFn<T> choose(const Sampling<T>& s) {
  if (s.taps == 1) return s.axes == 2 ? in_mode<T, 1, 2>(s) : in_mode<T, 1, 3>(s);
  if (s.taps == 2) return s.axes == 2 ? in_mode<T, 2, 2>(s) : in_mode<T, 2, 3>(s);
  return s.axes == 2 ? in_mode<T, 4, 2>(s) : in_mode<T, 4, 3>(s);
}

// Adds the sums of the blocks of each field, in their order.
template <class T>
void add_partials(const Sampling<T>& s, const Kernel& call) {
  const int64_t size = s.axes * s.points, count = s.plan.blocks_per_field;
  call.parallel_for(s.batch, [&](int64_t field, int) {
    const T* from = s.partials + field * count * size;
    T* to = s.position_gradient + field * size;
    for (int64_t i = 0; i < size; ++i) {
      T sum = from[i];
      for (int64_t k = 1; k < count; ++k) sum += from[k * size + i];
      to[i] = sum;
    }
  });
}

template <class T>
void fill_zero(T* data, int64_t n) {
  if (data) std::memset(data, 0, static_cast<size_t>(n) * sizeof(T));
}

// Runs a sampling whose fields and wanted results are set.
template <class T>
void sample(Sampling<T> s, const Kernel& call) {
  const int64_t sums = s.batch * s.axes * s.points * (s.position_channel_stride ? s.channels : 1);
  if (s.points == 0 || s.channels == 0 || s.batch == 0 || s.taps == 1) {
    fill_zero(s.position_gradient, sums);
    s.position_gradient = nullptr;
    if (s.scattered && s.points == 0) fill_zero(s.scattered, s.batch * s.channels * s.cells);
    if (s.points == 0 || s.channels == 0 || s.batch == 0 || (!s.gathered && !s.scattered)) return;
  }
  constexpr int64_t kCacheBytes = int64_t{2} << 20;
  s.plan = plan_sampling(s.batch, s.channels, s.cells, s.points, s.axes,
                         s.position_channel_stride != 0, sizeof(T));
  s.partials = s.position_gradient && s.plan.partial_size ? call.workspace<T>() : nullptr;
  const int64_t results = s.batch * s.channels * (s.scattered ? s.cells : s.points);
  s.stream = results * static_cast<int64_t>(sizeof(T)) > kCacheBytes;
  // What is asked for while one block's planes are worked on must stay in the cache until it is read.
  const int64_t ahead_bytes = s.cells * static_cast<int64_t>(s.plan.channel_lanes ? 64 : sizeof(T));
  s.ahead = (s.plan.channel_lanes || s.position_channel_stride) && s.cells == s.points &&
            ahead_bytes <= (s.plan.channel_lanes ? int64_t{512} << 10 : int64_t{64} << 10);
  const BlockFn<T> run = choose<T>(s);
  const int64_t per_field = s.plan.blocks_per_field, step = s.plan.block_channels;
  call.parallel_for(s.batch * per_field, [&](int64_t index, int thread) {
    const int64_t first = index % per_field * step, last = std::min(first + step, s.channels);
    run(s, {index / per_field, first, last, index}, call.scratch<char>(thread));
  });
  if (s.partials) add_partials<T>(s, call);
}

template <class T>
Sampling<T> sampling_of(const Shape& image, const Shape& points, const TensorView& positions) {
  Sampling<T> s{};
  s.axes = image.ndim - 2;
  s.batch = image[0];
  s.channels = image[1];
  s.cells = s.points = 1;
  for (int axis = 0; axis < 3; ++axis) {
    s.in[axis] = axis < s.axes ? image[image.ndim - 1 - axis] : 1;
    s.out[axis] = axis < s.axes ? points[points.ndim - 1 - axis] : 1;
    s.cells *= s.in[axis];
    s.points *= s.out[axis];
  }
  s.positions = positions.as<T>();
  s.position_batch_stride = positions.strides[0];
  return s;
}

template <class T>
Sampling<T> displaced(const SemiLagrangianParams& p, const Shape& field, const TensorView& d) {
  Sampling<T> s = sampling_of<T>(field, field, d);
  if (d.ndim() > field.ndim) s.position_channel_stride = s.axes * s.points;
  constexpr Padding kPaddings[] = {Padding::zeros, Padding::border, Padding::reflect,
                                   Padding::periodic};
  s.padding = kPaddings[static_cast<int>(p.boundary)];
  s.taps = p.interpolation == Interpolation::bicubic ? 4 : 2;
  return s;
}

template <class T>
Sampling<T> at_grid(const GridSampleParams& p, const Shape& image, const Shape& points,
                    const TensorView& grid) {
  Sampling<T> s = sampling_of<T>(image, points, grid);
  s.grid = true;
  s.align_corners = p.align_corners;
  s.padding = p.padding_mode == GridPadding::zeros    ? Padding::zeros
              : p.padding_mode == GridPadding::border ? Padding::border
              : p.align_corners                       ? Padding::mirror
                                                      : Padding::reflect;
  s.taps = p.mode == GridMode::nearest ? 1 : p.mode == GridMode::bilinear ? 2 : 4;
  return s;
}

void advect(const SemiLagrangianParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = displaced<T>(p, call.in(0).shape, call.in(1));
    const bool color = p.transport == Transport::color;
    (color ? s.image : s.carried) = call.in(0).as<T>();
    (color ? s.gathered : s.scattered) = call.out(0).as<T>();
    sample<T>(s, call);
  });
}

void advect_vjp(const SemiLagrangianParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = displaced<T>(p, call.in(1).shape, call.in(2));
    const bool color = p.transport == Transport::color;
    s.image = call.in(color ? 1 : 0).as<T>();
    s.carried = call.in(color ? 0 : 1).as<T>();
    (color ? s.scattered : s.gathered) = call.out(0).as<T>();
    s.position_gradient = call.out(1).as<T>();
    sample<T>(s, call);
  });
}

}  // namespace

void k_advect_semi_lagrangian_2d(const SemiLagrangianParams& p, const Kernel& call) {
  advect(p, call);
}
void k_advect_semi_lagrangian_2d_vjp(const SemiLagrangianParams& p, const Kernel& call) {
  advect_vjp(p, call);
}
void k_advect_semi_lagrangian_3d(const SemiLagrangianParams& p, const Kernel& call) {
  advect(p, call);
}
void k_advect_semi_lagrangian_3d_vjp(const SemiLagrangianParams& p, const Kernel& call) {
  advect_vjp(p, call);
}

void k_grid_sample(const GridSampleParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = at_grid<T>(p, call.in(0).shape, call.out(0).shape, call.in(1));
    s.image = call.in(0).as<T>();
    s.gathered = call.out(0).as<T>();
    sample<T>(s, call);
  });
}

void k_grid_sample_input_vjp(const GridSampleInputVjpParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = at_grid<T>(p, p.input_shape, call.in(0).shape, call.in(1));
    s.carried = call.in(0).as<T>();
    s.scattered = call.out(0).as<T>();
    sample<T>(s, call);
  });
}

void k_grid_sample_vjp(const GridSampleParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = at_grid<T>(p, call.in(1).shape, call.in(0).shape, call.in(2));
    s.image = call.in(1).as<T>();
    s.carried = call.in(0).as<T>();
    s.scattered = call.out(0).as<T>();
    s.position_gradient = call.out(1).as<T>();
    sample<T>(s, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
