// The adjoint of group normalisation, x [N, C, S] in groups of C / G channels:
//
//   h = g act',  gx = rstd (weight h - mean(weight h) - z mean(weight h z)),
//   gweight = sum(h z),  gbias = sum(h)
//
// Decomposition: the sums of h and h (x - mean) of each plane (image, channel) serve both gx and, added in the
// order of the images, the gradients of weight and bias. A group of which h and x - mean fit the shared memory
// of a block stays there: 12 bytes a float32 element, the floor. Larger groups, and a few large ones, have the
// sums from a fold (device/fold.cuh) and gx from a pass over the elements (device/norm.cuh): 20 bytes.
#include "group_norm.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct GroupGradient {
  const T *g, *x, *weight, *bias, *mean, *variance;
  T* gx;
  SumPair* sums;  // of each plane, or null
};

// Coefficients of gx in a group from the weighted sums of its planes.
template <class T>
__device__ __forceinline__ NormGradient<T> group_gradient(const SumPair& total, double rstd,
                                                          int64_t count) {
  if (count == 1) return {T(0), T(0), T(0)};  // one value is its own mean: exactly no gradient
  const double n = static_cast<double>(count);
  return {T(1), static_cast<T>(-rstd * rstd * rstd * total.b / n),
          static_cast<T>(-rstd * total.a / n)};
}

template <class T>
__device__ __forceinline__ SumPair weighted(const SumPair& s, const T* weight, int64_t c) {
  const double w = weight != nullptr ? static_cast<double>(weight[c]) : 1.0;
  return {w * s.a, w * s.b};
}

// Warps take segments: planes, or `cuts` parts of each where there are fewer planes than warps.
template <class T>
__global__ void __launch_bounds__(kLineBlock)
    group_norm_vjp_near(GroupSpace s, int cuts, NormActivation activation, double eps,
                        GroupGradient<T> v) {
  SharedMemory memory;
  const int count = static_cast<int>(s.count), size = static_cast<int>(s.size);
  const int width = static_cast<int>(s.width), threads = static_cast<int>(blockDim.x);
  const auto shared = memory.take<SumPair>(kWarp);
  const auto segments = memory.take<SumPair>(width * cuts);
  const auto hs = memory.take<T>(count), ds = memory.take<T>(count);
  const int64_t group = blockIdx.x, start = group * s.count, first = group % s.groups * s.width;
  const T mean = v.mean[group];
  const double rstd = 1.0 / std::sqrt(static_cast<double>(v.variance[group]) + eps);
  for (int k = warp_index(); k < width * cuts; k += threads / kWarp) {
    const int plane = k / cuts, cut = k - plane * cuts;
    const NormAffine<T> c = group_affine(mean, rstd, v.weight, v.bias, first + plane);
    const int end = plane * size + static_cast<int>(s.size * (cut + 1) / cuts);
    SumPair own{0, 0};
#pragma unroll 4
    for (int i = plane * size + static_cast<int>(s.size * cut / cuts) + lane_index(); i < end;
         i += kWarp) {
      const T d = v.x[start + i] - c.mean, g[1] = {v.g[start + i]};
      T h[1] = {d * c.scale + c.bias};
      activate_vjp(activation, g, h);
      hs[i] = h[0];
      ds[i] = d;
      own = AddPairs{}(own, SumPair{static_cast<double>(h[0]), static_cast<double>(h[0] * d)});
    }
    own = warp_reduce(own, AddPairs{});
    if (lane_index() == 0) segments[k] = own;
  }
  __syncthreads();
  SumPair total{0, 0};
  for (int plane = static_cast<int>(threadIdx.x); plane < width; plane += threads) {
    SumPair sums = segments[plane * cuts];
    for (int cut = 1; cut < cuts; ++cut) sums = AddPairs{}(sums, segments[plane * cuts + cut]);
    if (v.sums != nullptr) v.sums[group * s.width + plane] = sums;
    total = AddPairs{}(total, weighted(sums, v.weight, first + plane));
  }
  if (v.gx == nullptr) return;
  total = block_reduce(total, AddPairs{}, shared);
  const NormGradient<T> f = group_gradient<T>(total, rstd, s.count);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) {
    const int64_t c = first + s.by_size.quotient(static_cast<uint32_t>(i));
    const T k = f.k * group_affine(mean, rstd, v.weight, v.bias, c).scale;
    v.gx[start + i] = k * hs[i] + (f.slope * ds[i] + f.constant);
  }
}

// The sums of a plane, kept.
template <class T>
struct PlaneCotangents : FoldCotangents<T> {
  SumPair* sums;
  __device__ void finish(int64_t plane, const NormAffine<T>&, const SumPair& s) const {
    sums[plane] = s;
  }
};

// A warp makes the coefficients of a group's planes.
template <class T>
__global__ void prepare_group_gradient(GroupSpace s, double eps, const SumPair* sums,
                                       const T* weight, const T* variance,
                                       const NormAffine<T>* affine, NormGradient<T>* gradient) {
  const int64_t group =
      (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const bool active = group < s.images * s.groups;
  const int64_t first = group % s.groups * s.width;
  SumPair total{0, 0};
  for (int64_t i = lane_index(); active && i < s.width; i += kWarp) {
    total = AddPairs{}(total, weighted(sums[group * s.width + i], weight, first + i));
  }
  total = warp_reduce(total, AddPairs{});
  if (!active) return;
  const double rstd = 1.0 / std::sqrt(static_cast<double>(variance[group]) + eps);
  const NormGradient<T> f = group_gradient<T>(total, rstd, s.count);
  for (int64_t i = lane_index(); i < s.width; i += kWarp) {
    const int64_t plane = group * s.width + i;
    gradient[plane] = {f.k * affine[plane].scale, f.slope, f.constant};
  }
}

// A warp adds the planes of a channel in a fixed order.
template <class T>
__global__ void sum_group_channels(GroupSpace s, double eps, const SumPair* sums,
                                   const T* variance, T* gweight, T* gbias) {
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const bool active = c < s.channels;
  SumPair total{0, 0};
  for (int64_t n = lane_index(); active && n < s.images; n += kWarp) {
    const SumPair plane = sums[n * s.channels + c];
    const double v = static_cast<double>(variance[n * s.groups + c / s.width]);
    total = AddPairs{}(total, SumPair{plane.a, plane.b / std::sqrt(v + eps)});
  }
  total = warp_reduce(total, AddPairs{});
  if (!active || lane_index() != 0) return;
  if (gweight != nullptr) gweight[c] = static_cast<T>(total.b);
  if (gbias != nullptr) gbias[c] = static_cast<T>(total.a);
}

template <class T>
void far_groups(const GroupNormParams& p, const Kernel& call, const GroupSpace& s,
                const GroupGradient<T>& v) {
  const int64_t planes = s.images * s.channels;
  auto* const affine = call.scratch<NormAffine<T>>(planes);
  auto* const gradient = call.scratch<NormGradient<T>>(planes);
  if (!affine || !gradient) return;
  prepare_groups<T>(call, s, p.eps, v.weight, v.bias, v.mean, v.variance, affine);
  PlaneCotangents<T> fold{};
  fold.g = v.g;
  fold.x = v.x;
  fold.affine = affine;
  fold.activation = norm_activation(p.activation);
  fold.aligned = aligned_packs(v.g, v.x);
  fold.sums = v.sums;
  fold_view(call, reshaped(call.in(1), {planes, s.size}), 0b10, fold);
  if (!v.gx) return;
  call.launch(prepare_group_gradient<T>,
              {blocks_of(s.images * s.groups * kWarp, kNormThreads), kNormThreads}, s, p.eps,
              v.sums, v.weight, v.variance, affine, gradient);
  differentiate_all(call, norm_planes(planes, s.size, planes), p.activation, affine, gradient, v.g,
                    v.x, v.gx);
}

template <class T>
void group_norm_vjp(const GroupNormParams& p, const Kernel& call) {
  const GroupSpace s = group_space(call.in(1).shape, p.groups);
  T *const gweight = call.out(1).as<T>(), *const gbias = call.out(2).as<T>();
  if (s.count == 0) {
    const size_t bytes = static_cast<size_t>(s.channels) * sizeof(T);
    if (gweight) call.fill(gweight, 0, bytes);
    if (gbias) call.fill(gbias, 0, bytes);
    return;
  }
  const int threads = group_threads(s, 1);
  const int cuts = static_cast<int>(blocks_of(threads / kWarp, s.width));
  const size_t shared = shared_bytes<SumPair>(kWarp) + shared_bytes<SumPair>(s.width * cuts) +
                        2 * shared_bytes<T>(s.count);
  const bool near = group_is_near(call, s, shared);
  SumPair* const sums =
      gweight || gbias || !near ? call.scratch<SumPair>(s.images * s.channels) : nullptr;
  if (!sums && (gweight || gbias || !near)) return;
  const GroupGradient<T> v{call.in(0).as<const T>(),   call.in(1).as<const T>(),
                           optional_input<T>(call, 2), optional_input<T>(call, 3),
                           call.in(4).as<const T>(),   call.in(5).as<const T>(),
                           call.out(0).as<T>(),        sums};
  if (near) {
    call.launch(group_norm_vjp_near<T>, {s.images * s.groups, threads, shared}, s, cuts,
                norm_activation(p.activation), p.eps, v);
  } else {
    far_groups(p, call, s, v);
  }
  if (!gweight && !gbias) return;
  call.launch(sum_group_channels<T>, {blocks_of(s.channels * kWarp, kNormThreads), kNormThreads}, s,
              p.eps, sums, v.variance, gweight, gbias);
}

}  // namespace

void k_group_norm_vjp(const GroupNormParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { group_norm_vjp<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cuda
