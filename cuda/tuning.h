// Launch numbers, in one place. A value without a measurement beside it has not been tuned on a GPU yet.
#pragma once

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

}  // namespace fluxion::cuda
