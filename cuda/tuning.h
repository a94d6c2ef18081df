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

// Steps of a shuffle under way: one block as large as there is; conflicts among 1024 steps are rare until about
// as many places are left. Not tuned.
inline constexpr int kShuffleThreads = 1024;

// Optimizer steps and norms over many tensors: elements of one block of 256 threads, four packs of float32 a
// thread, so that finding the tensor of a block costs little against 112 KB of an Adam step. Not tuned.
inline constexpr int kStepThreads = 256;
inline constexpr int kStepElements = 4096;

// Sums of losses: elements of one block (the order of the additions follows from it). Not tuned.
inline constexpr int kLossThreads = 256;
inline constexpr int kLossElements = 8192;

}  // namespace fluxion::cuda
