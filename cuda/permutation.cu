// A permutation of 0, ..., n - 1: the same as the CPU's shuffle of Fisher and Yates, whose step d = 0, 1, ...
// exchanges the places n - 1 - d and j(d) <= n - 1 - d, with j drawn from word d of the stream.
//
// Steps that touch different places may be done in any order. One block keeps as many steps under way as it has
// threads; in each round every step puts its number, by an atomic minimum, to the two places it touches, and
// those that find their own number at both do their exchange: no earlier step is left that touches either. A
// thread whose step is done takes the next one. The result is that of the steps in order, whatever the order
// of the threads; about log n rounds more than n / threads are needed.
// Shun, Gu, Blelloch, Fineman, Gibbons, "Sequential random permutation, list contraction and tree contraction
// are highly parallel", SODA 2015.
#include "device/philox.cuh"
#include "kernel.h"
#include "ops/random.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr unsigned kNobody = 0xffffffffu;

__global__ void begin_shuffle(int64_t n, int32_t* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) out[i] = static_cast<int32_t>(i);
}

// owner[i]: the first step under way that touches place i; all kNobody at the beginning.
__global__ void shuffle(uint64_t seed, uint64_t offset, unsigned n, int32_t* out, unsigned* owner) {
  SharedMemory memory;
  const Shared<unsigned> next = memory.take<unsigned>(1);
  volatile unsigned* const seen = owner;  // past the first-level cache
  const unsigned steps = n - 1;
  unsigned step = threadIdx.x, last = 0, other = 0;
  bool active = step < steps, fresh = active;
  if (threadIdx.x == 0) next[0] = blockDim.x;
  __syncthreads();
  while (__syncthreads_or(active)) {
    if (fresh) {
      last = n - 1 - step;
      const PhiloxBlock block = philox(seed, offset + step / 2);
      other = static_cast<unsigned>(scale_word(block.wide(step % 2), uint64_t{last} + 1));
      fresh = false;
    }
    if (active) {
      atomicMin(owner + last, step);
      atomicMin(owner + other, step);
    }
    __syncthreads();
    const bool first = active && seen[last] == step && seen[other] == step;
    __syncthreads();
    if (active) {
      owner[last] = kNobody;
      owner[other] = kNobody;
    }
    if (first) {
      const int32_t moved = out[last];
      out[last] = out[other];
      out[other] = moved;
      step = atomicAdd(&next[0], 1u);
      active = fresh = step < steps;
    }
  }
}

}  // namespace

void k_permutation(const RandomPermutationParams& p, const Kernel& call) {
  const int64_t n = call.out(0).size();
  int32_t* const out = call.out(0).as<int32_t>();
  call.launch(begin_shuffle, {blocks_of(n, kElementThreads), kElementThreads}, n, out);
  if (n < 2) return;
  unsigned* const owner = call.scratch<unsigned>(n);
  call.fill(owner, 0xff, static_cast<size_t>(n) * sizeof(unsigned));
  call.launch(shuffle, {1, kShuffleThreads, shared_bytes<unsigned>(1)},
              static_cast<uint64_t>(p.seed), static_cast<uint64_t>(p.offset),
              static_cast<unsigned>(n), out, owner);
}

}  // namespace fluxion::cuda
