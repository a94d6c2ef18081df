// Random tensors: out[i] = f(words of the Philox block offset + i / (elements per block)), see ops/random.h.
//
// Decomposition: a thread makes one block of four words and writes the two or four elements that come of it.
// Bytes: the output, once. Normal numbers: Box & Muller 1958.
#include <cmath>

#include "device/functions.cuh"
#include "device/map.cuh"
#include "device/philox.cuh"
#include "kernel.h"
#include "ops/random.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T, class Draw>
__global__ void draw_elements(Draw draw, uint64_t seed, uint64_t offset, int64_t n, T* out) {
  constexpr int kCount = Draw::kElements;
  const int64_t block = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kCount;
  if (begin >= n) return;
  Pack<T, kCount> pack;
  draw(philox(seed, offset + static_cast<uint64_t>(block)), pack.at);
  if (begin + kCount <= n) {
    *reinterpret_cast<Pack<T, kCount>*>(out + begin) = pack;
    return;
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    if (begin + j < n) out[begin + j] = pack.at[j];
  }
}

// 24 or 53 bits make numbers u in [0, 1); rounding of low + u (high - low) must not reach high.
template <class T>
struct Uniform {
  static constexpr int kElements = 16 / static_cast<int>(sizeof(T));
  T low, range, last;

  explicit Uniform(const RandomUniformParams& p)
      : low(static_cast<T>(p.low)),
        range(static_cast<T>(p.high - p.low)),
        last(std::nextafter(static_cast<T>(p.high), low)) {}
  __device__ T place(T u) const {
    const T x = low + u * range;
    return x < last ? x : last;
  }
  __device__ void operator()(const PhiloxBlock& block, T* out) const {
#pragma unroll
    for (int j = 0; j < kElements; ++j) {
      if constexpr (sizeof(T) == 4) {
        out[j] = place(static_cast<float>(static_cast<int32_t>(block.word[j] >> 8)) * 0x1p-24f);
      } else {
        out[j] = place(static_cast<double>(static_cast<int64_t>(block.wide(j) >> 11)) * 0x1p-53);
      }
    }
  }
};

// Pairs sqrt(-2 log u) (cos a, sin a) with u in (0, 1].
template <class T>
struct Normals;

template <>
struct Normals<float> {
  static constexpr int kElements = 4;
  float mean, std;

  __device__ void operator()(const PhiloxBlock& block, float* out) const {
#pragma unroll
    for (int j = 0; j < kElements; j += 2) {
      const uint32_t w = block.word[j], angle = block.word[j + 1];
      const float u = static_cast<float>(static_cast<int32_t>(w >> 1)) * 0x1p-31f + 0x1p-32f;
      const float radius = std * std::sqrt(-2.0f * std::log(u));
      // Two bits choose the quadrant, the others an angle in [-pi/4, pi/4).
      const float r =
          static_cast<float>(static_cast<int32_t>(angle << 2)) * (0.785398163f * 0x1p-31f);
      const int quadrant = static_cast<int>(angle >> 30);
      out[j] = mean + radius * sine_of_quadrant(r, quadrant + 1);
      out[j + 1] = mean + radius * sine_of_quadrant(r, quadrant);
    }
  }
};

template <>
struct Normals<double> {
  static constexpr int kElements = 2;
  double mean, std;

  __device__ void operator()(const PhiloxBlock& block, double* out) const {
    const double u = (static_cast<double>(block.wide(0) >> 11) + 1) * 0x1p-53;
    const double angle =
        static_cast<double>(block.wide(1) >> 11) * (0x1p-52 * 3.14159265358979323846);
    const double radius = std * std::sqrt(-2.0 * std::log(u));
    double sine, cosine;
    sincos(angle, &sine, &cosine);
    out[0] = mean + radius * cosine;
    out[1] = mean + radius * sine;
  }
};

template <class T>
struct Integers {
  static constexpr int kElements = 2;
  int64_t low;
  uint64_t count;

  __device__ void operator()(const PhiloxBlock& block, T* out) const {
#pragma unroll
    for (int j = 0; j < kElements; ++j)
      out[j] = static_cast<T>(low + static_cast<int64_t>(scale_word(block.wide(j), count)));
  }
};

template <class T>
struct Bernoulli {
  static constexpr int kElements = 4;
  uint32_t last;  // w <= last happens with probability (last + 1) / 2^32
  T one;          // 0 when p rounds to 0

  __device__ void operator()(const PhiloxBlock& block, T* out) const {
#pragma unroll
    for (int j = 0; j < kElements; ++j) out[j] = block.word[j] <= last ? one : T(0);
  }
};

template <class T, class Draw>
void draw_all(const DrawParams& p, const Kernel& call, const Draw& draw) {
  const int64_t n = call.out(0).size();
  const int64_t draws = blocks_of(n, Draw::kElements);
  call.launch(draw_elements<T, Draw>, {blocks_of(draws, kElementThreads), kElementThreads}, draw,
              static_cast<uint64_t>(p.seed), static_cast<uint64_t>(p.offset), n,
              call.out(0).as<T>());
}

}  // namespace

void k_rand(const RandomUniformParams& p, const Kernel& call) {
  dispatch_floating(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw_all<T>(p, call, Uniform<T>(p));
  });
}

void k_randn(const RandomNormalParams& p, const Kernel& call) {
  dispatch_floating(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw_all<T>(p, call, Normals<T>{static_cast<T>(p.mean), static_cast<T>(p.std)});
  });
}

void k_randint(const RandomIntegerParams& p, const Kernel& call) {
  dispatch_all(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw_all<T>(p, call, Integers<T>{p.low, static_cast<uint64_t>(p.high - p.low)});
  });
}

void k_bernoulli(const RandomBernoulliParams& p, const Kernel& call) {
  const uint64_t cases = static_cast<uint64_t>(std::llround(p.p * 0x1p32));  // of 2^32
  dispatch_all(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw_all<T>(p, call,
                Bernoulli<T>{static_cast<uint32_t>(cases == 0 ? 0 : cases - 1), T(cases != 0)});
  });
}

}  // namespace fluxion::cuda
