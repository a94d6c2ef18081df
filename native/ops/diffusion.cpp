// What the diffusion ops accept and return.
//   implicit_diffusion_2d(u [N, C, H, W], diffusivity [C, 2])            -> w, as u
//   implicit_diffusion_2d_vjp(g, diffusivity, saved)                     -> gu, gdiffusivity
//     saved is the output w (backward Euler) or the input u (Crank-Nicolson)
//   tridiagonal_solve(lower, diag, upper, rhs), all [..., n]             -> x
//   tridiagonal_solve_vjp(g, lower, diag, upper, x)                      -> glower, gdiag, gupper, grhs
#include "ops/diffusion.h"

namespace fluxion {
namespace {

// Bytes of a line of n vectors (64 bytes is the widest vector), and of the four lines that advance
// together in a plane.
size_t vector_line_bytes(int64_t n) { return static_cast<size_t>(n) * 64; }
size_t line_scratch(int64_t n) { return 4 * vector_line_bytes(n); }

void check_diffusion(const ImplicitDiffusion2dParams& p, const Infer& infer) {
  infer.require_ndim(0, "input", 4);
  infer.require_floating(0, "input");
  infer.require_dtype(1, "diffusivity", infer.dtype(0));
  infer.require_shape(1, "diffusivity", {infer.shape(0)[1], 2});
  infer.require_positive("dt", p.dt);
  infer.require_positive("dx", p.dx);
  infer.require_positive("dy", p.dy);
}

size_t factor_bytes(const Shape& shape) {
  return static_cast<size_t>(shape[1] * (line_factor_size(shape[2]) + line_factor_size(shape[3]))) *
         sizeof(double);
}

size_t plane_bytes(const Shape& shape, DType dtype) {
  return (static_cast<size_t>(shape[2] * shape[3]) * size_of(dtype) + 63) / 64 * 64;
}

size_t longest_line_scratch(const Shape& shape) {
  return line_scratch(shape[2] > shape[3] ? shape[2] : shape[3]);
}

bool few_systems(const Shape& shape) { return shape.size() <= kFewSystems * shape[shape.ndim - 1]; }

// Bytes of n unknowns of the systems that advance together.
size_t systems_bytes(int64_t n) { return kTridiagonalVectors * vector_line_bytes(n); }

}  // namespace

void infer_implicit_diffusion_2d(const ImplicitDiffusion2dParams& p, Infer& infer) {
  check_diffusion(p, infer);
  const Shape& shape = infer.shape(0);
  infer.need_contiguous(0);
  infer.output(infer.dtype(0), shape);
  infer.work = 12 * shape.size();
  infer.workspace = factor_bytes(shape);
  infer.scratch = longest_line_scratch(shape) + plane_bytes(shape, infer.dtype(0));
}

void infer_implicit_diffusion_2d_vjp(const ImplicitDiffusion2dParams& p, Infer& infer) {
  check_diffusion(p, infer);
  const Shape& shape = infer.shape(0);
  infer.require_shape(2, "saved", shape);
  infer.require_dtype(2, "saved", infer.dtype(0));
  infer.need_contiguous(0);
  infer.need_contiguous(2);
  infer.output(infer.dtype(0), shape);
  infer.output(infer.dtype(0), infer.shape(1));
  infer.work = 30 * shape.size();
  const size_t partials = static_cast<size_t>(shape[0] * shape[1]) * 2 * sizeof(double);
  infer.workspace = factor_bytes(shape) + partials;
  infer.scratch = longest_line_scratch(shape) + 3 * plane_bytes(shape, infer.dtype(0));
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
