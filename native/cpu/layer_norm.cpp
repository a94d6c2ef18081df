// Layer normalisation over the trailing dimensions, y = (x - mean) rstd weight + bias, and its adjoint
//
//   gx = rstd (h - mean(h) - z mean(h z)),  h = g weight,  gweight = sum(g z),  gbias = sum(g)
//
// with z = (x - mean) rstd (Ba et al., arXiv:1607.06450). Statistics are of values shifted by the row's first
// one and kept in double. Parallel over rows. Backward visits the rows of a slice once, a few at a time while
// they are in L1: their gx and their share of gweight and gbias, in double, whose slices are added in order.
// Rows too long for that have gx row by row and the other two by (chunk of columns, slice of rows).
#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/rounding.h"
#include "cpu/kernel.h"
#include "ops/normalization.h"

#define FLUXION_KERNELS "cpu/layer_norm.cpp"
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

// rows * n elements, n in the trailing dimensions. An output that nobody wants has no shape to ask.
struct Rows {
  int64_t rows = 1, n = 1;

  Rows(const Shape& x, int64_t trailing) {
    for (int i = 0; i < x.ndim; ++i) (i < x.ndim - trailing ? rows : n) *= x[i];
  }
};

template <class T>
const T* optional(const TensorView& view) {
  return view.present ? view.as<T>() : nullptr;
}

template <class T>
struct Scaled {
  const T *x, *weight, *bias;
  Vec<T> mean, rstd;
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const {
    return (load(x + i) - mean) * rstd * load(weight + i) + load(bias + i);
  }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return (load_partial(x + i, n) - mean) * rstd * load_partial(weight + i, n) +
           load_partial(bias + i, n);
  }
};

template <class T>
void scale_row(const T* x, int64_t n, const T* weight, const T* bias, T mean, T rstd, T* y,
               bool streams) {
  if (weight && bias)
    return write_out(y, n, streams,
                     Scaled<T>{x, weight, bias, broadcast<T>(mean), broadcast<T>(rstd)});
  if (!weight && !bias)
    return normalize_plane(x, n, Affine<T>{mean, rstd, T(0)}, Activation::none, y, streams);
  for (int64_t i = 0; i < n; ++i) {
    const T z = (x[i] - mean) * rstd;
    y[i] = weight ? z * weight[i] : z + bias[i];
  }
}

template <class T>
void layer_norm(const LayerNormParams& params, const Kernel& kernel) {
  const Rows s(kernel.in(0).shape, params.normalizedDims);
  const T *x = kernel.in(0).as<T>(), *weight = optional<T>(kernel.in(1)),
          *bias = optional<T>(kernel.in(2));
  T *y = kernel.out(0).as<T>(), *mean_out = kernel.out(1).as<T>(),
    *rstd_out = kernel.out(2).as<T>();
  const bool streams = streams_to(y, s.rows * s.n);
  const int64_t step = std::max<int64_t>(1, kElementsPerBlock / std::max<int64_t>(1, s.n));
  kernel.parallel_for(blocks_of(s.rows, step), [&](int64_t block, int) {
    for (int64_t r = block * step; r < std::min(s.rows, (block + 1) * step); ++r) {
      const T* row = x + r * s.n;
      const double count = static_cast<double>(std::max<int64_t>(1, s.n));
      const T first = s.n ? row[0] : T(0);
      const SumPair sums = moments(row, s.n, first);
      const double shifted = sums.a / count, raw = sums.b / count - shifted * shifted;
      const T mean = static_cast<T>(static_cast<double>(first) + shifted);
      const T rstd = static_cast<T>(1.0 / std::sqrt((raw < 0 ? 0.0 : raw) + params.eps));
      if (mean_out) mean_out[r] = mean;
      if (rstd_out) rstd_out[r] = rstd;
      if (y) scale_row(row, s.n, weight, bias, mean, rstd, y + r * s.n, streams);
    }
    if (streams) stream_fence();
  });
}

template <class T>
struct RowGradient {
  const T *g, *x;
  T* gx;
  Vec<T> mean, rstd, slope, constant;
};

// Sums of h and h (x - mean).
template <class T>
SumPair row_sums(const T* g, const T* x, const T* weight, int64_t n, T mean) {
  if (!weight) return plane_cotangent_sums(g, x, n, Affine<T>{mean, T(1), T(0)}, Activation::none);
  constexpr int w = kLanes<T>;
  const Vec<T> m = broadcast<T>(mean);
  WideSum<T> plain, scaled;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    Vec<T> h[4], d[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      d[k] = load(x + i + k * w) - m;
      h[k] = load(g + i + k * w) * load(weight + i + k * w);
    }
    plain.add((h[0] + h[1]) + (h[2] + h[3]));
    scaled.add((h[0] * d[0] + h[1] * d[1]) + (h[2] * d[2] + h[3] * d[3]));
  }
  for (; i < n; i += w) {
    const int rest = static_cast<int>(std::min<int64_t>(w, n - i));
    const Vec<T> h = load_partial(g + i, rest) * load_partial(weight + i, rest);
    plain.add(h);
    scaled.add(h * (load_partial(x + i, rest) - m));
  }
  return {plain.total(), scaled.total()};
}

inline void add_to(double* to, Vec<float> v) {
  WideSum<float> s;
  s.add(v);
  store(to, load(to) + s.low);
  store(to + kLanes<double>, load(to + kLanes<double>) + s.high);
}
inline void add_to(double* to, Vec<double> v) { store(to, load(to) + v); }

// gx of kRows rows, and their sums of g z and g added to `scaled` and `plain` (padded to whole vectors).
template <int kRows, class T>
void write_rows(const RowGradient<T>* rows, const T* weight, int64_t n, double* scaled,
                double* plain, bool streams) {
  constexpr int w = kLanes<T>;
  for (int64_t i = 0; i < n; i += w) {
    const int rest = static_cast<int>(std::min<int64_t>(w, n - i));
    Vec<T> sz{}, sg{};
    const Vec<T> wv = weight ? load_partial(weight + i, rest) : broadcast<T>(T(1));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const RowGradient<T>& row = rows[r];
      const Vec<T> g = load_partial(row.g + i, rest), d = load_partial(row.x + i, rest) - row.mean;
      if (row.gx) {
        const Vec<T> v = row.rstd * (g * wv) + (row.slope * d + row.constant);
        if (streams) {
          stream(row.gx + i, v);
        } else {
          store_partial(row.gx + i, v, rest);
        }
      }
      sz += g * (d * row.rstd);
      sg += g;
    }
    if (scaled) {
      add_to(scaled + i, sz);
      add_to(plain + i, sg);
    }
  }
}

template <class T>
struct LayerVjp {
  Rows s;
  const T *g, *x, *weight, *mean, *rstd;
  T* gx;
  bool streams;

  RowGradient<T> row(int64_t r) const {
    const T *gr = g + r * s.n, *xr = x + r * s.n;
    RowGradient<T> row{
        gr, xr, gx ? gx + r * s.n : nullptr, broadcast<T>(mean[r]), broadcast<T>(rstd[r]), {}, {}};
    if (gx && s.n == 1) {
      row.rstd = Vec<T>{};  // one value is its own mean: exactly no gradient
    } else if (gx) {
      const SumPair sums = row_sums(gr, xr, weight, s.n, mean[r]);
      const double n = static_cast<double>(s.n), q = static_cast<double>(rstd[r]);
      row.slope = broadcast<T>(static_cast<T>(-q * q * q * sums.b / n));
      row.constant = broadcast<T>(static_cast<T>(-q * sums.a / n));
    }
    return row;
  }
  void operator()(int64_t begin, int64_t end, double* scaled, double* plain) const {
    int64_t r = begin;
    for (; r + 4 <= end; r += 4) {
      const RowGradient<T> rows[4] = {row(r), row(r + 1), row(r + 2), row(r + 3)};
      write_rows<4>(rows, weight, s.n, scaled, plain, streams);
    }
    for (; r < end; ++r) {
      const RowGradient<T> one = row(r);
      write_rows<1>(&one, weight, s.n, scaled, plain, streams);
    }
    if (streams) stream_fence();
  }
};

// gweight and gbias of long rows: each block sums its rows for a chunk of columns.
template <class T>
void sum_columns(const LayerVjp<T>& v, int64_t begin, int64_t end, int64_t first, int64_t count,
                 double* __restrict scaled, double* __restrict plain) {
  std::fill_n(scaled, count, 0.0);
  std::fill_n(plain, count, 0.0);
  for (int64_t r = begin; r < end; ++r) {
    const T *gr = v.g + r * v.s.n + first, *xr = v.x + r * v.s.n + first;
    const double centre = static_cast<double>(v.mean[r]), scale = static_cast<double>(v.rstd[r]);
    for (int64_t i = 0; i < count; ++i) {
      const double gi = static_cast<double>(gr[i]);
      scaled[i] += gi * ((static_cast<double>(xr[i]) - centre) * scale);
      plain[i] += gi;
    }
  }
}

// Adds the slices, partial[slice][2][pitch].
template <class T>
void add_slices(const double* partial, int64_t slices, int64_t pitch, int64_t n, T* gweight,
                T* gbias) {
  for (int64_t i = 0; i < n; ++i) {
    double scaled = 0, plain = 0;
    for (int64_t s = 0; s < slices; ++s) {
      scaled += partial[s * 2 * pitch + i];
      plain += partial[(s * 2 + 1) * pitch + i];
    }
    if (gweight) gweight[i] = static_cast<T>(scaled);
    if (gbias) gbias[i] = static_cast<T>(plain);
  }
}

template <class T>
void short_rows_vjp(const Kernel& kernel, const LayerVjp<T>& v, bool sums) {
  const int64_t rows = v.s.rows, n = v.s.n, pitch = layer_norm_pitch(n);
  const int64_t slices = layer_norm_slices(rows, n);
  double* const partial = kernel.workspace<double>();
  kernel.parallel_for(slices, [&](int64_t slice, int) {
    double* const scaled = sums ? partial + slice * 2 * pitch : nullptr;
    if (sums) std::fill_n(scaled, 2 * pitch, 0.0);
    v(rows * slice / slices, rows * (slice + 1) / slices, scaled, sums ? scaled + pitch : nullptr);
  });
  if (sums) add_slices(partial, slices, pitch, n, kernel.out(1).as<T>(), kernel.out(2).as<T>());
}

template <class T>
void long_rows_vjp(const Kernel& kernel, const LayerVjp<T>& v, bool sums) {
  const int64_t rows = v.s.rows, n = v.s.n;
  double* const partial = kernel.workspace<double>();
  if (v.gx) kernel.parallel_for(rows, [&](int64_t r, int) { v(r, r + 1, nullptr, nullptr); });
  if (!sums) return;
  const int64_t chunks = ceil_div(n, kLayerNormChunk);
  const int64_t slices =
      std::clamp<int64_t>(std::min(rows, kStatisticsSlices / chunks), 1, kStatisticsSlices);
  kernel.parallel_for(slices * chunks, [&](int64_t block, int) {
    const int64_t slice = block / chunks, first = block % chunks * kLayerNormChunk;
    double* const scaled = partial + slice * 2 * n + first;
    sum_columns(v, rows * slice / slices, rows * (slice + 1) / slices, first,
                std::min(kLayerNormChunk, n - first), scaled, scaled + n);
  });
  add_slices(partial, slices, n, n, kernel.out(1).as<T>(), kernel.out(2).as<T>());
}

template <class T>
void layer_norm_vjp(const LayerNormVjpParams& params, const Kernel& kernel) {
  const Rows s(kernel.in(1).shape, params.normalizedDims);
  if (s.n == 0) return;
  T* const gx = kernel.out(0).as<T>();
  // Whole aligned vectors only: a stream of parts would write lines twice.
  const bool streams = gx && streams_to(gx, s.rows * s.n) && s.n % kLanes<T> == 0;
  const LayerVjp<T> v{s,
                      kernel.in(0).as<T>(),
                      kernel.in(1).as<T>(),
                      optional<T>(kernel.in(2)),
                      kernel.in(3).as<T>(),
                      kernel.in(4).as<T>(),
                      gx,
                      streams};
  const bool sums = kernel.out(1).data || kernel.out(2).data;
  if (s.n <= kLayerNormRow) return short_rows_vjp(kernel, v, sums);
  long_rows_vjp(kernel, v, sums);
}

}  // namespace

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
