// Element types. The numeric values cross the C ABI and the Node-API boundary: append only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fluxion {

enum class DType : int32_t { f32 = 0, f64 = 1, i32 = 2, u8 = 3, c64 = 4, c128 = 5 };

inline constexpr int kDTypeCount = 6;
inline constexpr const char* kDTypeNames[kDTypeCount] = {"float32", "float64",   "int32",
                                                         "uint8",   "complex64", "complex128"};
inline constexpr size_t kDTypeSizes[kDTypeCount] = {4, 8, 4, 1, 8, 16};

// An element of a complex tensor: real and imaginary part beside each other.
template <class T>
struct Complex {
  T re, im;
  Complex() = default;
  constexpr Complex(T real, T imaginary) : re(real), im(imaginary) {}
  template <class U>
  explicit constexpr Complex(const Complex<U>& z)
      : re(static_cast<T>(z.re)), im(static_cast<T>(z.im)) {}
};

inline size_t size_of(DType t) { return kDTypeSizes[static_cast<int>(t)]; }
inline const char* name_of(DType t) { return kDTypeNames[static_cast<int>(t)]; }
inline bool is_floating(DType t) { return t == DType::f32 || t == DType::f64; }
inline bool is_complex(DType t) { return t == DType::c64 || t == DType::c128; }
// The dtype of the parts of a complex dtype; others are their own.
inline DType real_of(DType t) {
  return t == DType::c64 ? DType::f32 : t == DType::c128 ? DType::f64 : t;
}
// The complex dtype whose parts have the dtype (float32 or float64).
inline DType complex_of(DType t) {
  return t == DType::f32 ? DType::c64 : t == DType::f64 ? DType::c128 : t;
}
// Numbers that an element consists of.
inline int64_t parts_of(DType t) { return is_complex(t) ? 2 : 1; }

// Writes a number as one element of the dtype.
inline void store_number(DType t, double value, void* to) {
  switch (t) {
    case DType::f32:
      *static_cast<float*>(to) = static_cast<float>(value);
      return;
    case DType::f64:
      *static_cast<double*>(to) = value;
      return;
    case DType::i32:
      *static_cast<int32_t*>(to) = static_cast<int32_t>(value);
      return;
    case DType::u8:
      *static_cast<uint8_t*>(to) = static_cast<uint8_t>(value);
      return;
    case DType::c64:
      *static_cast<Complex<float>*>(to) = {static_cast<float>(value), 0.0f};
      return;
    case DType::c128:
      *static_cast<Complex<double>*>(to) = {value, 0.0};
      return;
  }
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<Complex<float>> {
  static constexpr DType value = DType::c64;
};
template <>
struct DTypeOf<Complex<double>> {
  static constexpr DType value = DType::c128;
};

}  // namespace fluxion
