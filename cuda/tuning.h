// Launch numbers, in one place. A value without a measurement beside it has not been tuned on a GPU yet.
#pragma once

namespace fluxion::cuda {

// Elementwise kernels: 256 threads with 4 elements each keep 16-byte loads in flight on all of sm_75 to
// sm_100 (CUDA C++ best practices guide, section 10).
inline constexpr int kElementThreads = 256;
inline constexpr int kElementsPerThread = 4;

// Packs of 16 bytes of each operand that a thread of an elementwise kernel asks for at once. 4.3 TB/s times a
// latency of 0.7 us are 23 KB under way on each of the 132 multiprocessors of an H200; 1024 threads with two
// packs ask for 32 KB an operand. Not tuned.
inline constexpr int kElementPacks = 2;

}  // namespace fluxion::cuda
