// What the spectral diffusion ops accept and return, d = 1, 2, 3 for the three shapes of u.
//   spectral_diffusion_1d(u [N, C, L], diffusivity [C, 1 or d])          -> as u; 2d [N, C, H, W], 3d
//   spectral_diffusion_1d_vjp(g, diffusivity, u)                         -> gu, gdiffusivity
//   stencil_diffusion_2d(u [N, C, H, W], stencil [C, 3, 3])              -> as u
//   stencil_diffusion_2d_vjp(g, stencil, u)                              -> gu, gstencil
#include "ops/spectral_diffusion.h"

namespace fluxion {
namespace {

void check(const SpectralDiffusionParams& p, const Infer& infer, int dims) {
  infer.require_ndim(0, "input", dims + 2);
  infer.require_floating(0, "input");
  infer.require_dtype(1, "diffusivity", infer.dtype(0));
  const Shape& k = infer.shape(1);
  const bool isotropic = k.ndim == 2 && k[1] == 1;
  infer.require_shape(1, "diffusivity", {infer.shape(0)[1], isotropic ? 1 : dims});
  infer.require_positive("dt", p.dt);
  infer.require_positive("dx", p.dx);
  infer.require_positive("dy", p.dy);
  infer.require_positive("dz", p.dz);
  infer.require_positive("power", p.power);
}

// Forward and inverse transforms of each axis, 5 log2 n each, and the symbol.
int64_t transform_work(const SpectralGrid& grid, int64_t size) {
  int64_t work = 4;
  for (int i = 0; i < grid.dims; ++i) {
    for (int64_t n = grid.n[i]; n > 1; n /= 2) work += 5;
  }
  return work * size;
}

void state_memory(const SpectralDiffusionParams& p, Infer& infer, bool gradient) {
  const Shape& shape = infer.shape(0);
  const SpectralGrid grid(shape);
  const size_t element = size_of(infer.dtype(0));
  infer.scratch = SpectralScratch(grid, p.boundary, element, gradient).bytes();
  const int64_t sums = gradient ? grid.batch * infer.shape(1).size() : 0;
  infer.workspace = static_cast<size_t>(2 * grid.axis_cells() + sums) * sizeof(double);
}

void infer_forward(const SpectralDiffusionParams& p, Infer& infer, int dims) {
  check(p, infer, dims);
  const Shape& shape = infer.shape(0);
  infer.need_contiguous(0);
  infer.output(infer.dtype(0), shape);
  infer.work = transform_work(SpectralGrid(shape), shape.size());
  state_memory(p, infer, false);
}

void infer_backward(const SpectralDiffusionParams& p, Infer& infer, int dims) {
  check(p, infer, dims);
  const Shape& shape = infer.shape(0);
  infer.require_shape(2, "input", shape);
  infer.require_dtype(2, "input", infer.dtype(0));
  infer.need_contiguous(0);
  infer.need_contiguous(2);
  infer.output(infer.dtype(0), shape);
  infer.output(infer.dtype(0), infer.shape(1));
  infer.work = 2 * transform_work(SpectralGrid(shape), shape.size());
  state_memory(p, infer, true);
}

}  // namespace

void infer_spectral_diffusion_1d(const SpectralDiffusionParams& p, Infer& infer) {
  infer_forward(p, infer, 1);
}
void infer_spectral_diffusion_1d_vjp(const SpectralDiffusionParams& p, Infer& infer) {
  infer_backward(p, infer, 1);
}
void infer_spectral_diffusion_2d(const SpectralDiffusionParams& p, Infer& infer) {
  infer_forward(p, infer, 2);
}
void infer_spectral_diffusion_2d_vjp(const SpectralDiffusionParams& p, Infer& infer) {
  infer_backward(p, infer, 2);
}
void infer_spectral_diffusion_3d(const SpectralDiffusionParams& p, Infer& infer) {
  infer_forward(p, infer, 3);
}
void infer_spectral_diffusion_3d_vjp(const SpectralDiffusionParams& p, Infer& infer) {
  infer_backward(p, infer, 3);
}

namespace {

void check_stencil(const StencilDiffusionParams& p, const Infer& infer) {
  infer.require_ndim(0, "input", 4);
  infer.require_floating(0, "input");
  infer.require_dtype(1, "stencil", infer.dtype(0));
  infer.require_shape(1, "stencil", {infer.shape(0)[1], 3, 3});
  infer.require_positive("dt", p.dt);
}

}  // namespace

void infer_stencil_diffusion_2d(const StencilDiffusionParams& p, Infer& infer) {
  check_stencil(p, infer);
  const Shape& shape = infer.shape(0);
  infer.need_contiguous(0);
  infer.output(infer.dtype(0), shape);
  infer.work = transform_work(SpectralGrid(shape), shape.size());
  infer.workspace = stencil_table_bytes(shape[2], shape[3]);
  infer.scratch = StencilScratch(shape[2], shape[3], size_of(infer.dtype(0)), false).bytes();
}

void infer_stencil_diffusion_2d_vjp(const StencilDiffusionParams& p, Infer& infer) {
  check_stencil(p, infer);
  const Shape& shape = infer.shape(0);
  infer.require_shape(2, "input", shape);
  infer.require_dtype(2, "input", infer.dtype(0));
  infer.need_contiguous(0);
  infer.need_contiguous(2);
  infer.output(infer.dtype(0), shape);
  infer.output(infer.dtype(0), infer.shape(1));
  infer.work = 2 * transform_work(SpectralGrid(shape), shape.size());
  const size_t sums = static_cast<size_t>(shape[0] * shape[1] * 9) * sizeof(double);
  infer.workspace = stencil_table_bytes(shape[2], shape[3]) + sums;
  infer.scratch = StencilScratch(shape[2], shape[3], size_of(infer.dtype(0)), true).bytes();
}

}  // namespace fluxion
