// Checks and texts shared by all infer functions.
#include "ops/op.h"

#include <cmath>
#include <vector>

namespace fluxion {

std::string describe(const Shape& shape) {
  std::string s = "[";
  for (int i = 0; i < shape.ndim; ++i) {
    if (i) s += ", ";
    s += std::to_string(shape[i]);
  }
  return s + "]";
}

std::string format(const char* pattern, ...) {
  va_list args, again;
  va_start(args, pattern);
  va_copy(again, args);
  const int length = std::vsnprintf(nullptr, 0, pattern, args);
  va_end(args);
  std::vector<char> text(static_cast<size_t>(length) + 1);
  std::vsnprintf(text.data(), text.size(), pattern, again);
  va_end(again);
  return std::string(text.data(), static_cast<size_t>(length));
}

// Texts are made only for an error: these checks run with every call of every op.

void Infer::require_ndim(int i, const char* argument, int ndim) const {
  if (in(i).ndim() == ndim) return;
  fail(ErrorCode::ShapeMismatch, op_,
       format("%s must have %d dimensions, got shape %s", argument, ndim,
              describe(shape(i)).c_str()));
}

void Infer::require_shape(int i, const char* argument, const Shape& expected) const {
  if (shape(i) == expected) return;
  fail(ErrorCode::ShapeMismatch, op_,
       format("%s must have shape %s, got %s", argument, describe(expected).c_str(),
              describe(shape(i)).c_str()));
}

void Infer::require_floating(int i, const char* argument) const {
  if (is_floating(dtype(i))) return;
  fail(ErrorCode::DTypeMismatch, op_,
       format("%s must be float32 or float64, got %s", argument, name_of(dtype(i))));
}

void Infer::require_dtype(int i, const char* argument, DType expected) const {
  if (dtype(i) == expected) return;
  fail(ErrorCode::DTypeMismatch, op_,
       format("%s must be %s, got %s", argument, name_of(expected), name_of(dtype(i))));
}

void Infer::require_positive(const char* argument, double value) const {
  if (std::isfinite(value) && value > 0) return;
  fail(ErrorCode::InvalidArgument, op_,
       format("%s must be a finite number > 0, got %g", argument, value));
}

void Infer::require_finite(const char* argument, double value) const {
  if (std::isfinite(value)) return;
  fail(ErrorCode::InvalidArgument, op_,
       format("%s must be a finite number, got %g", argument, value));
}

void Infer::output(DType dtype, const Shape& shape) {
  for (int i = 0; i < shape.ndim; ++i) {
    if (shape[i] < 0)
      fail(ErrorCode::InvalidArgument, op_,
           "result would have the negative shape " + describe(shape));
  }
  out_shape[outputs] = shape;
  out_dtype[outputs] = dtype;
  if (wants(outputs)) work += shape.size();
  ++outputs;
}

void Infer::refuse_complex() const {
  for (int i = 0; i < inputs(); ++i)
    if (is_complex(dtype(i)))
      fail(ErrorCode::DTypeMismatch, op_,
           format("input must be real, got %s; take real(), imag() or abs() of it",
                  name_of(dtype(i))));
  for (int i = 0; i < outputs; ++i)
    if (is_complex(out_dtype[i]))
      fail(ErrorCode::DTypeMismatch, op_,
           format("dtype must be real, got %s", name_of(out_dtype[i])));
}

void Infer::alias(const Shape& shape, const Shape& strides, int64_t offset) {
  alias_as(dtype(0), shape, strides, offset);
}

void Infer::alias_as(DType as, const Shape& shape, const Shape& strides, int64_t offset) {
  output(as, shape);
  aliased = true;
  alias_strides = strides;
  alias_offset = offset;
}

int64_t ParamDecoder::integer(const char* name, double value) const {
  if (!(std::abs(value) <= 9007199254740992.0) || value != std::floor(value)) {
    fail(ErrorCode::InvalidArgument, op_, format("%s must be an integer, got %g", name, value));
  }
  return static_cast<int64_t>(value);
}

int ParamDecoder::index_of(const char* name, const char* const* names, size_t count) {
  const std::string given = reader_.text(name);
  std::string known;
  for (size_t i = 0; i < count; ++i) {
    if (given == names[i]) return static_cast<int>(i);
    known += std::string(i ? ", '" : "'") + names[i] + "'";
  }
  fail(ErrorCode::InvalidArgument, op_,
       std::string(name) + " must be one of " + known + ", got '" + given + "'");
}

}  // namespace fluxion
