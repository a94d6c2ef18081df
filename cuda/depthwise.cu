// Depthwise convolutions of NCHW images, one weight per channel and tap, and their gradients.
//
// They are bound by memory: 8 bytes an element forward and 12 for both gradients together, in one pass over g
// and x. Square kernels of 3, 5 and 7 taps with stride and dilation 1 and one output a channel: tiles in shared
// memory (device/depthwise_dense.cuh); all others: device/depthwise_any.cuh.
#include "depthwise.h"

#include <algorithm>
#include <type_traits>

#include "convolution_lines.h"
#include "device/depthwise_any.cuh"
#include "device/depthwise_dense.cuh"
#include "gemm.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));

template <class T>
struct Depthwise {
  const Kernel* call;
  ConvGeometry g;
  const T *weights, *bias;

  int64_t taps() const { return g.taps(); }
  int64_t multiplier() const { return g.outputs / g.channels; }
  // Both paddings are at most the kernel less one: else g has no margin that covers them.
  bool dense() const {
    const int64_t k = g.kernel[1];
    return k == g.kernel[2] && (k == 3 || k == 5 || k == 7) && g.stride[1] == 1 &&
           g.stride[2] == 1 && g.dilation[1] == 1 && g.dilation[2] == 1 && multiplier() == 1 &&
           g.padding[1] < k && g.padding[2] < k;
  }
};

// Calls f with the size of a dense kernel.
template <class F>
void with_kernel(int64_t k, F&& f) {
  if (k == 3) return f(std::integral_constant<int, 3>{});
  if (k == 5) return f(std::integral_constant<int, 5>{});
  f(std::integral_constant<int, 7>{});
}

int log_of(int64_t n) {
  int log = 0;
  while ((int64_t{1} << log) < n) ++log;
  return log;
}

// Tiles of planes of height x width.
template <class T>
DepthwiseTile tile_of(int64_t k, int64_t images, int64_t height, int64_t width) {
  DepthwiseTile t{};
  const int all = log_of(kDepthwiseThreads);
  t.columns_log = std::clamp(log_of(width), 3, kDepthwiseColumnsLog);
  t.strips_log = std::min(log_of(blocks_of(height, kStripRows)), all - t.columns_log);
  t.images = 1 << (all - t.columns_log - t.strips_log);
  t.rows = t.height() + static_cast<int>(k) - 1;
  t.pitch =
      static_cast<int>(blocks_of(t.columns() + k - 1 + kVector<T> - 1, kVector<T>)) * kVector<T>;
  t.tiles_x = blocks_of(width, t.columns());
  t.tiles_y = blocks_of(height, t.height());
  t.chunks = blocks_of(images, t.images);
  return t;
}

template <class T>
DepthwisePlanes<T> planes_of(const T* data, int64_t images, int64_t channels, int64_t height,
                             int64_t width) {
  return {data,
          channels * height * width,
          images,
          static_cast<int>(height),
          static_cast<int>(width),
          width % kVector<T> == 0 && reinterpret_cast<uintptr_t>(data) % 16 == 0};
}

DepthwiseAxis axis_of(const ConvGeometry& g, int a) {
  return {static_cast<int>(g.in[a]),      static_cast<int>(g.out(a)),
          static_cast<int>(g.kernel[a]),  static_cast<int>(g.stride[a]),
          static_cast<int>(g.padding[a]), static_cast<int>(g.dilation[a]),
          Divisor(g.stride[a])};
}

// `pixels` of the planes that are written.
template <class T>
DepthwiseShapes shapes_of(const Depthwise<T>& c, int64_t pixels) {
  const ConvGeometry& g = c.g;
  return {g.images,
          g.channels,
          static_cast<int>(c.multiplier()),
          axis_of(g, 1),
          axis_of(g, 2),
          Divisor(std::max<int64_t>(1, g.in[2])),
          Divisor(g.out(2)),
          g.in_plane(),
          g.out_plane(),
          blocks_of(pixels, kDepthwiseAnyThreads * kDepthwiseAnyPixels)};
}

// The correlation of `in` with the weights or, turned, of g with the turned weights.
template <class T>
void correlate_dense(const Depthwise<T>& c, bool turned, const T* in, T* out,
                     const GemmEpilogue<T>& epilogue) {
  const ConvGeometry& g = c.g;
  const int64_t height = turned ? g.in[1] : g.out(1), width = turned ? g.in[2] : g.out(2);
  const int64_t in_height = turned ? g.out(1) : g.in[1], in_width = turned ? g.out(2) : g.in[2];
  with_kernel(g.kernel[1], [&](auto k) {
    constexpr int K = decltype(k)::value;
    const auto margin = [&](int a) {
      return static_cast<int>(turned ? K - 1 - g.padding[a] : g.padding[a]);
    };
    const DepthwiseTile tile = tile_of<T>(K, g.images, height, width);
    const DepthwiseCorrelation<T> p{planes_of(in, g.images, g.channels, in_height, in_width),
                                    c.weights,
                                    g.channels,
                                    margin(1),
                                    margin(2),
                                    turned,
                                    out,
                                    static_cast<int>(height),
                                    static_cast<int>(width),
                                    tile,
                                    epilogue};
    c.call->launch(depthwise_dense<T, K>,
                   {tile.items() * g.channels, kDepthwiseThreads, shared_bytes<T>(tile.elements())},
                   p);
  });
}

template <class T>
void add_slices(const Kernel& call, const T* partial, int64_t slices, int64_t n, T* sums) {
  call.launch(depthwise_add_slices<T>, {blocks_of(n, kDepthwiseThreads), kDepthwiseThreads},
              partial, slices, n, sums);
}

// gw, and gx where it is not null, in one pass.
template <class T>
void vjp_dense(const Depthwise<T>& c, const T* g, const T* x, T* gx, T* gw) {
  const ConvGeometry& s = c.g;
  with_kernel(s.kernel[1], [&](auto k) {
    constexpr int K = decltype(k)::value;
    const DepthwiseTile tile =
        tile_of<T>(K, s.images, std::max(s.in[1], s.out(1)), std::max(s.in[2], s.out(2)));
    const int64_t wanted = blocks_of(c.call->multiprocessors() * kDepthwiseBlocks, s.channels);
    const int64_t slices = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, tile.items()));
    T* partial = c.call->template scratch<T>(slices * s.channels * K * K);
    const DepthwiseVjp<T> p{planes_of(g, s.images, s.channels, s.out(1), s.out(2)),
                            planes_of(x, s.images, s.channels, s.in[1], s.in[2]),
                            c.weights,
                            s.channels,
                            slices,
                            static_cast<int>(s.padding[1]),
                            static_cast<int>(s.padding[2]),
                            gx,
                            partial,
                            tile};
    c.call->launch(depthwise_dense_vjp<T, K>,
                   {slices * s.channels, kDepthwiseThreads,
                    2 * shared_bytes<T>(tile.elements()) +
                        shared_bytes<T>(K * K * (kDepthwiseThreads / kWarp))},
                   p);
    add_slices(*c.call, partial, slices, s.channels * K * K, gw);
  });
}

template <class T>
void input_any(const Depthwise<T>& c, const T* g, T* gx) {
  const DepthwiseShapes s = shapes_of(c, c.g.in_plane());
  c.call->launch(depthwise_any_input<T>, {s.chunks * s.images * s.channels, kDepthwiseAnyThreads},
                 s, g, c.weights, gx, c.bias);
}

template <class T>
void weight_any(const Depthwise<T>& c, const T* g, const T* x, T* gw) {
  const DepthwiseShapes s = shapes_of(c, c.g.out_plane());
  const int64_t outputs = c.g.outputs, pixels = s.images * s.out_plane;
  const int64_t wanted = blocks_of(c.call->multiprocessors() * kDepthwiseBlocks, outputs);
  const int64_t slices =
      std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, blocks_of(pixels, kDepthwiseAnyThreads)));
  T* partial = c.call->template scratch<T>(slices * outputs * c.taps());
  c.call->launch(depthwise_any_weight<T>,
                 {slices * outputs, kDepthwiseAnyThreads,
                  shared_bytes<T>(kDepthwiseAnyThreads / kWarp * kTapsAtOnce)},
                 s, g, x, partial, slices);
  add_slices(*c.call, partial, slices, outputs * c.taps(), gw);
}

// gx + bias and gw; either may be null.
template <class T>
void vjp(const Depthwise<T>& c, const T* g, const T* x, T* gx, T* gw) {
  if (!fits_convolution(*c.call, c.g)) return;
  const bool dense = c.dense();
  const bool both = dense && gw && !c.bias;
  if (both) return vjp_dense(c, g, x, gx, gw);
  if (gw) weight_any(c, g, x, gw);
  if (!gx) return;
  const GemmEpilogue<T> epilogue{c.bias, nullptr, EpilogueKind::none, false, 1};
  if (dense) return correlate_dense(c, true, g, gx, epilogue);
  input_any(c, g, gx);
}

}  // namespace

void depthwise_conv2d(const Conv2dParams& params, Activation activation, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Depthwise<T> c{
        &call, {params, call.in(0).shape, call.in(1).shape}, call.in(1).as<T>(), nullptr};
    const T* x = call.in(0).as<T>();
    T* y = call.out(0).as<T>();
    const GemmEpilogue<T> epilogue = gemm_epilogue<T>(call, activation, false, 1);
    if (call.out(0).size() == 0 || !fits_convolution(call, c.g)) return;
    if (c.dense()) return correlate_dense(c, false, x, y, epilogue);
    const DepthwiseShapes s = shapes_of(c, c.g.out_plane());
    call.launch(depthwise_any<T>, {s.chunks * s.images * c.g.outputs, kDepthwiseAnyThreads}, s, x,
                c.weights, y, epilogue);
  });
}

void depthwise_input_vjp(const Conv2dParams& params, const Shape& input, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* bias = call.n_inputs > 2 && call.in(2).present ? call.in(2).as<T>() : nullptr;
    if (call.out(0).size() == 0) return;
    vjp<T>({&call, {params, input, call.in(1).shape}, call.in(1).as<T>(), bias}, call.in(0).as<T>(),
           nullptr, call.out(0).as<T>(), nullptr);
  });
}

void depthwise_weight_vjp(const Conv2dParams& params, const Shape& weight, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    vjp<T>({&call, {params, call.in(1).shape, weight}, nullptr, nullptr}, call.in(0).as<T>(),
           call.in(1).as<T>(), nullptr, call.out(0).as<T>());
  });
}

void k_depthwise_conv2d_vjp(const Conv2dParams& params, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    vjp<T>({&call, {params, call.in(1).shape, call.in(2).shape}, call.in(2).as<T>(), nullptr},
           call.in(0).as<T>(), call.in(1).as<T>(), call.out(0).as<T>(), call.out(1).as<T>());
  });
}

}  // namespace fluxion::cuda
