// Launch numbers, in one place. A value without a measurement beside it has not been tuned on a GPU yet.
#pragma once

#include <cstdint>

namespace fluxion::cuda {

// Elementwise kernels: 256 threads with 4 elements each keep 16-byte loads in flight on all of sm_75 to
// sm_100 (CUDA C++ best practices guide, section 10).
inline constexpr int kElementThreads = 256;
inline constexpr int kElementsPerThread = 4;

// --- implicit diffusion. Derived, not tuned on a GPU yet.
// Warps of a block with a plane: 8 keep three planes of 128 x 128 float32 on an SM of 227 KB with 80
// registers a thread, and with smaller planes a warp has two rounds of columns to spread its factors over.
inline constexpr int kPlaneWarps = 8;
// Cells of the tile of a block, as many planes as fit: 16 KB in float32, of which six blocks are resident. 4.3
// TB/s over 132 SMs and 0.8 us of latency are 26 KB under way in each SM.
inline constexpr int kTileCells = 4096;
// Rows have up to 32 segments, one in each lane; columns up to 16, one in each warp.
inline constexpr int kMaxTileWidth = 512;
inline constexpr int kMaxTileHeight = 256;
// Segments of a piece of a column (16 warps), and rounds of columns of a block.
inline constexpr int kColumnPiece = 16;
inline constexpr int kColumnRounds = 2;
// Tiles of two fields above which an SM has room for one block, which then takes twice the warps.
inline constexpr int kSharedOfPair = 110 << 10;
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
// Matrix products and convolutions (device/gemm_tile.cuh): tile, sums of a thread, blocks on a multiprocessor,
// and the share of the arithmetic peak that the fragments' reads of shared memory leave, for comparing tiles:
// 8 x 8 sums read 16 words for 64 multiply-adds, 4 x 8 12 for 32. Derived from 65536 registers and 128 words
// of shared memory a cycle of a multiprocessor; not tuned on a GPU yet.
struct GemmNumbers {
  int m, n, thread_m, thread_n, blocks;
  double speed;
};
inline constexpr GemmNumbers kGemmTilesF32[] = {
    {128, 128, 8, 8, 2, 1.0}, {64, 128, 8, 8, 3, 0.9}, {32, 128, 4, 8, 4, 0.6}};
inline constexpr GemmNumbers kGemmTilesF64[] = {{64, 64, 4, 4, 2, 1.0}, {32, 64, 4, 4, 4, 0.9}};
// The depth is cut until every multiprocessor has this many blocks, into slices no shorter than this.
inline constexpr int kGemmBlocksWanted = 2;
inline constexpr int kGemmSliceDepth = 32;
inline constexpr int kGemmFinishThreads = 256;
// A product with a vector of few rows and a depth beyond this is cut along the depth as any other.
inline constexpr int kVectorLongDepth = 1024;
// A convolution with a single tap is a product for each image from this many pixels on; smaller planes share
// tiles of the general kernel.
inline constexpr int kConvPointsPlane = 256;
// Depthwise convolutions (device/depthwise_dense.cuh): at most 64 columns of a tile, so that a margin of 2 to 6 of
// them is read twice; blocks of a multiprocessor that the gradient of the weights is cut into.
inline constexpr int kDepthwiseColumnsLog = 6;
inline constexpr int kDepthwiseBlocks = 4;

// Reductions (device/fold.cuh). Blocks of 256 threads; about eight of them on each of the 132 multiprocessors of
// an H200 are wanted, so that fewer outputs are cut into slices, of no fewer elements than pay for the second
// launch. The order of the additions follows from these numbers and the shape. Not tuned.
inline constexpr int kFoldThreads = 256;
inline constexpr int kFoldBlocks = 1056;
inline constexpr int kFoldSliceElements = 8192;
inline constexpr int kFoldShortRun = 32;    // shorter runs of several are folded element by element
inline constexpr int kFoldBlockRun = 4096;  // from here on a block folds an output, below a warp

// Lines in registers (device/line.cuh): elements of a thread, and the threads of a block of short lines. Eight
// elements of float32 are two loads of 16 bytes under way in each thread. Not tuned.
inline constexpr int kLineElements = 8;
inline constexpr int kLineThreads = 256;
inline constexpr int kLongLineThreads = 512;  // of a line that is read in loops

// Normalisation: threads of a pass over planes; which groups one block normalises; blocks that share the rows of
// a layer's gradients, two for each multiprocessor of an H200. Not tuned.
inline constexpr int kNormThreads = 256;
inline constexpr int kNormNearElements = 8192;  // groups up to here stay in shared memory however few there are,
inline constexpr int kNormNearBlocks = 66;      // larger ones where they are for half of the multiprocessors
inline constexpr int kNormSlices = 264;

// Running sums: elements of a chunk that pays for another visit, by a block or, where lines lie side by side, by
// a thread, which then adds up to kScanChunks totals itself. Not tuned.
inline constexpr int kScanThreads = 256;
inline constexpr int kScanElements = 4096;
inline constexpr int kScanColumn = 256;
inline constexpr int kScanChunks = 64;
// Resampling: elements that an output reads at most in one pass over all axes; two cubic windows are 16, three
// linear ones 8. Not tuned.
inline constexpr int64_t kFusedWindow = 64;
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
