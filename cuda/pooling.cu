// Launchers of the pooling kernels (device/pooling.cuh). Planes are counted in pieces of less than 2^30
// cells, so that positions fit 32 bits.
#include "ops/pooling.h"

#include <algorithm>

#include "device/pooling.cuh"
#include "kernel.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr int64_t kPieceCells = int64_t{1} << 30;

PoolAxis rows_of(const Pool2dParams& p, const Shape& in, const Shape& out) {
  return {static_cast<int>(in[2]),          static_cast<int>(out[2]),
          static_cast<int>(p.kernelSize.h), static_cast<int>(p.stride.h),
          static_cast<int>(p.padding.h),    static_cast<int>(p.dilation.h)};
}
PoolAxis columns_of(const Pool2dParams& p, const Shape& in, const Shape& out) {
  return {static_cast<int>(in[3]),          static_cast<int>(out[3]),
          static_cast<int>(p.kernelSize.w), static_cast<int>(p.stride.w),
          static_cast<int>(p.padding.w),    static_cast<int>(p.dilation.w)};
}

// Calls f(cells, grid, first plane) for pieces of planes of `shape`.
template <class F>
void for_planes(const Shape& shape, const F& f) {
  const int64_t planes = shape[0] * shape[1], plane = shape[2] * shape[3];
  if (planes * plane == 0) return;
  const int64_t run = std::max<int64_t>(1, kPieceCells / plane);
  for (int64_t first = 0; first < planes; first += run) {
    const int64_t cells = std::min(run, planes - first) * plane;
    f(PlaneCells{Divisor(plane), Divisor(shape[3]), static_cast<uint32_t>(cells)},
      Grid{blocks_of(cells, kElementThreads), kElementThreads}, first);
  }
}

template <class T>
T* at_plane(T* data, int64_t plane, const Shape& shape) {
  return data ? data + plane * shape[2] * shape[3] : nullptr;
}

}  // namespace

void k_max_pool2d(const Pool2dParams& p, const Kernel& call) {
  const TensorView &x = call.in(0), &y = call.out(0), &indices = call.out(1);
  const Shape& out = y.data ? y.shape : indices.shape;
  const PoolAxis h = rows_of(p, x.shape, out), w = columns_of(p, x.shape, out);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_planes(out, [&](const PlaneCells& cells, const Grid& grid, int64_t first) {
      call.launch(max_pool<T>, grid, cells, h, w, at_plane(x.as<T>(), first, x.shape),
                  at_plane(y.as<T>(), first, out), at_plane(indices.as<int>(), first, out));
    });
  });
}

void k_max_pool2d_vjp(const MaxPool2dVjpParams& p, const Kernel& call) {
  const TensorView &g = call.in(0), &indices = call.in(1), &gx = call.out(0);
  const PoolAxis h = rows_of(p, p.inputShape, g.shape), w = columns_of(p, p.inputShape, g.shape);
  dispatch_floating(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_planes(p.inputShape, [&](const PlaneCells& cells, const Grid& grid, int64_t first) {
      call.launch(max_pool_vjp<T>, grid, cells, h, w, at_plane(g.as<T>(), first, g.shape),
                  at_plane(indices.as<int>(), first, g.shape),
                  at_plane(gx.as<T>(), first, p.inputShape));
    });
  });
}

void k_avg_pool2d(const AvgPool2dParams& p, const Kernel& call) {
  const TensorView &x = call.in(0), &y = call.out(0);
  const PoolAxis h = rows_of(p, x.shape, y.shape), w = columns_of(p, x.shape, y.shape);
  const PoolDivisor divisor{p.divisorOverride, p.countIncludePad};
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_planes(y.shape, [&](const PlaneCells& cells, const Grid& grid, int64_t first) {
      call.launch(avg_pool<T>, grid, cells, h, w, divisor, at_plane(x.as<T>(), first, x.shape),
                  at_plane(y.as<T>(), first, y.shape));
    });
  });
}

void k_avg_pool2d_vjp(const AvgPool2dVjpParams& p, const Kernel& call) {
  const TensorView &g = call.in(0), &gx = call.out(0);
  const PoolAxis h = rows_of(p, p.inputShape, g.shape), w = columns_of(p, p.inputShape, g.shape);
  const PoolDivisor divisor{p.divisorOverride, p.countIncludePad};
  dispatch_floating(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_planes(p.inputShape, [&](const PlaneCells& cells, const Grid& grid, int64_t first) {
      call.launch(avg_pool_vjp<T>, grid, cells, h, w, divisor, at_plane(g.as<T>(), first, g.shape),
                  at_plane(gx.as<T>(), first, p.inputShape));
    });
  });
}

void k_adaptive_avg_pool2d(const AdaptiveAvgPool2dParams&, const Kernel& call) {
  const TensorView &x = call.in(0), &y = call.out(0);
  const AdaptiveAxis h{static_cast<int>(x.shape[2]), static_cast<int>(y.shape[2])};
  const AdaptiveAxis w{static_cast<int>(x.shape[3]), static_cast<int>(y.shape[3])};
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    call.launch(adaptive_pool<T>, {blocks_of(y.size(), kElementThreads / kWarp), kElementThreads},
                y.size(), h, w, x.as<T>(), y.as<T>());
  });
}

void k_adaptive_avg_pool2d_vjp(const AdaptiveAvgPool2dVjpParams& p, const Kernel& call) {
  const TensorView &g = call.in(0), &gx = call.out(0);
  const AdaptiveAxis h{static_cast<int>(p.inputShape[2]), static_cast<int>(g.shape[2])};
  const AdaptiveAxis w{static_cast<int>(p.inputShape[3]), static_cast<int>(g.shape[3])};
  dispatch_floating(g.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_planes(p.inputShape, [&](const PlaneCells& cells, const Grid& grid, int64_t first) {
      call.launch(adaptive_pool_vjp<T>, grid, cells, h, w, at_plane(g.as<T>(), first, g.shape),
                  at_plane(gx.as<T>(), first, p.inputShape));
    });
  });
}

}  // namespace fluxion::cuda
