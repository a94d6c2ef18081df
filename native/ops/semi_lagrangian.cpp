// What the semi-Lagrangian and sampling ops accept and return.
//   advect_semi_lagrangian_2d(u [N, C, H, W], displacement [N, 2, H, W] or [N, C, 2, H, W])   -> as u
//   advect_semi_lagrangian_2d_vjp(g, u, displacement)                -> gu, gdisplacement
//   advect_semi_lagrangian_3d, _vjp                                  the same with [N, C, D, H, W]
//   grid_sample(u [N, C, H, W], grid [N, OH, OW, 2])                 -> [N, C, OH, OW]; also one axis more
//   grid_sample_input_vjp(g, grid)                                   -> gu of the given shape
//   grid_sample_vjp(g, u, grid)                                      -> gu, ggrid
#include "ops/semi_lagrangian.h"

#include <cstdint>
#include <limits>

namespace fluxion {
namespace {

int64_t spatial_size(const Shape& shape) {
  int64_t n = 1;
  for (int i = 2; i < shape.ndim; ++i) n *= shape[i];
  return n;
}

// Dimensions within one field of the batch must be dense; fields may lie anywhere, or be the same one.
bool dense_fields(const TensorView& view) {
  int64_t step = 1;
  for (int i = view.shape.ndim - 1; i > 0; --i) {
    if (view.shape[i] != 1 && view.strides[i] != step) return false;
    step *= view.shape[i];
  }
  return true;
}

// Workspace, scratch and work of a launch that reads `cells` of every channel at `points` positions.
void plan_memory(Infer& infer, const Shape& image, int64_t points, bool per_channel, bool gradient,
                 bool bicubic) {
  const size_t element = size_of(infer.dtype(0));
  const int64_t axes = image.ndim - 2, cells = spatial_size(image);
  const SamplingPlan plan =
      plan_sampling(image[0], image[1], cells, points, axes, per_channel, element);
  if (gradient) infer.workspace = static_cast<size_t>(plan.partial_size) * element;
  // A tile of vectors for the field that is read and one for the field that is added to.
  if (plan.channel_lanes) infer.scratch = 2 * static_cast<size_t>(cells) * 64;
  const int64_t taps = (axes == 2 ? 4 : 8) * (bicubic ? (axes == 2 ? 4 : 8) : 1);
  infer.work = (gradient ? 5 : 2) * taps * image[0] * image[1] * points;
}

void check_index_range(const Infer& infer, const Shape& image) {
  const bool fits =
      infer.dtype(0) == DType::f64 || spatial_size(image) <= std::numeric_limits<int32_t>::max();
  infer.require_argument(
      fits, "input must have less than 2^31 cells in a channel, got shape " + describe(image));
}

// Returns whether every channel has a displacement of its own.
bool check_displacement(const Infer& infer, int u, int displacement, int axes) {
  infer.require_ndim(u, "input", axes + 2);
  infer.require_floating(u, "input");
  infer.require_dtype(displacement, "displacement", infer.dtype(u));
  const Shape& field = infer.shape(u);
  Shape shared{field[0], axes}, own{field[0], field[1], axes};
  for (int i = 2; i < field.ndim; ++i) {
    shared.push(field[i]);
    own.push(field[i]);
  }
  const bool per_channel = infer.shape(displacement) == own;
  infer.require(per_channel || infer.shape(displacement) == shared, ErrorCode::ShapeMismatch,
                format("displacement must have shape %s or %s (or 1 in place of the batch), got %s",
                       describe(shared).c_str(), describe(own).c_str(),
                       describe(infer.shape(displacement)).c_str()));
  check_index_range(infer, field);
  return per_channel;
}

void infer_advect(const SemiLagrangianParams& p, Infer& infer, int axes) {
  const bool per_channel = check_displacement(infer, 0, 1, axes);
  infer.need_contiguous(0);
  if (!dense_fields(infer.in(1))) infer.need_contiguous(1);
  infer.output(infer.dtype(0), infer.shape(0));
  plan_memory(infer, infer.shape(0), spatial_size(infer.shape(0)), per_channel, false,
              p.interpolation == Interpolation::bicubic);
}

void infer_advect_vjp(const SemiLagrangianParams& p, Infer& infer, int axes) {
  const bool per_channel = check_displacement(infer, 1, 2, axes);
  infer.require_shape(0, "cotangent", infer.shape(1));
  infer.require_dtype(0, "cotangent", infer.dtype(1));
  infer.need_contiguous(0);
  infer.need_contiguous(1);
  if (!dense_fields(infer.in(2))) infer.need_contiguous(2);
  infer.output(infer.dtype(1), infer.shape(1));
  infer.output(infer.dtype(1), infer.shape(2));
  plan_memory(infer, infer.shape(1), spatial_size(infer.shape(1)), per_channel, infer.wants(1),
              p.interpolation == Interpolation::bicubic);
}

// Checks an image and a grid; returns the shape of the samples.
Shape check_grid(const GridSampleParams& p, const Infer& infer, const Shape& image, int grid) {
  infer.require(image.ndim == 4 || image.ndim == 5, ErrorCode::ShapeMismatch,
                "input must have 4 or 5 dimensions, got shape " + describe(image));
  infer.require_argument(p.mode != GridMode::bicubic || image.ndim == 4,
                         "mode must be bilinear or nearest for 5 dimensions, got bicubic");
  for (int i = 2; i < image.ndim; ++i) {
    infer.require(image[i] > 0, ErrorCode::ShapeMismatch,
                  "input must have cells along every spatial axis, got shape " + describe(image));
  }
  infer.require_floating(0, "input");
  infer.require_dtype(grid, "grid", infer.dtype(0));
  const Shape& positions = infer.shape(grid);
  const int axes = image.ndim - 2;
  infer.require(
      positions.ndim == image.ndim && positions[0] == image[0] &&
          positions[positions.ndim - 1] == axes,
      ErrorCode::ShapeMismatch,
      format("grid must have shape [%lld, %s, %d], got %s", static_cast<long long>(image[0]),
             axes == 2 ? "OH, OW" : "OD, OH, OW", axes, describe(positions).c_str()));
  check_index_range(infer, image);
  Shape samples{image[0], image[1]};
  for (int i = 1; i <= axes; ++i) samples.push(positions[i]);
  return samples;
}

}  // namespace

void infer_advect_semi_lagrangian_2d(const SemiLagrangianParams& p, Infer& infer) {
  infer_advect(p, infer, 2);
}
void infer_advect_semi_lagrangian_2d_vjp(const SemiLagrangianParams& p, Infer& infer) {
  infer_advect_vjp(p, infer, 2);
}
void infer_advect_semi_lagrangian_3d(const SemiLagrangianParams& p, Infer& infer) {
  infer_advect(p, infer, 3);
}
void infer_advect_semi_lagrangian_3d_vjp(const SemiLagrangianParams& p, Infer& infer) {
  infer_advect_vjp(p, infer, 3);
}

void infer_grid_sample(const GridSampleParams& p, Infer& infer) {
  const Shape samples = check_grid(p, infer, infer.shape(0), 1);
  infer.need_contiguous();
  infer.output(infer.dtype(0), samples);
  plan_memory(infer, infer.shape(0), spatial_size(samples), false, false,
              p.mode == GridMode::bicubic);
}

void infer_grid_sample_input_vjp(const GridSampleInputVjpParams& p, Infer& infer) {
  const Shape samples = check_grid(p, infer, p.input_shape, 1);
  infer.require_shape(0, "cotangent", samples);
  infer.need_contiguous();
  infer.output(infer.dtype(0), p.input_shape);
  plan_memory(infer, p.input_shape, spatial_size(samples), false, false,
              p.mode == GridMode::bicubic);
}

void infer_grid_sample_vjp(const GridSampleParams& p, Infer& infer) {
  const Shape samples = check_grid(p, infer, infer.shape(1), 2);
  infer.require_shape(0, "cotangent", samples);
  infer.require_dtype(1, "input", infer.dtype(0));
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(1));
  infer.output(infer.dtype(0), infer.shape(2));
  plan_memory(infer, infer.shape(1), spatial_size(samples), false, infer.wants(1),
              p.mode == GridMode::bicubic);
}

}  // namespace fluxion
