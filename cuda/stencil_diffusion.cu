// Implicit diffusion by a 3 x 3 stencil, periodic: (I + dt L^T L)^-1 u for each channel. In Fourier space
//     v^ = s u^,  s = 1 / (1 + dt |L^|^2),  L^ as in device/stencil_symbol.cuh. With q = Re(u^ conj(g^)),
//     dL/dL(p) = -2 dt / (H W) sum_k s^2 q Re(L^ e^(i w_k . p)), summed over the batch.
//
// A block owns a plane: rows, columns, factors, columns, rows in shared memory (device/half_spectrum.cuh), 8 bytes
// a cell in float32, backward 12. Planes beyond shared memory: passes for rows and columns (fft_lines.cu) and one
// for the factors, 40 bytes, backward 64. Gradients of the stencil: nine sums of each block, added in order.
// Source: Haber, Lensink, Treister, Ruthotto, "IMEXnet" (ICML 2019).
#include <algorithm>

#include "device/half_spectrum.cuh"
#include "device/stencil_symbol.cuh"
#include "fft_lines.h"
#include "half_spectra.h"
#include "ops/spectral_diffusion.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct Stencil {
  const T* values;
  int64_t channel_stride, row_stride, column_stride, channels;
  int height, width;
  T dt;
  const Point<T>*turns_x, *turns_y;  // e^(-i w) of each bin

  __device__ __forceinline__ void read(int64_t plane, T (&l)[9]) const {
    const T* from = values + plane % channels * channel_stride;
#pragma unroll
    for (int i = 0; i < 9; ++i) l[i] = from[i / 3 * row_stride + i % 3 * column_stride];
  }
};

// The nine sums of a block, in a fixed order, by thread 0 .. 8. `memory` holds 9 numbers a warp.
template <class T>
__device__ __forceinline__ void write_sums(const T (&sums)[9], const Shared<double>& memory,
                                           double* to) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int i = 0; i < 9; ++i) {
    auto total = static_cast<double>(sums[i]);
    for (int step = kWarp / 2; step > 0; step /= 2)
      total += __shfl_xor_sync(kAllLanes, total, step);
    if (threadIdx.x % kWarp == 0) memory[9 * warp + i] = total;
  }
  __syncthreads();
  if (threadIdx.x >= 9) return;
  double total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
    total += memory[9 * w + static_cast<int>(threadIdx.x)];
  }
  to[threadIdx.x] = total;
}

template <class T>
__device__ __forceinline__ void transform_column(const SpectralBox<T>& s, const FftLine<T>& line,
                                                 const LinePair<T>& pair) {
  fft_line(s.basis[1].fft, line, [&](int y) { return pair.get(y); });
}

// Factors of one line of columns, k, in place, each with what remains of the scale of the inverse transforms;
// kGradient: adds to the sums, `saved` being that line of the spectrum of u.
template <class T, bool kGradient>
__device__ __forceinline__ void multiply_column(const SpectralBox<T>& s, const Stencil<T>& stencil,
                                                const T (&l)[9], const FftLine<T>& line,
                                                const LinePair<T>& saved, int k, T (&sums)[9]) {
  if (!line.active) return;
  const int n = stencil.height, step = s.basis[1].fft.group;
  const T scale = line_scale(s.basis[0], k) / static_cast<T>(n);
  const Point<T> wx = fetch(stencil.turns_x + k);
  const StencilRow<T> row(l, wx);
  StencilSums<T> own;
  if (k > 0) {  // 2 X of both: a weight of 2, for the mirror image, over 4
    for (int ky = line.lane; ky < n; ky += step) {
      const Point<T> wy = fetch(stencil.turns_y + ky), at = row.at(wy), z = line(ky);
      const T factor = stencil_factor(stencil.dt, at);
      if constexpr (kGradient) {
        const Point<T> u = saved.get(ky);
        const T q = T(0.5) * (u.re * z.re + u.im * z.im);
        own.add((factor * factor * q) * at, wy);
      }
      line(ky) = (scale * factor) * z;
    }
    if constexpr (kGradient) own.spread(wx, sums);
    return;
  }
  // Columns 0 and W / 2, two real lines in one; for an odd width the second one is 0.
  const Point<T> wx_b = fetch(stencil.turns_x + stencil.width / 2);
  const StencilRow<T> row_b(l, wx_b);
  StencilSums<T> own_b;
  for (int ky = line.lane; 2 * ky <= n; ky += step) {
    const int mirror = ky == 0 ? 0 : n - ky;
    const Point<T> wy = fetch(stencil.turns_y + ky), at_a = row.at(wy), at_b = row_b.at(wy);
    const T factor_a = stencil_factor(stencil.dt, at_a),
            factor_b = stencil_factor(stencil.dt, at_b);
    SplitPair<T> z = split_pair(line(ky), line(mirror));
    if constexpr (kGradient) {
      const SplitPair<T> u = split_pair(saved.get(ky), saved.get(mirror));
      const T weight = ky == mirror ? T(1) : T(2);
      const T qa = weight * (u.a.re * z.a.re + u.a.im * z.a.im);
      const T qb = weight * (u.b.re * z.b.re + u.b.im * z.b.im);
      own.add((factor_a * factor_a * qa) * at_a, wy);
      if (saved.has_b) own_b.add((factor_b * factor_b * qb) * at_b, wy);
    }
    z.a = (scale * factor_a) * z.a;
    z.b = (scale * factor_b) * z.b;
    line(mirror) = conjugate(z.a) - turned(conjugate(z.b));
    line(ky) = z.a - turned(z.b);
  }
  if constexpr (kGradient) {
    own.spread(wx, sums);
    own_b.spread(wx_b, sums);
  }
}

template <class T, bool kGradient>
__device__ __forceinline__ void step_plane(const SpectralBox<T>& s, const Stencil<T>& stencil,
                                           const T* saved_from, const T* in, T* out,
                                           double* partials) {
  SharedMemory memory;
  const auto box = memory.take<T>(s.rows * s.pitch);
  const auto saved = memory.take<T>(kGradient ? s.rows * s.pitch : 0);
  const auto staging = memory.take<Point<T>>(s.staging);
  const auto warp_sums = memory.take<double>(kGradient ? 9 * kWarp : 0);
  const BoxPlace at = box_place(s);
  T l[9], sums[9] = {};
  stencil.read(blockIdx.x, l);
  if constexpr (kGradient) load_box(s, at, saved_from, saved);
  load_box(s, at, in, box);
  for (int which = kGradient ? 0 : 1; which < 2; ++which) {
    if (which == 0) {
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const Shared<T>& own = which == 0 ? saved : box;
    analyse_axis(s, at, 0, false, own, staging);
    __syncthreads();
    for_columns(s, own, staging, [&](const FftLine<T>& line, const LinePair<T>& pair, int k) {
      transform_column(s, line, pair);
      if (kGradient && which == 0) {
        for (int ky = line.lane; line.active && ky < s.rows; ky += s.basis[1].fft.group) {
          const Point<T> z = line(ky);
          saved[pair.a + ky * pair.stride] = z.re;
          if (pair.has_b) saved[pair.b + ky * pair.stride] = z.im;
        }
        return;
      }
      const LinePair<T> u{saved, pair.a, pair.b, pair.stride, pair.has_b};
      multiply_column<T, kGradient>(s, stencil, l, line, u, k, sums);
      meet_group(s.basis[1].fft.group);
      // Back: own points stay where they are, exchanged.
      fft_line(s.basis[1].fft, line, [&](int ky) { return exchanged(line(ky)); });
      for (int y = line.lane; line.active && y < s.rows; y += s.basis[1].fft.group) {
        pair.put(y, exchanged(line(y)));
      }
    });
  }
  if constexpr (kGradient)
    write_sums(sums, warp_sums, partials + 9 * static_cast<int64_t>(blockIdx.x));
  if (!out) return;
  __syncthreads();
  for_pairs(s, at, 0, box, staging, [&](const FftLine<T>& line, const LinePair<T>& pair, int, int) {
    synthesise_lines(s.basis[0], line, pair);
  });
  __syncthreads();
  store_box(s, at, box, out);
}

template <class T>
__global__ void __launch_bounds__(kFftThreads)
    stencil_step(const __grid_constant__ SpectralBox<T> s, Stencil<T> stencil, const T* in,
                 T* out) {
  step_plane<T, false>(s, stencil, nullptr, in, out, nullptr);
}

template <class T>
__global__ void __launch_bounds__(kFftThreads)
    stencil_step_vjp(const __grid_constant__ SpectralBox<T> s, Stencil<T> stencil, const T* saved,
                     const T* in, T* out, double* partials) {
  step_plane<T, true>(s, stencil, saved, in, out, partials);
}

// --- half spectra in global memory, [plane][kx][ky]

constexpr int kSpectrumBlocks = 32;  // of a plane

template <class T, bool kGradient>
__global__ void multiply_spectra(Stencil<T> stencil, const Point<T>* saved, Point<T>* spectra,
                                 double* partials) {
  SharedMemory memory;
  const auto warp_sums = memory.take<double>(kGradient ? 9 * kWarp : 0);
  const int64_t plane = blockIdx.x / kSpectrumBlocks, part = blockIdx.x % kSpectrumBlocks;
  const int64_t bins = int64_t{stencil.width / 2 + 1} * stencil.height;
  T l[9], sums[9] = {};
  stencil.read(plane, l);
  const T scale = T(1) / (static_cast<T>(stencil.width) * static_cast<T>(stencil.height));
  for (int64_t i = part * blockDim.x + threadIdx.x; i < bins;
       i += int64_t{kSpectrumBlocks} * blockDim.x) {
    const int kx = static_cast<int>(i / stencil.height);
    const int ky = static_cast<int>(i - int64_t{kx} * stencil.height);
    const Point<T> wx = fetch(stencil.turns_x + kx), wy = fetch(stencil.turns_y + ky);
    const Point<T> at = StencilRow<T>(l, wx).at(wy), z = spectra[plane * bins + i];
    const T factor = stencil_factor(stencil.dt, at);
    if constexpr (kGradient) {
      const Point<T> u = saved[plane * bins + i];
      const T q = column_weight<T>(stencil.width, kx) * (u.re * z.re + u.im * z.im);
      StencilSums<T> own;
      own.add((factor * factor * q) * at, wy);
      own.spread(wx, sums);
    }
    spectra[plane * bins + i] = (scale * factor) * z;
  }
  if constexpr (kGradient)
    write_sums(sums, warp_sums, partials + 9 * static_cast<int64_t>(blockIdx.x));
}

// Block c: the gradient of the stencil of channel c, a thread for each element.
template <class T>
__global__ void sum_blocks(int64_t batch, int64_t channels, int64_t parts, double scale,
                           const double* partials, T* gradient) {
  if (threadIdx.x >= 9) return;
  double total = 0;
  for (int64_t n = 0; n < batch; ++n) {
    const double* from = partials + 9 * parts * (n * channels + blockIdx.x);
    for (int64_t i = 0; i < parts; ++i) total += from[9 * i + threadIdx.x];
  }
  gradient[9 * static_cast<int64_t>(blockIdx.x) + threadIdx.x] = static_cast<T>(scale * total);
}

template <class T>
Stencil<T> stencil_of(const StencilDiffusionParams& p, const Kernel& call) {
  const TensorView& values = call.in(1);
  const Shape& shape = call.in(0).shape;
  return {values.as<T>(),
          values.strides[0],
          values.strides[1],
          values.strides[2],
          shape[1],
          static_cast<int>(shape[2]),
          static_cast<int>(shape[3]),
          static_cast<T>(p.dt),
          root_table<T>(call, shape[3], 1, shape[3]),
          root_table<T>(call, shape[2], 1, shape[2])};
}

template <class T>
void diffuse(const StencilDiffusionParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  const int64_t planes = shape[0] * shape[1];
  const Stencil<T> stencil = stencil_of<T>(p, call);
  const T* u = call.in(0).as<T>();
  T* out = call.out(0).as<T>();
  const PlaneBox<T> plane(call, planes, shape[2], shape[3], 1, {u, out});
  if (plane.fits()) {
    call.launch(stencil_step<T>, plane.grid(0), plane.box(), stencil, u, out);
    return;
  }
  auto* spectra = call.scratch<Point<T>>(planes * half_bins(shape[2], shape[3]));
  if (!spectra) return;
  to_half_spectra<T>(call, planes, shape[2], shape[3], u, spectra);
  call.launch(multiply_spectra<T, false>, {planes * kSpectrumBlocks, kFftBlock}, stencil, nullptr,
              spectra, nullptr);
  from_half_spectra<T>(call, planes, shape[2], shape[3], spectra, out);
}

template <class T>
void diffuse_vjp(const StencilDiffusionParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  const int64_t planes = shape[0] * shape[1];
  const Stencil<T> stencil = stencil_of<T>(p, call);
  const T *g = call.in(0).as<T>(), *u = call.in(2).as<T>();
  T *gu = call.out(0).as<T>(), *gl = call.out(1).as<T>();
  const PlaneBox<T> plane(call, planes, shape[2], shape[3], 2, {g, u, gu});
  const int64_t parts = plane.fits() ? 1 : kSpectrumBlocks;
  auto* partials = call.scratch<double>(9 * parts * planes);
  if (!partials) return;
  const size_t sums = shared_bytes<double>(9 * kWarp);
  if (plane.fits()) {
    call.launch(stencil_step_vjp<T>, plane.grid(sums), plane.box(), stencil, u, g, gu, partials);
  } else {
    const int64_t bins = planes * half_bins(shape[2], shape[3]);
    auto* spectra = call.scratch<Point<T>>(bins);
    auto* saved = call.scratch<Point<T>>(bins);
    if (!spectra || !saved) return;
    to_half_spectra<T>(call, planes, shape[2], shape[3], g, spectra);
    to_half_spectra<T>(call, planes, shape[2], shape[3], u, saved);
    call.launch(multiply_spectra<T, true>, {planes * kSpectrumBlocks, kFftBlock, sums}, stencil,
                saved, spectra, partials);
    if (gu) from_half_spectra<T>(call, planes, shape[2], shape[3], spectra, gu);
  }
  if (!gl) return;
  const double scale = -2 * p.dt / static_cast<double>(shape[2] * shape[3]);
  call.launch(sum_blocks<T>, {shape[1], kWarp}, shape[0], shape[1], parts, scale, partials, gl);
}

}  // namespace

void k_stencil_diffusion_2d(const StencilDiffusionParams& params, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { diffuse<typename decltype(tag)::type>(params, call); });
}

void k_stencil_diffusion_2d_vjp(const StencilDiffusionParams& params, const Kernel& call) {
  const TensorView& gl = call.out(1);
  if (call.in(0).size() == 0) {
    if (gl.data) call.fill(gl.data, 0, static_cast<size_t>(gl.size()) * size_of(gl.dtype));
    return;
  }
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { diffuse_vjp<typename decltype(tag)::type>(params, call); });
}

}  // namespace fluxion::cuda
