// Kernels that move elements without changing them.
#include "kernel.h"
#include "ops/shape.h"
#include "strided_space.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
__global__ void copy_strided(StridedSpace<1> space, int64_t n, const T* from, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int64_t offset[1];
  offsets_of(space, i, offset);
  to[i] = from[offset[0]];
}

template <class T>
__global__ void fill(T value, int64_t n, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) to[i] = value;
}

}  // namespace

namespace {

void copy_to(const Kernel& call, const TensorView& from, const TensorView& to) {
  const int64_t n = from.size();
  dispatch_any(from.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    call.launch(copy_strided<T>, {blocks_of(n, kElementThreads), kElementThreads},
                strided_space<1>(from.shape, {&from}), n, from.as<T>(), to.as<T>());
  });
}

}  // namespace

void k_copy(const NoParams&, const Kernel& call) { copy_to(call, call.in(0), call.out(0)); }

// Behind the inputs: the memory of the first (Infer::update).
void k_assign(const NoParams&, const Kernel& call) { copy_to(call, call.in(1), call.in(2)); }

void k_full(const FillParams& params, const Kernel& call) {
  const TensorView& to = call.out(0);
  dispatch_any(to.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T value;
    store_number(to.dtype, params.value, &value);
    call.launch(fill<T>, {blocks_of(to.size(), kElementThreads), kElementThreads}, value, to.size(),
                to.as<T>());
  });
}

}  // namespace fluxion::cuda
