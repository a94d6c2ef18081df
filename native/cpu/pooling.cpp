// Pooling of NCHW planes. Parallel over planes; each plane is done by one thread, in a fixed order.
//
//   max       y = max over the window, NaN wins; indices are flat positions in the H*W plane, the first
//             of equal values, as in PyTorch; vjp adds each cotangent to the position of its index
//   avg       y = sum over the window / count, with or without the padding in the count
//   adaptive  window [floor(i H / OH), ceil((i + 1) H / OH)) of output i
//
// Windows are walked tap by tap, with the columns of an output row in the inner loop, so that the compiler
// can vectorise it for every stride.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/rounding.h"
#include "cpu/kernel.h"
#include "ops/pooling.h"

#define FLUXION_KERNELS "cpu/pooling.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"

namespace fluxion::cpu::FLUXION_TARGET {

// Sizes of one pooling axis. Tap k of output i reads input i * stride + k * dilation - padding.
struct PoolAxis {
  int64_t in, out, kernel, stride, padding, dilation;

  // Where tap k of output 0 reads.
  int64_t tap(int64_t k) const { return k * dilation - padding; }

  // The outputs whose tap k lies inside the input.
  int64_t first(int64_t k) const {
    return tap(k) >= 0 ? 0 : std::min(out, ceil_div(-tap(k), stride));
  }
  int64_t last(int64_t k) const {
    return in <= tap(k) ? 0 : std::min(out, ceil_div(in - tap(k), stride));
  }
  // The first position of output i's window inside the input.
  int64_t inside(int64_t i) const {
    const int64_t begin = i * stride - padding;
    return begin >= 0 ? begin : begin + ceil_div(-begin, dilation) * dilation;
  }
  // How many taps of output i count, at dilation 1.
  int64_t count(int64_t i, bool padded) const {
    const int64_t begin = i * stride - padding, end = begin + kernel;
    if (padded) return std::min(end, in + padding) - begin;
    return std::min(end, in) - std::max<int64_t>(begin, 0);
  }
};

static PoolAxis rows_of(const Pool2dParams& p, const Shape& in, const Shape& out) {
  return {in[2], out[2], p.kernelSize.h, p.stride.h, p.padding.h, p.dilation.h};
}
static PoolAxis columns_of(const Pool2dParams& p, const Shape& in, const Shape& out) {
  return {in[3], out[3], p.kernelSize.w, p.stride.w, p.padding.w, p.dilation.w};
}

// Calls f with the stride as a constant where it is a common one: strided loops vectorise only then.
template <class F>
static void dispatch_stride(int64_t stride, F&& f) {
  if (stride == 1) return f(std::integral_constant<int64_t, 1>{});
  if (stride == 2) return f(std::integral_constant<int64_t, 2>{});
  f(stride);
}

// --- max

template <class T, class Stride>
static void max_row(const T* row, int64_t position, int64_t count, Stride stride, T* best,
                    int32_t* index) {
  const int32_t step = static_cast<int32_t>(stride);
  for (int64_t i = 0; i < count; ++i) {
    const T value = row[i * stride];
    // Written without short circuits, to become a blend.
    const bool takes = (value > best[i]) | (value != value);
    best[i] = takes ? value : best[i];
    index[i] = takes ? static_cast<int32_t>(position) + static_cast<int32_t>(i) * step : index[i];
  }
}

template <class T>
static void max_plane(const PoolAxis& h, const PoolAxis& w, const T* x, T* best, int32_t* index,
                      T* y, int32_t* indices) {
  for (int64_t i = 0; i < h.out; ++i) {
    // The window's first position inside the plane: what a window of -infinity points to.
    const int64_t top = h.inside(i);
    for (int64_t j = 0; j < w.out; ++j) {
      best[j] = -std::numeric_limits<T>::infinity();
      index[j] = static_cast<int32_t>(top * w.in + w.inside(j));
    }
    for (int64_t kh = 0; kh < h.kernel; ++kh) {
      const int64_t row = i * h.stride + h.tap(kh);
      if (row < 0 || row >= h.in) continue;
      for (int64_t kw = 0; kw < w.kernel; ++kw) {
        const int64_t begin = w.first(kw), end = w.last(kw);
        const int64_t from = row * w.in + begin * w.stride + w.tap(kw);
        if (begin >= end) continue;
        dispatch_stride(w.stride, [&](auto stride) {
          max_row<T>(x + from, from, end - begin, stride, best + begin, index + begin);
        });
      }
    }
    if (y) std::copy_n(best, w.out, y + i * w.out);
    if (indices) std::copy_n(index, w.out, indices + i * w.out);
  }
}

template <class T>
static void max_pool2d(const Pool2dParams& p, const Kernel& kernel) {
  const Shape& in = kernel.in(0).shape;
  // An output that nobody wants has no shape to ask.
  const Shape& out = kernel.out(0).data ? kernel.out(0).shape : kernel.out(1).shape;
  const PoolAxis h = rows_of(p, in, out), w = columns_of(p, in, out);
  kernel.parallel_for(in[0] * in[1], [&](int64_t plane, int thread) {
    T* best = kernel.scratch<T>(thread);
    int32_t* index = reinterpret_cast<int32_t*>(best + round_up(w.out, 16));
    T* y = kernel.out(0).as<T>();
    int32_t* indices = kernel.out(1).as<int32_t>();
    max_plane(h, w, kernel.in(0).as<T>() + plane * h.in * w.in, best, index,
              y ? y + plane * h.out * w.out : nullptr,
              indices ? indices + plane * h.out * w.out : nullptr);
  });
}

template <class T>
static void max_pool2d_vjp(const MaxPool2dVjpParams& p, const Kernel& kernel) {
  const Shape& out = kernel.in(0).shape;
  const int64_t plane_in = p.inputShape[2] * p.inputShape[3], plane_out = out[2] * out[3];
  kernel.parallel_for(out[0] * out[1], [&](int64_t plane, int) {
    const T* g = kernel.in(0).as<T>() + plane * plane_out;
    const int32_t* index = kernel.in(1).as<int32_t>() + plane * plane_out;
    T* gx = kernel.out(0).as<T>() + plane * plane_in;
    std::fill_n(gx, plane_in, T{});
    for (int64_t i = 0; i < plane_out; ++i) {
      // Indices come from max_pool2d, but a caller could pass any: never write outside.
      if (static_cast<uint64_t>(index[i]) < static_cast<uint64_t>(plane_in)) gx[index[i]] += g[i];
    }
  });
}

// --- average

template <class T, class Stride>
static void add_strided(const T* row, int64_t count, Stride stride, T* sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] += row[i * stride];
}

template <class T, class Stride>
static void scatter_strided(const T* values, int64_t count, Stride stride, T* row) {
  for (int64_t i = 0; i < count; ++i) row[i * stride] += values[i];
}

// What the sum of output (i, j) is divided by.
static inline int64_t divisor(const AvgPool2dParams& p, const PoolAxis& h, const PoolAxis& w,
                              int64_t i, int64_t j) {
  if (p.divisorOverride != 0) return p.divisorOverride;
  return h.count(i, p.countIncludePad) * w.count(j, p.countIncludePad);
}

template <class T>
static void avg_pool2d(const AvgPool2dParams& p, const Kernel& kernel) {
  const Shape &in = kernel.in(0).shape, &out = kernel.out(0).shape;
  const PoolAxis h = rows_of(p, in, out), w = columns_of(p, in, out);
  kernel.parallel_for(in[0] * in[1], [&](int64_t plane, int) {
    const T* x = kernel.in(0).as<T>() + plane * h.in * w.in;
    T* y = kernel.out(0).as<T>() + plane * h.out * w.out;
    for (int64_t i = 0; i < h.out; ++i, y += w.out) {
      std::fill_n(y, w.out, T{});
      for (int64_t kh = 0; kh < h.kernel; ++kh) {
        const int64_t row = i * h.stride + h.tap(kh);
        if (row < 0 || row >= h.in) continue;
        for (int64_t kw = 0; kw < w.kernel; ++kw) {
          const int64_t begin = w.first(kw), end = w.last(kw);
          const T* from = x + row * w.in + begin * w.stride + w.tap(kw);
          dispatch_stride(w.stride,
                          [&](auto stride) { add_strided(from, end - begin, stride, y + begin); });
        }
      }
      for (int64_t j = 0; j < w.out; ++j) y[j] /= static_cast<T>(divisor(p, h, w, i, j));
    }
  });
}

template <class T>
static void avg_pool2d_vjp(const AvgPool2dVjpParams& p, const Kernel& kernel) {
  const Shape &in = p.inputShape, &out = kernel.in(0).shape;
  const PoolAxis h = rows_of(p, in, out), w = columns_of(p, in, out);
  kernel.parallel_for(in[0] * in[1], [&](int64_t plane, int thread) {
    const T* g = kernel.in(0).as<T>() + plane * h.out * w.out;
    T* gx = kernel.out(0).as<T>() + plane * h.in * w.in;
    T* share = kernel.scratch<T>(thread);
    std::fill_n(gx, h.in * w.in, T{});
    for (int64_t i = 0; i < h.out; ++i, g += w.out) {
      for (int64_t j = 0; j < w.out; ++j) share[j] = g[j] / static_cast<T>(divisor(p, h, w, i, j));
      for (int64_t kh = 0; kh < h.kernel; ++kh) {
        const int64_t row = i * h.stride + h.tap(kh);
        if (row < 0 || row >= h.in) continue;
        for (int64_t kw = 0; kw < w.kernel; ++kw) {
          const int64_t begin = w.first(kw), end = w.last(kw);
          T* to = gx + row * w.in + begin * w.stride + w.tap(kw);
          dispatch_stride(w.stride, [&](auto stride) {
            scatter_strided(share + begin, end - begin, stride, to);
          });
        }
      }
    }
  });
}

// --- adaptive average

static int64_t window_begin(int64_t i, int64_t in, int64_t out) { return i * in / out; }
static int64_t window_end(int64_t i, int64_t in, int64_t out) {
  return ceil_div((i + 1) * in, out);
}

// Four partial sums hide the latency of the additions; the order depends on n alone.
template <class T>
static T sum_contiguous(const T* x, int64_t n) {
  constexpr int w = kLanes<T>;
  Vec<T> sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w)
    for (int v = 0; v < 4; ++v) sum[v] += load(x + i + v * w);
  for (; i + w <= n; i += w) sum[0] += load(x + i);
  T total = sum_lanes<T>((sum[0] + sum[1]) + (sum[2] + sum[3]));
  for (; i < n; ++i) total += x[i];
  return total;
}

template <class T>
static void adaptive_avg_pool2d(const Kernel& kernel) {
  const Shape &in = kernel.in(0).shape, &out = kernel.out(0).shape;
  const int64_t H = in[2], W = in[3], OH = out[2], OW = out[3];
  kernel.parallel_for(in[0] * in[1], [&](int64_t plane, int) {
    const T* x = kernel.in(0).as<T>() + plane * H * W;
    T* y = kernel.out(0).as<T>() + plane * OH * OW;
    if (OH == 1 && OW == 1) {
      *y = sum_contiguous(x, H * W) / static_cast<T>(H * W);
      return;
    }
    for (int64_t i = 0; i < OH; ++i) {
      const int64_t top = window_begin(i, H, OH), bottom = window_end(i, H, OH);
      for (int64_t j = 0; j < OW; ++j) {
        const int64_t left = window_begin(j, W, OW), right = window_end(j, W, OW);
        T sum{};
        for (int64_t r = top; r < bottom; ++r)
          sum += sum_contiguous(x + r * W + left, right - left);
        *y++ = sum / static_cast<T>((bottom - top) * (right - left));
      }
    }
  });
}

template <class T>
static void adaptive_avg_pool2d_vjp(const AdaptiveAvgPool2dVjpParams& p, const Kernel& kernel) {
  const Shape &in = p.inputShape, &out = kernel.in(0).shape;
  const int64_t H = in[2], W = in[3], OH = out[2], OW = out[3];
  kernel.parallel_for(in[0] * in[1], [&](int64_t plane, int) {
    const T* g = kernel.in(0).as<T>() + plane * OH * OW;
    T* gx = kernel.out(0).as<T>() + plane * H * W;
    std::fill_n(gx, H * W, T{});
    for (int64_t i = 0; i < OH; ++i) {
      const int64_t top = window_begin(i, H, OH), bottom = window_end(i, H, OH);
      for (int64_t j = 0; j < OW; ++j) {
        const int64_t left = window_begin(j, W, OW), right = window_end(j, W, OW);
        const T share = *g++ / static_cast<T>((bottom - top) * (right - left));
        for (int64_t r = top; r < bottom; ++r)
          for (int64_t c = left; c < right; ++c) gx[r * W + c] += share;
      }
    }
  });
}

void k_max_pool2d(const Pool2dParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { max_pool2d<typename decltype(tag)::type>(params, kernel); });
}

void k_max_pool2d_vjp(const MaxPool2dVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    max_pool2d_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_avg_pool2d(const AvgPool2dParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { avg_pool2d<typename decltype(tag)::type>(params, kernel); });
}

void k_avg_pool2d_vjp(const AvgPool2dVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    avg_pool2d_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_adaptive_avg_pool2d(const AdaptiveAvgPool2dParams&, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { adaptive_avg_pool2d<typename decltype(tag)::type>(kernel); });
}

void k_adaptive_avg_pool2d_vjp(const AdaptiveAvgPool2dVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    adaptive_avg_pool2d_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
