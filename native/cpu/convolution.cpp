// 2-d convolution, NCHW, and its gradients, as matrix products that never form the im2col matrix:
//
//   forward       y[m, p]  = sum_k weight[m, k] x[k at p]       k = (tap, input channel), p = output pixel
//   input vjp     gx[m, p] = sum_k weight'[m, k] g[k at p]      once per phase of the stride (ops/convolution.h)
//   weight vjp    cpu/convolution_weight.h
//
// One panel of pixels at a time is packed, runs of a row at once, from the image into L1 (cf. Chetlur et
// al., cuDNN, arXiv:1410.0759). Parallel over (image, group, channel block, pixel block).
#include <algorithm>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/convolution.h"
#include "ops/convolution_direct.h"
#include "ops/convolution_weight.h"
#include "ops/depthwise.h"
#include "ops/winograd.h"

#define FLUXION_KERNELS "cpu/convolution.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/gemm.h"
#include "cpu/depthwise.h"
#include "cpu/depthwise_vjp.h"
#include "cpu/convolution_direct.h"
#include "cpu/convolution_weight.h"

namespace fluxion::cpu::FLUXION_TARGET {

// cpu/winograd.cpp
void winograd_conv2d(const Conv2dForwardParams& params, const Kernel& kernel);
void winograd_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel);
void winograd_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& kernel);

// --- correlation: forward pass and input gradient

template <class T>
struct Correlation {
  ConvAxis h, w;
  int64_t images, groups, rows, channels;  // rows and input channels of a group
  int64_t out_height, out_width;           // of whole output planes
  const T* in;
  T* out;
  Epilogue<T> epilogue;  // of whole output planes
  // weight(group, row, channel, kh, kw) = weights[.. * strides]
  const T* weights;
  int64_t group_stride, row_stride, channel_stride, kernel_width;

  int64_t pixels() const { return h.out * w.out; }
  int64_t depth() const { return channels * h.taps * w.taps; }
  int64_t depth_step() const { return fluxion::depth_step(depth(), kConvDepthBytes, sizeof(T)); }
  int64_t padded_rows() const { return round_up(rows, kTileRows); }
  bool scattered() const { return h.out_step != 1 || w.out_step != 1; }
};

// The order of the depth: (chunk of channels, tap, channel of the chunk). All taps of a few channels
// follow each other, so that their lines of the image, often a power of two apart, stay in L1.
constexpr int64_t kChannelChunk = 8;

struct DepthRun {
  int64_t tap, channel, count;
};

template <class T>
static DepthRun depth_run(const Correlation<T>& c, int64_t k) {
  const int64_t taps = c.h.taps * c.w.taps, first = k / (kChannelChunk * taps) * kChannelChunk;
  const int64_t width = std::min(kChannelChunk, c.channels - first), rest = k - first * taps;
  return {rest / width, first + rest % width, width - rest % width};
}

// A pointwise convolution without stride or padding sees an image as one long row.
template <class T>
static void flatten_pointwise(Correlation<T>& c) {
  const auto plain = [](const ConvAxis& a) {
    return a.taps == 1 && a.step == 1 && a.offset == 0 && a.out_step == 1 && a.in == a.out;
  };
  if (!plain(c.h) || !plain(c.w)) return;
  c.w.in = c.w.out = c.out_width = c.h.in * c.w.in;
  c.h.in = c.h.out = c.out_height = 1;
}

// packed: of each group [depth step][row panel][depth][kTileRows]
template <class T>
static void pack_weights(const Kernel& kernel, const Correlation<T>& c, T* packed) {
  const int64_t panels = c.padded_rows() / kTileRows, depth = c.depth();
  const int64_t step = c.depth_step();
  kernel.parallel_for(c.groups * panels, [&](int64_t block, int) {
    const int64_t group = block / panels, panel = block % panels;
    const int valid = static_cast<int>(std::min<int64_t>(kTileRows, c.rows - panel * kTileRows));
    const T* from = c.weights + group * c.group_stride + panel * kTileRows * c.row_stride;
    for (int64_t k0 = 0; k0 < depth; k0 += step) {
      const int64_t now = std::min(step, depth - k0);
      T* to =
          packed + group * c.padded_rows() * depth + k0 * c.padded_rows() + panel * kTileRows * now;
      for (int64_t k = k0; k < k0 + now;) {
        const DepthRun run = depth_run(c, k);
        const int64_t count = std::min(run.count, k0 + now - k);
        const int64_t kh = c.h.first_kernel + run.tap / c.w.taps * c.h.kernel_step;
        const int64_t kw = c.w.first_kernel + run.tap % c.w.taps * c.w.kernel_step;
        pack_strided<T, kTileRows>(from + run.channel * c.channel_stride + kh * c.kernel_width + kw,
                                   c.channel_stride, c.row_stride, valid, count, to);
        k += count;
        to += count * kTileRows;
      }
    }
  });
}

// What one tap needs of one row of the image for one vector of a panel: `count` elements from `source` on,
// w.step apart, for the lanes from `lane` on. Lanes in no run are padding.
struct PixelRun {
  int32_t lane, count;
  int64_t source;
};
static_assert(sizeof(PixelRun) == kConvRunBytes);

// The runs of all taps for one panel: of vector v of a tap, count(tap, v) of them from first(tap, v) on.
template <class T>
struct PanelRuns {
  PixelRun* table;
  int32_t* counts;

  PixelRun* first(int64_t tap, int v) const { return table + (tap * kTileVectors + v) * kLanes<T>; }
  int32_t& count(int64_t tap, int v) const { return counts[tap * kTileVectors + v]; }

  void find(const ConvAxis& h, const ConvAxis& w, int64_t pixel, int valid) const {
    const int64_t top = pixel / w.out, left = pixel % w.out;
    for (int64_t tw = 0; tw < w.taps; ++tw) {
      const int64_t shift = w.offset + tw * w.tap_step;
      // Columns x of a row of the output with 0 <= x * step + shift < in.
      const int64_t begin = shift >= 0 ? 0 : ceil_div(-shift, w.step);
      const int64_t end = w.in > shift ? std::min(w.out, ceil_div(w.in - shift, w.step)) : 0;
      for (int64_t th = 0; th < h.taps; ++th) {
        int64_t x = left, row = top * h.step + h.offset + th * h.tap_step;
        for (int v = 0; v < kTileVectors; ++v) {
          PixelRun* to = first(th * w.taps + tw, v);
          int count = 0;
          const int64_t lanes = std::min<int64_t>(kLanes<T>, valid - v * kLanes<T>);
          for (int64_t lane = 0; lane < lanes;) {
            const int64_t stop = std::min(w.out, x + lanes - lane);
            const int64_t from = std::max(x, begin), past = std::min(stop, end);
            if (row >= 0 && row < h.in && from < past) {
              to[count++] = {static_cast<int32_t>(lane + from - x),
                             static_cast<int32_t>(past - from), row * w.in + from * w.step + shift};
            }
            lane += stop - x;
            x = stop;
            if (x == w.out) x = 0, row += h.step;
          }
          this->count(th * w.taps + tw, v) = count;
        }
      }
    }
  }
};

// `count` elements from p on as lanes `lane` to lane + count of a vector, the others zero. Nothing else is
// touched.
template <class T>
inline __attribute__((always_inline)) Vec<T> load_lanes(const T* p, int lane, int count) {
#if FLUXION_VECTOR_BYTES == 64
  const uint32_t mask = ((1u << count) - 1u) << lane;
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p - lane));
  } else {
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), p - lane));
  }
#else
  if (count == kLanes<T>) return load(p);
  T values[kLanes<T>] = {};
  for (int i = 0; i < count; ++i) values[lane + i] = p[i];
  return load(values);
#endif
}

template <class T>
inline Vec<T> load_strided(const T* p, int lane, int count, int64_t step) {
  T values[kLanes<T>] = {};
  for (int i = 0; i < count; ++i) values[lane + i] = p[i * step];
  return load(values);
}

// One vector of the panel for several channels, a plane apart.
template <class T>
static void pack_vector(const T* from, int64_t plane, int64_t channels, int64_t step,
                        const PixelRun* runs, int count, T* to) {
  using Bits = typename VecOf<T>::mask;
  const PixelRun run = count > 0 ? runs[0] : PixelRun{0, 0, 0};
  if (step == 1 && count <= 1) {
    for (int64_t i = 0; i < channels; ++i) {
      store(to + i * kTileCols<T>, load_lanes(from + i * plane + run.source, run.lane, run.count));
    }
    return;
  }
  for (int64_t i = 0; i < channels; ++i, from += plane) {
    Bits bits{};  // bits, not a sum, to keep the sign of zeros
    for (int r = 0; r < count; ++r) {
      const T* p = from + runs[r].source;
      bits |=
          reinterpret_cast<Bits>(step == 1 ? load_lanes(p, runs[r].lane, runs[r].count)
                                           : load_strided(p, runs[r].lane, runs[r].count, step));
    }
    store(to + i * kTileCols<T>, reinterpret_cast<Vec<T>>(bits));
  }
}

// The run after one that was used up, without the divisions of depth_run.
template <class T>
static DepthRun next_run(const Correlation<T>& c, const DepthRun& run) {
  const bool last_tap = run.tap + 1 == c.h.taps * c.w.taps;
  const int64_t first =
      run.channel / kChannelChunk * kChannelChunk + (last_tap ? kChannelChunk : 0);
  return {last_tap ? 0 : run.tap + 1, first, std::min(kChannelChunk, c.channels - first)};
}

// One panel [depth][kTileCols] of the virtual im2col matrix.
template <class T>
static void pack_pixels(const Correlation<T>& c, const PanelRuns<T>& panel, const T* image,
                        int64_t k, int64_t depth, T* to) {
  const int64_t plane = c.h.in * c.w.in;
  const int64_t end = k + depth;
  for (DepthRun run = depth_run(c, k); k < end; run = next_run(c, run)) {
    const int64_t channels = std::min(run.count, end - k);
    for (int v = 0; v < kTileVectors; ++v) {
      pack_vector(image + run.channel * plane, plane, channels, c.w.step, panel.first(run.tap, v),
                  panel.count(run.tap, v), to + v * kLanes<T>);
    }
    k += channels;
    to += channels * kTileCols<T>;
  }
}

// Writes rows of consecutive pixels of a phase to where they belong in the output plane.
template <class T>
static void scatter_pixels(const Correlation<T>& c, const T* values, int64_t pitch, int64_t rows,
                           int64_t pixel, int64_t count, T* out) {
  for (int64_t i = 0; i < rows; ++i, values += pitch, out += c.out_height * c.out_width) {
    int64_t y = pixel / c.w.out, x = pixel % c.w.out;
    for (int64_t j = 0; j < count; ++y, x = 0) {
      T* row = out + (c.h.first_out + y * c.h.out_step) * c.out_width + c.w.first_out;
      for (; x < c.w.out && j < count; ++x, ++j) row[x * c.w.out_step] = values[j];
    }
  }
}

template <class T>
static void correlate(const Kernel& kernel, Correlation<T> c) {
  flatten_pointwise(c);
  if (c.images * c.groups * c.rows * c.pixels() == 0) return;
  T* packed = kernel.workspace<T>();
  pack_weights(kernel, c, packed);
  const int64_t row_step = round_up(ceil_div(c.rows, ceil_div(c.rows, kConvBlockRows)), kTileRows);
  const int64_t row_blocks = ceil_div(c.rows, row_step);
  constexpr int64_t most_cols = kConvBlockColBytes / static_cast<int64_t>(sizeof(T));
  const int64_t wanted = ceil_div(kConvMinBlocks, c.images * c.groups * row_blocks);
  const int64_t col_step = round_up(
      ceil_div(c.pixels(), std::max(wanted, ceil_div(c.pixels(), most_cols))), kTileCols<T>);
  const int64_t col_blocks = ceil_div(c.pixels(), col_step), depth = c.depth();
  const int64_t in_plane = c.h.in * c.w.in, out_plane = c.out_height * c.out_width;
  kernel.parallel_for(
      c.images * c.groups * row_blocks * col_blocks, [&](int64_t block, int thread) {
        const int64_t pixel = block % col_blocks * col_step;
        const int64_t row = block / col_blocks % row_blocks * row_step;
        const int64_t group = block / (col_blocks * row_blocks) % c.groups;
        const int64_t image = block / (col_blocks * row_blocks * c.groups);
        const int64_t rows = std::min(row_step, c.rows - row),
                      cols = std::min(col_step, c.pixels() - pixel);
        const T* in = c.in + (image * c.groups + group) * c.channels * in_plane;
        T* out = c.out + ((image * c.groups + group) * c.rows + row) * out_plane;
        T* panel = kernel.scratch<T>(thread);
        T* values = panel + c.depth_step() * kTileCols<T>;
        char* table = reinterpret_cast<char*>(
            values + (c.scattered() ? std::min(row_step, c.rows) * col_step : 0));
        const int64_t taps = c.h.taps * c.w.taps;
        const PanelRuns<T> runs{
            reinterpret_cast<PixelRun*>(table),
            reinterpret_cast<int32_t*>(table + taps * kTileCols<T> * sizeof(PixelRun))};
        const T* weights = packed + group * c.padded_rows() * depth;
        const auto pack_a = [&](int64_t k, int64_t now) {
          return weights + k * c.padded_rows() + row * now;
        };
        const auto pack_b = [&](int64_t k, int64_t now, int64_t col, int valid) {
          runs.find(c.h, c.w, pixel + col, valid);
          pack_pixels(c, runs, in, k, now, panel);
          return static_cast<const T*>(panel);
        };
        if (c.scattered()) {
          gemm_block<T>(rows, cols, depth, c.depth_step(), pack_a, pack_b, values, col_step,
                        Epilogue<T>{});
          scatter_pixels(c, values, col_step, rows, pixel, cols, out);
        } else {
          gemm_block<T>(rows, cols, depth, c.depth_step(), pack_a, pack_b, out + pixel, out_plane,
                        c.epilogue.at(group * c.rows + row, 0, out + pixel - c.out));
        }
      });
}

template <class T>
static Epilogue<T> epilogue_of(Activation activation, const Kernel& kernel) {
  const auto optional = [&](int i) {
    return kernel.n_inputs > i && kernel.in(i).present ? kernel.in(i).as<T>() : nullptr;
  };
  return {optional(2), nullptr, optional(3), activation};
}

template <class T>
static void conv2d(const Conv2dForwardParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape, &y = kernel.out(0).shape;
  Correlation<T> c;
  c.h = conv_forward_axis(x[2], weight[2], p.stride.h, p.padding.h, p.dilation.h);
  c.w = conv_forward_axis(x[3], weight[3], p.stride.w, p.padding.w, p.dilation.w);
  c.images = x[0], c.groups = p.groups, c.rows = weight[0] / p.groups, c.channels = weight[1];
  c.out_height = y[2], c.out_width = y[3];
  c.in = kernel.in(0).as<T>(), c.out = kernel.out(0).as<T>(), c.weights = kernel.in(1).as<T>();
  c.epilogue = epilogue_of<T>(p.activation, kernel);
  c.kernel_width = weight[3], c.channel_stride = weight[2] * weight[3];
  c.row_stride = c.channels * c.channel_stride, c.group_stride = c.rows * c.row_stride;
  if (conv_is_depthwise(weight, p.groups))
    return depthwise_forward<T>(kernel, {{p, x, weight}, c.weights}, c.epilogue, c.in, c.out);
  if (!conv_is_pointwise(p, weight))
    return convolve_direct<T>(kernel, {{p, x, weight}, false, sizeof(T)}, c.in, c.weights,
                              c.epilogue, c.out);
  correlate(kernel, c);
}

template <class T>
static void conv2d_input_vjp(const Conv2dInputVjpParams& p, const Kernel& kernel) {
  const Shape &weight = kernel.in(1).shape, &x = p.inputShape;
  const T *g = kernel.in(0).as<T>(), *weights = kernel.in(1).as<T>();
  T* gx = kernel.out(0).as<T>();
  const T* bias = kernel.n_inputs > 2 && kernel.in(2).present ? kernel.in(2).as<T>() : nullptr;
  if (conv_is_depthwise(weight, p.groups)) {
    return depthwise_vjp<T>(kernel, {{p, x, weight}, weights}, g, nullptr, gx, nullptr, bias);
  }
  const Epilogue<T> epilogue{bias, nullptr, nullptr, Activation::none};
  if (!conv_is_pointwise(p, weight)) {
    return convolve_direct<T>(kernel, {{p, x, weight}, true, sizeof(T)}, g, weights, epilogue, gx);
  }
  Correlation<T> c;
  c.h = conv_input_vjp_axis(x[2], 1, 1, 0, 1, 0);
  c.w = conv_input_vjp_axis(x[3], 1, 1, 0, 1, 0);
  c.images = x[0], c.groups = p.groups, c.rows = weight[1], c.channels = weight[0] / p.groups;
  c.out_height = x[2], c.out_width = x[3];
  c.in = g, c.out = gx, c.weights = weights, c.epilogue = epilogue;
  c.kernel_width = c.row_stride = 1;
  c.channel_stride = c.rows, c.group_stride = c.channels * c.channel_stride;
  correlate(kernel, c);
}

template <class T>
static void conv2d_weight_vjp(const Conv2dWeightVjpParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(1).shape, &weight = p.weightShape;
  const T *g = kernel.in(0).as<T>(), *from_x = kernel.in(1).as<T>();
  T* out = kernel.out(0).as<T>();
  if (conv_is_depthwise(weight, p.groups))
    return depthwise_vjp<T>(kernel, {{p, x, weight}, nullptr}, g, from_x, nullptr, out);
  convolution_weight_vjp<T>(kernel, {p, x, weight}, g, from_x, out);
}

template <class T>
static void conv3d(const Conv3dForwardParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape;
  convolve_direct<T>(kernel, {{p, x, weight}, false, sizeof(T)}, kernel.in(0).as<T>(),
                     kernel.in(1).as<T>(), epilogue_of<T>(p.activation, kernel),
                     kernel.out(0).as<T>());
}

template <class T>
static void conv3d_input_vjp(const Conv3dInputVjpParams& p, const Kernel& kernel) {
  const Epilogue<T> epilogue = epilogue_of<T>(Activation::none, kernel);
  convolve_direct<T>(kernel, {{p, p.inputShape, kernel.in(1).shape}, true, sizeof(T)},
                     kernel.in(0).as<T>(), kernel.in(1).as<T>(), epilogue, kernel.out(0).as<T>());
}

template <class T>
static void conv3d_weight_vjp(const Conv3dWeightVjpParams& p, const Kernel& kernel) {
  convolution_weight_vjp<T>(kernel, {p, kernel.in(1).shape, p.weightShape}, kernel.in(0).as<T>(),
                            kernel.in(1).as<T>(), kernel.out(0).as<T>());
}

void k_conv2d(const Conv2dForwardParams& params, const Kernel& kernel) {
  const TensorView& y = kernel.out(0);
  if (conv_is_winograd(params, kernel.in(1).shape, y.dtype, y.shape)) {
    return winograd_conv2d(params, kernel);
  }
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { conv2d<typename decltype(tag)::type>(params, kernel); });
}

void k_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel) {
  const TensorView& g = kernel.in(0);
  if (conv_is_winograd(params, kernel.in(1).shape, g.dtype, g.shape)) {
    return winograd_conv2d_input_vjp(params, kernel);
  }
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv2d_input_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& kernel) {
  const TensorView& g = kernel.in(0);
  if (conv_is_winograd(params, params.weightShape, g.dtype, g.shape)) {
    return winograd_conv2d_weight_vjp(params, kernel);
  }
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv2d_weight_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_conv3d(const Conv3dForwardParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype,
                    [&](auto tag) { conv3d<typename decltype(tag)::type>(params, kernel); });
}

void k_conv3d_input_vjp(const Conv3dInputVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv3d_input_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_conv3d_weight_vjp(const Conv3dWeightVjpParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.out(0).dtype, [&](auto tag) {
    conv3d_weight_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

void k_depthwise_conv2d_vjp(const Conv2dParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Shape &x = kernel.in(1).shape, &weight = kernel.in(2).shape;
    depthwise_vjp<T>(kernel, {{params, x, weight}, kernel.in(2).as<T>()}, kernel.in(0).as<T>(),
                     kernel.in(1).as<T>(), kernel.out(0).as<T>(), kernel.out(1).as<T>());
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
