// Convolutions of images and volumes, NCHW and NCDHW, and their gradients in the input, with bias, residual and
// activation in the same pass:
//
//   y[n, o, p] = act(sum_(c, t) w[o, c, t] x[n, c, p s + t d - padding] + bias[o] + residual[n, o, p])
//
// By the kind of the kernel: one weight per channel and tap, depthwise.cu; a single tap on every pixel is a
// product of matrices, matmul.cu; any other is a product of matrices whose second one is not written out
// (device/conv_operand.cuh). A block owns a tile of outputs: up to 128 channels of 128 pixels. Its input is
// read once for each block of channels and each tap, of which all but the first come from L1 and L2: about
// 4 (Ci + Co) bytes a pixel move through memory. Bound by arithmetic from some 16 channels on.
#include <algorithm>

#include "convolution_lines.h"
#include "depthwise.h"
#include "gemm.h"
#include "matrix_product.h"

namespace fluxion::cuda {
namespace {

__global__ void refuse(FaultSite site, long long size, long long limit) {
  if (threadIdx.x == 0) record_fault(site, size, limit);
}

template <class T>
bool aligned(const T* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

// A kernel of one tap on every pixel: batches are (image, group).
template <class T>
void convolve_points(const ConvCall<T>& c, bool transposed, const T* in, T* out) {
  const ConvGeometry& g = c.g;
  const int64_t plane = g.in[0] * g.in_plane();
  const int64_t inputs = g.channels / g.groups, outputs = g.outputs / g.groups;
  const int64_t rows = transposed ? inputs : outputs, depth = transposed ? outputs : inputs;
  StridedSpace<2> batches{};
  batches.ndim = 2;
  batches.size[0] = g.images, batches.size[1] = g.groups;
  batches.stride[0][0] = 0, batches.stride[0][1] = inputs * outputs;
  batches.stride[1][0] = g.groups * depth * plane, batches.stride[1][1] = depth * plane;
  multiply_matrices(*c.call, MatrixProduct<T>{rows, plane, depth, g.images * g.groups, c.weights,
                                              transposed ? 1 : inputs, transposed ? inputs : 1, in,
                                              plane, 1, batches, out, c.epilogue});
}

// Phases [first, first + count) of the product; `lines` of all.
template <class T>
void launch_phases(const ConvCall<T>& c, const ConvLines& lines, const ConvLine* table,
                   size_t first, size_t count, bool transposed, const T* in, T* out) {
  const ConvGeometry& g = c.g;
  const int64_t inputs = g.channels / g.groups, outputs = g.outputs / g.groups;
  const int64_t rows = transposed ? inputs : outputs, groups = g.groups;
  const int64_t in_plane = lines.in_size[0] * lines.in_size[1] * lines.in_size[2];
  const int64_t out_size[3] = {transposed ? g.in[0] : g.out(0), transposed ? g.in[1] : g.out(1),
                               transposed ? g.in[2] : g.out(2)};
  const int64_t out_plane = out_size[0] * out_size[1] * out_size[2];
  ConvPixels<T> pixels{};
  pixels.data = in;
  pixels.image_stride = groups * lines.channels * in_plane;
  pixels.group_stride = lines.channels * in_plane;
  pixels.volume = g.in[0] != 1 || g.kernel[0] != 1 || g.padding[0] != 0;
  pixels.lines = table;
  pixels.groups = static_cast<int>(groups);
  ConvWeights<T> weights{};
  weights.data = c.weights;
  weights.group_stride = inputs * outputs * g.taps();
  weights.row_stride = transposed ? g.taps() : inputs * g.taps();
  weights.lines = transposed ? table : nullptr;
  weights.groups = static_cast<int>(groups);
  ConvOutput<T> output{};
  output.data = out;
  output.image_stride = groups * rows * out_plane;
  output.group_stride = rows * out_plane;
  output.row_stride = out_plane;
  output.groups = static_cast<int>(groups);
  GemmSizes sizes{rows, 0, 0, static_cast<int64_t>(count) * groups};
  int64_t line = 0;
  for (size_t i = 0; i < first + count; ++i) {
    const int64_t of_phase = lines.channels * lines.phases[i].taps();
    if (i >= first) {
      const ConvPhase phase = conv_phase(lines.phases[i], g.images, line, of_phase);
      pixels.phases[i - first] = output.phases[i - first] = phase;
      weights.first_line[i - first] = static_cast<int32_t>(line);
      sizes.columns = std::max(sizes.columns, phase.columns);
      sizes.depth = std::max(sizes.depth, of_phase);
    }
    line += of_phase;
  }
  for (int a = 0; a < 3; ++a) {
    pixels.size[a] = static_cast<int32_t>(lines.in_size[a]);
    output.size[a] = static_cast<int32_t>(out_size[a]);
  }
  constexpr int64_t kVector = 16 / static_cast<int64_t>(sizeof(T));
  output.vectors = lines.phases.size() == 1 && out_plane % kVector == 0 && aligned(out) &&
                   (!c.epilogue.residual || aligned(c.epilogue.residual));
  multiply<T>(*c.call, sizes, weights, pixels, output, c.epilogue);
}

// The convolution of x or, transposed, the gradient of g in x.
template <class T>
void convolve(const ConvCall<T>& c, bool transposed, const T* in, T* out) {
  const ConvGeometry& g = c.g;
  const int64_t results =
      transposed ? g.channels * g.in[0] * g.in_plane() : g.outputs * g.out(0) * g.out_plane();
  if (g.images == 0 || results == 0 || !fits_convolution(*c.call, g)) return;
  bool points = g.taps() == 1;
  for (int a = 0; a < 3; ++a) points = points && g.stride[a] == 1 && g.padding[a] == 0;
  if (points && g.in[0] * g.in_plane() >= kConvPointsPlane)
    return convolve_points(c, transposed, in, out);
  ConvLines lines;
  lines.phases = transposed ? input_vjp_axes(g) : std::vector<ConvAxes>{forward_axes(g)};
  lines.channels = (transposed ? g.outputs : g.channels) / g.groups;
  lines.weight_channel = transposed ? g.channels / g.groups * g.taps() : g.taps();
  for (int a = 0; a < 3; ++a) {
    lines.in_size[a] = transposed ? g.out(a) : g.in[a];
    lines.kernel[a] = g.kernel[a];
  }
  const ConvLine* table = lines.table(*c.call, g, transposed);
  if (!table) return;
  for (size_t first = 0; first < lines.phases.size(); first += kConvPhases) {
    const size_t count = std::min<size_t>(kConvPhases, lines.phases.size() - first);
    launch_phases(c, lines, table, first, count, transposed, in, out);
  }
}

template <class T, class Params>
void forward(const Params& params, const Kernel& call) {
  const ConvGeometry g(params, call.in(0).shape, call.in(1).shape);
  const GemmEpilogue<T> epilogue =
      gemm_epilogue<T>(call, params.activation, false, static_cast<int>(g.groups));
  convolve<T>({&call, g, call.in(1).as<T>(), epilogue}, false, call.in(0).as<T>(),
              call.out(0).as<T>());
}

template <class T, class Params>
void input_vjp(const Params& params, const Kernel& call) {
  const ConvGeometry g(params, params.inputShape, call.in(1).shape);
  const GemmEpilogue<T> epilogue =
      gemm_epilogue<T>(call, Activation::none, false, static_cast<int>(g.groups));
  convolve<T>({&call, g, call.in(1).as<T>(), epilogue}, true, call.in(0).as<T>(),
              call.out(0).as<T>());
}

}  // namespace

bool fits_convolution(const Kernel& call, const ConvGeometry& g) {
  constexpr int64_t kLimit = (int64_t{1} << 31) - 1;
  int64_t most = std::max(g.in[0] * g.in_plane(), g.out(0) * g.out_plane());
  for (int a = 0; a < 3; ++a)
    most = std::max(most, g.in[a] + 2 * g.padding[a] + g.dilation[a] * g.kernel[a]);
  if (most <= kLimit / 2) return true;
  call.launch(refuse, {1, 32},
              call.fault_site(ErrorCode::Unsupported,
                              "a plane or a padded axis of %lld elements on the GPU, at most %lld"),
              most, kLimit / 2);
  return false;
}

void k_conv2d(const Conv2dForwardParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (conv_is_depthwise(call.in(1).shape, params.groups))
      return depthwise_conv2d(params, params.activation, call);
    forward<T>(params, call);
  });
}

void k_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (conv_is_depthwise(call.in(1).shape, params.groups))
      return depthwise_input_vjp(params, params.inputShape, call);
    input_vjp<T>(params, call);
  });
}

void k_conv3d(const Conv3dForwardParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { forward<typename decltype(tag)::type>(params, call); });
}

void k_conv3d_input_vjp(const Conv3dInputVjpParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { input_vjp<typename decltype(tag)::type>(params, call); });
}

}  // namespace fluxion::cuda
