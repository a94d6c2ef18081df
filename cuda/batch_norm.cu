// Batch normalisation, y = act((x - mean) rstd weight + bias) for each channel, and its adjoint
//
//   h = g act',  gx = weight rstd (h - mean(h) - z mean(h z)),  gweight = sum(h z),  gbias = sum(h)
//
// with z = (x - mean) rstd (Ioffe & Szegedy, arXiv:1502.03167); with given statistics gx = weight rstd h.
//
// Decomposition: x is [N, C, S]; the sums of a channel are a fold over N and S (device/fold.cuh, in slices where
// channels are few), whose end makes the channel's coefficients; then one pass over the elements
// (device/norm.cuh). Bytes of a float32 element: 12 forward (8 with given statistics), 20 backward, against 8
// and 12: a channel does not fit a block, so the second read comes from the L2 or the memory.
#include "norm.h"

namespace fluxion::cuda {
namespace {

struct Channels {
  int64_t images, channels, size = 1;
  explicit Channels(const Shape& x) : images(x[0]), channels(x[1]) {
    for (int i = 2; i < x.ndim; ++i) size *= x[i];
  }
  Shape shape() const { return {images, channels, size}; }
};
constexpr uint32_t kOfChannels = 0b101;  // the axes that are summed

template <class T>
__device__ NormAffine<T> affine_of(T mean, T variance, double eps, const T* weight, const T* bias,
                                   int64_t c) {
  const double w = weight != nullptr ? static_cast<double>(weight[c]) : 1.0;
  return {mean, static_cast<T>(w / std::sqrt(static_cast<double>(variance) + eps)),
          bias != nullptr ? bias[c] : T(0)};
}

template <class T>
struct ChannelMoments : FoldMoments<T> {
  double count, eps;
  const T *weight, *bias;
  T *mean, *variance;
  NormAffine<T>* affine;

  __device__ void finish(int64_t c, T shift, const SumPair& sums) const {
    const Moments m = moments_of(sums, static_cast<double>(shift), count);
    const T mc = static_cast<T>(m.mean), vc = static_cast<T>(m.variance);
    if (mean != nullptr) mean[c] = mc;
    if (variance != nullptr) variance[c] = vc;
    affine[c] = affine_of(mc, vc, eps, weight, bias, c);
  }
};

template <class T>
struct ChannelCotangents : FoldCotangents<T> {
  double count, eps;  // count 0: the statistics do not depend on x
  const T *weight, *variance;
  T *gweight, *gbias;
  NormGradient<T>* gradient;

  __device__ void finish(int64_t c, const NormAffine<T>&, const SumPair& s) const {
    const double r = 1.0 / std::sqrt(static_cast<double>(variance[c]) + eps);
    const double scale = (weight != nullptr ? static_cast<double>(weight[c]) : 1.0) * r;
    if (gweight != nullptr) gweight[c] = static_cast<T>(s.b * r);
    if (gbias != nullptr) gbias[c] = static_cast<T>(s.a);
    if (count > 0) {
      gradient[c] = {static_cast<T>(scale), static_cast<T>(-scale * r * r * s.b / count),
                     static_cast<T>(-scale * s.a / count)};
    }
  }
};

// From given statistics; gradient null: forward.
template <class T>
__global__ void prepare_channels(int64_t channels, double eps, const T* weight, const T* bias,
                                 const T* mean, const T* variance, NormAffine<T>* affine,
                                 NormGradient<T>* gradient) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  const NormAffine<T> a = affine_of(mean[c], variance[c], eps, weight, bias, c);
  affine[c] = a;
  if (gradient != nullptr) gradient[c] = {a.scale, T(0), T(0)};
}

template <class T>
void batch_norm(const BatchNormParams& p, const Kernel& call) {
  const Channels s(call.in(0).shape);
  if (s.channels == 0) return;
  const T *x = call.in(0).as<const T>(), *weight = optional_input<T>(call, 1),
          *bias = optional_input<T>(call, 2);
  auto* const affine = call.scratch<NormAffine<T>>(s.channels);
  if (!affine) return;
  if (p.training) {
    ChannelMoments<T> fold{};
    fold.x = x;
    fold.count = static_cast<double>(std::max<int64_t>(1, s.images * s.size));
    fold.eps = p.eps;
    fold.weight = weight;
    fold.bias = bias;
    fold.mean = call.out(1).as<T>();
    fold.variance = call.out(2).as<T>();
    fold.affine = affine;
    fold_view(call, reshaped(call.in(0), s.shape()), kOfChannels, fold);
  } else {
    call.launch(prepare_channels<T>, {blocks_of(s.channels, kNormThreads), kNormThreads},
                s.channels, p.eps, weight, bias, call.in(3).as<const T>(),
                call.in(4).as<const T>(), affine, nullptr);
  }
  if (T* const y = call.out(0).as<T>()) {
    normalize_all(call, norm_planes(s.images * s.channels, s.size, s.channels), p.activation,
                  affine, x, y);
  }
}

template <class T>
void batch_norm_vjp(const BatchNormParams& p, const Kernel& call) {
  const Channels s(call.in(1).shape);
  if (s.channels == 0) return;
  const T *g = call.in(0).as<const T>(), *x = call.in(1).as<const T>(),
          *weight = optional_input<T>(call, 2), *variance = call.in(5).as<const T>();
  T *const gx = call.out(0).as<T>(), *const gweight = call.out(1).as<T>(),
    *const gbias = call.out(2).as<T>();
  auto* const affine = call.scratch<NormAffine<T>>(s.channels);
  auto* const gradient = call.scratch<NormGradient<T>>(s.channels);
  if (!affine || !gradient) return;
  call.launch(prepare_channels<T>, {blocks_of(s.channels, kNormThreads), kNormThreads}, s.channels,
              p.eps, weight, optional_input<T>(call, 3), call.in(4).as<const T>(), variance, affine,
              gradient);
  if (p.training || gweight || gbias) {
    ChannelCotangents<T> fold{};
    fold.g = g;
    fold.x = x;
    fold.affine = affine;
    fold.activation = norm_activation(p.activation);
    fold.aligned = aligned_packs(g, x);
    fold.count =
        p.training ? static_cast<double>(std::max<int64_t>(1, s.images * s.size)) : 0.0;
    fold.eps = p.eps;
    fold.weight = weight;
    fold.variance = variance;
    fold.gweight = gweight;
    fold.gbias = gbias;
    fold.gradient = gradient;
    fold_view(call, reshaped(call.in(1), s.shape()), kOfChannels, fold);
  }
  if (!gx) return;
  differentiate_all(call, norm_planes(s.images * s.channels, s.size, s.channels), p.activation,
                    affine, gradient, g, x, gx);
}

// (1 - momentum) old + momentum scale fresh, the fresh one averaged over its leading axis.
template <class T>
__global__ void blend(int64_t channels, int64_t rows, double momentum, double scale, const T* fresh,
                      const T* old, T* out) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) sum += static_cast<double>(fresh[r * channels + c]);
  out[c] = static_cast<T>((1 - momentum) * static_cast<double>(old[c]) +
                          momentum * (scale * sum / static_cast<double>(rows)));
}

}  // namespace

void k_batch_norm(const BatchNormParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { batch_norm<typename decltype(tag)::type>(p, call); });
}
void k_batch_norm_vjp(const BatchNormParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { batch_norm_vjp<typename decltype(tag)::type>(p, call); });
}

void k_running_statistics(const RunningStatisticsParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int i = 0; i < 2; ++i) {
      T* const out = call.out(i).as<T>();
      const int64_t channels = out && call.in(2 + i).present ? call.in(2 + i).size() : 0;
      if (channels == 0) continue;
      call.launch(blend<T>, {blocks_of(channels, kNormThreads), kNormThreads}, channels,
                  call.in(i).size() / channels, p.momentum, i == 0 ? 1.0 : p.varianceScale,
                  call.in(i).as<const T>(), call.in(2 + i).as<const T>(), out);
    }
  });
}

}  // namespace fluxion::cuda
