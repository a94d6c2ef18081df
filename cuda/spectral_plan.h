// Spectral diffusion: what its launchers share (spectral_diffusion.cu, spectral_passes.cu).
#pragma once

#include "device/spectral_symbol.cuh"
#include "fft_lines.h"
#include "ops/spectral_diffusion.h"

namespace fluxion::cuda {

// [N, C, L], [N, C, H, W] or [N, C, D, H, W]; axis 0 is x.
template <class T>
DiffusionSymbol<T> diffusion_symbol(const SpectralDiffusionParams& p, const Kernel& call,
                                    const SpectralGrid& grid);

// One step where no shared memory holds the lines of some axis: each axis is a transform of its own, the
// factors a pass of their own. Backward as run_box; partials [row][chunk][2].
template <class T>
void diffuse_long(const SpectralDiffusionParams& p, const Kernel& call, const SpectralGrid& grid,
                  const T* saved, const T* in, T* out, double* partials);

// Sums of a row are in so many parts.
int64_t long_chunks(const SpectralGrid& grid);

}  // namespace fluxion::cuda
