// Gradients of convolutions in the weights:
//
//   gw[o, c, t] = sum_(n, p) g[n, o, p] x[n, c, p s + t d - padding]
//
// A product of matrices over the depth (image, pixel) by tiles of device/gemm_tile.cuh: a block owns up to
// 128 output channels of 128 pairs (c, t). The result is small and the depth long, so the depth is cut into
// slices until all multiprocessors have work, and a second stage adds them in order: 4 (Ci k^2 / 128 + Co)
// bytes a pixel at least through L2, 4 (Ci + Co) through memory.
#include "convolution_lines.h"
#include "depthwise.h"
#include "gemm.h"

namespace fluxion::cuda {
namespace {

template <class T>
ConvPlanes<T> planes_of(const T* data, int64_t channels, int64_t groups, int64_t plane) {
  return {data, channels * plane, channels / groups * plane, plane, Divisor(plane)};
}

template <class T, class Params>
void weight_vjp(const Params& params, const Kernel& call) {
  const Shape &x = call.in(1).shape, &weight = params.weightShape;
  const ConvGeometry g(params, x, weight);
  const int64_t inputs = g.channels / g.groups, outputs = g.outputs / g.groups;
  const int64_t pixels = g.out(0) * g.out_plane(), lines = inputs * g.taps();
  if (weight.size() == 0 || !fits_convolution(call, g)) return;
  const GemmSizes sizes{outputs, lines, g.images * pixels, g.groups};
  T* gw = call.out(0).as<T>();
  constexpr int64_t kVector = 16 / static_cast<int64_t>(sizeof(T));
  const MatrixOutput<T> output{gw, outputs * lines, lines, 1,
                               lines % kVector == 0 && reinterpret_cast<uintptr_t>(gw) % 16 == 0};
  const GemmEpilogue<T> epilogue{nullptr, nullptr, EpilogueKind::none, false, 1};
  const ConvPlanes<T> cotangent = planes_of(call.in(0).as<T>(), g.outputs, g.groups, pixels);
  bool points = g.taps() == 1;
  for (int a = 0; a < 3; ++a) points = points && g.stride[a] == 1 && g.padding[a] == 0;
  if (points) {
    return multiply<T>(call, sizes, cotangent,
                       planes_of(call.in(1).as<T>(), g.channels, g.groups, pixels), output,
                       epilogue);
  }
  ConvLines table;
  table.phases = {forward_axes(g)};
  table.channels = inputs;
  table.weight_channel = g.taps();
  const int64_t plane = g.in[0] * g.in_plane();
  ConvPatches<T> patches{};
  for (int a = 0; a < 3; ++a) {
    table.in_size[a] = g.in[a];
    table.kernel[a] = g.kernel[a];
    patches.size[a] = static_cast<int32_t>(g.in[a]);
  }
  patches.data = call.in(1).as<T>();
  patches.image_stride = g.channels * plane;
  patches.group_stride = inputs * plane;
  patches.volume = g.in[0] != 1 || g.kernel[0] != 1 || g.padding[0] != 0;
  patches.lines = table.table(call, g, false);
  patches.groups = 1;
  patches.phases[0] = conv_phase(table.phases[0], g.images, 0, lines);
  if (patches.lines) multiply<T>(call, sizes, cotangent, patches, output, epilogue);
}

}  // namespace

void k_conv2d_weight_vjp(const Conv2dWeightVjpParams& params, const Kernel& call) {
  if (conv_is_depthwise(params.weightShape, params.groups))
    return depthwise_weight_vjp(params, params.weightShape, call);
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { weight_vjp<typename decltype(tag)::type>(params, call); });
}

void k_conv3d_weight_vjp(const Conv3dWeightVjpParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { weight_vjp<typename decltype(tag)::type>(params, call); });
}

}  // namespace fluxion::cuda
