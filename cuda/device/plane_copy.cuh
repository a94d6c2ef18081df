// A plane of global memory brought into shared memory by a block.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

// A vector of 16 bytes (or one element) of global memory.
template <class T, int V>
struct alignas(V * sizeof(T)) Pack {
  T v[V];
};

// Copies n elements; complete after copy_async_wait<0>() and a barrier.
template <class T>
__device__ inline void copy_plane(const T* from, const Shared<T>& to, int n) {
  constexpr int kElements = 16 / sizeof(T);
  int done = 0;
  if (reinterpret_cast<uintptr_t>(from) % 16 == 0) {
    for (int i = threadIdx.x * kElements; i + kElements <= n; i += blockDim.x * kElements)
      copy_async<16>(&to[i], from + i);
    done = n / kElements * kElements;
  }
  for (int i = done + static_cast<int>(threadIdx.x); i < n; i += blockDim.x)
    copy_async<sizeof(T)>(&to[i], from + i);
  copy_async_commit();
}

}  // namespace fluxion::cuda
