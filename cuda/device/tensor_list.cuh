// One kernel over the elements of many tensors: a table of them in device memory, and which blocks work on
// which tensor.
//
// Decomposition: a block makes `elements` neighbours of one tensor; a tensor has as many blocks as that needs.
// A warp finds the tensor of its block with two loads for up to 1024 tensors: each compares 32 first blocks.
#pragma once

#include "map.cuh"

namespace fluxion::cuda {

inline constexpr int kListSources = 5;
inline constexpr int kListTargets = 4;

struct ListedTensors {
  const void* from[kListSources];
  void* to[kListTargets];  // each may be one of the sources
  int64_t n;
  int64_t first_block;
  bool aligned;  // all of them, to 16 bytes
};

// The last entry that begins at this block or before. All lanes take part.
__device__ __forceinline__ int entry_of_block(const ListedTensors* list, int count, int64_t block) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int begin = 0, span = count;
  while (span > 1) {
    const int step = (span + kWarp - 1) / kWarp;
    const int at = lane * step;
    const bool before = at < span && list[begin + at].first_block <= block;
    const int passed = __popc(__ballot_sync(kAllLanes, before)) - 1;
    begin += passed * step;
    span = span - passed * step < step ? span - passed * step : step;
  }
  return begin;
}

// Op::kFrom sources and Op::kTo targets of an element: op(from, to). op.idle(tensors): nothing changes.
template <class T, class Op>
__global__ void update_tensors(Op op, const ListedTensors* list, int count, int elements) {
  constexpr int kCount = pack_of<T>();
  const ListedTensors tensors = list[entry_of_block(list, count, blockIdx.x)];
  if (op.idle(tensors)) return;
  const int64_t begin = (blockIdx.x - tensors.first_block) * elements;
  const int64_t end = tensors.n - begin < elements ? tensors.n : begin + elements;
  for (int64_t at = begin + threadIdx.x * kCount; at < end; at += blockDim.x * kCount) {
    if (tensors.aligned && at + kCount <= end) {
      Pack<T, kCount> from[Op::kFrom], to[Op::kTo];
#pragma unroll
      for (int i = 0; i < Op::kFrom; ++i) {
        from[i] =
            *reinterpret_cast<const Pack<T, kCount>*>(static_cast<const T*>(tensors.from[i]) + at);
      }
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        T old[Op::kFrom], made[Op::kTo];
#pragma unroll
        for (int i = 0; i < Op::kFrom; ++i) old[i] = from[i].at[j];
        op(old, made);
#pragma unroll
        for (int i = 0; i < Op::kTo; ++i) to[i].at[j] = made[i];
      }
#pragma unroll
      for (int i = 0; i < Op::kTo; ++i)
        *reinterpret_cast<Pack<T, kCount>*>(static_cast<T*>(tensors.to[i]) + at) = to[i];
      continue;
    }
#pragma unroll 1
    for (int64_t e = at; e < end && e < at + kCount; ++e) {
      T old[Op::kFrom], made[Op::kTo];
#pragma unroll
      for (int i = 0; i < Op::kFrom; ++i) old[i] = static_cast<const T*>(tensors.from[i])[e];
      op(old, made);
#pragma unroll
      for (int i = 0; i < Op::kTo; ++i) static_cast<T*>(tensors.to[i])[e] = made[i];
    }
  }
}

}  // namespace fluxion::cuda
