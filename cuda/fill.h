// Filling an output with one value, as packs of 16 bytes.
#pragma once

#include <type_traits>

#include "device/functions.cuh"
#include "device/map.cuh"
#include "kernel.h"
#include "tuning.h"

namespace fluxion::cuda {

template <class T>
__global__ void fill_elements(T value, int64_t n, T* to) {
  constexpr int kCount = pack_of<T>();
  const int64_t begin = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCount;
  if (begin + kCount <= n) {
    Pack<T, kCount> pack;
#pragma unroll
    for (int j = 0; j < kCount; ++j) pack.at[j] = value;
    *reinterpret_cast<Pack<T, kCount>*>(to + begin) = pack;
    return;
  }
  for (int64_t i = begin; i < n; ++i) to[i] = value;
}

// `out` is contiguous and aligned as memory that was just allocated is; the number is converted as cast does.
inline void fill_view(const Kernel& call, const TensorView& out, double number) {
  if (out.size() == 0) return;
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T value;
    if constexpr (std::is_arithmetic_v<T>) {
      value = convert<T>(number);
    } else {
      value = T(convert<decltype(value.re)>(number), 0);
    }
    call.launch(fill_elements<T>,
                {blocks_of(out.size(), int64_t{kElementThreads} * pack_of<T>()), kElementThreads},
                value, out.size(), out.as<T>());
  });
}

}  // namespace fluxion::cuda
