// Strided copies: to[i . to_strides] = from[i . from_strides] over a space of positions, of raw words.
//
// move_words: a thread moves one word; neighbours in the space are neighbours in the grid. Words are as wide as
// both sides allow, up to 16 bytes.
// move_transposed: where the two sides are contiguous along different axes, a block takes a tile of 32 x 32
// words: read along the one, written along the other, through shared memory (a column more than the tile has,
// so that neither direction meets a bank twice).
// Bytes: every element is read and written once.
#pragma once

#include "map.cuh"

namespace fluxion::cuda {

inline constexpr int kMoveTile = 32;
inline constexpr int kMoveRows = 8;  // rows of threads

template <class W>
__global__ void move_words(RowSpace<2> space, uint32_t n, const W* from, W* to) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int64_t offset[2];
  offsets_of(space, i, offset);
  to[offset[1]] = from[offset[0]];
}

// The last two axes of the space: `read` is contiguous in `from`, `write` in `to`. blockIdx.x counts tiles
// along both, slowest the other axes (`rest`).
struct TransposedAxes {
  int64_t read, write;          // sizes
  int64_t from_write, to_read;  // the strides that are not 1
  Divisor read_tiles, tiles;    // tiles along `read`; tiles of a place of the rest
};

template <class W>
__global__ void move_transposed(TransposedAxes axes, RowSpace<2> rest, const W* from, W* to) {
  SharedMemory memory;
  const Shared<W> tile = memory.take<W>(kMoveTile * (kMoveTile + 1));
  const uint32_t place = axes.tiles.quotient(blockIdx.x);
  const uint32_t at = blockIdx.x - place * axes.tiles.by;
  const uint32_t w_tile = axes.read_tiles.quotient(at);
  const uint32_t r_tile = at - w_tile * axes.read_tiles.by;
  int64_t offset[2];
  offsets_of(rest, place, offset);
  const int x = static_cast<int>(threadIdx.x % kMoveTile);
  const int y = static_cast<int>(threadIdx.x / kMoveTile);
  const int64_t r0 = static_cast<int64_t>(r_tile) * kMoveTile;
  const int64_t w0 = static_cast<int64_t>(w_tile) * kMoveTile;
#pragma unroll
  for (int k = 0; k < kMoveTile; k += kMoveRows) {
    const int64_t r = r0 + x, w = w0 + y + k;
    if (r < axes.read && w < axes.write) {
      tile[(y + k) * (kMoveTile + 1) + x] = from[offset[0] + w * axes.from_write + r];
    }
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kMoveTile; k += kMoveRows) {
    const int64_t r = r0 + y + k, w = w0 + x;
    if (r < axes.read && w < axes.write) {
      to[offset[1] + r * axes.to_read + w] = tile[x * (kMoveTile + 1) + y + k];
    }
  }
}

}  // namespace fluxion::cuda
