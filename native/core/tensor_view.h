// A strided window on memory owned by somebody else: what infer functions and kernels see of a tensor.
// Plain data of fixed size, so that it can be copied into the queue and across the C ABI of a back end.
// Strides count elements and may be 0 (expanded axes). Row-major (C order) is "contiguous".
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/dtype.h"

namespace fluxion {

inline constexpr int kMaxDims = 8;

struct Shape {
  int32_t ndim = 0;
  int64_t dim[kMaxDims] = {};

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) dim[ndim++] = d;
  }
  int64_t& operator[](int i) { return dim[i]; }
  int64_t operator[](int i) const { return dim[i]; }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= dim[i];
    return n;
  }
  void push(int64_t d) { dim[ndim++] = d; }
  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.ndim != b.ndim) return false;
    for (int i = 0; i < a.ndim; ++i)
      if (a.dim[i] != b.dim[i]) return false;
    return true;
  }
};

inline Shape contiguous_strides(const Shape& shape) {
  Shape s;
  s.ndim = shape.ndim;
  int64_t step = 1;
  for (int i = shape.ndim - 1; i >= 0; --i) {
    s.dim[i] = step;
    step *= shape.dim[i];
  }
  return s;
}

struct TensorView {
  void* data = nullptr;  // null: an absent optional input, or an output nobody asked for
  DType dtype = DType::f32;
  bool present = false;  // false only for absent optional inputs
  bool scalar = false;   // a host number given in place of a tensor; its value is behind `data`
  Shape shape;
  Shape strides;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int ndim() const { return shape.ndim; }
  int64_t size() const { return shape.size(); }

  bool contiguous() const {
    int64_t step = 1;
    for (int i = shape.ndim - 1; i >= 0; --i) {
      if (shape.dim[i] == 0) return true;
      if (shape.dim[i] != 1 && strides.dim[i] != step) return false;
      step *= shape.dim[i];
    }
    return true;
  }
};

}  // namespace fluxion
