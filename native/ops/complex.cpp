// Validation, output shapes and view strides of the complex ops.
#include "ops/complex.h"

#include "ops/elementwise.h"

namespace fluxion {

namespace {

void require_complex(const Infer& infer, int i, const char* argument) {
  infer.require(
      is_complex(infer.dtype(i)), ErrorCode::DTypeMismatch,
      format("%s must be complex64 or complex128, got %s", argument, name_of(infer.dtype(i))));
}

// The strides of a complex view, counted in numbers.
Shape doubled(const Shape& strides) {
  Shape out = strides;
  for (int i = 0; i < out.ndim; ++i) out[i] *= 2;
  return out;
}

void infer_part(Infer& infer, int64_t offset) {
  infer.allow_complex();
  require_complex(infer, 0, "z");
  infer.alias_as(real_of(infer.dtype(0)), infer.shape(0), doubled(infer.in(0).strides),
                 infer.in(0).size() == 0 ? 0 : offset);
}

}  // namespace

void infer_real(const NoParams&, Infer& infer) { infer_part(infer, 0); }
void infer_imag(const NoParams&, Infer& infer) { infer_part(infer, 1); }

void infer_view_as_real(const NoParams&, Infer& infer) {
  infer.allow_complex();
  require_complex(infer, 0, "z");
  Shape shape = infer.shape(0), strides = doubled(infer.in(0).strides);
  infer.require(shape.ndim < kMaxDims, ErrorCode::ShapeMismatch,
                format("z must have at most %d dimensions, got shape %s", kMaxDims - 1,
                       describe(shape).c_str()));
  shape.push(2);
  strides.push(1);
  infer.alias_as(real_of(infer.dtype(0)), shape, strides, 0);
}

// Pairs of neighbours at even distances are complex numbers where they lie; others are copied first.
void infer_view_as_complex(const NoParams&, Infer& infer) {
  infer.allow_complex();
  const TensorView& x = infer.in(0);
  infer.require_floating(0, "x");
  const int last = x.ndim() - 1;
  infer.require(last >= 0 && x.shape[last] == 2, ErrorCode::ShapeMismatch,
                "x must have a last dimension of size 2, got shape " + describe(x.shape));
  const size_t element = size_of(complex_of(x.dtype));
  bool fits = x.strides[last] == 1 && reinterpret_cast<uintptr_t>(x.data) % element == 0;
  for (int i = 0; i < last; ++i) fits = fits && (x.shape[i] <= 1 || x.strides[i] % 2 == 0);
  Shape shape = x.shape, strides = fits ? x.strides : contiguous_strides(shape);
  --shape.ndim;
  --strides.ndim;
  for (int i = 0; i < last; ++i) strides[i] /= 2;
  if (!fits) infer.need_copy();
  infer.alias_as(complex_of(x.dtype), shape, strides, 0);
}

void infer_complex(const NoParams&, Infer& infer) {
  static constexpr const char* kArguments[] = {"re", "im"};
  infer.allow_complex();
  infer.require_floating(0, "re");
  infer.require_dtype(1, "im", infer.dtype(0));
  infer.output(complex_of(infer.dtype(0)), broadcast_shape(infer, 2, kArguments));
}

void infer_conj(const NoParams&, Infer& infer) {
  infer.allow_complex();
  require_complex(infer, 0, "z");
  infer.output(infer.dtype(0), infer.shape(0));
}

void infer_mul_conj(const NoParams&, Infer& infer) {
  static constexpr const char* kArguments[] = {"x", "other"};
  infer.allow_complex();
  require_complex(infer, 0, "x");
  infer.require_dtype(1, "other", infer.dtype(0));
  infer.output(infer.dtype(0), broadcast_shape(infer, 2, kArguments));
}

void infer_angle(const NoParams&, Infer& infer) {
  infer.allow_complex();
  require_complex(infer, 0, "z");
  infer.output(real_of(infer.dtype(0)), infer.shape(0));
  infer.work *= 16;
}

}  // namespace fluxion
