// Half spectra of real planes: the box of a block that owns a plane, and transforms of whole planes in global
// memory. Spectra are [field][kx <= W / 2][ky], not scaled.
#pragma once

#include <initializer_list>

#include "device/spectral_box.cuh"
#include "fft_lines.h"

namespace fluxion::cuda {

inline int64_t half_bins(int64_t height, int64_t width) { return (width / 2 + 1) * height; }

// A block for each plane, with `boxes` planes in its shared memory.
template <class T>
class PlaneBox {
 public:
  PlaneBox(const Kernel& call, int64_t planes, int64_t height, int64_t width, int boxes,
           std::initializer_list<const void*> arrays);
  bool fits() const { return fits_; }
  const SpectralBox<T>& box() const { return box_; }
  // `more`: bytes of shared memory behind the boxes and the lines.
  Grid grid(size_t more) const { return {planes_, threads_, shared_ + more}; }

 private:
  SpectralBox<T> box_{};
  int64_t planes_;
  int threads_ = kWarp;
  size_t shared_ = 0;
  bool fits_ = false;
};

template <class T>
void to_half_spectra(const Kernel& call, int64_t fields, int64_t height, int64_t width, const T* in,
                     Point<T>* spectra);
// spectra are used.
template <class T>
void from_half_spectra(const Kernel& call, int64_t fields, int64_t height, int64_t width,
                       Point<T>* spectra, T* out);

}  // namespace fluxion::cuda
