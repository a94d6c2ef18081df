// What the mesh-free convolutions accept and return; gaussian and bias may be absent.
//   mesh_free_conv2d(u [N, Ci, H, W], weight [Co, Ci, 6 | 9], bias [Co], gaussian [Ci, 3])  -> [N, Co, H, W]
//   mesh_free_conv2d_vjp(g, u, weight, gaussian)                  -> gu, gweight, gbias, ggaussian
//     u may be absent where neither gweight nor ggaussian is wanted
//   mesh_free_conv1d(u [N, Ci, L], weight [Co, Ci, 3 | 4], bias [Co], gaussian [Ci, 1])     -> [N, Co, L]
//   mesh_free_conv1d_vjp(g, u, weight, gaussian)                  -> gu, gweight, gbias, ggaussian
// With gaussian the weight has moments alone: [Co, Ci, 3 | 6], in 1-d [Co, Ci, 2 | 3].
#include "ops/mesh_free.h"

#include <cmath>

namespace fluxion {
namespace {

// field: the shape of the input, whose dtype input 0 has; the weight is input `w`, gaussian input 3.
MeshFreeProblem check_problem(const Infer& infer, bool line, const Shape& field, int w) {
  constexpr int u = 0, gaussian = 3;
  const Shape& weight = infer.shape(w);
  const int last = line ? 2 : 3;
  infer.require(field.ndim == last + 1, ErrorCode::ShapeMismatch,
                format("input must have shape %s, got %s", line ? "[N, C, L]" : "[N, C, H, W]",
                       describe(field).c_str()));
  infer.require_floating(u, "input");
  infer.require_dtype(w, "weight", infer.dtype(u));
  const bool shared = infer.has(gaussian);
  const int64_t widths = line ? 1 : 3, low = (line ? 2 : 3) + (shared ? 0 : widths);
  const int64_t high = low + (line ? 1 : 3);
  const int64_t given = weight.ndim == 3 ? weight[2] : 0;
  infer.require(weight.ndim == 3 && weight[1] == field[1] && (given == low || given == high),
                ErrorCode::ShapeMismatch,
                format("weight must have shape [Co, %lld, %lld] or [Co, %lld, %lld]%s, got %s",
                       static_cast<long long>(field[1]), static_cast<long long>(low),
                       static_cast<long long>(field[1]), static_cast<long long>(high),
                       shared ? " beside a gaussian" : "", describe(weight).c_str()));
  if (shared) {
    infer.require_dtype(gaussian, "gaussian", infer.dtype(u));
    infer.require_shape(gaussian, "gaussian", {field[1], widths});
  }
  for (int i = 2; i <= last; ++i) {
    infer.require(field[i] > 0, ErrorCode::ShapeMismatch,
                  format("input must have at least one cell along each axis, got shape %s",
                         describe(field).c_str()));
  }
  return {line,
          shared,
          field[0],
          field[1],
          weight[0],
          line ? 1 : field[2],
          field[last],
          given == high ? 6 : 3,
          size_of(infer.dtype(u))};
}

Shape with_channels(Shape shape, int64_t channels) {
  if (shape.ndim > 1) shape[1] = channels;
  return shape;
}

void plan(Infer& infer, const MeshFreeProblem& p, bool backward) {
  infer.need_contiguous();
  infer.workspace = MeshFreeWorkspace(p, backward).total;
  infer.scratch = mesh_free_scratch(p);
  const int64_t cells = p.batch * p.height * p.width;
  infer.work = cells * ((p.inputs + p.outputs) * 60 + p.inputs * p.outputs * (backward ? 12 : 4));
}

void infer_forward(Infer& infer, bool line) {
  const MeshFreeProblem p = check_problem(infer, line, infer.shape(0), 1);
  if (infer.has(2)) {
    infer.require_dtype(2, "bias", infer.dtype(0));
    infer.require_shape(2, "bias", {p.outputs});
  }
  infer.output(infer.dtype(0), with_channels(infer.shape(0), p.outputs));
  plan(infer, p, false);
}

void infer_vjp(Infer& infer, bool line) {
  const Shape& weight = infer.shape(2);
  const int64_t inputs = weight.ndim == 3 ? weight[1] : 0;
  const Shape field = infer.has(1) ? infer.shape(1) : with_channels(infer.shape(0), inputs);
  const MeshFreeProblem p = check_problem(infer, line, field, 2);
  infer.require_shape(0, "g", with_channels(field, p.outputs));
  if (infer.has(1)) infer.require_dtype(1, "input", infer.dtype(0));
  infer.output(infer.dtype(0), field);
  infer.output(infer.dtype(0), weight);
  infer.output(infer.dtype(0), {p.outputs});
  infer.output(infer.dtype(0), {p.inputs, line ? 1 : 3});
  plan(infer, p, true);
}

void check_lengths(const Infer& infer, double x, double y) {
  infer.require_positive("length", x);
  infer.require_positive("length", y);
}

}  // namespace

void infer_mesh_free_conv2d(const MeshFreeConv2dParams& p, Infer& infer) {
  check_lengths(infer, p.lengthX, p.lengthY);
  infer_forward(infer, false);
}

void infer_mesh_free_conv2d_vjp(const MeshFreeConv2dParams& p, Infer& infer) {
  check_lengths(infer, p.lengthX, p.lengthY);
  infer_vjp(infer, false);
}

void infer_mesh_free_conv1d(const MeshFreeConv1dParams& p, Infer& infer) {
  check_lengths(infer, p.length, p.length);
  infer_forward(infer, true);
}

void infer_mesh_free_conv1d_vjp(const MeshFreeConv1dParams& p, Infer& infer) {
  check_lengths(infer, p.length, p.length);
  infer_vjp(infer, true);
}

}  // namespace fluxion
