// What the fused step accepts and returns.
//   adr_step_2d(u [N, C, H, W], displacement [N or 1, 2, H, W], diffusivity [C, 2], w1 [M, C], b1 [M],
//               w2 [C, M], b2 [C])                                              -> as u
//   adr_step_2d_vjp(g, the seven inputs)        -> gu, gdisplacement, gdiffusivity, gparameters, where the
//               last holds the gradients of w1, b1, w2, b2 one after the other
#include "ops/adr_step.h"

namespace fluxion {
namespace {

AdrSizes sizes_of(const Infer& infer, int first) {
  const Shape& u = infer.shape(first);
  return {u[0], u[1], u[2], u[3], infer.shape(first + 3)[0]};
}

AdrSizes check(const AdrStep2dParams& p, Infer& infer, int first) {
  static constexpr const char* kNames[] = {"input", "displacement", "diffusivity", "weight1",
                                           "bias1", "weight2",      "bias2"};
  infer.require_ndim(first, "input", 4);
  infer.require_floating(first, "input");
  for (int i = 1; i < 7; ++i) infer.require_dtype(first + i, kNames[i], infer.dtype(first));
  infer.require_ndim(first + 3, "weight1", 2);
  const AdrSizes s = sizes_of(infer, first);
  infer.require_ndim(first + 1, "displacement", 4);
  const int64_t shared = infer.shape(first + 1)[0];
  infer.require_shape(first + 1, "displacement", {shared == 1 ? 1 : s.batch, 2, s.rows, s.columns});
  infer.require_shape(first + 2, "diffusivity", {s.channels, 2});
  infer.require_shape(first + 3, "weight1", {s.hidden, s.channels});
  infer.require_shape(first + 4, "bias1", {s.hidden});
  infer.require_shape(first + 5, "weight2", {s.channels, s.hidden});
  infer.require_shape(first + 6, "bias2", {s.channels});
  infer.require_argument(s.hidden > 0, "weight1 must have at least one row");
  infer.require_positive("dt", p.dt);
  infer.require_positive("dx", p.dx);
  infer.require_positive("dy", p.dy);
  infer.need_contiguous();
  return s;
}

}  // namespace

void infer_adr_step_2d(const AdrStep2dParams& p, Infer& infer) {
  const AdrSizes s = check(p, infer, 0);
  const size_t element = size_of(infer.dtype(0));
  infer.output(infer.dtype(0), infer.shape(0));
  infer.work = s.batch * s.pixels() * s.channels * (20 + 4 * s.hidden);
  infer.workspace = s.forward_workspace() * element;
  infer.scratch = s.forward_scratch() * element + s.tap_bytes();
}

void infer_adr_step_2d_vjp(const AdrStep2dParams& p, Infer& infer) {
  const AdrSizes s = check(p, infer, 1);
  const DType dtype = infer.dtype(1);
  infer.require_shape(0, "cotangent", infer.shape(1));
  infer.require_dtype(0, "cotangent", dtype);
  infer.output(dtype, infer.shape(1));
  infer.output(dtype, infer.shape(2));
  infer.output(dtype, infer.shape(3));
  infer.output(dtype, {s.parameters()});
  infer.work = s.batch * s.pixels() * s.channels * (60 + 10 * s.hidden);
  infer.workspace =
      s.backward_workspace() * size_of(dtype) + s.diffusivity_partials() * sizeof(double);
  infer.scratch = s.backward_scratch() * size_of(dtype) + s.tap_bytes();
}

}  // namespace fluxion
