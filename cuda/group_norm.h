// What group normalisation and its adjoint share: the shape, which groups stay in shared memory, coefficients of
// the planes.
#pragma once

#include "norm.h"

namespace fluxion::cuda {

struct GroupSpace {
  int64_t images, channels, size, groups, width, count;  // channels and elements of a group
  Divisor by_size;                                       // where a group has fewer than 2^31 elements
};

inline GroupSpace group_space(const Shape& x, int64_t groups) {
  GroupSpace s{};
  s.images = x[0];
  s.channels = x[1];
  s.size = 1;
  for (int i = 2; i < x.ndim; ++i) s.size *= x[i];
  s.groups = groups;
  s.width = s.channels / groups;
  s.count = s.images * s.width * s.size == 0 ? 0 : s.width * s.size;
  if (s.count > 0 && s.count < (int64_t{1} << 31)) s.by_size = Divisor(s.size);
  return s;
}

// A few large groups would leave most of the GPU idle, one block each.
inline bool group_is_near(const Kernel& call, const GroupSpace& s, size_t shared) {
  return shared <= call.shared_limit() &&
         (s.count <= kNormNearElements || s.images * s.groups >= kNormNearBlocks);
}

// About eight units of work a thread.
inline int group_threads(const GroupSpace& s, int pack) {
  const int64_t warps = blocks_of(s.count, int64_t{8} * kWarp * pack);
  return static_cast<int>(std::clamp<int64_t>(warps, 2, kLineBlock / kWarp)) * kWarp;
}

template <class T>
__device__ __forceinline__ NormAffine<T> group_affine(T mean, double rstd, const T* weight,
                                                      const T* bias, int64_t c) {
  return {mean,
          static_cast<T>(weight != nullptr ? rstd * static_cast<double>(weight[c]) : rstd),
          bias != nullptr ? bias[c] : T(0)};
}

// Of every plane (image, channel).
template <class T>
__global__ void prepare_group_planes(GroupSpace s, double eps, const T* weight, const T* bias,
                                     const T* mean, const T* variance, NormAffine<T>* affine) {
  const int64_t plane = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (plane >= s.images * s.channels) return;
  const int64_t group = plane / s.width;
  const double rstd = 1.0 / std::sqrt(static_cast<double>(variance[group]) + eps);
  affine[plane] = group_affine(mean[group], rstd, weight, bias, plane % s.channels);
}

template <class T>
void prepare_groups(const Kernel& call, const GroupSpace& s, double eps, const T* weight,
                    const T* bias, const T* mean, const T* variance, NormAffine<T>* affine) {
  const int64_t planes = s.images * s.channels;
  call.launch(prepare_group_planes<T>, {blocks_of(planes, kNormThreads), kNormThreads}, s, eps,
              weight, bias, mean, variance, affine);
}

}  // namespace fluxion::cuda
