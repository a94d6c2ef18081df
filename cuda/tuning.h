// Launch numbers, in one place. A value without a measurement beside it has not been tuned on a GPU yet.
#pragma once

namespace fluxion::cuda {

// Elementwise kernels: 256 threads with 4 elements each keep 16-byte loads in flight on all of sm_75 to
// sm_100 (CUDA C++ best practices guide, section 10).
inline constexpr int kElementThreads = 256;
inline constexpr int kElementsPerThread = 4;

}  // namespace fluxion::cuda
