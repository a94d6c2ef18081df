// What the machine can do, as the denominators of the benchmark table. Prints one line of JSON.
//
//   copy  GB/s, bytes read plus bytes written (the read for ownership of ordinary stores is not
//         counted), each thread copying its own pairs of buffers in turn
//   fma   GFLOP/s of independent fused multiply-adds in registers, 2 flops an element
//
//   bench_peaks [MB of a buffer = 128] [pairs of buffers = 4]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_AVX512 __attribute__((target("avx512f")))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#endif

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs work(thread) on `threads` threads and returns the seconds until the last has finished.
template <class F>
double timed(int threads, F&& work) {
  std::vector<std::thread> others;
  const double start = now();
  for (int t = 1; t < threads; ++t) others.emplace_back([&work, t] { work(t); });
  work(0);
  for (std::thread& other : others) other.join();
  return now() - start;
}

// The best of several runs: a ceiling is not lowered by a neighbour on the machine.
template <class F>
double best_seconds(int runs, F&& run) {
  double best = run();
  for (int i = 1; i < runs; ++i) best = std::min(best, run());
  return best;
}

// --- Copy ---------------------------------------------------------------------------------------

void copy_memcpy(char* to, const char* from, size_t bytes) { std::memcpy(to, from, bytes); }

#if defined(__x86_64__)
// SSE2 suffices: write-combining buffers hand out whole cache lines whatever the store's width.
void copy_non_temporal(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) {
    for (size_t j = 0; j < 64; j += 16) {
      const __m128i value = _mm_load_si128(reinterpret_cast<const __m128i*>(from + i + j));
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i + j), value);
    }
  }
  _mm_sfence();
}
#endif

struct FreeDeleter {
  void operator()(char* memory) const { std::free(memory); }
};
using Buffer = std::unique_ptr<char, FreeDeleter>;

struct Buffers {
  std::vector<Buffer> from, to;
  size_t bytes;
};

Buffers make_buffers(size_t bytes, int pairs) {
  Buffers buffers;
  buffers.bytes = bytes;
  for (int i = 0; i < pairs; ++i) {
    for (std::vector<Buffer>* side : {&buffers.from, &buffers.to}) {
      side->emplace_back(static_cast<char*>(std::aligned_alloc(4096, bytes)));
      if (!side->back()) {
        std::fprintf(stderr, "bench_peaks: no memory for %zu bytes\n", bytes);
        std::exit(1);
      }
      std::memset(side->back().get(), i + 1, bytes);
    }
  }
  return buffers;
}

// GB/s of a pass over every pair, cut between the threads.
template <class Copy>
double copy_rate(const Buffers& buffers, int threads, Copy copy) {
  const size_t share = buffers.bytes / static_cast<size_t>(threads) / 64 * 64;
  const double seconds = best_seconds(5, [&] {
    return timed(threads, [&](int thread) {
      const size_t begin = share * static_cast<size_t>(thread);
      for (size_t i = 0; i < buffers.from.size(); ++i) {
        copy(buffers.to[i].get() + begin, buffers.from[i].get() + begin, share);
      }
    });
  });
  const double bytes = 2.0 * static_cast<double>(share) * threads;
  return bytes * static_cast<double>(buffers.from.size()) / seconds / 1e9;
}

// --- Fused multiply-add -------------------------------------------------------------------------

// Latency 4 times two units needs 8 chains; 12 of them and two constants fit 16 registers.
constexpr int kChains = 12;
constexpr int64_t kRounds = 4'000'000;

#define FMA_KERNEL(name, target, vector, broadcast, fma)                   \
  target double name() {                                                   \
    vector chain[kChains];                                                 \
    for (int i = 0; i < kChains; ++i) chain[i] = broadcast(0.5 + i);       \
    const vector scale = broadcast(0.999);                                 \
    const vector shift = broadcast(0.001);                                 \
    for (int64_t round = 0; round < kRounds; ++round) {                    \
      _Pragma("GCC unroll 12") for (int i = 0; i < kChains; ++i) {         \
        chain[i] = fma(chain[i], scale, shift);                            \
      }                                                                    \
    }                                                                      \
    vector total = chain[0];                                               \
    for (int i = 1; i < kChains; ++i) total = fma(chain[i], scale, total); \
    double first;                                                          \
    std::memcpy(&first, &total, sizeof first);                             \
    return first;                                                          \
  }

#if defined(__x86_64__)
FMA_KERNEL(fma_avx512_f32, TARGET_AVX512, __m512, _mm512_set1_ps, _mm512_fmadd_ps)
FMA_KERNEL(fma_avx512_f64, TARGET_AVX512, __m512d, _mm512_set1_pd, _mm512_fmadd_pd)
FMA_KERNEL(fma_avx2_f32, TARGET_AVX2, __m256, _mm256_set1_ps, _mm256_fmadd_ps)
FMA_KERNEL(fma_avx2_f64, TARGET_AVX2, __m256d, _mm256_set1_pd, _mm256_fmadd_pd)
#endif

typedef float float4v __attribute__((vector_size(16)));
typedef double double2v __attribute__((vector_size(16)));
template <class V>
V splat(double x) {
  return V{} + static_cast<decltype(V{}[0] + 0)>(x);
}
template <class V>
V multiply_add(V a, V b, V c) {
  return a * b + c;  // contracted where the baseline has the instruction
}
FMA_KERNEL(fma_plain_f32, , float4v, splat<float4v>, multiply_add)
FMA_KERNEL(fma_plain_f64, , double2v, splat<double2v>, multiply_add)

struct FmaKernels {
  const char* name;
  double (*f32)();
  double (*f64)();
  int bytes;  // of a vector
};

FmaKernels widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {"avx512", fma_avx512_f32, fma_avx512_f64, 64};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {"avx2", fma_avx2_f32, fma_avx2_f64, 32};
  }
#endif
  return {"128-bit", fma_plain_f32, fma_plain_f64, 16};
}

volatile double sink;

double fma_rate(double (*kernel)(), int elements, int threads) {
  const double seconds =
      best_seconds(5, [&] { return timed(threads, [&](int) { sink = kernel(); }); });
  return 2.0 * elements * kChains * static_cast<double>(kRounds) * threads / seconds / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t megabytes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 128;
  const int pairs = argc > 2 ? std::atoi(argv[2]) : 4;
  if (megabytes == 0 || pairs < 1) {
    std::fprintf(stderr, "usage: bench_peaks [MB of a buffer] [pairs of buffers]\n");
    return 2;
  }
  const Buffers buffers = make_buffers(megabytes << 20, pairs);
  std::printf("{\"bufferMB\": %zu, \"pairs\": %d, \"copy\": {\"memcpy\": [%.2f, %.2f]", megabytes,
              pairs, copy_rate(buffers, 1, copy_memcpy), copy_rate(buffers, 2, copy_memcpy));
#if defined(__x86_64__)
  std::printf(", \"nonTemporal\": [%.2f, %.2f]", copy_rate(buffers, 1, copy_non_temporal),
              copy_rate(buffers, 2, copy_non_temporal));
#endif
  const FmaKernels fma = widest();
  std::printf("}, \"instructionSet\": \"%s\", \"fma\": {\"float32\": [%.1f, %.1f], ", fma.name,
              fma_rate(fma.f32, fma.bytes / 4, 1), fma_rate(fma.f32, fma.bytes / 4, 2));
  std::printf("\"float64\": [%.1f, %.1f]}}\n", fma_rate(fma.f64, fma.bytes / 8, 1),
              fma_rate(fma.f64, fma.bytes / 8, 2));
  return 0;
}
