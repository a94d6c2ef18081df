// What the variable diffusion ops accept and return. The public functions validate under their own names;
// these checks guard the kernels.
//   variable_diffusion(u [N, C, ...], diffusivity [N or 1, C or 1, ...])     -> v, as u
//   variable_diffusion_vjp(g, diffusivity, u)                                -> gu, gdiffusivity
// In 1d the diffusivity is [N, C, L]: lines are solved side by side, each with its own.
#include "ops/variable_diffusion.h"

namespace fluxion {
namespace {

void check(const VariableDiffusionParams& p, const Infer& infer) {
  infer.require_floating(0, "input");
  const Shape& u = infer.shape(0);
  infer.require(u.ndim >= 3 && u.ndim <= 5, ErrorCode::ShapeMismatch,
                "input must have one, two or three spatial dimensions, got " + describe(u));
  infer.require_dtype(1, "diffusivity", infer.dtype(0));
  const Shape& k = infer.shape(1);
  bool fits = k.ndim == u.ndim;
  for (int i = 0; fits && i < u.ndim; ++i) {
    const bool may_broadcast = i < 2 && u.ndim > 3;
    fits = k[i] == u[i] || (may_broadcast && k[i] == 1);
  }
  infer.require(fits, ErrorCode::ShapeMismatch,
                "diffusivity must fit the input " + describe(u) + ", got " + describe(k));
  infer.require_positive("dt", p.dt);
  const double spacing[] = {p.dx, p.dy, p.dz};
  const char* names[] = {"dx", "dy", "dz"};
  for (int a = 0; a < u.ndim - 2; ++a) infer.require_positive(names[a], spacing[a]);
}

// Blocks that one diffusivity plane is worth, so that even a single one keeps all threads busy.
constexpr int64_t kBlocksWanted = 32;
// Planes of a group, over which the cost of the factors is spread.
constexpr int64_t kPlanesWanted = 4;

}  // namespace

VariableLayout layout_of(const Shape& u, const Shape& k, DType dtype) {
  VariableLayout layout{};
  layout.axes = u.ndim - 2;
  const int64_t planes = u[0] * u[1];
  int64_t cells = 1;
  for (int a = 0; a < layout.axes; ++a) {
    layout.extent[a] = u[u.ndim - 1 - a];
    cells *= layout.extent[a];
  }
  layout.lines = planes;
  layout.groups = 1;
  layout.sharing = 1;
  layout.in_cache = true;
  if (layout.axes == 1) {
    const int64_t lanes = kVectorBytes / static_cast<int64_t>(size_of(dtype));
    const int64_t band = vectors_in_flight(layout.extent[0]) * lanes;
    layout.extent[1] = planes < band ? planes : band;
    layout.cells = layout.extent[0] * layout.extent[1];
    layout.planes = layout.k_planes = band ? (planes + band - 1) / band : 0;
    layout.keeps_factors = layout.extent[0] <= 4096;
    return layout;
  }
  layout.cells = cells;
  layout.planes = planes;
  layout.k_planes = k[0] * k[1];
  layout.sharing = layout.k_planes ? planes / layout.k_planes : 1;
  const int64_t bytes = cells * static_cast<int64_t>(size_of(dtype));
  layout.in_cache = bytes <= kCachedPlaneBytes && (planes >= 4 || cells < 16384);
  layout.keeps_factors = layout.in_cache;
  if (layout.in_cache && layout.k_planes < kBlocksWanted && layout.k_planes > 0) {
    const int64_t wanted = (kBlocksWanted + layout.k_planes - 1) / layout.k_planes;
    const int64_t most = (layout.sharing + kPlanesWanted - 1) / kPlanesWanted;
    layout.groups = wanted < most ? wanted : most;
  }
  return layout;
}

void infer_variable_diffusion(const VariableDiffusionParams& p, Infer& infer) {
  check(p, infer);
  const DType dtype = infer.dtype(0);
  const Shape& u = infer.shape(0);
  infer.need_contiguous();
  infer.output(dtype, u);
  if (u.size() == 0) return;
  const VariableLayout layout = layout_of(u, infer.shape(1), dtype);
  const SweepList sweeps = sweeps_of(p.splitting, layout.axes);
  infer.work = 14 * sweeps.count * u.size();
  infer.scratch = kLineBuffers * line_buffer_bytes(layout);
  const size_t fields = plane_buffer_bytes(layout, dtype);
  if (!layout.in_cache) {
    infer.workspace = fields;
  } else {
    infer.scratch += fields;
    if (layout.sharing > 1) infer.scratch += factor_table_bytes(layout, dtype);
  }
}

void infer_variable_diffusion_vjp(const VariableDiffusionParams& p, Infer& infer) {
  check(p, infer);
  const DType dtype = infer.dtype(0);
  const Shape& u = infer.shape(0);
  infer.require_shape(2, "u", u);
  infer.require_dtype(2, "u", dtype);
  infer.need_contiguous();
  infer.require_argument(infer.wants(1), "the gradient in u alone is the adjoint op");
  infer.output(dtype, u);
  infer.output(dtype, infer.shape(1));
  if (u.size() == 0) return;
  const VariableLayout layout = layout_of(u, infer.shape(1), dtype);
  const SweepList sweeps = sweeps_of(p.splitting, layout.axes);
  infer.work = 40 * sweeps.count * u.size();
  infer.scratch = kLineBuffers * line_buffer_bytes(layout);
  const size_t plane = plane_buffer_bytes(layout, dtype);
  const size_t fields = static_cast<size_t>(adjoint_fields(sweeps)) * plane;
  if (!layout.in_cache) {
    infer.workspace = fields;
    return;
  }
  infer.scratch += fields;
  if (layout.keeps_factors) infer.scratch += factor_table_bytes(layout, dtype);
  if (layout.groups > 1) {
    infer.workspace = static_cast<size_t>(layout.k_planes * layout.groups) * plane;
  }
}

}  // namespace fluxion
