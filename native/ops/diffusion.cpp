// What the diffusion ops accept and return.
//   implicit_diffusion_{1,2,3}d(u [N, C, (D,) (H,) W], diffusivity [C, axes])  -> w, as u
//   implicit_diffusion_{1,2,3}d_vjp(g, diffusivity, saved)                     -> gu, gdiffusivity
//     saved is the output w or the input u (DiffusionStep::saves_output)
//   tridiagonal_solve(lower, diag, upper, rhs), all [..., n]             -> x
//   tridiagonal_solve_vjp(g, lower, diag, upper, x)                      -> glower, gdiag, gupper, grhs
#include "ops/diffusion.h"

namespace fluxion {
namespace {

constexpr const char* kSpacingNames[] = {"dx", "dy", "dz"};

void check_diffusion(const DiffusionStep& step, const Infer& infer) {
  infer.require_ndim(0, "input", 2 + step.axes);
  infer.require_floating(0, "input");
  infer.require_dtype(1, "diffusivity", infer.dtype(0));
  infer.require_shape(1, "diffusivity", {infer.shape(0)[1], step.axes});
  infer.require_positive("dt", step.dt);
  for (int a = 0; a < step.axes; ++a) infer.require_positive(kSpacingNames[a], step.spacing[a]);
}

size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// Bytes of the working fields of `channels` channels.
size_t field_bytes(const Cells& n, size_t element, int64_t channels) {
  return kWorkingFields * round_to_line(static_cast<size_t>(n.size() * channels) * element);
}

// Of the step by any of its paths (cpu/diffusion_step.h).
size_t step_scratch(const DiffusionStep& step, const Cells& n, size_t element) {
  size_t sweeps = sweep_bytes(n);
  if (!step.factorised() && resident(n, element)) sweeps += field_bytes(n, element, 1);
  size_t planes = plane_lines_bytes(n, element) + scratch_plane_bytes(n, element);
  if (!resident({1, n.height, n.width}, element)) planes = 0;
  if (step.axes == 3 && resident(n, element))
    planes += static_cast<size_t>((n.depth + 2) * n.plane()) * element;
  return larger(sweeps, planes);
}

bool few_systems(const Shape& shape) { return shape.size() <= kFewSystems * shape[shape.ndim - 1]; }

// Bytes of n unknowns of the systems that advance together.
size_t systems_bytes(int64_t n) { return kTridiagonalVectors * vector_line_bytes(n); }

void infer_step(const DiffusionStep& step, Infer& infer) {
  check_diffusion(step, infer);
  const Shape& shape = infer.shape(0);
  const Cells n = channel_cells(shape);
  const size_t element = size_of(infer.dtype(0));
  infer.need_contiguous(0);
  infer.output(infer.dtype(0), shape);
  infer.work = 6 * step.axes * shape.size();
  if (step.axes == 1) {
    infer.scratch = 2 * vector_line_bytes(n.width);
    return;
  }
  infer.scratch = step_scratch(step, n, element);
  if (!step.factorised() && !resident(n, element))
    infer.workspace = field_bytes(n, element, shape[0] * shape[1]);
}

void infer_step_vjp(const DiffusionStep& step, Infer& infer) {
  check_diffusion(step, infer);
  const Shape& shape = infer.shape(0);
  const Cells n = channel_cells(shape);
  const size_t element = size_of(infer.dtype(0));
  infer.require_shape(2, "saved", shape);
  infer.require_dtype(2, "saved", infer.dtype(0));
  infer.need_contiguous(0);
  infer.need_contiguous(2);
  infer.output(infer.dtype(0), shape);
  infer.output(infer.dtype(0), infer.shape(1));
  infer.work = 15 * step.axes * shape.size();
  if (step.axes == 1) {
    infer.scratch = 3 * vector_line_bytes(n.width);
    infer.workspace = static_cast<size_t>(shape[0] * shape[1]) * element;
    return;
  }
  infer.workspace = diffusivity_partial_bytes(step, shape);
  if (!resident(n, element)) infer.workspace += field_bytes(n, element, shape[0] * shape[1]);
  size_t scratch = sweep_bytes(n);
  if (resident(n, element)) {
    scratch += field_bytes(n, element, 1);
    scratch = larger(scratch, plane_lines_bytes(n, element) + 2 * scratch_plane_bytes(n, element));
  }
  infer.scratch = larger(scratch, step_scratch(step, n, element));
}

}  // namespace

void infer_implicit_diffusion_1d(const ImplicitDiffusion1dParams& p, Infer& infer) {
  infer_step(step_of(p), infer);
}
void infer_implicit_diffusion_1d_vjp(const ImplicitDiffusion1dParams& p, Infer& infer) {
  infer_step_vjp(step_of(p), infer);
}
void infer_implicit_diffusion_2d(const ImplicitDiffusion2dParams& p, Infer& infer) {
  infer_step(step_of(p), infer);
}
void infer_implicit_diffusion_2d_vjp(const ImplicitDiffusion2dParams& p, Infer& infer) {
  infer_step_vjp(step_of(p), infer);
}
void infer_implicit_diffusion_3d(const ImplicitDiffusion3dParams& p, Infer& infer) {
  infer_step(step_of(p), infer);
}
void infer_implicit_diffusion_3d_vjp(const ImplicitDiffusion3dParams& p, Infer& infer) {
  infer_step_vjp(step_of(p), infer);
}

void infer_tridiagonal_solve(const TridiagonalParams& p, Infer& infer) {
  static constexpr const char* kNames[] = {"lower", "diag", "upper", "rhs"};
  infer.require_floating(3, "rhs");
  infer.require(infer.in(3).ndim() >= 1, ErrorCode::ShapeMismatch,
                "rhs must have at least one dimension");
  for (int i = 0; i < 3; ++i) {
    infer.require_dtype(i, kNames[i], infer.dtype(3));
    infer.require_shape(i, kNames[i], infer.shape(3));
  }
  const Shape& shape = infer.shape(3);
  infer.output(infer.dtype(3), shape);
  infer.work = 16 * shape.size();
  // the solution, c and q, and pieces of the three diagonals
  const int64_t n = shape[shape.ndim - 1];
  infer.scratch = few_systems(shape)
                      ? 5 * static_cast<size_t>(n) * sizeof(double)
                      : systems_bytes((p.periodic ? 3 : 2) * n + 3 * kTridiagonalPiece);
}

void infer_tridiagonal_solve_vjp(const TridiagonalParams&, Infer& infer) {
  const Shape& shape = infer.shape(0);
  for (int i = 0; i < 4; ++i) infer.output(infer.dtype(0), shape);
  infer.work = 24 * shape.size();
  const int64_t n = shape[shape.ndim - 1];
  infer.scratch =
      few_systems(shape) ? 7 * static_cast<size_t>(n) * sizeof(double) : systems_bytes(7 * n);
}

}  // namespace fluxion
