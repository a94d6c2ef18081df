// out[i] = op(a[i], b[i], ...) over a whole output, for every elementwise op.
//
// Decomposition: a thread makes whole packs of elements of the output, of 16 bytes in the widest of the
// arrays; neighbouring threads make neighbouring packs. Where every operand is an array like the output or
// one number, a thread asks for the operands of kPacks packs before it uses the first one, so that enough
// bytes are under way. Other operands are found through the strides of the iteration space, once for a pack
// where its elements lie in one row.
// Bytes: each operand is read once and the output written once; what a stride of 0 repeats comes from the
// caches.
#pragma once

#include <tuple>
#include <utility>

#include "divide.cuh"
#include "machine.cuh"
#include "strided.cuh"

namespace fluxion::cuda {

template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T at[kCount];
};

// Elements of a pack: 16 bytes of the widest type.
template <class... T>
constexpr int pack_of() {
  size_t widest = 1;
  ((widest = sizeof(T) > widest ? sizeof(T) : widest), ...);
  return widest > 16 ? 1 : static_cast<int>(16 / widest);
}

enum class Access : int {
  packs,     // neighbours, aligned: a pack is one load
  elements,  // one load each
  repeated,  // one value
};

template <class T>
struct Operand {
  const T* data;  // null: `value` is the one value
  T value;
  Access access;
  int64_t step;  // from one element of a row to the next; 0 where the value is repeated
};

// An iteration space whose positions fit 31 bits.
template <int kTensors>
struct RowSpace {
  int ndim;
  bool whole_packs;  // the elements of a pack lie in one row
  Divisor size[kMaxAxes];
  int64_t stride[kTensors][kMaxAxes];
};

template <int kTensors>
__device__ __forceinline__ void offsets_of(const RowSpace<kTensors>& space, uint32_t index,
                                           int64_t (&offset)[kTensors]) {
#pragma unroll
  for (int t = 0; t < kTensors; ++t) offset[t] = 0;
  for (int axis = space.ndim - 1; axis > 0; --axis) {
    const uint32_t next = space.size[axis].quotient(index);
    const int64_t at = index - next * space.size[axis].by;
    index = next;
#pragma unroll
    for (int t = 0; t < kTensors; ++t) offset[t] += at * space.stride[t][axis];
  }
#pragma unroll
  for (int t = 0; t < kTensors; ++t) offset[t] += index * space.stride[t][0];
}

// `kElements`: the operand may have to be read element by element.
template <int kCount, bool kElements, class T>
__device__ __forceinline__ Pack<T, kCount> load_pack(const Operand<T>& operand, int64_t offset) {
  Pack<T, kCount> pack;
  if (operand.access == Access::packs) {
    pack = *reinterpret_cast<const Pack<T, kCount>*>(operand.data + offset);
  } else if (!kElements || operand.access == Access::repeated) {
    const T value = operand.data != nullptr ? operand.data[offset] : operand.value;
#pragma unroll
    for (int j = 0; j < kCount; ++j) pack.at[j] = value;
  } else {
#pragma unroll
    for (int j = 0; j < kCount; ++j) pack.at[j] = operand.data[offset + j * operand.step];
  }
  return pack;
}

template <class Out, int kCount, class Op, class... In>
__device__ __forceinline__ Pack<Out, kCount> apply_pack(const Op& op,
                                                        const Pack<In, kCount>&... in) {
  Pack<Out, kCount> out;
#pragma unroll
  for (int j = 0; j < kCount; ++j) out.at[j] = op(in.at[j]...);
  return out;
}

// Every operand is an aligned array like the output or one value.
template <int kPacks, class Op, class Out, class... In>
__global__ void map_arrays(Op op, int64_t n, Out* out, Operand<In>... in) {
  constexpr int kCount = pack_of<Out, In...>();
  const int64_t step = static_cast<int64_t>(blockDim.x) * kCount;
  const int64_t begin = blockIdx.x * (step * kPacks) + static_cast<int64_t>(threadIdx.x) * kCount;
  if (begin + (kPacks - 1) * step + kCount <= n) {
    std::tuple<Pack<In, kCount>...> packs[kPacks];
    Pack<Out, kCount> made[kPacks];
#pragma unroll
    for (int u = 0; u < kPacks; ++u) {
      const int64_t at = begin + u * step;
      packs[u] = std::tuple<Pack<In, kCount>...>{load_pack<kCount, false>(in, at * in.step)...};
    }
#pragma unroll
    for (int u = 0; u < kPacks; ++u) {
      made[u] = std::apply(
          [&](const Pack<In, kCount>&... pack) { return apply_pack<Out, kCount>(op, pack...); },
          packs[u]);
    }
#pragma unroll
    for (int u = 0; u < kPacks; ++u) {
      *reinterpret_cast<Pack<Out, kCount>*>(out + begin + u * step) = made[u];
    }
    return;
  }
#pragma unroll 1
  for (int k = 0; k < kPacks * kCount; ++k) {
    const int64_t i = begin + k / kCount * step + k % kCount;
    if (i < n) out[i] = op((in.data != nullptr ? in.data[i * in.step] : in.value)...);
  }
}

// Elements from `begin` on of a row, which the strides find.
template <class Op, class Out, size_t... I, class... In>
__device__ __forceinline__ void map_pack(const Op& op, const RowSpace<sizeof...(In)>& space,
                                         uint32_t begin, Out* out, std::index_sequence<I...>,
                                         const Operand<In>&... in) {
  constexpr int kCount = pack_of<Out, In...>();
  int64_t offset[sizeof...(In)];
  offsets_of(space, begin, offset);
  *reinterpret_cast<Pack<Out, kCount>*>(out + begin) =
      apply_pack<Out, kCount>(op, load_pack<kCount, true>(in, offset[I])...);
}

template <class Op, class Out, size_t... I, class... In>
__device__ __forceinline__ void map_element(const Op& op, const RowSpace<sizeof...(In)>& space,
                                            uint32_t at, Out* out, std::index_sequence<I...>,
                                            const Operand<In>&... in) {
  int64_t offset[sizeof...(In)];
  offsets_of(space, at, offset);
  out[at] = op((in.data != nullptr ? in.data[offset[I]] : in.value)...);
}

// Any operands; n < 2^31.
template <class Op, class Out, class... In>
__global__ void map_rows(Op op, RowSpace<sizeof...(In)> space, uint32_t n, Out* out,
                         Operand<In>... in) {
  constexpr int kCount = pack_of<Out, In...>();
  const auto operands = std::index_sequence_for<In...>{};
  const uint32_t begin = (blockIdx.x * blockDim.x + threadIdx.x) * kCount;
  if (begin >= n) return;
  if (space.whole_packs) return map_pack(op, space, begin, out, operands, in...);
#pragma unroll 1
  for (int j = 0; j < kCount && begin + j < n; ++j) {
    map_element(op, space, begin + j, out, operands, in...);
  }
}

}  // namespace fluxion::cuda
