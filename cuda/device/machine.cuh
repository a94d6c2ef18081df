// What kernels may use of a GPU, in one place: the names of CUDA C++ where nvcc compiles, and those of the
// host execution layer (host_machine.h of the tests) where a host compiler does. Everything else in
// cuda/device/ is plain C++ over this header.
//
// Rules that keep a kernel runnable on both: shared memory only through SharedMemory (no __shared__),
// blocks of a multiple of 32 threads, warp functions with all 32 lanes, a barrier is reached by every
// thread of the block, atomics only on integers, no printf, no dynamic parallelism, no recursion.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "host_machine.h"
#endif

namespace fluxion::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// Bytes that `count` elements take of a block's shared memory; the launch asks for the sum.
template <class T>
__host__ __device__ constexpr size_t shared_bytes(int64_t count) {
  return (static_cast<size_t>(count) * sizeof(T) + 15) / 16 * 16;
}

#if defined(__CUDACC__)

template <int kBytes>
struct WordOf;
template <>
struct WordOf<4> {
  using type = uint32_t;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};

// An array in the block's shared memory.
template <class T>
class Shared {
 public:
  __device__ __forceinline__ Shared(T* data, int) : data_(data) {}
  __device__ __forceinline__ T& operator[](int i) const { return data_[i]; }
  __device__ __forceinline__ T* data() const { return data_; }

 private:
  T* data_;
};

// Hands out the block's shared memory in order: every thread takes the same arrays.
class SharedMemory {
 public:
  __device__ __forceinline__ SharedMemory() {
    extern __shared__ __align__(16) unsigned char fluxion_shared[];
    next_ = fluxion_shared;
  }
  template <class T>
  __device__ __forceinline__ Shared<T> take(int count) {
    T* data = reinterpret_cast<T*>(next_);
    next_ += shared_bytes<T>(count);
    return Shared<T>(data, count);
  }

 private:
  unsigned char* next_;
};

// Copies 4, 8 or 16 bytes from global to shared memory past the registers; complete after
// copy_async_wait<0>() and a barrier.
template <int kBytes>
__device__ __forceinline__ void copy_async(void* to_shared, const void* from) {
#if __CUDA_ARCH__ >= 800
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;\n" ::"r"(to), "l"(from), "n"(kBytes)
               : "memory");
#else
  using Word = typename WordOf<kBytes>::type;
  *static_cast<Word*>(to_shared) = *static_cast<const Word*>(from);
#endif
}
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
// Waits until at most kPending of the committed groups are under way.
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
#endif
}

#endif  // the host layer has its own

}  // namespace fluxion::cuda
