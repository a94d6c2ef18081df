// What the upwind ops accept and return, for S = [L], [H, W] or [D, H, W] and d = 1, 2, 3:
//   advect_upwind(u [N, C, *S], velocity [N or 1, C or 1, d, *S or ones])   -> u after dt
//   advect_upwind_vjp(g, u, velocity)                                       -> gu, gvelocity
//   outflow_rate(velocity)    -> [] float64: the largest share of a cell that leaves it in a unit of time
#include "ops/upwind.h"

namespace fluxion {
namespace {

void check_upwind(const AdvectUpwindParams& p, const Infer& infer, int u, int velocity) {
  infer.require_floating(u, "input");
  infer.require_dtype(velocity, "velocity", infer.dtype(u));
  infer.require_positive("dt", p.dt);
  infer.require_positive("dx", p.dx);
  infer.require_positive("dy", p.dy);
  infer.require_positive("dz", p.dz);
  infer.require_argument(p.steps >= 1, format("steps must be an integer >= 1, got %lld",
                                              static_cast<long long>(p.steps)));
  const Shape& shape = infer.shape(u);
  const Shape& field = infer.shape(velocity);
  const int dims = shape.ndim - 2;
  bool fits = dims >= 1 && dims <= 3 && field.ndim == shape.ndim + 1;
  for (int i = 0; fits && i < 2; ++i) fits = field[i] == shape[i] || field[i] == 1;
  fits = fits && field[2] == dims;
  bool ones = true, full = true;
  for (int i = 0; fits && i < dims; ++i) {
    ones = ones && field[3 + i] == 1;
    full = full && field[3 + i] == shape[2 + i];
  }
  infer.require(
      fits && (ones || full), ErrorCode::ShapeMismatch,
      "velocity must have shape [N or 1, C or 1, d, *S or ones] for an input [N, C, *S] " +
          describe(shape) + ", got " + describe(field));
}

int64_t width_of(const Shape& shape) { return shape[shape.ndim - 1]; }

int64_t cells_of(const Shape& shape) {
  int64_t cells = 1;
  for (int i = 2; i < shape.ndim; ++i) cells *= shape[i];
  return cells;
}

size_t scratch_bytes(const Shape& shape, DType dtype, int64_t planes) {
  const int64_t element = static_cast<int64_t>(size_of(dtype));
  const int64_t width = width_of(shape);
  return static_cast<size_t>(upwind_row_count(width) * padded_row_bytes(width, element) +
                             planes * upwind_plane_bytes(cells_of(shape), element));
}

}  // namespace

void infer_advect_upwind(const AdvectUpwindParams& p, Infer& infer) {
  check_upwind(p, infer, 0, 1);
  const Shape& shape = infer.shape(0);
  infer.need_contiguous();
  infer.output(infer.dtype(0), shape);
  const int64_t stages = p.scheme == UpwindScheme::first_order ? p.steps : 2 * p.steps;
  infer.work = 8 * (shape.ndim - 2) * stages * shape.size();
  infer.scratch = scratch_bytes(shape, infer.dtype(0), forward_planes(p));
}

void infer_advect_upwind_vjp(const AdvectUpwindParams& p, Infer& infer) {
  check_upwind(p, infer, 0, 2);
  const Shape& shape = infer.shape(0);
  infer.require_shape(1, "input", shape);
  infer.require_dtype(1, "input", infer.dtype(0));
  infer.need_contiguous();
  infer.output(infer.dtype(0), shape);
  infer.output(infer.dtype(0), infer.shape(2));
  const int64_t element = static_cast<int64_t>(size_of(infer.dtype(0)));
  const int64_t stages = p.scheme == UpwindScheme::first_order ? p.steps : 4 * p.steps;
  infer.work = 20 * (shape.ndim - 2) * stages * shape.size();
  infer.scratch = scratch_bytes(shape, infer.dtype(0),
                                backward_planes(p, upwind_plane_bytes(cells_of(shape), element)));
  if (shape.size() == 0) return;
  const VelocityGroups groups(shape, infer.shape(2));
  const int dims = shape.ndim - 2;
  if (groups.constant) {  // a partial sum for each plane and component
    infer.workspace = static_cast<size_t>(shape[0] * shape[1] * dims) * sizeof(double);
  } else if (!(single_stage(p) && groups.splits_rows(cells_of(shape) / width_of(shape))) &&
             groups.chunks() > 1) {
    infer.workspace =
        static_cast<size_t>(groups.groups * groups.chunks() * dims * cells_of(shape) * element);
  }
}

void infer_outflow_rate(const OutflowRateParams& p, Infer& infer) {
  infer.require_floating(0, "velocity");
  infer.require_positive("dx", p.dx);
  infer.require_positive("dy", p.dy);
  infer.require_positive("dz", p.dz);
  const Shape& shape = infer.shape(0);
  const int dims = shape.ndim - 3;
  infer.require(dims >= 1 && dims <= 3 && shape[2] == dims, ErrorCode::ShapeMismatch,
                "velocity must have shape [N, C, d, *S], got " + describe(shape));
  infer.need_contiguous();
  infer.output(DType::f64, Shape{});
  infer.work = 4 * infer.in(0).size();
  infer.workspace = static_cast<size_t>(shape[0] * shape[1]) * sizeof(double) + 64;
}

}  // namespace fluxion
