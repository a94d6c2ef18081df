// Mesh-free convolution: out_o = sum_i F^-1[c_oi F u_i] + b_o, the symbol c as in device/mesh_free_symbol.cuh.
//
// For as many samples as keep their spectra in L2: transforms (half_spectra.cu), sums over channels at each bin
// (below), inverse transforms. 1 / cells is part of the sums; the bias is added to the mean mode.
// Adjoint: gu_i = sum_o F^-1[conj(c_oi) F g_o]. With S_oi = sum_n conj(F u_i) F g_o,
// dL/dtheta = 1 / cells sum_w Re(conj(S_oi) dc_oi/dtheta); the input is transformed again. Partial sums over groups
// of bins are added in a fixed order.
//
// Sums over channels: a thread owns a bin with kRows x kSamples sums in registers, a block 128 bins that follow each
// other, so that spectra are read in runs of 512 bytes; each symbol is evaluated once for kSamples samples.
// Global memory: 4 (Ci + Co) bytes a cell and sample in float32, as much for the spectra, in L2.
// Sources: docs/numerics/mesh-free.md.
#include <algorithm>

#include "device/mesh_free_symbol.cuh"
#include "half_spectra.h"
#include "mesh_free_gradient.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr int kRows = 4, kSamples = 4;

// Y_r(n) = sum_k c_rk X_k(n): rows are outputs and k inputs, or the other way with the conjugate symbol.
template <class T, bool kAdjoint>
__global__ void __launch_bounds__(kMeshFreeThreads)
    contract(MeshFreeModes<T> m, int64_t samples, const T* bias, const Point<T>* x, Point<T>* y) {
  const int64_t bin_blocks = (m.bins + blockDim.x - 1) / blockDim.x;
  const int64_t rows = kAdjoint ? m.inputs : m.outputs, depth = kAdjoint ? m.outputs : m.inputs;
  const int64_t row_blocks = (rows + kRows - 1) / kRows;
  const int64_t bin = blockIdx.x % bin_blocks * blockDim.x + threadIdx.x;
  const int64_t first_row = blockIdx.x / bin_blocks % row_blocks * kRows;
  const int64_t first_sample = blockIdx.x / (bin_blocks * row_blocks) * kSamples;
  if (bin >= m.bins) return;
  const Mode<T> mode = m.mode(bin);
  Point<T> sum[kRows][kSamples] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Point<T> from[kSamples];
#pragma unroll
    for (int n = 0; n < kSamples; ++n) {
      const bool there = first_sample + n < samples;
      from[n] = there ? x[((first_sample + n) * depth + k) * m.bins + bin] : Point<T>{T(0), T(0)};
    }
    T shared_damping = T(1);
    if (m.layout.shared && !kAdjoint) {
      shared_damping = Widths<T>(m.layout, m.gaussian + k * m.layout.widths()).damping(mode);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r;
      if (row >= rows) continue;
      const T* weight = m.pair(kAdjoint ? k : row, kAdjoint ? row : k);
      Point<T> c = polynomial(m.layout, weight, mode);
      T damping = shared_damping;
      if (!m.layout.shared)
        damping = Widths<T>(m.layout, weight + m.layout.moments()).damping(mode);
      c = damping * c;
      if (kAdjoint) c = conjugate(c);
#pragma unroll
      for (int n = 0; n < kSamples; ++n) sum[r][n] = sum[r][n] + c * from[n];
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = first_row + r;
    if (row >= rows) continue;
    T scale = m.scale;
    if (m.layout.shared && kAdjoint) {
      scale *= Widths<T>(m.layout, m.gaussian + row * m.layout.widths()).damping(mode);
    }
#pragma unroll
    for (int n = 0; n < kSamples; ++n) {
      if (first_sample + n >= samples) continue;
      Point<T> value = scale * sum[r][n];
      if (!kAdjoint && bias && bin == 0) value.re += bias[row];
      y[((first_sample + n) * rows + row) * m.bins + bin] = value;
    }
  }
}

template <class T, bool kAdjoint>
void mix(const Kernel& call, const MeshFreeModes<T>& m, int64_t samples, const T* bias,
         const Point<T>* x, Point<T>* y) {
  const int64_t rows = kAdjoint ? m.inputs : m.outputs;
  const int64_t blocks =
      blocks_of(m.bins, kMeshFreeThreads) * blocks_of(rows, kRows) * blocks_of(samples, kSamples);
  call.launch(contract<T, kAdjoint>, {blocks, kMeshFreeThreads}, m, samples, bias, x, y);
}

// Modes 0 .. count - 1 of n cells; those above n / 2 are negative.
template <class T>
const AxisMode<T>* axis_modes(const Kernel& call, int64_t n, int64_t count, double length) {
  uint64_t bits = 0;
  std::memcpy(&bits, &length, sizeof bits);
  std::string key = "mesh-free modes ";
  key.append(std::to_string(sizeof(T))).append(" ").append(std::to_string(n));
  key.append(" ").append(std::to_string(count)).append(" ").append(std::to_string(bits));
  return call.table<AxisMode<T>>(key, count, [=](AxisMode<T>* to) {
    for (int64_t k = 0; k < count; ++k) {
      const int64_t mode = 2 * k <= n ? k : k - n;
      const double w = 2 * 3.14159265358979323846 * static_cast<double>(mode) / length;
      const bool nyquist = 2 * mode == n;
      to[k] = {nyquist ? T(0) : static_cast<T>(w), static_cast<T>(w * w),
               nyquist ? static_cast<T>(w * w) : T(0)};
    }
  });
}

// field: the input, or the cotangent, which has the same batch and cells.
template <class T>
MeshFreeModes<T> modes_of(const Kernel& call, const TensorView& field, const TensorView& weight,
                          double length_x, double length_y) {
  const bool line = field.ndim() == 3, shared = call.in(3).present;
  const int64_t widths = shared ? 0 : line ? 1 : 3;
  MeshFreeModes<T> m{};
  m.layout = {line, weight.shape[2] - widths > (line ? 2 : 3), shared};
  m.inputs = weight.shape[1];
  m.outputs = weight.shape[0];
  m.height = static_cast<int>(line ? 1 : field.shape[2]);
  m.width = static_cast<int>(field.shape[line ? 2 : 3]);
  m.bins = half_bins(m.height, m.width);
  m.scale = static_cast<T>(1 / (static_cast<double>(m.height) * static_cast<double>(m.width)));
  m.x = axis_modes<T>(call, m.width, m.width / 2 + 1, length_x);
  m.y = axis_modes<T>(call, m.height, m.height, length_y);
  m.weight = weight.as<T>();
  m.gaussian = call.in(3).as<T>();
  return m;
}

// Samples of a part of the batch.
template <class T>
int64_t chunk_of(const MeshFreeModes<T>& m, int64_t batch, int64_t planes) {
  const int64_t sample = planes * m.bins * static_cast<int64_t>(sizeof(Point<T>));
  const int64_t fitting = kMeshFreeSpectra / std::max<int64_t>(sample, 1) / kSamples * kSamples;
  return std::clamp<int64_t>(fitting, std::min<int64_t>(kSamples, batch), batch);
}

template <class T>
void forward(const Kernel& call, double length_x, double length_y) {
  const TensorView& u = call.in(0);
  if (call.out(0).size() == 0) return;
  const MeshFreeModes<T> m = modes_of<T>(call, u, call.in(1), length_x, length_y);
  const int64_t batch = u.shape[0], cells = int64_t{m.height} * m.width;
  const int64_t chunk = chunk_of(m, batch, m.inputs + m.outputs);
  auto* x = call.scratch<Point<T>>(chunk * m.inputs * m.bins);
  auto* y = call.scratch<Point<T>>(chunk * m.outputs * m.bins);
  if (!x || !y) return;
  for (int64_t n = 0; n < batch; n += chunk) {
    const int64_t samples = std::min(chunk, batch - n);
    to_half_spectra<T>(call, samples * m.inputs, m.height, m.width,
                       u.as<T>() + n * m.inputs * cells, x);
    mix<T, false>(call, m, samples, call.in(2).as<T>(), x, y);
    from_half_spectra<T>(call, samples * m.outputs, m.height, m.width, y,
                         call.out(0).as<T>() + n * m.outputs * cells);
  }
}

template <class T>
void backward(const Kernel& call, double length_x, double length_y) {
  const TensorView& g = call.in(0);
  T *gu = call.out(0).as<T>(), *gweight = call.out(1).as<T>(), *gbias = call.out(2).as<T>();
  T* ggaussian = call.out(3).as<T>();
  const MeshFreeModes<T> m = modes_of<T>(call, g, call.in(2), length_x, length_y);
  const int64_t batch = g.shape[0], cells = int64_t{m.height} * m.width;
  if (!m.layout.shared) ggaussian = nullptr;
  if (gbias) sum_outputs(call, m, batch, g.as<T>(), gbias);
  const bool wants_u = gweight || ggaussian, wants_gx = gu || ggaussian;
  if (!wants_u && !wants_gx) return;
  const int64_t planes = m.outputs + (wants_u ? m.inputs : 0) + (wants_gx ? m.inputs : 0);
  const int64_t chunk = chunk_of(m, batch, planes);
  auto* y = call.scratch<Point<T>>(chunk * m.outputs * m.bins);
  auto* x = wants_u ? call.scratch<Point<T>>(chunk * m.inputs * m.bins) : nullptr;
  auto* gx = wants_gx ? call.scratch<Point<T>>(chunk * m.inputs * m.bins) : nullptr;
  if (!y || (wants_u && !x) || (wants_gx && !gx)) return;
  MeshFreeSums<T> sums(call, m, gweight != nullptr, ggaussian != nullptr);
  for (int64_t n = 0; n < batch; n += chunk) {
    const int64_t samples = std::min(chunk, batch - n);
    to_half_spectra<T>(call, samples * m.outputs, m.height, m.width,
                       g.as<T>() + n * m.outputs * cells, y);
    if (wants_u) {
      to_half_spectra<T>(call, samples * m.inputs, m.height, m.width,
                         call.in(1).as<T>() + n * m.inputs * cells, x);
    }
    if (gweight) sums.add_pairs(samples, x, y);
    if (wants_gx) mix<T, true>(call, m, samples, nullptr, y, gx);
    if (ggaussian) sums.add_channels(samples, x, gx);
    if (gu) {
      from_half_spectra<T>(call, samples * m.inputs, m.height, m.width, gx,
                           gu + n * m.inputs * cells);
    }
  }
  if (gweight) sums.write_weight(gweight);
  if (ggaussian) sums.write_gaussian(ggaussian);
}

void convolve(const Kernel& call, double length_x, double length_y, bool adjoint) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (adjoint) {
      backward<T>(call, length_x, length_y);
    } else {
      forward<T>(call, length_x, length_y);
    }
  });
}

}  // namespace

void k_mesh_free_conv2d(const MeshFreeConv2dParams& params, const Kernel& call) {
  convolve(call, params.lengthX, params.lengthY, false);
}
void k_mesh_free_conv2d_vjp(const MeshFreeConv2dParams& params, const Kernel& call) {
  convolve(call, params.lengthX, params.lengthY, true);
}
void k_mesh_free_conv1d(const MeshFreeConv1dParams& params, const Kernel& call) {
  convolve(call, params.length, params.length, false);
}
void k_mesh_free_conv1d_vjp(const MeshFreeConv1dParams& params, const Kernel& call) {
  convolve(call, params.length, params.length, true);
}

}  // namespace fluxion::cuda
