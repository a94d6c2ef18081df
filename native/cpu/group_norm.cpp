// Group and instance normalisation: x [N, C, S] in groups of C / G channels,
//
//   y = act((x - mean_ng) rstd_ng weight_c + bias_c),  h = g act',
//   gx = rstd (weight h - mean(weight h) - z mean(weight h z)),  gweight = sum(h z),  gbias = sum(h)
//
// (Wu & He, arXiv:1803.08494; Ulyanov et al., arXiv:1607.08022). A group of an image is contiguous; it is a
// block: statistics and results in one visit, from the cache where the group fits. Backward takes the sums
// of each (image, channel) once and makes both gx and, in order of the images, the gradients of weight and
// bias of them.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/normalization.h"

#define FLUXION_KERNELS "cpu/group_norm.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/wide_sum.h"
#include "cpu/write_out.h"
#include "cpu/norm_plane.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

struct Groups {
  int64_t images, channels, size, groups, width, count;  // channels and elements of a group

  Groups(const Shape& x, int64_t g) : images(x[0]), channels(x[1]), size(1), groups(g) {
    for (int i = 2; i < x.ndim; ++i) size *= x[i];
    width = channels / groups;
    count = width * size;
  }
  int64_t all() const { return images * channels * size; }
};

template <class T>
struct GroupForward {
  Groups s;
  const GroupNormParams& params;
  const T *x, *weight, *bias;
  T *y, *mean, *variance;
  bool streams;

  void operator()(int64_t block) const {
    const T* from = x + block * s.count;
    const double n = static_cast<double>(s.count), first = static_cast<double>(from[0]);
    const SumPair sums = moments(from, s.count, from[0]);
    const double shifted = sums.a / n, raw = sums.b / n - shifted * shifted;
    const T m = static_cast<T>(first + shifted), v = static_cast<T>(raw < 0 ? 0.0 : raw);
    if (mean) mean[block] = m;
    if (variance) variance[block] = v;
    if (!y) return;
    const double rstd = 1.0 / std::sqrt(static_cast<double>(v) + params.eps);
    for (int64_t i = s.width; i-- > 0;) {
      const int64_t c = block % s.groups * s.width + i;
      const Affine<T> affine{m,
                             static_cast<T>(rstd * (weight ? static_cast<double>(weight[c]) : 1.0)),
                             bias ? bias[c] : T(0)};
      const int64_t at = i * s.size;
      normalize_plane(from + at, s.size, affine, params.activation, y + block * s.count + at,
                      streams);
    }
    if (streams) stream_fence();
  }
};

template <class T>
struct GroupBackward {
  Groups s;
  const GroupNormParams& params;
  const T *g, *x, *weight, *bias, *mean, *variance;
  T* gx;
  SumPair* sums;  // of h and h (x - mean), of each (image, channel)
  bool streams;

  void operator()(int64_t block) const {
    const double r = 1.0 / std::sqrt(static_cast<double>(variance[block]) + params.eps);
    const int64_t start = block * s.count, first = block % s.groups * s.width;
    SumPair* const of_channel = sums + block / s.groups * s.channels + first;
    SumPair total;
    for (int64_t i = 0; i < s.width; ++i) {
      const double w = weight ? static_cast<double>(weight[first + i]) : 1.0;
      const Affine<T> affine = affine_of(block, first + i, r);
      const int64_t at = start + i * s.size;
      of_channel[i] = plane_cotangent_sums(g + at, x + at, s.size, affine, params.activation);
      total.a += w * of_channel[i].a;
      total.b += w * of_channel[i].b;
    }
    if (!gx) return;
    const double n = static_cast<double>(s.count);
    const T slope = static_cast<T>(-r * r * r * total.b / n),
            constant = static_cast<T>(-r * total.a / n);
    for (int64_t i = s.width; i-- > 0;) {
      const Affine<T> affine = affine_of(block, first + i, r);
      const int64_t at = start + i * s.size;
      plane_input_vjp(g + at, x + at, s.size, affine, params.activation,
                      s.count == 1 ? Gradient<T>{} : Gradient<T>{affine.scale, slope, constant},
                      gx + at, streams);
    }
    if (streams) stream_fence();
  }
  Affine<T> affine_of(int64_t block, int64_t c, double rstd) const {
    return {mean[block], static_cast<T>(rstd * (weight ? static_cast<double>(weight[c]) : 1.0)),
            bias ? bias[c] : T(0)};
  }
};

template <class Pass>
void for_groups(const Kernel& kernel, const Groups& s, const Pass& pass) {
  const int64_t all = s.images * s.groups;
  const int64_t step = std::max<int64_t>(1, kElementsPerBlock / s.count);
  kernel.parallel_for(blocks_of(all, step), [&](int64_t block, int) {
    for (int64_t i = block * step; i < std::min(all, (block + 1) * step); ++i) pass(i);
  });
}

template <class T>
const T* optional(const TensorView& view) {
  return view.present ? view.as<T>() : nullptr;
}

template <class T>
void zeros(const TensorView& view) {
  if (view.data) std::fill_n(view.as<T>(), view.size(), T(0));
}

template <class T>
void group_norm(const GroupNormParams& params, const Kernel& kernel) {
  const Groups s(kernel.in(0).shape, params.groups);
  T* const y = kernel.out(0).as<T>();
  if (s.count == 0) {  // statistics of nothing
    zeros<T>(kernel.out(1));
    zeros<T>(kernel.out(2));
    return;
  }
  for_groups(kernel, s,
             GroupForward<T>{s, params, kernel.in(0).as<T>(), optional<T>(kernel.in(1)),
                             optional<T>(kernel.in(2)), y, kernel.out(1).as<T>(),
                             kernel.out(2).as<T>(), streams_to(y, s.all())});
}

template <class T>
void group_norm_vjp(const GroupNormParams& params, const Kernel& kernel) {
  const Groups s(kernel.in(1).shape, params.groups);
  if (s.count == 0) {
    zeros<T>(kernel.out(1));
    zeros<T>(kernel.out(2));
    return;
  }
  SumPair* const sums = kernel.workspace<SumPair>();
  T* const gx = kernel.out(0).as<T>();
  const T* variance = kernel.in(5).as<T>();
  for_groups(kernel, s,
             GroupBackward<T>{s, params, kernel.in(0).as<T>(), kernel.in(1).as<T>(),
                              optional<T>(kernel.in(2)), optional<T>(kernel.in(3)),
                              kernel.in(4).as<T>(), variance, gx, sums, streams_to(gx, s.all())});
  T *gweight = kernel.out(1).as<T>(), *gbias = kernel.out(2).as<T>();
  if (!gweight && !gbias) return;
  for (int64_t c = 0; c < s.channels; ++c) {
    SumPair total;
    for (int64_t n = 0; n < s.images; ++n) {
      const SumPair& plane = sums[n * s.channels + c];
      const double v = static_cast<double>(variance[n * s.groups + c / s.width]);
      total.a += plane.a;
      total.b += plane.b / std::sqrt(v + params.eps);
    }
    if (gweight) gweight[c] = static_cast<T>(total.b);
    if (gbias) gbias[c] = static_cast<T>(total.a);
  }
}

}  // namespace

void k_group_norm(const GroupNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { group_norm<typename decltype(tag)::type>(params, kernel); });
}

void k_group_norm_vjp(const GroupNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    group_norm_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
