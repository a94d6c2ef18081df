// Launch numbers, in one place. A value without a measurement beside it has not been tuned on a GPU yet.
#pragma once

namespace fluxion::cuda {

// Elementwise kernels: 256 threads with 4 elements each keep 16-byte loads in flight on all of sm_75 to
// sm_100 (CUDA C++ best practices guide, section 10).
inline constexpr int kElementThreads = 256;
inline constexpr int kElementsPerThread = 4;

// Advection. None of these has been tuned on a GPU.
//   Planes per block of single upwind steps: with 8 members the velocity costs 1 byte a cell of L2 traffic.
inline constexpr int kUpwindThreads = 256;
inline constexpr int64_t kUpwindMembers = 8;
//   Threads of a multiprocessor below which the members of a group are spread over more of them: a quarter
//   of what it holds.
inline constexpr int64_t kUpwindThreadsWanted = 512;
//   Cells of a line that one thread of the second-order adjoint walks; 4 more are evaluated for them.
inline constexpr int kUpwindSegment = 16;
//   Threads of a plane's adjoint: more would leave too few registers for its limiters.
inline constexpr int kUpwindPullThreads = 512;
//   States of steps that the backward pass keeps in all; beyond, it computes them again from checkpoints.
inline constexpr int64_t kUpwindStateBytes = int64_t{256} << 20;

//   Semi-Lagrangian blocks of planes: three of 512 threads fill the threads of sm_75 and most of sm_90.
inline constexpr int kSampleThreads = 512;
//   Channels for which the taps of a point are worked out once.
inline constexpr int64_t kSampleChannels = 8;
inline constexpr int kSamplePointThreads = 256;
//   Threads of a multiprocessor below which channels are spread over more of them.
inline constexpr int64_t kSampleThreadsWanted = 1024;
//   The advection-diffusion-reaction step: tiles of 64 pixels and 64 rows make 16 values a thread.
inline constexpr int kAdrThreads = 256;
//   Accumulators in global memory at a time.
inline constexpr int64_t kSampleScratchBytes = int64_t{256} << 20;

}  // namespace fluxion::cuda
