// Host execution layer: the subset of CUDA C++ that cuda/device/machine.cuh names, for a host compiler.
//
// A launch runs its blocks in turn. Each CUDA thread runs on a fiber until it reaches a barrier or a warp
// function; who goes on is drawn by a seeded generator (FLUXION_CUDA_SCHEDULE; 0 = in order), and so is the
// order of blocks. Shared memory is filled with 0xFF (NaN in both float types) before each block, its ends
// are guarded and every index of a Shared array is checked. A thread that leaves while others wait at a
// barrier, threads of a warp that wait at different places, and arrays that exceed what the launch has
// asked for are errors of the launch.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#include "host_runtime.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

// Of the thread that runs now; launches are serialised.
extern uint3 threadIdx, blockIdx;
extern uint3 blockDim, gridDim;

namespace fluxion::cuda::host {

struct Launch {
  uint3 grid, block;
  size_t shared;
};

// Runs a grid; the text of the error, or null.
const char* run_grid(const Launch& launch, const std::function<void()>& kernel);

// The schedules of all launches from now on are drawn from this seed.
void set_schedule(uint64_t seed);

[[noreturn]] void fail_thread(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
enum class Barrier { block, warp };
// Waits for the threads of the block. `votes` sums what the threads give.
int wait_block(int vote);
// All lanes of the warp exchange a word: the words of the 32 lanes, valid until the next exchange.
const uint64_t* exchange(uint64_t word, unsigned mask);

unsigned char* shared_base();
size_t shared_size();

template <class T>
uint64_t to_word(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}
template <class T>
T from_word(uint64_t word) {
  T value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}
unsigned lane();

}  // namespace fluxion::cuda::host

// --- barriers and warp functions
inline void __syncthreads() { fluxion::cuda::host::wait_block(0); }
inline int __syncthreads_count(int predicate) {
  return fluxion::cuda::host::wait_block(predicate != 0);
}
inline int __syncthreads_or(int predicate) { return __syncthreads_count(predicate) > 0; }
inline int __syncthreads_and(int predicate) { return __syncthreads_count(predicate == 0) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { fluxion::cuda::host::exchange(0, mask); }
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  using namespace fluxion::cuda::host;
  const int at = static_cast<int>(lane());
  const uint64_t* words = exchange(to_word(value), mask);
  return from_word<T>(words[(at / width) * width + (from & (width - 1))]);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  using namespace fluxion::cuda::host;
  const int at = static_cast<int>(lane()), from = at ^ bits;
  const uint64_t* words = exchange(to_word(value), mask);
  return from / width > at / width ? value : from_word<T>(words[from]);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  using namespace fluxion::cuda::host;
  const int at = static_cast<int>(lane()), from = at + static_cast<int>(by);
  const uint64_t* words = exchange(to_word(value), mask);
  return from / width != at / width ? value : from_word<T>(words[from]);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  using namespace fluxion::cuda::host;
  const int at = static_cast<int>(lane()), from = at - static_cast<int>(by);
  const uint64_t* words = exchange(to_word(value), mask);
  return from < at / width * width ? value : from_word<T>(words[from]);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const uint64_t* words = fluxion::cuda::host::exchange(predicate != 0, mask);
  unsigned votes = 0;
  for (int i = 0; i < 32; ++i) votes |= static_cast<unsigned>(words[i]) << i;
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == 0xffffffffu;
}

// --- atomics: threads take turns, so a plain operation is one. Integers only.
template <class T>
T atomicAdd(T* at, T value) {
  static_assert(static_cast<T>(0.5) == 0, "atomics on floats are not deterministic");
  const T old = *at;
  *at = static_cast<T>(old + value);
  return old;
}
template <class T>
T atomicMax(T* at, T value) {
  static_assert(static_cast<T>(0.5) == 0, "atomics on floats are not deterministic");
  const T old = *at;
  if (value > old) *at = value;
  return old;
}
template <class T>
T atomicMin(T* at, T value) {
  static_assert(static_cast<T>(0.5) == 0, "atomics on floats are not deterministic");
  const T old = *at;
  if (value < old) *at = value;
  return old;
}
template <class T>
T atomicOr(T* at, T value) {
  const T old = *at;
  *at = old | value;
  return old;
}
template <class T>
T atomicExch(T* at, T value) {
  const T old = *at;
  *at = value;
  return old;
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
  const T old = *at;
  if (old == expected) *at = value;
  return old;
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// --- numbers
inline int __float_as_int(float x) {
  return fluxion::cuda::host::from_word<int>(fluxion::cuda::host::to_word(x));
}
inline unsigned __float_as_uint(float x) {
  return fluxion::cuda::host::from_word<unsigned>(fluxion::cuda::host::to_word(x));
}
inline float __int_as_float(int x) {
  return fluxion::cuda::host::from_word<float>(fluxion::cuda::host::to_word(x));
}
inline float __uint_as_float(unsigned x) {
  return fluxion::cuda::host::from_word<float>(fluxion::cuda::host::to_word(x));
}
inline long long __double_as_longlong(double x) {
  return fluxion::cuda::host::from_word<long long>(fluxion::cuda::host::to_word(x));
}
inline double __longlong_as_double(long long x) {
  return fluxion::cuda::host::from_word<double>(fluxion::cuda::host::to_word(x));
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((uint64_t{a} * b) >> 32);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline float sinpif(float x) {
  return static_cast<float>(std::sin(3.14159265358979323846 * static_cast<double>(x)));
}
inline float cospif(float x) {
  return static_cast<float>(std::cos(3.14159265358979323846 * static_cast<double>(x)));
}
inline double sinpi(double x) { return std::sin(3.14159265358979323846 * x); }
inline double cospi(double x) { return std::cos(3.14159265358979323846 * x); }
template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class T>
void __stcs(T* at, T value) {
  *at = value;
}
template <class T>
T __ldcs(const T* at) {
  return *at;
}

namespace fluxion::cuda {

template <class T>
class Shared {
 public:
  Shared(T* data, int count) : data_(data), count_(count) {}
  T& operator[](int i) const {
    if (i < 0 || i >= count_) host::fail_thread("index %d of a shared array of %d", i, count_);
    return data_[i];
  }
  T* data() const { return data_; }

 private:
  T* data_;
  int count_;
};

class SharedMemory {
 public:
  template <class T>
  Shared<T> take(int count) {
    T* data = reinterpret_cast<T*>(host::shared_base() + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + 15) / 16 * 16;
    if (used_ > host::shared_size()) {
      host::fail_thread("arrays of %zu bytes in shared memory of %zu", used_, host::shared_size());
    }
    return Shared<T>(data, count);
  }

 private:
  size_t used_ = 0;
};

template <int kBytes>
void copy_async(void* to_shared, const void* from) {
  std::memcpy(to_shared, from, kBytes);
}
inline void copy_async_commit() {}
template <int kPending>
void copy_async_wait() {}

}  // namespace fluxion::cuda
