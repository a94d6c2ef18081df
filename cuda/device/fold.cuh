// Folds of elements into outputs, the kernels of every reduction: out[o] = finish(merge over r of x[o, r]).
//
// The axes of the views are loops in the order of the memory: kept loops number the outputs, reduced ones what
// is folded. A block owns
//   teams     outputs with a team of 1 to 32 lanes or all threads each. Along a contiguous run the team reads
//             packs of 16 bytes, four a thread under way; else it goes through the elements one by one;
//   columns   neighbouring outputs whose innermost loop is kept: a thread has one of them and every so many
//             rows, and the rows meet in shared memory.
// Reductions with few outputs are cut into slices, whose results `partial` takes and fold_slices merges. The
// order of all of it follows from the shape and the alignment of the view. Bytes: the input once, the output
// once; for slices 1/2000 more.
//
// A fold is a struct of
//   Acc, Context              what is accumulated; what an output has to know of itself
//   Value, Values, kPack      an element and a pack of them
//   load, load_pack, value    by offset; one of a pack
//   head(offset)              elements before the next aligned pack
//   start(), context(in, out), add(acc, context, value, r), merge(acc, acc), finish(out, context, acc)
//   add_pack                  optional: a whole pack at once
#pragma once

#include "divide.cuh"
#include "map.cuh"
#include "reduce.cuh"
#include "strided.cuh"

namespace fluxion::cuda {

struct FoldLoops {
  int count;   // outermost first
  bool small;  // fewer than 2^31 places
  Divisor divisor[kMaxAxes];
  int64_t size[kMaxAxes], in[kMaxAxes], out[kMaxAxes];
};

struct FoldPlace {
  int64_t in, out;
};

__device__ __forceinline__ FoldPlace place_of(const FoldLoops& loops, int64_t index) {
  FoldPlace place{0, 0};
  if (loops.count == 0) return place;
  int64_t left = index;
  for (int i = loops.count - 1; i > 0; --i) {
    const int64_t next = loops.small ? static_cast<int64_t>(loops.divisor[i].quotient(
                                           static_cast<uint32_t>(left)))
                                     : left / loops.size[i];
    const int64_t at = left - next * loops.size[i];
    left = next;
    place.in += at * loops.in[i];
    place.out += at * loops.out[i];
  }
  place.in += left * loops.in[0];
  place.out += left * loops.out[0];
  return place;
}

struct FoldSpace {
  FoldLoops kept, reduced;
  int64_t outputs, folds;
  int slices;
  int team;             // threads of an output
  bool runs;            // the innermost reduced loop is folded as runs of memory
  int64_t inner, tiles; // of columns: outputs of the innermost kept loop and blocks that share them
  int width;            // columns of a block
};

// One array.
template <class T>
struct FoldedArray {
  using Value = T;
  static constexpr int kPack = sizeof(T) >= 16 ? 1 : sizeof(T) <= 4 ? 4 : static_cast<int>(16 / sizeof(T));
  using Values = Pack<T, kPack>;
  const T* x;

  __device__ __forceinline__ T load(int64_t offset) const { return x[offset]; }
  __device__ __forceinline__ Values load_pack(int64_t offset) const {
    return *reinterpret_cast<const Values*>(x + offset);
  }
  static __device__ __forceinline__ T value(const Values& values, int j) { return values.at[j]; }
  __device__ __forceinline__ int64_t head(int64_t offset) const {
    const auto place = static_cast<int64_t>(reinterpret_cast<uintptr_t>(x + offset) / sizeof(T));
    return -place & (kPack - 1);
  }
};

template <class Fold>
__device__ __forceinline__ typename Fold::Acc add_values(const Fold& fold, typename Fold::Acc acc,
                                                         const typename Fold::Context& context,
                                                         const typename Fold::Values& values,
                                                         int64_t r) {
  if constexpr (requires { fold.add_pack(acc, context, values); }) {
    return fold.add_pack(acc, context, values);
  } else {
#pragma unroll
    for (int j = 0; j < Fold::kPack; ++j) acc = fold.add(acc, context, Fold::value(values, j), r + j);
    return acc;
  }
}

// Elements first, first + step, ... of the memory, numbered from r; this is thread `member` of `team`.
template <class Fold>
__device__ __forceinline__ typename Fold::Acc fold_run(const Fold& fold, typename Fold::Acc acc,
                                                       const typename Fold::Context& context,
                                                       int64_t first, int64_t step, int64_t n,
                                                       int64_t r, int member, int team) {
  constexpr int kAhead = 4;
  int64_t i = member;
  if (Fold::kPack > 1 && step == 1) {
    const int64_t aligned = fold.head(first), head = aligned < n ? aligned : n;
    const int64_t packs = (n - head) / Fold::kPack;
    for (; i < head; i += team) acc = fold.add(acc, context, fold.load(first + i), r + i);
    int64_t p = member;
    for (; p + (kAhead - 1) * team < packs; p += kAhead * team) {
      typename Fold::Values ahead[kAhead];
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        ahead[u] = fold.load_pack(first + head + (p + u * team) * Fold::kPack);
      }
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        acc = add_values(fold, acc, context, ahead[u], r + head + (p + u * team) * Fold::kPack);
      }
    }
    for (; p < packs; p += team) {
      acc = add_values(fold, acc, context, fold.load_pack(first + head + p * Fold::kPack),
                       r + head + p * Fold::kPack);
    }
    i = head + packs * Fold::kPack + member;
  }
  for (; i < n; i += team) acc = fold.add(acc, context, fold.load(first + i * step), r + i);
  return acc;
}

// Elements [begin, end) of what is folded into an output, every `team`-th from `member` on.
template <class Fold>
__device__ __forceinline__ typename Fold::Acc fold_elements(const Fold& fold,
                                                            const FoldLoops& reduced,
                                                            typename Fold::Acc acc,
                                                            const typename Fold::Context& context,
                                                            int64_t first, int64_t begin,
                                                            int64_t end, int member, int team) {
  constexpr int kAhead = 4;
  int64_t r = begin + member;
  for (; r + (kAhead - 1) * team < end; r += kAhead * team) {
    typename Fold::Value ahead[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      ahead[u] = fold.load(first + place_of(reduced, r + u * team).in);
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) acc = fold.add(acc, context, ahead[u], r + u * team);
  }
  for (; r < end; r += team) {
    acc = fold.add(acc, context, fold.load(first + place_of(reduced, r).in), r);
  }
  return acc;
}

// Over the lanes of a team of a warp, or over the block; `partial` has kWarp elements.
template <class T, class Op>
__device__ __forceinline__ T team_reduce(T value, int team, const Op& op, const Shared<T>& partial) {
  if (team > kWarp) return block_reduce(value, op, partial);
  const int lane = lane_index();
  for (int bits = 1; bits < team; bits *= 2) {
    const T other = shuffle_xor(value, bits);
    value = (lane & bits) != 0 ? op(other, value) : op(value, other);
  }
  return value;
}

template <class Fold>
__global__ void fold_teams(Fold fold, FoldSpace s, typename Fold::Acc* partial) {
  using Acc = typename Fold::Acc;
  SharedMemory memory;
  const auto shared = memory.take<Acc>(kWarp);
  const int member = static_cast<int>(threadIdx.x) % s.team;
  const int64_t o = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / s.team;
  const int64_t begin = s.folds * blockIdx.y / s.slices;
  const int64_t end = s.folds * (blockIdx.y + 1) / s.slices;
  Acc acc = fold.start();
  FoldPlace place{0, 0};
  typename Fold::Context context{};
  if (o < s.outputs) {
    place = place_of(s.kept, o);
    if (s.folds > 0) context = fold.context(place.in, place.out);
    if (s.runs) {
      const int last = s.reduced.count - 1;
      const int64_t run = s.reduced.size[last];
      for (int64_t r = begin; r < end;) {
        const int64_t column = r % run, rest = run - column;
        const int64_t n = rest < end - r ? rest : end - r;
        acc = fold_run(fold, acc, context, place.in + place_of(s.reduced, r).in,
                       s.reduced.in[last], n, r, member, s.team);
        r += n;
      }
    } else {
      acc = fold_elements(fold, s.reduced, acc, context, place.in, begin, end, member, s.team);
    }
  }
  acc = team_reduce(acc, s.team, [&](const Acc& a, const Acc& b) { return fold.merge(a, b); }, shared);
  if (o >= s.outputs || member != 0) return;
  if (partial != nullptr) {
    partial[blockIdx.y * s.outputs + o] = acc;
  } else {
    fold.finish(place.out, context, acc);
  }
}

template <class Fold>
__global__ void fold_columns(Fold fold, FoldSpace s, typename Fold::Acc* partial) {
  using Acc = typename Fold::Acc;
  SharedMemory memory;
  const auto shared = memory.take<Acc>(static_cast<int>(blockDim.x));
  const int thread = static_cast<int>(threadIdx.x), rows = static_cast<int>(blockDim.x) / s.width;
  const int slot = thread % s.width, row = thread / s.width;
  const int64_t outer = blockIdx.x / s.tiles;
  const int64_t column = (blockIdx.x - outer * s.tiles) * s.width + slot;
  const int64_t o = outer * s.inner + column;
  const int64_t begin = s.folds * blockIdx.y / s.slices;
  const int64_t end = s.folds * (blockIdx.y + 1) / s.slices;
  Acc acc = fold.start();
  FoldPlace place{0, 0};
  typename Fold::Context context{};
  if (column < s.inner) {
    place = place_of(s.kept, o);
    context = fold.context(place.in, place.out);
    acc = fold_elements(fold, s.reduced, acc, context, place.in, begin, end, row, rows);
  }
  shared[thread] = acc;
  __syncthreads();
  for (int half = rows / 2; half > 0; half /= 2) {
    if (row < half) {
      acc = fold.merge(acc, shared[thread + half * s.width]);
      shared[thread] = acc;
    }
    __syncthreads();
  }
  if (column >= s.inner || row != 0) return;
  if (partial != nullptr) {
    partial[blockIdx.y * s.outputs + o] = acc;
  } else {
    fold.finish(place.out, context, acc);
  }
}

// Teams of s.team lanes merge the slices of an output.
template <class Fold>
__global__ void fold_slices(Fold fold, FoldSpace s, const typename Fold::Acc* partial) {
  using Acc = typename Fold::Acc;
  SharedMemory memory;
  const auto shared = memory.take<Acc>(kWarp);
  const int member = static_cast<int>(threadIdx.x) % s.team;
  const int64_t o = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / s.team;
  Acc acc = fold.start();
  for (int slice = member; o < s.outputs && slice < s.slices; slice += s.team) {
    acc = fold.merge(acc, partial[slice * s.outputs + o]);
  }
  acc = team_reduce(acc, s.team, [&](const Acc& a, const Acc& b) { return fold.merge(a, b); }, shared);
  if (o >= s.outputs || member != 0) return;
  const FoldPlace place = place_of(s.kept, o);
  fold.finish(place.out, fold.context(place.in, place.out), acc);
}

}  // namespace fluxion::cuda
