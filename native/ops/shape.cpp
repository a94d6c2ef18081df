// Validation, output shapes and view strides of the ops that move elements.
#include "ops/shape.h"

namespace fluxion {

namespace {

long long ll(int64_t v) { return v; }

}  // namespace

void require_dim(const Infer& infer, int64_t dim, int ndim) {
  infer.require_argument(dim >= 0 && dim < ndim,
                         format("dim must be in [0, %d), got %lld", ndim, ll(dim)));
}

void require_list(const Infer& infer, const char* argument, const Shape& list, int length) {
  infer.require_argument(list.ndim == length, format("%s must have %d entries, got %s", argument,
                                                     length, describe(list).c_str()));
}

void require_sizes(const Infer& infer, const char* argument, const Shape& shape) {
  for (int i = 0; i < shape.ndim; ++i)
    infer.require_argument(shape[i] >= 0,
                           std::string(argument) + " must not be negative, got " + describe(shape));
}

// Both shapes are cut into the shortest groups of dimensions with equal products; within a group the
// dimensions of the view must be mergeable, and the new ones divide their common stride.
bool reshaped_strides(const TensorView& view, const Shape& shape, Shape* strides) {
  if (view.contiguous()) {
    *strides = contiguous_strides(shape);
    return true;
  }
  strides->ndim = shape.ndim;
  int to = shape.ndim - 1;
  int64_t old_count = 1, new_count = 1;
  int64_t base = 0;  // stride of the group's innermost dimension
  bool open = false;
  for (int from = view.ndim() - 1; from >= 0; --from) {
    if (view.shape[from] == 1) continue;
    if (!open) {
      base = view.strides[from];
      old_count = new_count = 1;
    } else if (view.strides[from] != base * old_count) {
      return false;
    }
    open = true;
    old_count *= view.shape[from];
    while (to >= 0 && (new_count < old_count || shape[to] == 1)) {
      (*strides)[to] = base * new_count;
      new_count *= shape[to--];
    }
    if (new_count == old_count)
      open = false;
    else if (new_count > old_count)
      continue;  // the group needs more dimensions of the view
  }
  for (; to >= 0; --to) (*strides)[to] = base;  // leading ones
  return true;
}

void infer_reshape(const ReshapeParams& p, Infer& infer) {
  infer.allow_complex();
  require_sizes(infer, "shape", p.shape);
  infer.require(
      p.shape.size() == infer.in(0).size(), ErrorCode::ShapeMismatch,
      format("shape must have %lld elements as x of shape %s, got %s", ll(infer.in(0).size()),
             describe(infer.shape(0)).c_str(), describe(p.shape).c_str()));
  Shape strides;
  if (!reshaped_strides(infer.in(0), p.shape, &strides)) {
    infer.need_contiguous(0);  // the engine copies, then the view is on the copy
    strides = contiguous_strides(p.shape);
  }
  infer.alias(p.shape, strides, 0);
}

void infer_permute(const PermuteParams& p, Infer& infer) {
  infer.allow_complex();
  const TensorView& x = infer.in(0);
  require_list(infer, "dims", p.dims, x.ndim());
  Shape shape, strides;
  uint32_t seen = 0;
  for (int i = 0; i < p.dims.ndim; ++i) {
    const int64_t d = p.dims[i];
    infer.require_argument(d >= 0 && d < x.ndim() && !((seen >> d) & 1u),
                           "dims must be a permutation of the dimensions, got " + describe(p.dims));
    seen |= 1u << d;
    shape.push(x.shape[static_cast<int>(d)]);
    strides.push(x.strides[static_cast<int>(d)]);
  }
  infer.alias(shape, strides, 0);
}

void infer_expand(const ExpandParams& p, Infer& infer) {
  infer.allow_complex();
  const TensorView& x = infer.in(0);
  require_sizes(infer, "shape", p.shape);
  const int added = p.shape.ndim - x.ndim();
  bool fits = added >= 0;
  Shape strides;
  strides.ndim = p.shape.ndim;
  for (int i = 0; fits && i < x.ndim(); ++i) {
    const int64_t from = x.shape[i], to = p.shape[added + i];
    fits = from == to || from == 1;
    strides[added + i] = from == to ? x.strides[i] : 0;
  }
  infer.require(fits, ErrorCode::ShapeMismatch,
                format("shape must be one to which %s expands, got %s", describe(x.shape).c_str(),
                       describe(p.shape).c_str()));
  infer.alias(p.shape, strides, 0);
}

void infer_slice(const SliceParams& p, Infer& infer) {
  infer.allow_complex();
  const TensorView& x = infer.in(0);
  require_list(infer, "starts", p.starts, x.ndim());
  require_list(infer, "stops", p.stops, x.ndim());
  require_list(infer, "steps", p.steps, x.ndim());
  Shape shape, strides;
  int64_t offset = 0;
  for (int i = 0; i < x.ndim(); ++i) {
    const int64_t start = p.starts[i], stop = p.stops[i], step = p.steps[i];
    infer.require_argument(
        0 <= start && start <= stop && stop <= x.shape[i],
        format("start and stop must satisfy 0 <= start <= stop <= %lld, got %lld and %lld",
               ll(x.shape[i]), ll(start), ll(stop)));
    infer.require_argument(step >= 1, format("step must be >= 1, got %lld", ll(step)));
    shape.push((stop - start + step - 1) / step);
    strides.push(x.strides[i] * step);
    // An empty slice may start one past the end: keep the view inside its memory.
    if (start < stop) offset += start * x.strides[i];
  }
  infer.alias(shape, strides, shape.size() == 0 ? 0 : offset);
}

void infer_slice_vjp(const SliceVjpParams& p, Infer& infer) {
  infer.allow_complex();
  const Shape& g = infer.shape(0);
  require_sizes(infer, "inputShape", p.input_shape);
  infer.require_ndim(0, "g", p.input_shape.ndim);
  require_list(infer, "starts", p.starts, g.ndim);
  require_list(infer, "steps", p.steps, g.ndim);
  for (int i = 0; i < g.ndim; ++i) {
    infer.require_argument(
        p.starts[i] >= 0 && p.steps[i] >= 1 &&
            (g[i] == 0 || p.starts[i] + (g[i] - 1) * p.steps[i] < p.input_shape[i]),
        format("g must fit into the sliced shape %s, got %s", describe(p.input_shape).c_str(),
               describe(g).c_str()));
  }
  infer.output(infer.dtype(0), p.input_shape);
}

void infer_copy(const NoParams&, Infer& infer) {
  infer.allow_complex();
  infer.output(infer.dtype(0), infer.shape(0));
}

void infer_assign(const NoParams&, Infer& infer) {
  infer.allow_complex();
  for (int i = 0; i < 2; ++i) {
    infer.require(infer.has(i) && !infer.in(i).scalar, ErrorCode::InvalidArgument,
                  "inputs must be tensors");
  }
  infer.require_dtype(1, "value", infer.dtype(0));
  infer.require_shape(1, "value", infer.shape(0));
  infer.need_contiguous(0);
  infer.update(2, 0b01u);
  infer.work = infer.shape(0).size();
}

void infer_full(const FillParams& p, Infer& infer) {
  infer.allow_complex();
  require_sizes(infer, "shape", p.shape);
  infer.output(p.dtype, p.shape);
}

void infer_cat(const ConcatParams& p, Infer& infer) {
  infer.allow_complex();
  infer.require_argument(infer.inputs() > 0, "tensors must have at least one tensor, got none");
  Shape out = infer.shape(0);
  require_dim(infer, p.dim, out.ndim);
  const int dim = static_cast<int>(p.dim);
  for (int i = 1; i < infer.inputs(); ++i) {
    infer.require_dtype(i, "tensors", infer.dtype(0));
    Shape expected = infer.shape(0);
    infer.require_ndim(i, "tensors", expected.ndim);
    expected[dim] = infer.shape(i)[dim];
    infer.require(infer.shape(i) == expected, ErrorCode::ShapeMismatch,
                  format("tensors must have equal shapes except in dim %d, got %s and %s", dim,
                         describe(infer.shape(0)).c_str(), describe(infer.shape(i)).c_str()));
    out[dim] += expected[dim];
  }
  infer.output(infer.dtype(0), out);
}

namespace {

void infer_triangle(Infer& infer) {
  infer.allow_complex();
  infer.require(infer.shape(0).ndim >= 2, ErrorCode::ShapeMismatch,
                "input must have at least 2 dimensions, got shape " + describe(infer.shape(0)));
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(0));
}

}  // namespace

void infer_tril(const TriangleParams&, Infer& infer) { infer_triangle(infer); }
void infer_triu(const TriangleParams&, Infer& infer) { infer_triangle(infer); }

}  // namespace fluxion
