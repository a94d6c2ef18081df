// Batch normalisation, y = act((x - mean) rstd weight + bias) for each channel, and its adjoint
//
//   h = g act',  gx = weight rstd (h - mean(h) - z mean(h z)),  gweight = sum(h z),  gbias = sum(h)
//
// with z = (x - mean) rstd (Ioffe & Szegedy, arXiv:1502.03167); with given statistics gx = weight rstd h.
// Sums are of values shifted by the channel's first one and kept in double, so one pass suffices for any mean.
// x is [N, C, S]. Parallel over channels where they fit the cache: a channel's statistics and results are
// taken in one visit. Larger ones are summed in slices of (channel, images), whose sums are added in order,
// and written plane by plane; planes of a few elements are columns of a matrix.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/rounding.h"
#include "cpu/kernel.h"
#include "ops/normalization.h"

#define FLUXION_KERNELS "cpu/batch_norm.cpp"
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

struct Layout {
  int64_t images, channels, size, slices;
  bool visits;  // a channel in one visit

  Layout(const Shape& x, size_t element) : images(x[0]), channels(x[1]), size(1) {
    for (int i = 2; i < x.ndim; ++i) size *= x[i];
    slices = std::clamp<int64_t>(images, 1, kStatisticsSlices);
    visits =
        channels >= kChannelVisits && count() * static_cast<int64_t>(element) <= kChannelVisitBytes;
  }
  int64_t count() const { return images * size; }
  int64_t at(int64_t n, int64_t c) const { return (n * channels + c) * size; }
};

// One of the two passes of an op. sums() gives the two sums of a plane, finish() makes of a channel's sums
// what it needs (and stores it), write() writes a plane.
template <class T>
struct Forward {
  const Layout& l;
  const BatchNormParams& params;
  const T *x, *weight, *bias;
  T *y, *mean, *variance;
  bool streams;
  Affine<T>* affine;  // of each channel

  SumPair sums(int64_t n, int64_t c) const {
    return moments(x + l.at(n, c), l.size, x[l.at(0, c)]);
  }
  void finish(int64_t c, const SumPair& s) const {
    const double n = static_cast<double>(std::max<int64_t>(1, l.count()));
    const double first = l.count() ? static_cast<double>(x[l.at(0, c)]) : 0.0;
    const double shifted = s.a / n, raw = s.b / n - shifted * shifted;
    const T m = static_cast<T>(first + shifted), v = static_cast<T>(raw < 0 ? 0.0 : raw);
    if (mean) mean[c] = m;
    if (variance) variance[c] = v;
    set(c, m, v);
  }
  void set(int64_t c, T m, T v) const {
    const double w = weight ? static_cast<double>(weight[c]) : 1.0;
    affine[c] = {m, static_cast<T>(w / std::sqrt(static_cast<double>(v) + params.eps)),
                 bias ? bias[c] : T(0)};
  }
  bool writes() const { return y != nullptr; }
  void write(int64_t n, int64_t c) const {
    normalize_plane(x + l.at(n, c), l.size, affine[c], params.activation, y + l.at(n, c), streams);
  }
};

template <class T>
struct Backward {
  const Layout& l;
  const BatchNormParams& params;
  const T *g, *x, *weight, *bias, *mean, *variance;
  T *gx, *gweight, *gbias;
  bool streams;
  Affine<T>* affine;
  Gradient<T>* gradient;

  double rstd(int64_t c) const {
    return 1.0 / std::sqrt(static_cast<double>(variance[c]) + params.eps);
  }
  void prepare(int64_t c) const {
    const double w = weight ? static_cast<double>(weight[c]) : 1.0;
    const double root = std::sqrt(static_cast<double>(variance[c]) + params.eps);
    affine[c] = {mean[c], static_cast<T>(w / root), bias ? bias[c] : T(0)};  // as forward
  }
  SumPair sums(int64_t n, int64_t c) const {
    return plane_cotangent_sums(g + l.at(n, c), x + l.at(n, c), l.size, affine[c],
                                params.activation);
  }
  void finish(int64_t c, const SumPair& s) const {
    const double r = rstd(c), scale = (weight ? static_cast<double>(weight[c]) : 1.0) * r;
    const double n = params.training ? static_cast<double>(std::max<int64_t>(1, l.count())) : 0.0;
    if (gweight) gweight[c] = static_cast<T>(s.b * r);
    if (gbias) gbias[c] = static_cast<T>(s.a);
    gradient[c] = {static_cast<T>(scale), n > 0 ? static_cast<T>(-scale * r * r * s.b / n) : T(0),
                   n > 0 ? static_cast<T>(-scale * s.a / n) : T(0)};
  }
  bool writes() const { return gx != nullptr; }
  void write(int64_t n, int64_t c) const {
    plane_input_vjp(g + l.at(n, c), x + l.at(n, c), l.size, affine[c], params.activation,
                    gradient[c], gx + l.at(n, c), streams);
  }
};

template <class Pass>
void visit_channel(const Layout& l, const Pass& pass, int64_t c) {
  SumPair sums;
  for (int64_t n = 0; n < l.images; ++n) {
    const SumPair s = pass.sums(n, c);
    sums.a += s.a;
    sums.b += s.b;
  }
  pass.finish(c, sums);
  if (!pass.writes()) return;
  for (int64_t n = l.images; n-- > 0;) pass.write(n, c);  // the last planes are the nearest
  stream_fence();
}

template <class Pass>
void write_planes(const Kernel& kernel, const Layout& l, const Pass& pass) {
  const int64_t all = l.images * l.channels;
  const int64_t step = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, l.size));
  kernel.parallel_for(blocks_of(all, step), [&](int64_t block, int) {
    const int64_t end = std::min(all, (block + 1) * step);
    for (int64_t i = block * step; i < end; ++i) pass.write(i / l.channels, i % l.channels);
    stream_fence();
  });
}

template <class Pass>
void sum_slice(const Layout& l, const Pass& pass, int64_t slice, int64_t c, SumPair* to) {
  *to = {};
  for (int64_t n = l.images * slice / l.slices; n < l.images * (slice + 1) / l.slices; ++n) {
    const SumPair s = pass.sums(n, c);
    to->a += s.a;
    to->b += s.b;
  }
}

template <class Pass>
void run_passes(const Kernel& kernel, const Layout& l, const Pass& pass, SumPair* partial) {
  if (l.visits) {
    const int64_t step = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, l.count()));
    kernel.parallel_for(blocks_of(l.channels, step), [&](int64_t block, int) {
      const int64_t end = std::min(l.channels, (block + 1) * step);
      for (int64_t c = block * step; c < end; ++c) visit_channel(l, pass, c);
    });
    return;
  }
  kernel.parallel_for(l.slices * l.channels, [&](int64_t block, int) {
    sum_slice(l, pass, block / l.channels, block % l.channels, partial + block);
  });
  for (int64_t c = 0; c < l.channels; ++c) {
    SumPair sums;
    for (int64_t s = 0; s < l.slices; ++s) {
      sums.a += partial[s * l.channels + c].a;
      sums.b += partial[s * l.channels + c].b;
    }
    pass.finish(c, sums);
  }
  if (pass.writes()) write_planes(kernel, l, pass);
}

// --- planes of a few elements: columns of the matrix [N, C S], a tile of whole channels at a time

template <class T>
void column_moments(const T* x, int64_t rows, int64_t pitch, int64_t width, double* __restrict a,
                    double* __restrict b, const double* __restrict shift) {
  for (int64_t n = 0; n < rows; ++n) {
    const T* __restrict row = x + n * pitch;
    for (int64_t j = 0; j < width; ++j) {
      const double d = static_cast<double>(row[j]) - shift[j];
      a[j] += d;
      b[j] += d * d;
    }
  }
}

template <class T>
void column_cotangent_sums(const T* __restrict h, const T* __restrict x, int64_t width,
                           double* __restrict a, double* __restrict b, const T* __restrict mean) {
  for (int64_t j = 0; j < width; ++j) {
    const double hj = static_cast<double>(h[j]);
    a[j] += hj;
    b[j] += hj * static_cast<double>(x[j] - mean[j]);
  }
}

// A tile of channels with its values spread over the columns.
template <class T>
struct Columns {
  int64_t first, channels, width, size;
  T mean[kNormColumns], scale[kNormColumns], bias[kNormColumns];
  T k[kNormColumns], slope[kNormColumns], constant[kNormColumns];
  double a[kNormColumns] = {}, b[kNormColumns] = {}, shift[kNormColumns];

  SumPair sums(int64_t c) const {
    SumPair s;
    for (int64_t j = 0; j < size; ++j) {
      s.a += a[c * size + j];
      s.b += b[c * size + j];
    }
    return s;
  }
  void spread(int64_t c, const Affine<T>& affine) {
    for (int64_t j = c * size; j < (c + 1) * size; ++j) {
      mean[j] = affine.mean;
      scale[j] = affine.scale;
      bias[j] = affine.bias;
    }
  }
  void spread(int64_t c, const Gradient<T>& gradient) {
    for (int64_t j = c * size; j < (c + 1) * size; ++j) {
      k[j] = gradient.k;
      slope[j] = gradient.slope;
      constant[j] = gradient.constant;
    }
  }
  void normalize(const T* __restrict x, T* __restrict y) const {
    for (int64_t j = 0; j < width; ++j) y[j] = (x[j] - mean[j]) * scale[j] + bias[j];
  }
  void differentiate(const T* __restrict h, const T* __restrict x, T* __restrict gx) const {
    for (int64_t j = 0; j < width; ++j)
      gx[j] = k[j] * h[j] + (slope[j] * (x[j] - mean[j]) + constant[j]);
  }
};

template <class T, class F>
void for_columns(const Kernel& kernel, const Layout& l, const F& f) {
  const int64_t step = std::max<int64_t>(1, kNormColumns / std::max<int64_t>(1, l.size));
  kernel.parallel_for(blocks_of(l.channels, step), [&](int64_t block, int) {
    Columns<T> t;
    t.first = block * step;
    t.channels = std::min(step, l.channels - t.first);
    t.size = l.size;
    t.width = t.channels * l.size;
    f(t);
  });
}

template <class T>
void forward_columns(const Forward<T>& pass, Columns<T>& t) {
  const Layout& l = pass.l;
  const int64_t pitch = l.channels * l.size;
  const T* x = pass.x + t.first * l.size;
  if (pass.params.training) {
    for (int64_t j = 0; l.count() && j < t.width; ++j)
      t.shift[j] = static_cast<double>(x[j / l.size * l.size]);
    column_moments(x, l.images, pitch, t.width, t.a, t.b, t.shift);
    for (int64_t c = 0; c < t.channels; ++c) pass.finish(t.first + c, t.sums(c));
  }
  if (!pass.writes()) return;
  for (int64_t c = 0; c < t.channels; ++c) t.spread(c, pass.affine[t.first + c]);
  T* y = pass.y + t.first * l.size;
  for (int64_t n = 0; n < l.images; ++n) {
    t.normalize(x + n * pitch, y + n * pitch);
    activate(pass.params.activation, y + n * pitch, t.width);
  }
}

template <class T>
void backward_columns(const Backward<T>& pass, Columns<T>& t) {
  const Layout& l = pass.l;
  const int64_t pitch = l.channels * l.size;
  const T *g = pass.g + t.first * l.size, *x = pass.x + t.first * l.size;
  const Activation act = pass.params.activation;
  for (int64_t c = 0; c < t.channels; ++c) {
    pass.prepare(t.first + c);
    t.spread(c, pass.affine[t.first + c]);
  }
  T h[kNormColumns];
  for (int64_t n = 0; n < l.images; ++n) {
    t.normalize(x + n * pitch, h);
    activation_vjp(act, g + n * pitch, h, t.width);
    column_cotangent_sums(h, x + n * pitch, t.width, t.a, t.b, t.mean);
  }
  for (int64_t c = 0; c < t.channels; ++c) {
    pass.finish(t.first + c, t.sums(c));
    t.spread(c, pass.gradient[t.first + c]);
  }
  if (!pass.writes()) return;
  for (int64_t n = 0; n < l.images; ++n) {
    t.normalize(x + n * pitch, h);
    activation_vjp(act, g + n * pitch, h, t.width);
    t.differentiate(h, x + n * pitch, pass.gx + t.first * l.size + n * pitch);
  }
}

template <class T>
const T* optional(const TensorView& view) {
  return view.present ? view.as<T>() : nullptr;
}

template <class T>
void batch_norm(const BatchNormParams& params, const Kernel& kernel) {
  const Layout l(kernel.in(0).shape, sizeof(T));
  if (l.channels == 0) return;
  SumPair* const partial = kernel.workspace<SumPair>();
  T* const y = kernel.out(0).as<T>();
  const Forward<T> pass{l,
                        params,
                        kernel.in(0).as<T>(),
                        optional<T>(kernel.in(1)),
                        optional<T>(kernel.in(2)),
                        y,
                        kernel.out(1).as<T>(),
                        kernel.out(2).as<T>(),
                        streams_to(y, l.count() * l.channels),
                        reinterpret_cast<Affine<T>*>(partial + l.slices * l.channels)};
  if (!params.training) {
    for (int64_t c = 0; c < l.channels; ++c)
      pass.set(c, kernel.in(3).as<T>()[c], kernel.in(4).as<T>()[c]);
  }
  if (l.size < kSmallPlane)
    return for_columns<T>(kernel, l, [&](Columns<T>& t) { forward_columns(pass, t); });
  if (params.training) return run_passes(kernel, l, pass, partial);
  write_planes(kernel, l, pass);
}

template <class T>
void batch_norm_vjp(const BatchNormParams& params, const Kernel& kernel) {
  const Layout l(kernel.in(1).shape, sizeof(T));
  if (l.channels == 0) return;
  SumPair* const partial = kernel.workspace<SumPair>();
  T* const gx = kernel.out(0).as<T>();
  Affine<T>* const affine = reinterpret_cast<Affine<T>*>(partial + l.slices * l.channels);
  const Backward<T> pass{l,
                         params,
                         kernel.in(0).as<T>(),
                         kernel.in(1).as<T>(),
                         optional<T>(kernel.in(2)),
                         optional<T>(kernel.in(3)),
                         kernel.in(4).as<T>(),
                         kernel.in(5).as<T>(),
                         gx,
                         kernel.out(1).as<T>(),
                         kernel.out(2).as<T>(),
                         streams_to(gx, l.count() * l.channels),
                         affine,
                         reinterpret_cast<Gradient<T>*>(affine + l.channels)};
  if (l.size < kSmallPlane)
    return for_columns<T>(kernel, l, [&](Columns<T>& t) { backward_columns(pass, t); });
  for (int64_t c = 0; c < l.channels; ++c) pass.prepare(c);
  run_passes(kernel, l, pass, partial);
}

// old + momentum (fresh - old), the fresh one averaged over the leading dimension where it has one.
template <class T>
void blend(const TensorView& fresh, const TensorView& running, double momentum, double scale,
           T* out) {
  const int64_t channels = running.size(), rows = fresh.size() / std::max<int64_t>(1, channels);
  const T *from = fresh.as<T>(), *old = running.as<T>();
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += static_cast<double>(from[r * channels + c]);
    out[c] = static_cast<T>((1 - momentum) * static_cast<double>(old[c]) +
                            momentum * (scale * sum / static_cast<double>(rows)));
  }
}

}  // namespace

void k_batch_norm(const BatchNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { batch_norm<typename decltype(tag)::type>(params, kernel); });
}

void k_batch_norm_vjp(const BatchNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    batch_norm_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_running_statistics(const RunningStatisticsParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (T* out = kernel.out(0).as<T>())
      blend(kernel.in(0), kernel.in(2), params.momentum, 1.0, out);
    if (T* out = kernel.out(1).as<T>())
      blend(kernel.in(1), kernel.in(3), params.momentum, params.varianceScale, out);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
