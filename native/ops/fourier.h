// Fourier, cosine and sine transforms: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {

// Prime factors up to this are butterflies of mixed-radix transforms; a length with a larger one becomes a
// convolution (Bluestein) of fft_padded_length(n) points.
inline constexpr int64_t kLargestFftRadix = 127;

inline bool fft_is_mixed_radix(int64_t n) {
  for (int64_t p = 2; p <= kLargestFftRadix; ++p) {
    while (n > 1 && n % p == 0) n /= p;
  }
  return n <= 1;
}

// The shortest convenient length >= 2 n - 1.
inline int64_t fft_padded_length(int64_t n) {
  int64_t best = 1;
  while (best < 2 * n - 1) best *= 2;
  for (const int64_t odd : {3, 5, 7, 9, 15}) {
    int64_t length = 2 * odd;
    while (length < 2 * n - 1) length *= 2;
    if (length < best) best = length;
  }
  return best;
}

// Bytes of scratch that a vector of transforms of n points needs (see cpu/fft.h); 64 bytes is the widest
// vector.
inline size_t fft_scratch_bytes(int64_t n) {
  const int64_t points = fft_is_mixed_radix(n) ? n : 2 * fft_padded_length(n);
  return 2 * static_cast<size_t>(points) * 64;
}

}  // namespace fluxion
