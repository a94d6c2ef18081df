// y = (x / 255 - mean[c]) / std[c] for bytes x [N, C, S] to float32.
//
// Layout: planes of S elements, (n, c) slowest. Parallel: groups of whole planes, about kElementsPerBlock
// elements each. Three roundings, as a loop on the host has them. Floor: 5 bytes an element.
// A division takes a cycle an element in AVX-512, more than the memory: with fused multiply-adds the quotient
// is a product with the reciprocal r = RN(1/b) and corrections q + r (a - q b), the last of which rounds
// correctly when q is faithful (Markstein, IBM J. Res. Dev. 34, 1990). One makes q = x r exact for x / 255 and
// all bytes, as a test shows; two do for any a / b without under- and overflow.
#include <algorithm>
#include <cstdint>

#include "cpu/kernel.h"
#include "ops/op.h"

#define FLUXION_KERNELS "cpu/normalize_bytes.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

#if FLUXION_VECTOR_BYTES > 16
inline __attribute__((always_inline)) float corrected(float a, float b, float r, float q) {
  return __builtin_fmaf(__builtin_fmaf(-q, b, a), r, q);
}
inline __attribute__((always_inline)) float by_255(uint8_t x) {
  constexpr float r = 1.0f / 255.0f;
  const float a = static_cast<float>(x);
  return corrected(a, 255.0f, r, a * r);
}
// r = 0 where corrections could leave the range: divide.
float reciprocal_of(float b) { return b > 1e-18f && b < 1e18f ? 1.0f / b : 0.0f; }
#else
inline float by_255(uint8_t x) { return static_cast<float>(x) / 255.0f; }
inline float corrected(float, float, float, float q) { return q; }
float reciprocal_of(float) { return 0.0f; }
#endif

void scale_plane(const uint8_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = by_255(x[i]);
}

void normalize_plane(const uint8_t* x, float* y, int64_t n, float mean, float std) {
  const float r = reciprocal_of(std);
  if (r == 0.0f) {
    for (int64_t i = 0; i < n; ++i) y[i] = (by_255(x[i]) - mean) / std;
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const float a = by_255(x[i]) - mean;
    y[i] = corrected(a, std, r, corrected(a, std, r, a * r));
  }
}

}  // namespace

void k_normalize_bytes(const NoParams&, const Kernel& k) {
  const TensorView& in = k.in(0);
  const uint8_t* x = in.as<const uint8_t>();
  const float *mean = k.in(1).as<const float>(), *std = k.in(2).as<const float>();
  float* y = k.out(0).as<float>();
  const int64_t channels = in.shape[1], planes = in.shape[0] * channels;
  if (in.size() == 0) return;
  const int64_t plane = in.size() / planes;
  const int64_t group = std::max<int64_t>(1, kElementsPerBlock / plane);
  k.parallel_for(blocks_of(planes, group), [&](int64_t block, int) {
    const int64_t end = std::min(planes, (block + 1) * group);
    for (int64_t p = block * group; p < end; ++p) {
      const float m = mean[p % channels], s = std[p % channels];
      if (m == 0.0f && s == 1.0f) {
        scale_plane(x + p * plane, y + p * plane, plane);
      } else {
        normalize_plane(x + p * plane, y + p * plane, plane, m, s);
      }
    }
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
