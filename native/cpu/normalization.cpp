// Batch and layer normalisation, y = (x - mean) / sqrt(variance + eps) * weight + bias, and their adjoints
//
//   gx = weight rstd (g - mean(g) - z mean(g z)),  gweight = sum(g z),  gbias = sum(g),  z = (x - mean) rstd
//
// (Ioffe & Szegedy, arXiv:1502.03167; Ba et al., arXiv:1607.06450). Layer norm has the weight inside the
// means. All sums are taken in double, of values shifted by the first one of the channel or row, so that
// one pass suffices for any mean. Batch norm sees x as [N, C, S] and runs in parallel over slices of
// (channel, images) for the sums, over planes for the results; layer norm over rows for gx, over
// (column chunk, slice of rows) for gweight and gbias. Partial sums are added in order of the slices.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/gemm_blocking.h"
#include "ops/normalization.h"

#define FLUXION_KERNELS "cpu/normalization.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"

namespace fluxion::cpu::FLUXION_TARGET {

using Wide = Vec<double>;
typedef float HalfVector __attribute__((vector_size(FLUXION_VECTOR_BYTES / 2)));

inline Wide load_wide(const double* p) { return load(p); }
inline Wide load_wide(const float* p) {
  HalfVector v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Wide);
}

struct SumPair {
  double a = 0, b = 0;
};

// Sums of two functions of the elements: f(i, load) adds to (a, b) what load(pointer) makes of them.
// Two accumulators of each hide the latency of the additions.
template <class F>
static SumPair sum_pair(int64_t n, const F& f) {
  constexpr int w = kLanes<double>;
  Wide a[2] = {}, b[2] = {};
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    f(
        i, [](const auto* p) { return load_wide(p); }, a[0], b[0]);
    f(
        i + w, [](const auto* p) { return load_wide(p); }, a[1], b[1]);
  }
  SumPair sum{sum_lanes<double>(a[0] + a[1]), sum_lanes<double>(b[0] + b[1])};
  for (; i < n; ++i)
    f(
        i, [](const auto* p) { return static_cast<double>(*p); }, sum.a, sum.b);
  return sum;
}

// Of shifted values: a = sum(x - shift), b = sum((x - shift)^2).
template <class T>
static SumPair moments(const T* x, int64_t n, double shift) {
  return sum_pair(n, [=](int64_t i, auto read, auto& a, auto& b) {
    const auto d = read(x + i) - shift;
    a += d;
    b += d * d;
  });
}

// a = sum(g), b = sum(g (x - mean))
template <class T>
static SumPair cotangent_sums(const T* g, const T* x, int64_t n, double mean) {
  return sum_pair(n, [=](int64_t i, auto read, auto& a, auto& b) {
    const auto gi = read(g + i);
    a += gi;
    b += gi * (read(x + i) - mean);
  });
}

// y = (x - mean) * scale + bias
template <class T>
static void normalize(const T* x, int64_t n, T mean, T scale, T bias, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale + bias;
}

// --- batch norm

struct Planes {
  int64_t images, channels, size, slices;

  explicit Planes(const Shape& x) : images(x[0]), channels(x[1]), size(1) {
    for (int i = 2; i < x.ndim; ++i) size *= x[i];
    slices = std::clamp<int64_t>(images, 1, kStatisticsSlices);
  }
  int64_t count() const { return images * size; }
};

// sums[channel] = sum over the images of plane(image, channel), a SumPair; the slices lie behind `sums`.
template <class F>
static void sum_channels(const Kernel& kernel, const Planes& p, SumPair* sums, const F& plane) {
  SumPair* partial = sums + p.channels;
  // Channels of single elements are neighbours in memory: a few of them together share cache lines.
  const int64_t group = p.size >= 16 ? 1 : 16, groups = ceil_div(p.channels, group);
  kernel.parallel_for(p.slices * groups, [&](int64_t block, int) {
    const int64_t slice = block / groups, first = block % groups * group;
    const int64_t last = std::min(first + group, p.channels);
    SumPair* to = partial + slice * p.channels;
    std::fill(to + first, to + last, SumPair{});
    for (int64_t n = p.images * slice / p.slices; n < p.images * (slice + 1) / p.slices; ++n) {
      for (int64_t c = first; c < last; ++c) {
        const SumPair s = plane(n, c);
        to[c].a += s.a;
        to[c].b += s.b;
      }
    }
  });
  for (int64_t c = 0; c < p.channels; ++c) {
    sums[c] = {};
    for (int64_t s = 0; s < p.slices; ++s) {
      sums[c].a += partial[s * p.channels + c].a;
      sums[c].b += partial[s * p.channels + c].b;
    }
  }
}

// Calls f(first plane, planes) for all planes, several small ones in one block.
template <class F>
static void for_planes(const Kernel& kernel, const Planes& p, const F& f) {
  const int64_t all = p.images * p.channels;
  const int64_t step = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, p.size));
  kernel.parallel_for(blocks_of(all, step), [&](int64_t block, int) {
    for (int64_t i = block * step; i < std::min(all, (block + 1) * step); ++i) f(i, i % p.channels);
  });
}

template <class T>
static void batch_norm(const BatchNormParams& params, const Kernel& kernel) {
  const TensorView& x = kernel.in(0);
  const Planes p(x.shape);
  const T* weight = kernel.in(1).present ? kernel.in(1).as<T>() : nullptr;
  const T* bias = kernel.in(2).present ? kernel.in(2).as<T>() : nullptr;
  T *y = kernel.out(0).as<T>(), *mean_out = kernel.out(1).as<T>(),
    *variance_out = kernel.out(2).as<T>();
  const T* from = x.as<T>();
  SumPair* sums = kernel.workspace<SumPair>();
  if (p.channels == 0) return;
  sum_channels(kernel, p, sums, [&](int64_t n, int64_t c) {
    return moments(from + (n * p.channels + c) * p.size, p.size,
                   static_cast<double>(from[c * p.size]));
  });
  const double count = static_cast<double>(std::max<int64_t>(1, p.count()));
  for (int64_t c = 0; c < p.channels; ++c) {
    const double shifted = sums[c].a / count;
    const double variance = std::max(0.0, sums[c].b / count - shifted * shifted);
    const double first = p.count() ? static_cast<double>(from[c * p.size]) : 0.0;
    // max() drops a NaN; the sum brings it back.
    sums[c] = {first + shifted, sums[c].b == sums[c].b ? variance : sums[c].b};
    if (mean_out) mean_out[c] = static_cast<T>(sums[c].a);
    if (variance_out) variance_out[c] = static_cast<T>(sums[c].b);
  }
  if (!y) return;
  for_planes(kernel, p, [&](int64_t plane, int64_t c) {
    const double scale =
        (weight ? static_cast<double>(weight[c]) : 1.0) / std::sqrt(sums[c].b + params.eps);
    normalize(from + plane * p.size, p.size, static_cast<T>(sums[c].a), static_cast<T>(scale),
              bias ? bias[c] : T{}, y + plane * p.size);
  });
}

template <class T>
static void batch_norm_vjp(const BatchNormParams& params, const Kernel& kernel) {
  const Planes p(kernel.in(1).shape);
  const T *g = kernel.in(0).as<T>(), *x = kernel.in(1).as<T>();
  const T* weight = kernel.in(2).present ? kernel.in(2).as<T>() : nullptr;
  const T *mean = kernel.in(3).as<T>(), *variance = kernel.in(4).as<T>();
  T *gx = kernel.out(0).as<T>(), *gweight = kernel.out(1).as<T>(), *gbias = kernel.out(2).as<T>();
  SumPair* sums = kernel.workspace<SumPair>();
  if (p.channels == 0) return;
  sum_channels(kernel, p, sums, [&](int64_t n, int64_t c) {
    const int64_t at = (n * p.channels + c) * p.size;
    return cotangent_sums(g + at, x + at, p.size, static_cast<double>(mean[c]));
  });
  const auto rstd = [&](int64_t c) {
    return 1.0 / std::sqrt(static_cast<double>(variance[c]) + params.eps);
  };
  for (int64_t c = 0; c < p.channels; ++c) {
    if (gweight) gweight[c] = static_cast<T>(sums[c].b * rstd(c));
    if (gbias) gbias[c] = static_cast<T>(sums[c].a);
  }
  if (!gx) return;
  const double count = static_cast<double>(std::max<int64_t>(1, p.count()));
  for_planes(kernel, p, [&](int64_t plane, int64_t c) {
    const double r = rstd(c), scale = (weight ? static_cast<double>(weight[c]) : 1.0) * r;
    const T k = static_cast<T>(scale), constant = static_cast<T>(-scale * sums[c].a / count);
    const T slope = static_cast<T>(-scale * r * r * sums[c].b / count), centre = mean[c];
    const T *gp = g + plane * p.size, *xp = x + plane * p.size;
    T* to = gx + plane * p.size;
    for (int64_t i = 0; i < p.size; ++i) to[i] = k * gp[i] + (slope * (xp[i] - centre) + constant);
  });
}

// --- layer norm

// rows * n elements, n in the trailing dimensions. An output that nobody wants has no shape to ask.
struct Rows {
  int64_t rows = 1, n = 1;

  Rows(const Shape& x, int64_t trailing) {
    for (int i = 0; i < x.ndim; ++i) (i < x.ndim - trailing ? rows : n) *= x[i];
  }
};

// Several short rows make a block.
template <class F>
static void for_rows(const Kernel& kernel, int64_t rows, int64_t n, const F& f) {
  const int64_t step = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, n));
  kernel.parallel_for(blocks_of(rows, step), [&](int64_t block, int) {
    for (int64_t r = block * step; r < std::min(rows, (block + 1) * step); ++r) f(r);
  });
}

template <class T>
static void layer_norm(const LayerNormParams& params, const Kernel& kernel) {
  const Rows shape(kernel.in(0).shape, params.normalizedDims);
  const int64_t rows = shape.rows, n = shape.n;
  const T* weight = kernel.in(1).present ? kernel.in(1).as<T>() : nullptr;
  const T* bias = kernel.in(2).present ? kernel.in(2).as<T>() : nullptr;
  T *y = kernel.out(0).as<T>(), *mean_out = kernel.out(1).as<T>(),
    *rstd_out = kernel.out(2).as<T>();
  for_rows(kernel, rows, n, [&](int64_t r) {
    const T* x = kernel.in(0).as<T>() + r * n;
    const double count = static_cast<double>(std::max<int64_t>(1, n));
    const double first = n ? static_cast<double>(x[0]) : 0.0;
    const SumPair s = moments(x, n, first);
    const double shifted = s.a / count, raw = s.b / count - shifted * shifted;
    const double rstd = 1.0 / std::sqrt((raw < 0 ? 0.0 : raw) + params.eps);
    const T mean = static_cast<T>(first + shifted), scale = static_cast<T>(rstd);
    if (mean_out) mean_out[r] = mean;
    if (rstd_out) rstd_out[r] = scale;
    if (!y) return;
    T* to = y + r * n;
    if (!weight && !bias) {
      normalize(x, n, mean, scale, T{}, to);
    } else {
      for (int64_t i = 0; i < n; ++i) {
        const T z = (x[i] - mean) * scale, scaled = weight ? z * weight[i] : z;
        to[i] = bias ? scaled + bias[i] : scaled;
      }
    }
  });
}

// One row of gx; with h = g weight: gx = rstd (h - mean(h) - z mean(h z)).
template <class T>
static void layer_norm_row_vjp(const T* g, const T* x, const T* weight, int64_t n, T mean, T rstd,
                               T* gx) {
  const double centre = static_cast<double>(mean), r = static_cast<double>(rstd);
  const SumPair s = weight ? sum_pair(n,
                                      [=](int64_t i, auto read, auto& a, auto& b) {
                                        const auto h = read(g + i) * read(weight + i);
                                        a += h;
                                        b += h * (read(x + i) - centre);
                                      })
                           : cotangent_sums(g, x, n, centre);
  const double count = static_cast<double>(n);
  const T constant = static_cast<T>(-r * s.a / count),
          slope = static_cast<T>(-r * r * r * s.b / count);
  if (weight) {
    for (int64_t i = 0; i < n; ++i)
      gx[i] = rstd * (g[i] * weight[i]) + (slope * (x[i] - mean) + constant);
  } else {
    for (int64_t i = 0; i < n; ++i) gx[i] = rstd * g[i] + (slope * (x[i] - mean) + constant);
  }
}

// gweight and gbias: each block sums its rows for a chunk of columns, in double.
template <class T>
static void layer_norm_weight_vjp(const Kernel& kernel, int64_t rows, int64_t n) {
  const T *g = kernel.in(0).as<T>(), *x = kernel.in(1).as<T>();
  const T *mean = kernel.in(3).as<T>(), *rstd = kernel.in(4).as<T>();
  double* partial = kernel.workspace<double>();  // [slice][2][n]
  const int64_t chunks = ceil_div(n, kLayerNormChunk);
  const int64_t slices =
      std::clamp<int64_t>(std::min(rows, kStatisticsSlices / chunks), 1, kStatisticsSlices);
  kernel.parallel_for(slices * chunks, [&](int64_t block, int) {
    const int64_t slice = block / chunks, begin = block % chunks * kLayerNormChunk;
    const int64_t count = std::min(kLayerNormChunk, n - begin);
    double *scaled = partial + slice * 2 * n + begin, *plain = scaled + n;
    std::fill_n(scaled, count, 0.0);
    std::fill_n(plain, count, 0.0);
    for (int64_t r = rows * slice / slices; r < rows * (slice + 1) / slices; ++r) {
      const T *gr = g + r * n + begin, *xr = x + r * n + begin;
      const double centre = static_cast<double>(mean[r]), scale = static_cast<double>(rstd[r]);
      for (int64_t i = 0; i < count; ++i) {
        const double gi = static_cast<double>(gr[i]);
        scaled[i] += gi * ((static_cast<double>(xr[i]) - centre) * scale);
        plain[i] += gi;
      }
    }
  });
  T *gweight = kernel.out(1).as<T>(), *gbias = kernel.out(2).as<T>();
  for (int64_t i = 0; i < n; ++i) {
    double scaled = 0, plain = 0;
    for (int64_t s = 0; s < slices; ++s) {
      scaled += partial[s * 2 * n + i];
      plain += partial[(s * 2 + 1) * n + i];
    }
    if (gweight) gweight[i] = static_cast<T>(scaled);
    if (gbias) gbias[i] = static_cast<T>(plain);
  }
}

template <class T>
static void layer_norm_vjp(const LayerNormVjpParams& params, const Kernel& kernel) {
  const Rows shape(kernel.in(1).shape, params.normalizedDims);
  const int64_t rows = shape.rows, n = shape.n;
  if (n == 0) return;
  if (T* gx = kernel.out(0).as<T>()) {
    const T* weight = kernel.in(2).present ? kernel.in(2).as<T>() : nullptr;
    for_rows(kernel, rows, n, [&](int64_t r) {
      layer_norm_row_vjp(kernel.in(0).as<T>() + r * n, kernel.in(1).as<T>() + r * n, weight, n,
                         kernel.in(3).as<T>()[r], kernel.in(4).as<T>()[r], gx + r * n);
    });
  }
  if (kernel.out(1).data || kernel.out(2).data) layer_norm_weight_vjp<T>(kernel, rows, n);
}

void k_batch_norm(const BatchNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { batch_norm<typename decltype(tag)::type>(params, kernel); });
}

void k_batch_norm_vjp(const BatchNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    batch_norm_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_layer_norm(const LayerNormParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { layer_norm<typename decltype(tag)::type>(params, kernel); });
}

void k_layer_norm_vjp(const LayerNormVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    layer_norm_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
