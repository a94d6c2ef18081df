// The common p-norm of many gradients, and the gradients scaled so that it is at most maxNorm:
//   norm = (sum |g|^p)^(1/p),   g *= min(1, maxNorm / (norm + 1e-6))
// Three kernels: partial sums of the powers, one a block, in double (device/tensor_list.cuh); one block adds them in a
// fixed order and makes the factor, which stays on the device; the pass that scales returns at once where the
// factor is 1. Bytes of float32 an element: 4, with the scaling 12. Source of the formula:
// torch.nn.utils.clip_grad_norm_.
#include <cmath>
#include <limits>

#include "device/reduce.cuh"
#include "ops/optimizer.h"
#include "tensor_list.h"

namespace fluxion::cuda {
namespace {

enum class Power { one, two, largest, any };

Power power_of(double p) {
  return p == 1 ? Power::one : p == 2 ? Power::two : std::isinf(p) ? Power::largest : Power::any;
}

template <Power kPower>
struct Accumulate {
  __device__ double operator()(double a, double b) const {
    if constexpr (kPower == Power::largest) return a > b || a != a ? a : b;  // a NaN stays
    return a + b;
  }
};

template <Power kPower>
__device__ __forceinline__ double term_of(double magnitude, double p) {
  if constexpr (kPower == Power::two) return magnitude * magnitude;
  if constexpr (kPower == Power::any) return std::pow(magnitude, p);
  return magnitude;
}

template <class T, Power kPower>
__global__ void norm_parts(const ListedTensors* list, int count, int elements, double p,
                           double* partial) {
  constexpr int kCount = pack_of<T>();
  const Accumulate<kPower> accumulate;
  SharedMemory memory;
  const auto sums = memory.take<double>(kWarp);
  const ListedTensors& tensors = list[entry_of_block(list, count, blockIdx.x)];
  const T* const x = static_cast<const T*>(tensors.from[0]);
  const int64_t n = tensors.n, begin = (blockIdx.x - tensors.first_block) * elements;
  const int64_t end = n - begin < elements ? n : begin + elements;
  const bool aligned = reinterpret_cast<uintptr_t>(x) % 16 == 0;
  double sum = 0;
  for (int64_t at = begin + threadIdx.x * kCount; at < end; at += blockDim.x * kCount) {
    Pack<T, kCount> pack;
    if (aligned && at + kCount <= end) {
      pack = *reinterpret_cast<const Pack<T, kCount>*>(x + at);
    } else {
#pragma unroll
      for (int j = 0; j < kCount; ++j) pack.at[j] = at + j < end ? x[at + j] : T(0);
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      sum = accumulate(sum, term_of<kPower>(std::fabs(static_cast<double>(pack.at[j])), p));
    }
  }
  sum = block_reduce(sum, accumulate, sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

struct ClipFaults {
  bool wanted;
  FaultSite nan, infinite;
};

template <class T, Power kPower>
__global__ void clip_factor(const double* partial, int64_t blocks, double p, double max_norm,
                            ClipFaults faults, double* factor, T* out) {
  const Accumulate<kPower> accumulate;
  SharedMemory memory;
  const auto sums = memory.take<double>(kWarp);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < blocks; i += blockDim.x) sum = accumulate(sum, partial[i]);
  sum = block_reduce(sum, accumulate, sums);
  if (threadIdx.x != 0) return;
  double norm = sum;
  if constexpr (kPower == Power::two) norm = std::sqrt(sum);
  if constexpr (kPower == Power::any) norm = std::pow(sum, 1 / p);
  if (out != nullptr) *out = static_cast<T>(norm);
  const double wanted = max_norm / (norm + 1e-6);
  *factor = wanted > 1 ? 1 : wanted;  // a NaN passes
  if (!faults.wanted || norm <= std::numeric_limits<double>::max()) return;
  *factor = 1;
  record_fault(norm != norm ? faults.nan : faults.infinite, 0, 0);
}

template <class T>
struct Scale {
  static constexpr int kFrom = 1, kTo = 1;
  const double* factor;
  __device__ bool idle(const ListedTensors& tensors) const {
    return *factor == 1 && tensors.from[0] == tensors.to[0];
  }
  __device__ void operator()(const T (&from)[1], T (&to)[1]) const {
    to[0] = from[0] * static_cast<T>(*factor);
  }
};

template <Power kPower>
void clip(const ClipGradNormParams& p, const Kernel& call) {
  const UpdatedItems items(call, 1, 1);
  struct Group {
    const ListedTensors* list;
    int count;
    int64_t blocks;
    bool wide;
  };
  std::vector<Group> groups;
  int64_t blocks = 0;
  for_groups(items, [&](auto tag, const ListedTensors* list, int count, int64_t own) {
    groups.push_back({list, count, own, sizeof(typename decltype(tag)::type) == 8});
    blocks += own;
  });
  double* const factor = call.scratch<double>(1 + blocks);
  double* const partial = factor + 1;
  const size_t shared = shared_bytes<double>(kWarp);
  const auto for_each_group = [&](const auto& f) {
    int64_t done = 0;
    for (const Group& group : groups) {
      dispatch_floating(group.wide ? DType::f64 : DType::f32,
                        [&](auto tag) { f(tag, group, partial + done); });
      done += group.blocks;
    }
  };
  for_each_group([&](auto tag, const Group& group, double* to) {
    using T = typename decltype(tag)::type;
    call.launch(norm_parts<T, kPower>, {group.blocks, kStepThreads, shared}, group.list,
                group.count, kStepElements, p.norm_type, to);
  });
  const ClipFaults faults{
      p.error_if_nonfinite,
      call.fault_site(ErrorCode::InvalidArgument, "gradients must have a finite norm, got nan"),
      call.fault_site(ErrorCode::InvalidArgument, "gradients must have a finite norm, got inf")};
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    call.launch(clip_factor<T, kPower>, {1, kStepThreads, shared}, partial, blocks, p.norm_type,
                p.max_norm, faults, factor, call.out(0).as<T>());
  });
  for_each_group([&](auto tag, const Group& group, double*) {
    using T = typename decltype(tag)::type;
    call.launch(update_tensors<T, Scale<T>>, {group.blocks, kStepThreads}, Scale<T>{factor},
                group.list, group.count, kStepElements);
  });
}

}  // namespace

void k_clip_grad_norm(const ClipGradNormParams& p, const Kernel& call) {
  switch (power_of(p.norm_type)) {
    case Power::one:
      return clip<Power::one>(p, call);
    case Power::two:
      return clip<Power::two>(p, call);
    case Power::largest:
      return clip<Power::largest>(p, call);
    case Power::any:
      return clip<Power::any>(p, call);
  }
}

}  // namespace fluxion::cuda
