// Reductions over the lanes of a warp and the threads of a block.
//
// The order is fixed: the lanes of a warp combine as a balanced tree from left to right, then the warps of
// the block one after the other. All lanes and threads get the same bits, from run to run too, whatever the
// operation (a maximum of zeros of both signs included).
#pragma once

#include <cstring>
#include <type_traits>

#include "machine.cuh"

namespace fluxion::cuda {

// --- operations

// Of numbers and of anything with parts re and im.
struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    if constexpr (std::is_arithmetic_v<T>) {
      return static_cast<T>(a + b);
    } else {
      return T(a.re + b.re, a.im + b.im);
    }
  }
};

struct Product {
  template <class T>
  __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    if constexpr (std::is_arithmetic_v<T>) {
      return static_cast<T>(a * b);
    } else {
      return T(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
    }
  }
};

// A NaN on either side gives NaN.
struct Largest {
  template <class T>
  __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    return a > b || a != a ? a : b;
  }
};
struct Smallest {
  template <class T>
  __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    return a < b || a != a ? a : b;
  }
};

// A value with the place it was found at. Of equal values the first place counts; a NaN is both the largest
// and the smallest value.
template <class T, class Index = int64_t>
struct Placed {
  T value;
  Index index;
};
template <bool kLargest>
struct BestPlaced {
  template <class T, class Index>
  __device__ __forceinline__ Placed<T, Index> operator()(const Placed<T, Index>& a,
                                                         const Placed<T, Index>& b) const {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool better = kLargest ? a.value > b.value : a.value < b.value;
    const bool same = a.value == b.value || (a_nan && b_nan);
    const bool first = same ? a.index < b.index : a_nan || (!b_nan && better);
    return first ? a : b;
  }
};
using LargestPlaced = BestPlaced<true>;
using SmallestPlaced = BestPlaced<false>;

// --- exchange between the lanes of a warp, of any trivially copyable value of whole words

namespace detail {
template <class T, class Move>
__device__ __forceinline__ T move_words(const T& value, const Move& move) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);
  constexpr int kWords = static_cast<int>(sizeof(T) / 4);
  uint32_t words[kWords];
  std::memcpy(words, &value, sizeof(T));
#pragma unroll
  for (int i = 0; i < kWords; ++i) words[i] = move(words[i]);
  T moved = value;
  std::memcpy(&moved, words, sizeof(T));
  return moved;
}
}  // namespace detail

// The value of the lane whose number differs in these bits.
template <class T>
__device__ __forceinline__ T shuffle_xor(const T& value, int bits) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<T>(__shfl_xor_sync(kAllLanes, value, bits));
  } else {
    return detail::move_words(value,
                              [&](uint32_t w) { return __shfl_xor_sync(kAllLanes, w, bits); });
  }
}

// The value of lane `from`.
template <class T>
__device__ __forceinline__ T shuffle_from(const T& value, int from) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<T>(__shfl_sync(kAllLanes, value, from));
  } else {
    return detail::move_words(value, [&](uint32_t w) { return __shfl_sync(kAllLanes, w, from); });
  }
}

// The value of the lane `by` before; the first lanes keep their own.
template <class T>
__device__ __forceinline__ T shuffle_up(const T& value, unsigned by) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<T>(__shfl_up_sync(kAllLanes, value, by));
  } else {
    return detail::move_words(value, [&](uint32_t w) { return __shfl_up_sync(kAllLanes, w, by); });
  }
}

// --- reductions

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }

// Over each group of kLanes neighbouring lanes (a power of two); every lane gets the result of its group. All
// lanes of the warp take part.
template <int kLanes = kWarp, class T, class Op>
__device__ __forceinline__ T warp_reduce(T value, const Op& op) {
  const int lane = lane_index();
#pragma unroll
  for (int bits = 1; bits < kLanes; bits *= 2) {
    const T other = shuffle_xor(value, bits);
    value = (lane & bits) != 0 ? op(other, value) : op(value, other);
  }
  return value;
}

// Over all threads of the block; every thread gets the result. `partial` has kWarp elements in shared memory,
// free again when the function returns. All threads of the block take part.
template <class T, class Op>
__device__ __forceinline__ T block_reduce(T value, const Op& op, const Shared<T>& partial) {
  value = warp_reduce(value, op);
  if (lane_index() == 0) partial[warp_index()] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = partial[0];
  for (int i = 1; i < warps; ++i) value = op(value, partial[i]);
  __syncthreads();
  return value;
}

}  // namespace fluxion::cuda
