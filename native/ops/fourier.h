// Fourier, cosine and sine transforms: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {

// Bytes of scratch that a vector of transforms of n points needs (see cpu/fft.h); 64 bytes is the widest
// vector.
inline size_t fft_scratch_bytes(int64_t n) { return 2 * static_cast<size_t>(n) * 64; }

}  // namespace fluxion
