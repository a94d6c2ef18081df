// Memory that the 2-d transform of one plane needs (see cpu/fft_plane.h): the same on every instruction set.
#pragma once

#include "ops/fourier.h"

namespace fluxion {

// Distance between lines of bins in a half spectrum, in elements: a multiple of the widest vector.
inline int64_t plane_fft_pitch(int64_t rows, size_t element) {
  const int64_t lanes = 64 / static_cast<int64_t>(element);
  return (rows / 2 + lanes) / lanes * lanes;
}

// Bytes of one half spectrum: real parts [columns][pitch], then imaginary parts.
inline size_t plane_fft_spectrum_bytes(int64_t rows, int64_t columns, size_t element) {
  return 2 * element * static_cast<size_t>(columns * plane_fft_pitch(rows, element));
}

// Bytes of scratch for a forward or inverse transform.
inline size_t plane_fft_scratch_bytes(int64_t rows, int64_t columns, size_t element) {
  const int64_t longest = rows > columns ? rows : columns;
  const size_t row = (static_cast<size_t>(columns) * element + 63) / 64 * 64;
  const size_t along_x = fft_scratch_bytes(columns), along_y = fft_scratch_bytes(rows);
  return 2 * static_cast<size_t>((rows + 1) / 2) * row + 2 * static_cast<size_t>(longest) * 64 +
         (along_x > along_y ? along_x : along_y);
}

}  // namespace fluxion
