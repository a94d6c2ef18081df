// Group and instance normalisation: x [N, C, S] in groups of C / G channels,
//
//   y = act((x - mean_ng) rstd_ng weight_c + bias_c)
//
// (Wu & He, arXiv:1803.08494; Ulyanov et al., arXiv:1607.08022). A group of an image is contiguous.
//
// Decomposition: a group that fits the shared memory of a block stays there between its statistics and its
// results: 8 bytes a float32 element, the floor. Larger groups, and a few large ones, have their statistics
// from a fold (device/fold.cuh, in slices) and a pass over the elements (device/norm.cuh): 12 bytes.
#include "group_norm.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct GroupOut {
  T *y, *mean, *variance;
};

// A thread keeps packs of elements p, p + threads, ... : what it reads from shared memory is its own. Element j
// of pack p lies at j * packs + p, so that the banks differ.
template <int kPack, class T>
__global__ void __launch_bounds__(kLineBlock)
    group_norm_near(GroupSpace s, NormActivation activation, double eps, const T* __restrict__ x,
                    const T* weight, const T* bias, GroupOut<T> out) {
  SharedMemory memory;
  const auto shared = memory.take<SumPair>(kWarp);
  const auto tile = memory.take<T>(static_cast<int>(s.count));
  const int threads = static_cast<int>(blockDim.x), packs = static_cast<int>(s.count) / kPack;
  const int64_t group = blockIdx.x;
  const T* const from = x + group * s.count;
  const T shift = from[0];
  SumPair own{0, 0};
#pragma unroll 4
  for (int p = static_cast<int>(threadIdx.x); p < packs; p += threads) {
    const Pack<T, kPack> pack = *reinterpret_cast<const Pack<T, kPack>*>(from + p * kPack);
    T d[kPack], squares[kPack];
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      tile[j * packs + p] = pack.at[j];
      d[j] = pack.at[j] - shift;
      squares[j] = d[j] * d[j];
    }
    own = AddPairs{}(own, SumPair{static_cast<double>(tree_sum(d)),
                                  static_cast<double>(tree_sum(squares))});
  }
  const Moments m = moments_of(block_reduce(own, AddPairs{}, shared), static_cast<double>(shift),
                               static_cast<double>(s.count));
  const T mean = static_cast<T>(m.mean), variance = static_cast<T>(m.variance);
  if (threadIdx.x == 0 && out.mean != nullptr) out.mean[group] = mean;
  if (threadIdx.x == 0 && out.variance != nullptr) out.variance[group] = variance;
  if (out.y == nullptr) return;
  const double rstd = 1.0 / std::sqrt(static_cast<double>(variance) + eps);
  const int64_t first = group % s.groups * s.width;
  T* const to = out.y + group * s.count;
  for (int p = static_cast<int>(threadIdx.x); p < packs; p += threads) {
    const NormAffine<T> c =
        group_affine(mean, rstd, weight, bias,
                     first + s.by_size.quotient(static_cast<uint32_t>(p * kPack)));
    Pack<T, kPack> pack;
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      pack.at[j] = (tile[j * packs + p] - c.mean) * c.scale + c.bias;
    }
    activate(activation, pack.at);
    *reinterpret_cast<Pack<T, kPack>*>(to + p * kPack) = pack;
  }
}

template <class T>
struct GroupMoments : FoldMoments<T> {
  double count;
  T *mean, *variance;

  __device__ void finish(int64_t o, T shift, const SumPair& sums) const {
    const Moments m = moments_of(sums, static_cast<double>(shift), count);
    mean[o] = static_cast<T>(m.mean);
    variance[o] = static_cast<T>(m.variance);
  }
};

template <class T>
void far_groups(const GroupNormParams& p, const Kernel& call, const GroupSpace& s, const T* weight,
                const T* bias, const GroupOut<T>& out) {
  GroupMoments<T> fold{};
  fold.x = call.in(0).as<const T>();
  fold.count = static_cast<double>(s.count);
  fold.mean = out.mean ? out.mean : call.scratch<T>(s.images * s.groups);
  fold.variance = out.variance ? out.variance : call.scratch<T>(s.images * s.groups);
  auto* const affine = call.scratch<NormAffine<T>>(s.images * s.channels);
  if (!fold.mean || !fold.variance || !affine) return;
  fold_view(call, reshaped(call.in(0), {s.images * s.groups, s.count}), 0b10, fold);
  if (!out.y) return;
  prepare_groups<T>(call, s, p.eps, weight, bias, fold.mean, fold.variance, affine);
  normalize_all(call, norm_planes(s.images * s.channels, s.size, s.images * s.channels),
                p.activation, affine, fold.x, out.y);
}

template <class T>
void group_norm(const GroupNormParams& p, const Kernel& call) {
  const GroupSpace s = group_space(call.in(0).shape, p.groups);
  if (s.count == 0) return;
  const T *x = call.in(0).as<const T>(), *weight = optional_input<T>(call, 1),
          *bias = optional_input<T>(call, 2);
  const GroupOut<T> out{call.out(0).as<T>(), call.out(1).as<T>(), call.out(2).as<T>()};
  const size_t shared = shared_bytes<SumPair>(kWarp) + shared_bytes<T>(s.count);
  if (!group_is_near(call, s, shared)) return far_groups(p, call, s, weight, bias, out);
  constexpr int kPack = kLinePack<T>;
  const bool packs = s.size % kPack == 0 && aligned_packs(x, out.y);
  call.launch(packs ? group_norm_near<kPack, T> : group_norm_near<1, T>,
              {s.images * s.groups, group_threads(s, packs ? kPack : 1), shared}, s,
              norm_activation(p.activation), p.eps, x, weight, bias, out);
}

}  // namespace

void k_group_norm(const GroupNormParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { group_norm<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cuda
