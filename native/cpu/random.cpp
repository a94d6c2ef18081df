// Random tensors: out[i] = f(words of Philox block offset + i / (elements per block)), see ops/random.h.
// Blocks are made kBlocks at a time in a loop without dependences, which the compiler vectorises over the
// counter; their words lie in a small array from which a second loop makes the elements.
// Parallel: kElementsPerBlock elements, whole Philox batches. Normal numbers: Box & Muller 1958.
// A permutation is a Fisher-Yates shuffle (serial: each exchange depends on those before).
#include <cstdint>
#include <type_traits>

#include "cpu/kernel.h"
#include "cpu/philox.h"
#include "ops/random.h"

#define FLUXION_KERNELS "cpu/random.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/vector_math.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int kBlocks = 64;
constexpr int kWords = 4 * kBlocks;

struct Batch {
  alignas(64) uint32_t words[kWords];

  void make(int64_t seed, int64_t first_block) {
    alignas(64) uint32_t lanes[4][kBlocks];
    const uint32_t key0 = static_cast<uint32_t>(seed);
    const uint32_t key1 = static_cast<uint32_t>(static_cast<uint64_t>(seed) >> 32);
    for (int i = 0; i < kBlocks; ++i) {
      const uint64_t counter = static_cast<uint64_t>(first_block) + static_cast<uint64_t>(i);
      const PhiloxBlock block = philox(
          {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}, key0, key1);
      lanes[0][i] = block.x0;
      lanes[1][i] = block.x1;
      lanes[2][i] = block.x2;
      lanes[3][i] = block.x3;
    }
    for (int i = 0; i < kBlocks; ++i)
      for (int j = 0; j < 4; ++j) words[4 * i + j] = lanes[j][i];
  }
  uint64_t wide(int i) const { return words[2 * i] | uint64_t{words[2 * i + 1]} << 32; }
};

// Calls draw(batch, elements) for every batch; an element takes kPerElement words.
template <int kPerElement, class T, class Params, class Draw>
void draw_all(const Params& p, const Kernel& k, const Draw& draw) {
  constexpr int64_t kElements = kWords / kPerElement;
  static_assert(kElementsPerBlock % kElements == 0);
  const int64_t n = k.out(0).size();
  T* const out = k.out(0).template as<T>();
  k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
    Batch batch;
    alignas(64) T elements[kElements];
    const int64_t end = std::min(n, (block + 1) * kElementsPerBlock);
    for (int64_t i = block * kElementsPerBlock; i < end; i += kElements) {
      batch.make(p.seed, p.offset + i * kPerElement / 4);
      draw.run(batch, elements);
      std::copy(elements, elements + std::min(kElements, end - i), out + i);
    }
  });
}

// 24 or 53 bits make numbers u in [0, 1); rounding of low + u (high - low) must not reach high.
template <class T>
struct Uniform {
  T low, range, last;

  explicit Uniform(const RandomUniformParams& p)
      : low(static_cast<T>(p.low)),
        range(static_cast<T>(p.high - p.low)),
        last(std::nextafter(static_cast<T>(p.high), low)) {}
  T place(T u) const {
    const T x = low + u * range;
    return x < last ? x : last;
  }
  void run(const Batch& batch, float* out) const {
    for (int i = 0; i < kWords; ++i)
      out[i] = place(static_cast<float>(static_cast<int32_t>(batch.words[i] >> 8)) * 0x1p-24f);
  }
  void run(const Batch& batch, double* out) const {
    for (int i = 0; i < kWords / 2; ++i)
      out[i] = place(static_cast<double>(static_cast<int64_t>(batch.wide(i) >> 11)) * 0x1p-53);
  }
};

// Pairs sqrt(-2 log u) (cos a, sin a) with u in (0, 1].
template <class T>
struct Normals {
  T mean, std;

  void run(const Batch& batch, float* out) const {
    for (int i = 0; i < kWords / 2; ++i) {
      const uint32_t w = batch.words[2 * i], angle = batch.words[2 * i + 1];
      const float u = static_cast<float>(static_cast<int32_t>(w >> 1)) * 0x1p-31f + 0x1p-32f;
      const float radius = std * std::sqrt(-2.0f * vlog(u));
      // Two bits choose the quadrant, the others an angle in [-pi/4, pi/4).
      const float r =
          static_cast<float>(static_cast<int32_t>(angle << 2)) * (0.785398163f * 0x1p-31f);
      const int32_t quadrant = static_cast<int32_t>(angle >> 30);
      out[2 * i] = mean + radius * vsine_of_quadrant(r, quadrant + 1);
      out[2 * i + 1] = mean + radius * vsine_of_quadrant(r, quadrant);
    }
  }
  void run(const Batch& batch, double* out) const {
    for (int i = 0; i < kWords / 2; i += 2) {
      const double u = (static_cast<double>(batch.wide(i) >> 11) + 1) * 0x1p-53;
      const double angle =
          static_cast<double>(batch.wide(i + 1) >> 11) * (0x1p-52 * 3.14159265358979323846);
      const double radius = std * std::sqrt(-2.0 * std::log(u));
      out[i] = mean + radius * std::cos(angle);
      out[i + 1] = mean + radius * std::sin(angle);
    }
  }
};

// floor(w n / 2^64) for a word w of 64 bits: each value has probability 1/n up to 2^-64.
inline uint64_t scale_word(uint64_t w, uint64_t n) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(w) * n >> 64);
}

template <class T>
struct Integers {
  int64_t low;
  uint64_t count;

  void run(const Batch& batch, T* out) const {
    for (int i = 0; i < kWords / 2; ++i)
      out[i] = static_cast<T>(low + static_cast<int64_t>(scale_word(batch.wide(i), count)));
  }
};

template <class T>
struct Bernoulli {
  uint32_t last;  // w <= last happens with probability (last + 1) / 2^32
  T one;          // 0 when p rounds to 0

  void run(const Batch& batch, T* out) const {
    for (int i = 0; i < kWords; ++i) out[i] = batch.words[i] <= last ? one : T(0);
  }
};

}  // namespace

void k_rand(const RandomUniformParams& p, const Kernel& k) {
  if (p.dtype == DType::f32) {
    draw_all<1, float>(p, k, Uniform<float>(p));
  } else {
    draw_all<2, double>(p, k, Uniform<double>(p));
  }
}

void k_randn(const RandomNormalParams& p, const Kernel& k) {
  if (p.dtype == DType::f32) {
    draw_all<1, float>(p, k, Normals<float>{static_cast<float>(p.mean), static_cast<float>(p.std)});
  } else {
    draw_all<2, double>(p, k, Normals<double>{p.mean, p.std});
  }
}

void k_randint(const RandomIntegerParams& p, const Kernel& k) {
  dispatch_all(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw_all<2, T>(p, k, Integers<T>{p.low, static_cast<uint64_t>(p.high - p.low)});
  });
}

void k_bernoulli(const RandomBernoulliParams& p, const Kernel& k) {
  const uint64_t cases = static_cast<uint64_t>(std::llround(p.p * 0x1p32));  // of 2^32
  dispatch_all(p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw_all<1, T>(p, k,
                   Bernoulli<T>{static_cast<uint32_t>(cases == 0 ? 0 : cases - 1), T(cases != 0)});
  });
}

void k_permutation(const RandomPermutationParams& p, const Kernel& k) {
  int32_t* const out = k.out(0).as<int32_t>();
  const int64_t n = k.out(0).size();
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<int32_t>(i);
  Batch batch;
  for (int64_t drawn = 0; drawn < n - 1; ++drawn) {
    const int word = static_cast<int>(drawn % (kWords / 2));
    if (word == 0) batch.make(p.seed, p.offset + drawn / 2);
    const int64_t last = n - 1 - drawn;
    std::swap(out[last], out[scale_word(batch.wide(word), static_cast<uint64_t>(last) + 1)]);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
