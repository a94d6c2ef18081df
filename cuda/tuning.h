// Launch numbers, in one place. A value without a measurement beside it has not been tuned on a GPU yet.
#pragma once

namespace fluxion::cuda {

// Elementwise kernels: 256 threads with 4 elements each keep 16-byte loads in flight on all of sm_75 to
// sm_100 (CUDA C++ best practices guide, section 10).
inline constexpr int kElementThreads = 256;
inline constexpr int kElementsPerThread = 4;

// Fourier transforms. A block has at most kFftThreads threads, so that each may keep 8 complex points
// of float64 and their factors in 128 registers, and usually kFftBlock. Not tuned on a GPU.
inline constexpr int kFftThreads = 512;
inline constexpr int kFftBlock = 256;
// Lines of strided axes that a block takes at least: 128 bytes of neighbours, where shared memory allows it.
inline constexpr int kFftRunBytes = 128;
// Cells of small planes or short lines that a block of spectral diffusion takes together.
inline constexpr int64_t kSpectralCells = 4096;
// Scratch of transforms of lines beyond a block's memory: as many lines at a time as fit in it (one at least).
inline constexpr int64_t kFftScratchBytes = int64_t{256} << 20;

// Mesh-free convolutions: threads (bins) of a block of the sums over channels, and bytes of spectra that are worked
// on together: two thirds of the 60 MB of L2 of an H200. Not tuned on a GPU.
inline constexpr int kMeshFreeThreads = 128;
inline constexpr int64_t kMeshFreeSpectra = int64_t{40} << 20;

}  // namespace fluxion::cuda
