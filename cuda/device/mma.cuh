// The tensor cores' product of TF32 matrices, d[16][8] += a[16][8] b[8][8], by the lanes of a warp.
//
// TF32 has the exponents of float and 10 bits of its mantissa. Products of two are exact in float; the sums
// are float, and the hardware may cut digits below the largest addend's last one instead of rounding.
// Lane 4 g + t holds a[g][t], a[g + 8][t], a[g][t + 4], a[g + 8][t + 4]; b[t][g], b[t + 4][g];
// d[g][2 t], d[g][2 t + 1], d[g + 8][2 t], d[g + 8][2 t + 1] (PTX ISA, mma.m16n8k8).
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

// Rounds to the nearest TF32, halves away from zero.
__device__ __forceinline__ float to_tf32(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
#else
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7F800000u) == 0x7F800000u) return x;  // infinity, NaN
  return __uint_as_float((bits + 0x1000u) & 0xFFFFE000u);
#endif
}

// All operands have been rounded by to_tf32. Not for GPUs before sm_80, which have no such instruction.
__device__ __forceinline__ void multiply_tf32(float (&d)[4], const float (&a)[4],
                                              const float (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#elif !defined(__CUDACC__)
  // Three exchanges that show every lane's words, where shuffles would take 32.
  const unsigned lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  float2 left[2][kWarp], right[kWarp];
  const auto share = [](float x, float y, float2(&to)[kWarp]) {
    const uint64_t* words = host::exchange(host::to_word(make_float2(x, y)), kAllLanes);
    for (int i = 0; i < kWarp; ++i) to[i] = host::from_word<float2>(words[i]);
  };
  share(a[0], a[1], left[0]);
  share(a[2], a[3], left[1]);
  share(b[0], b[1], right);
  for (unsigned k = 0; k < 8; ++k) {
    const float2 rows = left[k / 4][4 * g + k % 4];
    const float2 first = right[4 * (2 * t) + k % 4], second = right[4 * (2 * t + 1) + k % 4];
    const float of_first = k < 4 ? first.x : first.y, of_second = k < 4 ? second.x : second.y;
    d[0] += rows.x * of_first;
    d[1] += rows.x * of_second;
    d[2] += rows.y * of_first;
    d[3] += rows.y * of_second;
  }
#endif
}

}  // namespace fluxion::cuda
