// Validation and output shapes of the ops that read and add at positions given by a tensor.
#include "ops/shape_index.h"

#include "ops/shape.h"

namespace fluxion {

namespace {

long long ll(int64_t v) { return v; }

}  // namespace

void infer_index_select(const IndexSelectParams& p, Infer& infer) {
  infer.allow_complex();
  Shape out = infer.shape(0);
  require_dim(infer, p.dim, out.ndim);
  infer.require_dtype(1, "index", DType::i32);
  infer.require_ndim(1, "index", 1);
  out[static_cast<int>(p.dim)] = infer.shape(1)[0];
  infer.need_contiguous();
  infer.output(infer.dtype(0), out);
}

void infer_index_select_vjp(const IndexSelectVjpParams& p, Infer& infer) {
  infer.allow_complex();
  Shape out = infer.shape(0);
  require_dim(infer, p.dim, out.ndim);
  infer.require_dtype(1, "index", DType::i32);
  infer.require_ndim(1, "index", 1);
  const int dim = static_cast<int>(p.dim);
  infer.require(out[dim] == infer.shape(1)[0], ErrorCode::ShapeMismatch,
                format("g must have size %lld in dim %d, got shape %s", ll(infer.shape(1)[0]), dim,
                       describe(out).c_str()));
  out[dim] = p.size;
  infer.need_contiguous();
  infer.output(infer.dtype(0), out);
  infer.work += infer.in(0).size();
}

namespace {

// index may be smaller than the tensor it points into, except along dim where it may have any size.
void require_index(const Infer& infer, int64_t dim, const Shape& shape) {
  const Shape& index = infer.shape(1);
  require_dim(infer, dim, shape.ndim);
  infer.require_dtype(1, "index", DType::i32);
  if (index.size() == 0) return;  // an empty index selects nothing, whatever its shape
  infer.require_ndim(1, "index", shape.ndim);
  for (int i = 0; i < shape.ndim; ++i) {
    infer.require(i == dim || index[i] <= shape[i], ErrorCode::ShapeMismatch,
                  format("index must not be larger than %s except in dim %lld, got %s",
                         describe(shape).c_str(), ll(dim), describe(index).c_str()));
  }
}

}  // namespace

void infer_gather(const GatherParams& p, Infer& infer) {
  infer.allow_complex();
  require_index(infer, p.dim, infer.shape(0));
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(1));
}

void infer_gather_vjp(const GatherVjpParams& p, Infer& infer) {
  infer.allow_complex();
  require_sizes(infer, "inputShape", p.input_shape);
  require_index(infer, p.dim, p.input_shape);
  infer.require_shape(0, "g", infer.shape(1));
  infer.need_contiguous();
  infer.output(infer.dtype(0), p.input_shape);
  infer.work += infer.in(0).size();
}

void infer_scatter_add(const GatherParams& p, Infer& infer) {
  infer.allow_complex();
  require_index(infer, p.dim, infer.shape(0));
  infer.require_dtype(2, "src", infer.dtype(0));
  infer.require_shape(2, "src", infer.shape(1));
  infer.need_contiguous();
  infer.output(infer.dtype(0), infer.shape(0));
  infer.work += infer.in(2).size();
}

void infer_embedding(const NoParams&, Infer& infer) {
  infer.allow_complex();
  infer.require_dtype(0, "input", DType::i32);
  infer.require_ndim(1, "weight", 2);
  Shape out = infer.shape(0);
  infer.require(out.ndim < kMaxDims, ErrorCode::ShapeMismatch,
                format("input must have less than %d dimensions, got %d", kMaxDims, out.ndim));
  out.push(infer.shape(1)[1]);
  infer.need_contiguous();
  infer.output(infer.dtype(1), out);
}

}  // namespace fluxion
