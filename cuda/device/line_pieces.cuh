// A warp with 32 lines, one in each lane, that are walked in pieces of kPiece cells through shared memory: lines
// that are contiguous are read across the lanes and turned, lines that lie side by side are read as they are.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

inline constexpr int kPiece = 16;
// Cells of a piece from one to the next: odd, so that no banks collide either way.
inline constexpr int kPiecePitch = kWarp + 1;
inline constexpr int kPieceCells = kPiece * kPiecePitch;

// Where a lane's line lies: cell i at base[offset + i * stride]. `stride` is the same for all lanes.
template <class T>
struct LanePath {
  T* base;
  int64_t offset, stride;
};

// Cells begin + shift .. of each line into `piece`, around the ends of lines of n cells; `fill` for lanes
// without a line.
template <class T>
__device__ inline void fetch_piece(const LanePath<const T>& path, bool present, int64_t begin,
                                   int shift, int64_t n, T fill, T* piece) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool turned = path.stride == 1;
#pragma unroll 4
  for (int j = 0; j < kPiece; ++j) {
    const int line = turned ? 2 * j + lane / kPiece : lane, i = turned ? lane % kPiece : j;
    const long long offset =
        turned ? __shfl_sync(kAllLanes, static_cast<long long>(path.offset), line) : path.offset;
    const bool there =
        turned ? __shfl_sync(kAllLanes, static_cast<int>(present), line) != 0 : present;
    T value = fill;
    if (there && begin + i < n) {
      int64_t at = begin + i + shift;
      if (at < 0) at += n;
      if (at >= n) at -= n;
      value = path.base[offset + at * path.stride];
    }
    piece[i * kPiecePitch + line] = value;
  }
  __syncwarp();
}

// The reverse.
template <class T>
__device__ inline void put_piece(const LanePath<T>& path, bool present, int64_t begin, int64_t n,
                                 const T* piece) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool turned = path.stride == 1;
  __syncwarp();
#pragma unroll 4
  for (int j = 0; j < kPiece; ++j) {
    const int line = turned ? 2 * j + lane / kPiece : lane, i = turned ? lane % kPiece : j;
    const long long offset =
        turned ? __shfl_sync(kAllLanes, static_cast<long long>(path.offset), line) : path.offset;
    const bool there =
        turned ? __shfl_sync(kAllLanes, static_cast<int>(present), line) != 0 : present;
    if (there && begin + i < n)
      path.base[offset + (begin + i) * path.stride] = piece[i * kPiecePitch + line];
  }
  __syncwarp();
}

// What an elimination leaves of a lane's line: three numbers a cell, [array][cell][lane].
template <class T>
struct LineRemains {
  T* at;
  int64_t n;
  int lane;
  __device__ __forceinline__ T& c(int64_t i) const { return at[i * kWarp + lane]; }
  __device__ __forceinline__ T& d(int64_t i) const { return at[(n + i) * kWarp + lane]; }
  __device__ __forceinline__ T& q(int64_t i) const { return at[(2 * n + i) * kWarp + lane]; }
};

}  // namespace fluxion::cuda
