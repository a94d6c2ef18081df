// Copies from global to shared memory of which some elements do not exist: those are zeros.
//
// On sm_80 and later a copy is asynchronous. Earlier, all elements of a thread are read into registers before
// the first is written, so that the reads wait for memory together.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

// kCount copies of kWidth elements each, made by one thread. Complete as copy_async is, after finish().
template <class T, int kCount, int kWidth>
class GemmCopies {
 public:
  static constexpr int kBytes = kWidth * static_cast<int>(sizeof(T));

  // `i` is a constant of the unrolled loop; not every one needs to be asked for.
  __device__ __forceinline__ void copy(int i, T* to, const T* from, bool exists) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const unsigned read = exists ? kBytes : 0;
    if constexpr (kBytes == 16) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(address), "l"(from),
                   "r"(read)
                   : "memory");
    } else {
      asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;\n" ::"r"(address), "l"(from),
                   "n"(kBytes), "r"(read)
                   : "memory");
    }
#else
    to_[i] = to;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) values_[i][j] = T(0);
    if (exists) {
#if defined(__CUDA_ARCH__)
      using Word = typename WordOf<kBytes>::type;
      *reinterpret_cast<Word*>(&values_[i]) = *reinterpret_cast<const Word*>(from);
#else
      for (int j = 0; j < kWidth; ++j) values_[i][j] = from[j];
#endif
    }
#endif
  }

  __device__ __forceinline__ void finish() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 800
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (!to_[i]) continue;  // was not asked for
#if defined(__CUDA_ARCH__)
      using Word = typename WordOf<kBytes>::type;
      *reinterpret_cast<Word*>(to_[i]) = *reinterpret_cast<const Word*>(&values_[i]);
#else
      for (int j = 0; j < kWidth; ++j) to_[i][j] = values_[i][j];
#endif
    }
#endif
  }

 private:
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 800
  T* to_[kCount] = {};
  alignas(kBytes) T values_[kCount][kWidth] = {};
#endif
};

}  // namespace fluxion::cuda
