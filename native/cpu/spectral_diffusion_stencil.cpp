// Implicit diffusion by a 3 x 3 stencil, periodic: (I + dt L^T L)^-1 u for each channel. In Fourier space
//     v^ = s u^,  s = 1 / (1 + dt |L^|^2),  L^(k) = sum_p L(p) e^(-i w_k . p),  p the offset from the centre:
// exponentials wrap of themselves, so planes of less than 3 cells need no special case. With
// q = Re(u^ conj(g^)) summed over the batch, over all bins,
//     dL/dL(p) = -2 dt / (H W) sum_k s^2 q Re(L^ e^(i w_k . p)).
//
// Layout [N, C, H, W]. A block is a chunk of planes of one channel, which share the table of s; a plane is
// transformed, multiplied and transformed back in scratch that stays in cache (cpu/fft_plane.h). The backward
// pass transforms the saved input again. Gradients of the stencil: 9 partials per block, added in order.
// Source: Haber, Lensink, Treister, Ruthotto, "IMEXnet" (ICML 2019).
#include <utility>

#include "cpu/kernel.h"
#include "ops/spectral_diffusion.h"

#define FLUXION_KERNELS "cpu/spectral_diffusion_stencil.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/fft.h"
#include "cpu/fft_plane.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// cos and sin of 2 pi k / n.
template <class T>
void angles(int64_t n, int64_t count, int64_t pitch, T* cosine, T* sine) {
  for (int64_t k = 0; k < pitch; ++k) {
    const double angle =
        2 * 3.14159265358979323846 * static_cast<double>(k) / static_cast<double>(n);
    cosine[k] = k < count ? static_cast<T>(std::cos(angle)) : T(1);
    sine[k] = k < count ? static_cast<T>(std::sin(angle)) : T(0);
  }
}

// One launch.
template <class T>
struct Stencil {
  const Kernel& call;
  double dt;
  int64_t batch, channels, rows, columns, chunk, chunks;
  PlaneFft<T> fft;
  T *cos_x, *sin_x, *cos_y, *sin_y;
  T* mirrors;    // how many bins each bin of the half spectrum stands for
  double* sums;  // [channel][chunk][9]

  Stencil(const StencilDiffusionParams& p, const Kernel& kernel)
      : call(kernel),
        dt(p.dt),
        batch(kernel.in(0).shape[0]),
        channels(kernel.in(0).shape[1]),
        rows(kernel.in(0).shape[2]),
        columns(kernel.in(0).shape[3]),
        fft(plane_fft<T>(kernel, rows, columns)) {
    constexpr int64_t kBlocks = 32;  // enough to keep threads busy to the end
    chunk = std::clamp<int64_t>(batch * channels / kBlocks, 1, batch);
    chunks = blocks_of(batch, chunk);
    cos_x = call.workspace<T>();
    sin_x = cos_x + columns;
    cos_y = sin_x + columns;
    sin_y = cos_y + fft.pitch;
    mirrors = sin_y + fft.pitch;
    for (int64_t k = 0; k < fft.pitch; ++k) mirrors[k] = k == 0 || 2 * k == rows ? T(1) : T(2);
    sums = call.workspace<double>() + stencil_angles(rows, columns);
    angles(columns, columns, columns, cos_x, sin_x);
    angles(rows, fft.bins, fft.pitch, cos_y, sin_y);
  }
  int64_t spectrum() const { return columns * fft.pitch; }
  // Around the caches, where the result is larger than half of L2 and rows begin on a vector.
  bool streams(const T* out) const {
    return call.out(0).size() * static_cast<int64_t>(sizeof(T)) > int64_t{1} << 20 &&
           columns % kLanes<T> == 0 && reinterpret_cast<uintptr_t>(out) % 64 == 0;
  }
};

// The stencil as a function of ky at one kx: L^ = (a + b cos wy - d sin wy) + i (...), from the three rows
// R_-1, R_0, R_1 summed along x.
template <class T>
struct StencilRow {
  T zero_re, zero_im, sum_re, sum_im, difference_re, difference_im;
  StencilRow(const T (&l)[9], T c, T s) {
    const auto re = [&](int i) { return l[3 * i + 1] + (l[3 * i] + l[3 * i + 2]) * c; };
    const auto im = [&](int i) { return (l[3 * i] - l[3 * i + 2]) * s; };
    zero_re = re(1), zero_im = im(1);
    sum_re = re(0) + re(2), sum_im = im(0) + im(2);
    difference_re = re(0) - re(2), difference_im = im(0) - im(2);
  }
  __attribute__((always_inline)) Vec<T> real(Vec<T> c, Vec<T> s) const {
    return zero_re + sum_re * c - difference_im * s;
  }
  __attribute__((always_inline)) Vec<T> imaginary(Vec<T> c, Vec<T> s) const {
    return zero_im + sum_im * c + difference_re * s;
  }
};

template <class T>
void read_stencil(const Stencil<T>& d, int64_t channel, T (&l)[9]) {
  const TensorView& stencil = d.call.in(1);
  const T* from = stencil.as<T>() + channel * stencil.strides[0];
  for (int i = 0; i < 9; ++i) l[i] = from[i / 3 * stencil.strides[1] + i % 3 * stencil.strides[2]];
}

// s / (H W) of one channel, [kx][ky].
template <class T>
void fill_factors(const Stencil<T>& d, int64_t channel, T* factors) {
  T l[9];
  read_stencil(d, channel, l);
  const T cells = static_cast<T>(d.rows * d.columns), dt = static_cast<T>(d.dt);
  const Vec<T> one = broadcast(T(1));
  for (int64_t kx = 0; kx < d.columns; ++kx) {
    const StencilRow<T> row(l, d.cos_x[kx], d.sin_x[kx]);
    for (int64_t ky = 0; ky < d.fft.pitch; ky += kLanes<T>) {
      const Vec<T> c = load(d.cos_y + ky), s = load(d.sin_y + ky);
      const Vec<T> re = row.real(c, s), im = row.imaginary(c, s);
      store(factors + kx * d.fft.pitch + ky, one / ((one + dt * (re * re + im * im)) * cells));
    }
  }
}

template <class T>
void multiply(T* re, T* im, const T* factors, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const Vec<T> s = load(factors + i);
    store(re + i, s * load(re + i));
    store(im + i, s * load(im + i));
  }
}

// q += Re(u conj(g)), then g *= s.
template <class T>
void add_products(const T* u_re, const T* u_im, T* g_re, T* g_im, const T* factors, T* q,
                  int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const Vec<T> s = load(factors + i), re = load(g_re + i), im = load(g_im + i);
    store(q + i, load(q + i) + load(u_re + i) * re + load(u_im + i) * im);
    store(g_re + i, s * re);
    store(g_im + i, s * im);
  }
}

// The nine sums over all bins: bins between ky = 0 and rows / 2 stand for their mirror images too.
template <class T>
void stencil_sums(const Stencil<T>& d, int64_t channel, const T* factors, const T* q,
                  double* sums) {
  T l[9];
  read_stencil(d, channel, l);
  for (int i = 0; i < 9; ++i) sums[i] = 0;
  const T cells = static_cast<T>(d.rows * d.columns);
  for (int64_t kx = 0; kx < d.columns; ++kx) {
    const StencilRow<T> row(l, d.cos_x[kx], d.sin_x[kx]);
    // r = s^2 q L^: sums of r, r cos wy and r sin wy over ky.
    Vec<T> re[3] = {}, im[3] = {};
    for (int64_t ky = 0; ky < d.fft.pitch; ky += kLanes<T>) {
      const Vec<T> c = load(d.cos_y + ky), s = load(d.sin_y + ky);
      const Vec<T> factor = cells * load(factors + kx * d.fft.pitch + ky);
      const Vec<T> weighted =
          load(d.mirrors + ky) * (factor * factor) * load(q + kx * d.fft.pitch + ky);
      const Vec<T> r = weighted * row.real(c, s), i = weighted * row.imaginary(c, s);
      re[0] += r, re[1] += r * c, re[2] += r * s;
      im[0] += i, im[1] += i * c, im[2] += i * s;
    }
    double a[3], b[3];
    for (int j = 0; j < 3; ++j) {
      a[j] = static_cast<double>(sum_lanes<T>(re[j]));
      b[j] = static_cast<double>(sum_lanes<T>(im[j]));
    }
    // Re(r e^(i (y wy + x wx))) for the offsets y, x = -1, 0, 1.
    const double cx = static_cast<double>(d.cos_x[kx]), sx = static_cast<double>(d.sin_x[kx]);
    for (int y = -1; y <= 1; ++y) {
      const double real = y == 0 ? a[0] : a[1] - y * b[2];
      const double imaginary = y == 0 ? b[0] : b[1] + y * a[2];
      for (int x = -1; x <= 1; ++x)
        sums[3 * (y + 1) + x + 1] += x == 0 ? real : real * cx - x * imaginary * sx;
    }
  }
}

template <class T>
void diffuse(const StencilDiffusionParams& p, const Kernel& call) {
  const Stencil<T> d(p, call);
  if (!d.fft.ready()) {
    return call.fault(ErrorCode::OutOfMemory, "no memory for the tables of the transforms");
  }
  const T* u = call.in(0).as<T>();
  T* out = call.out(0).as<T>();
  const bool streaming = d.streams(out);
  call.parallel_for(d.channels * d.chunks, [&](int64_t block, int thread) {
    T* factors = call.scratch<T>(thread);
    T *re = factors + d.spectrum(), *im = re + d.spectrum();
    const int64_t channel = block / d.chunks, first = block % d.chunks * d.chunk;
    fill_factors(d, channel, factors);
    for (int64_t n = first; n < std::min(first + d.chunk, d.batch); ++n) {
      const int64_t at = (n * d.channels + channel) * d.rows * d.columns;
      plane_fft_forward(d.fft, u + at, d.columns, re, im, im + d.spectrum());
      multiply(re, im, factors, d.spectrum());
      plane_fft_inverse(d.fft, re, im, out + at, d.columns, streaming, im + d.spectrum());
    }
    stream_fence();
  });
}

template <class T>
void diffuse_vjp(const StencilDiffusionParams& p, const Kernel& call) {
  const Stencil<T> d(p, call);
  if (!d.fft.ready()) {
    return call.fault(ErrorCode::OutOfMemory, "no memory for the tables of the transforms");
  }
  const T *g = call.in(0).as<T>(), *u = call.in(2).as<T>();
  T *gu = call.out(0).as<T>(), *gl = call.out(1).as<T>();
  const int64_t size = d.spectrum();
  const bool streaming = gu && d.streams(gu);
  call.parallel_for(d.channels * d.chunks, [&](int64_t block, int thread) {
    T* factors = call.scratch<T>(thread);
    T *q = factors + size, *u_re = q + size, *g_re = u_re + 2 * size, *transform = g_re + 2 * size;
    const int64_t channel = block / d.chunks, first = block % d.chunks * d.chunk;
    fill_factors(d, channel, factors);
    std::fill(q, q + size, T(0));
    for (int64_t n = first; n < std::min(first + d.chunk, d.batch); ++n) {
      const int64_t at = (n * d.channels + channel) * d.rows * d.columns;
      plane_fft_forward(d.fft, u + at, d.columns, u_re, u_re + size, transform);
      plane_fft_forward(d.fft, g + at, d.columns, g_re, g_re + size, transform);
      add_products(u_re, u_re + size, g_re, g_re + size, factors, q, size);
      if (gu) plane_fft_inverse(d.fft, g_re, g_re + size, gu + at, d.columns, streaming, transform);
    }
    stencil_sums(d, channel, factors, q, d.sums + block * 9);
    stream_fence();
  });
  const double scale = -2 * d.dt / static_cast<double>(d.rows * d.columns);
  for (int64_t c = 0; c < d.channels; ++c) {
    for (int i = 0; i < 9; ++i) {
      double total = 0;
      for (int64_t j = 0; j < d.chunks; ++j) total += d.sums[(c * d.chunks + j) * 9 + i];
      gl[9 * c + i] = static_cast<T>(scale * total);
    }
  }
}

}  // namespace

void k_stencil_diffusion_2d(const StencilDiffusionParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { diffuse<typename decltype(tag)::type>(p, call); });
}

void k_stencil_diffusion_2d_vjp(const StencilDiffusionParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* gl = call.out(1).as<T>();
    if (call.in(0).size() == 0) {
      for (int64_t i = 0; i < call.out(1).size(); ++i) gl[i] = T(0);
      return;
    }
    diffuse_vjp<T>(p, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
