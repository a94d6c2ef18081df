// Semi-Lagrangian transport and grid sampling on channels [N, C, (D,) H, W]:
//     color   out(x) = u(x + d(x)) by interpolation           G(d) u
//     mass    out = sum over x of u(x) at x + d(x)            G(d)^T u, the exact transpose
// Both are linear in u and each is the other's adjoint. With g the cotangent,
//     color   gu = G^T g,  gd(x) = sum over channels of g(x) (grad I u)(x + d(x))
//     mass    gu = G g,    gd(x) = sum over channels of u(x) (grad I g)(x + d(x))
//
// Gathers read planes in shared memory (sampling_plane.cu), transposes add to planes in shared memory in fixed
// point (device/fixed_sum.cuh). The gradient of positions that the channels share is summed over them in
// registers, in their order, by the threads that own the points (sampling_points.cu). Bytes of DRAM a cell in
// float32 where the plane fits: 8 forward; backward 12 with positions of each channel, 16 with shared ones (the
// cotangent and the field are read once more; the floor is 12), and 8 or 16 of the positions.
// Sources: Staniforth and Cote, Mon. Weather Rev. 119 (1991); torch.nn.functional.grid_sample.
#include "ops/semi_lagrangian.h"

#include "plane_index.h"
#include "sampling.h"

namespace fluxion::cuda {
namespace {

template <class T>
void fill_zero(const Kernel& call, T* data, int64_t n) {
  if (data && n > 0) call.fill(data, 0, static_cast<size_t>(n) * sizeof(T));
}

int64_t spatial(const Shape& shape, int first) {
  int64_t n = 1;
  for (int i = first; i < shape.ndim; ++i) n *= shape[i];
  return n;
}

// False where positions cannot be counted.
bool countable(const Kernel& call, const Shape& image, const Shape& points) {
  return countable_plane(call, spatial(image, 2)) && countable_plane(call, spatial(points, 2));
}

template <class T>
Sampling<T> displaced(const SemiLagrangianParams& p, const Shape& field, const TensorView& d) {
  Sampling<T> s = sampling_of<T>(field, field, d.as<T>(), d.strides[0]);
  if (d.ndim() > field.ndim) s.position_channel_stride = int64_t{s.axes} * s.points;
  s.padding = padding_of(p.boundary);
  s.taps = p.interpolation == Interpolation::bicubic ? 4 : 2;
  return s;
}

template <class T>
Sampling<T> at_grid(const GridSampleParams& p, const Shape& image, const Shape& points,
                    const TensorView& grid) {
  Sampling<T> s = sampling_of<T>(image, points, grid.as<T>(), grid.strides[0]);
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
  const Shape& field = call.in(0).shape;
  if (!countable(call, field, field)) return;
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = displaced<T>(p, field, call.in(1));
    const bool color = p.transport == Transport::color;
    (color ? s.image : s.carried) = call.in(0).as<T>();
    (color ? s.gathered : s.scattered) = call.out(0).as<T>();
    run_sampling(call, s);
  });
}

void advect_vjp(const SemiLagrangianParams& p, const Kernel& call) {
  const Shape& field = call.in(1).shape;
  if (!countable(call, field, field)) return;
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = displaced<T>(p, field, call.in(2));
    const bool color = p.transport == Transport::color;
    s.image = call.in(color ? 1 : 0).as<T>();
    s.carried = call.in(color ? 0 : 1).as<T>();
    (color ? s.scattered : s.gathered) = call.out(0).as<T>();
    s.position_gradient = call.out(1).as<T>();
    run_sampling(call, s);
  });
}

}  // namespace

template <class T>
void run_sampling(const Kernel& call, const Sampling<T>& given) {
  Sampling<T> s = given;
  const bool empty = s.points == 0 || s.channels == 0 || s.batch == 0;
  if (empty || s.taps == 1) {  // nearest cells do not change with the position
    const int64_t fields = s.batch * (s.position_channel_stride ? s.channels : 1);
    fill_zero(call, s.position_gradient, fields * s.axes * s.points);
    s.position_gradient = nullptr;
  }
  if (empty) return fill_zero(call, s.scattered, s.batch * s.channels * s.cells);
  const bool own = s.position_channel_stride != 0 || s.channels == 1;
  bool slopes = s.position_gradient != nullptr;
  if (s.scattered) {
    const bool fits = scatter_planes_fit(call, s), both = fits && own && slopes;
    if (fits) {
      scatter_planes(call, s, both);
    } else {
      scatter_points(call, s);
    }
    if (both) slopes = false;
  }
  if (slopes || (s.gathered && !gather_planes_fit(call, s))) {
    gather_points(call, s, slopes);
  } else if (s.gathered) {
    gather_planes(call, s);
  }
}

template void run_sampling<float>(const Kernel&, const Sampling<float>&);
template void run_sampling<double>(const Kernel&, const Sampling<double>&);

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
  const Shape &image = call.in(0).shape, &points = call.out(0).shape;
  if (!countable(call, image, points)) return;
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = at_grid<T>(p, image, points, call.in(1));
    s.image = call.in(0).as<T>();
    s.gathered = call.out(0).as<T>();
    run_sampling(call, s);
  });
}

void k_grid_sample_input_vjp(const GridSampleInputVjpParams& p, const Kernel& call) {
  const Shape& points = call.in(0).shape;
  if (!countable(call, p.input_shape, points)) return;
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = at_grid<T>(p, p.input_shape, points, call.in(1));
    s.carried = call.in(0).as<T>();
    s.scattered = call.out(0).as<T>();
    run_sampling(call, s);
  });
}

void k_grid_sample_vjp(const GridSampleParams& p, const Kernel& call) {
  const Shape &image = call.in(1).shape, &points = call.in(0).shape;
  if (!countable(call, image, points)) return;
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Sampling<T> s = at_grid<T>(p, image, points, call.in(2));
    s.image = call.in(1).as<T>();
    s.carried = call.in(0).as<T>();
    s.scattered = call.out(0).as<T>();
    s.position_gradient = call.out(1).as<T>();
    run_sampling(call, s);
  });
}

}  // namespace fluxion::cuda
