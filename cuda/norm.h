// Launching the passes of normalisations over planes (device/norm.cuh).
#pragma once

#include "device/norm.cuh"
#include "lines.h"
#include "ops/normalization.h"

namespace fluxion::cuda {

inline NormActivation norm_activation(Activation activation) {
  static_assert(static_cast<int>(NormActivation::relu) == static_cast<int>(Activation::relu) &&
                static_cast<int>(NormActivation::gelu) == static_cast<int>(Activation::gelu) &&
                static_cast<int>(NormActivation::sigmoid) == static_cast<int>(Activation::sigmoid));
  return static_cast<NormActivation>(activation);
}

template <class T>
const T* optional_input(const Kernel& call, int i) {
  return call.in(i).present ? call.in(i).as<const T>() : nullptr;
}

// A contiguous view of other dimensions on a tensor's memory.
inline TensorView reshaped(const TensorView& view, const Shape& shape) {
  TensorView other = view;
  other.shape = shape;
  other.strides = contiguous_strides(shape);
  return other;
}

inline NormPlanes norm_planes(int64_t planes, int64_t size, int64_t tables) {
  NormPlanes s{};
  s.elements = planes * size;
  s.size = size;
  s.tables = tables;
  s.small = s.elements < (int64_t{1} << 31) && s.elements > 0;
  if (s.small) {
    s.by_size = Divisor(size);
    s.by_tables = Divisor(tables);
  }
  return s;
}

template <class T>
void normalize_all(const Kernel& call, const NormPlanes& s, Activation activation,
                   const NormAffine<T>* affine, const T* x, T* y) {
  constexpr int kPack = kLinePack<T>;
  const bool packs = s.size % kPack == 0 && aligned_packs(x, y);
  const int64_t blocks = blocks_of(s.elements, int64_t{kNormThreads} * kNormUnits * (packs ? kPack : 1));
  call.launch(packs ? normalize_planes<kPack, T> : normalize_planes<1, T>, {blocks, kNormThreads}, s,
              norm_activation(activation), affine, x, y);
}

template <class T>
void differentiate_all(const Kernel& call, const NormPlanes& s, Activation activation,
                       const NormAffine<T>* affine, const NormGradient<T>* gradient, const T* g,
                       const T* x, T* gx) {
  constexpr int kPack = kLinePack<T>;
  const bool packs = s.size % kPack == 0 && aligned_packs(g, x, gx);
  const int64_t blocks = blocks_of(s.elements, int64_t{kNormThreads} * kNormUnits * (packs ? kPack : 1));
  call.launch(packs ? differentiate_planes<kPack, T> : differentiate_planes<1, T>,
              {blocks, kNormThreads}, s, norm_activation(activation), affine, gradient, g, x, gx);
}

}  // namespace fluxion::cuda
