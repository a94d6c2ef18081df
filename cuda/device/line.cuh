// Lines along one axis of contiguous tensors [outer, n, inner], each owned by a team of threads.
//
// Rows (inner = 1): the members of a team are neighbours, a part of a warp or a block, and take packs of 16
// bytes in turn. Columns (inner > 1): a block has `width` lines side by side, and its threads of one line lie
// `width` apart, so that loads are coalesced. Near lines are held in registers, kLineElements or fewer a thread;
// far ones are read in loops. Reductions over a team are of a fixed order; all members get the result.
#pragma once

#include "fold.cuh"

namespace fluxion::cuda {

struct LineSpace {
  int64_t n, inner, lines;  // lines = outer * inner
  int64_t tiles;            // of columns: blocks that share the lines side by side
  int team;                 // threads of a line
  int width;                // lines of a block
  bool packs;               // rows are of whole aligned packs
};

struct LineThread {
  int member;
  bool active;
  int64_t line, first;  // the line and its first element
};

__device__ __forceinline__ LineThread line_thread(const LineSpace& s) {
  const int thread = static_cast<int>(threadIdx.x);
  if (s.inner == 1) {
    const int64_t line = static_cast<int64_t>(blockIdx.x) * s.width + thread / s.team;
    return {thread % s.team, line < s.lines, line, line * s.n};
  }
  const int64_t outer = blockIdx.x / s.tiles;
  const int64_t column = (blockIdx.x - outer * s.tiles) * s.width + thread % s.width;
  return {thread / s.width, column < s.inner, outer * s.inner + column,
          outer * s.n * s.inner + column};
}

// Over the team of a line. `shared` has line_shared(...) elements and is free again afterwards. All threads of
// the block take part.
template <class T, class Op>
__device__ __forceinline__ T line_reduce(T value, const LineSpace& s, const Op& op,
                                         const Shared<T>& shared) {
  if (s.inner == 1) return team_reduce(value, s.team, op, shared);
  const int thread = static_cast<int>(threadIdx.x), row = thread / s.width;
  shared[thread] = value;
  __syncthreads();
  for (int half = s.team / 2; half > 0; half /= 2) {
    if (row < half) {
      value = op(value, shared[thread + half * s.width]);
      shared[thread] = value;
    }
    __syncthreads();
  }
  value = shared[thread % s.width];
  __syncthreads();
  return value;
}
__host__ __device__ inline int line_shared(const LineSpace& s) {
  return s.inner == 1 ? kWarp : s.team * s.width;
}

template <class T>
inline constexpr int kLinePack = static_cast<int>(16 / sizeof(T));

// The place of element e of a thread.
template <class T>
__device__ __forceinline__ int64_t line_index(const LineSpace& s, int member, int e) {
  constexpr int kPack = kLinePack<T>;
  if (s.inner == 1) return (static_cast<int64_t>(e / kPack) * s.team + member) * kPack + e % kPack;
  return static_cast<int64_t>(e) * s.team + member;
}

// The elements of a near line; `fill` beyond its end.
template <int kCount, class T>
__device__ __forceinline__ void load_line(const T* x, const LineSpace& s, const LineThread& t,
                                          T fill, T (&v)[kCount]) {
  constexpr int kPack = kLinePack<T>;
  if (s.packs) {
#pragma unroll
    for (int e = 0; e < kCount; e += kPack) {
      const int64_t i = line_index<T>(s, t.member, e);
      Pack<T, kPack> pack;
#pragma unroll
      for (int j = 0; j < kPack; ++j) pack.at[j] = fill;
      if (t.active && i < s.n) pack = *reinterpret_cast<const Pack<T, kPack>*>(x + t.first + i);
#pragma unroll
      for (int j = 0; j < kPack; ++j) v[e + j] = pack.at[j];
    }
    return;
  }
#pragma unroll
  for (int e = 0; e < kCount; ++e) {
    const int64_t i = line_index<T>(s, t.member, e);
    v[e] = t.active && i < s.n ? x[t.first + i * s.inner] : fill;
  }
}

template <int kCount, class T>
__device__ __forceinline__ void store_line(T* y, const LineSpace& s, const LineThread& t,
                                           const T (&v)[kCount]) {
  constexpr int kPack = kLinePack<T>;
  if (!t.active) return;
  if (s.packs) {
#pragma unroll
    for (int e = 0; e < kCount; e += kPack) {
      const int64_t i = line_index<T>(s, t.member, e);
      Pack<T, kPack> pack;
#pragma unroll
      for (int j = 0; j < kPack; ++j) pack.at[j] = v[e + j];
      if (i < s.n) *reinterpret_cast<Pack<T, kPack>*>(y + t.first + i) = pack;
    }
    return;
  }
#pragma unroll
  for (int e = 0; e < kCount; ++e) {
    const int64_t i = line_index<T>(s, t.member, e);
    if (i < s.n) y[t.first + i * s.inner] = v[e];
  }
}

}  // namespace fluxion::cuda
