// Element types. The numeric values cross the C ABI and the Node-API boundary: append only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fluxion {

enum class DType : int32_t { f32 = 0, f64 = 1, i32 = 2, u8 = 3 };

inline constexpr int kDTypeCount = 4;
inline constexpr const char* kDTypeNames[kDTypeCount] = {"float32", "float64", "int32", "uint8"};
inline constexpr size_t kDTypeSizes[kDTypeCount] = {4, 8, 4, 1};

inline size_t size_of(DType t) { return kDTypeSizes[static_cast<int>(t)]; }
inline const char* name_of(DType t) { return kDTypeNames[static_cast<int>(t)]; }
inline bool is_floating(DType t) { return t == DType::f32 || t == DType::f64; }

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

}  // namespace fluxion
