// Sums of op(a[i], b[i], ...) over any operands (map.cuh), in two stages of a fixed order.
//
// Decomposition: a block sums `elements` neighbours: a pack in its own type as a tree, packs and threads in
// double; its sum goes to partial[block]. One block then adds the partial sums. The order depends on the
// number of elements only. Bytes: each operand once.
#pragma once

#include "map.cuh"
#include "reduce.cuh"

namespace fluxion::cuda {

template <int kCount, class T>
__device__ __forceinline__ double pack_sum(const Pack<T, kCount>& pack) {
  T sums[kCount];
#pragma unroll
  for (int j = 0; j < kCount; ++j) sums[j] = pack.at[j];
#pragma unroll
  for (int half = kCount / 2; half > 0; half /= 2) {
#pragma unroll
    for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return static_cast<double>(sums[0]);
}

template <class T, class Op, size_t... I, class... In>
__device__ __forceinline__ double sum_pack(const Op& op, const RowSpace<sizeof...(In)>& space,
                                           uint32_t at, uint32_t end, std::index_sequence<I...>,
                                           const Operand<In>&... in) {
  constexpr int kCount = pack_of<T, In...>();
  int64_t offset[sizeof...(In)];
  if (space.whole_packs) {
    offsets_of(space, at, offset);
    return pack_sum(apply_pack<T, kCount>(op, load_pack<kCount, true>(in, offset[I])...));
  }
  double sum = 0;
#pragma unroll 1
  for (int j = 0; j < kCount && at + j < end; ++j) {
    offsets_of(space, at + j, offset);
    sum += static_cast<double>(op((in.data != nullptr ? in.data[offset[I]] : in.value)...));
  }
  return sum;
}

// `elements` is a multiple of the threads times a pack; n < 2^31.
template <class T, class Op, class... In>
__global__ void map_sum(Op op, RowSpace<sizeof...(In)> space, uint32_t n, uint32_t elements,
                        double* partial, Operand<In>... in) {
  constexpr int kCount = pack_of<T, In...>();
  SharedMemory memory;
  const auto sums = memory.take<double>(kWarp);
  const uint32_t begin = blockIdx.x * elements;
  const uint32_t end = n - begin < elements ? n : begin + elements;
  double sum = 0;
  for (uint32_t at = begin + threadIdx.x * kCount; at < end; at += blockDim.x * kCount) {
    sum += sum_pack<T>(op, space, at, end, std::index_sequence_for<In...>{}, in...);
  }
  sum = block_reduce(sum, Sum{}, sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// *out = the sum of all partial sums over `divisor`. One block.
template <class T>
__global__ void add_partial_sums(const double* partial, int64_t n, double divisor, T* out) {
  SharedMemory memory;
  const auto sums = memory.take<double>(kWarp);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += partial[i];
  sum = block_reduce(sum, Sum{}, sums);
  if (threadIdx.x == 0) *out = static_cast<T>(sum / divisor);
}

}  // namespace fluxion::cuda
