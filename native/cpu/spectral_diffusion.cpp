// Spectral diffusion: u -> sum over eigenvectors of the discrete Laplacian of factor(z) <e, u> e,
//     isotropic    z = dt k (sum_i lambda_i)^power           anisotropic  z = dt (sum_i k_i^(1/power) lambda_i)^power
//     factor       1 / (1 + z),   (1 - z/2) / (1 + z/2)   or   e^-z
// lambda_i >= 0 the eigenvalues along axis i. The basis is real for every boundary (cpu/line_spectrum.h), so
// the operator is its own adjoint, and with T = factor'(z) dz/dk
//     dL/dk = sum over modes of T <e, u> <e, g> / <e, e>:
// the backward pass transforms the saved input again; no spectrum is stored.
//
// Layout [N, C, L], [N, C, H, W] or [N, C, D, H, W]. A block is a chunk of planes (volumes) of one channel,
// which share the table of factors; a plane is transformed along z and y on vectors of neighbouring columns,
// then along x on transposed tiles, where a line is analysed, multiplied and synthesised while it is in L1.
// Lines [N, C, L] are only transformed along x, vectors of them side by side. Sums for dL/dk: one partial per
// plane, added over n in order. Memory floor 8 bytes a cell forward, 12 backward; 5 log2(cells) flops a cell.
#include <utility>

#include "cpu/kernel.h"
#include "ops/spectral_diffusion.h"

#define FLUXION_KERNELS "cpu/spectral_diffusion.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/vector_math.h"
#include "cpu/fft.h"
#include "cpu/next_planes.h"
#include "cpu/line_spectrum.h"
#include "cpu/line_spectrum_plane.h"
#include "cpu/spectral_symbol.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// One launch: geometry, bases, eigenvalues.
template <class T>
struct Diffusion {
  const SpectralDiffusionParams& p;
  const Kernel& call;
  SpectralGrid grid;
  bool anisotropic;
  LineBasis<T> basis[3];
  SymbolAxes axes;

  Diffusion(const SpectralDiffusionParams& params, const Kernel& kernel, const Shape& shape)
      : p(params),
        call(kernel),
        grid(shape),
        anisotropic(kernel.in(1).shape[1] > 1),
        axes(params, grid, kernel.workspace<double>()) {
    for (int i = 0; i < grid.dims; ++i) basis[i] = line_basis<T>(call, grid.n[i], p.boundary);
  }
  bool ready() const {
    for (int i = 0; i < grid.dims; ++i)
      if (!basis[i].ready()) return false;
    return true;
  }
  // Of u and g; null: there is none.
  NextPlanes next(const T* first, const T* second) const {
    constexpr int64_t group = 2 * kLanes<T>;
    const int64_t columns = blocks_of(grid.n[0], group);
    int64_t lines = blocks_of(grid.rows, group) + columns * grid.n[2];
    if (grid.dims == 3) lines += columns * grid.n[1];
    return {first, second, static_cast<size_t>(grid.cells) * sizeof(T),
            (second ? 3 : 2) * kFetchesOneWay * lines};
  }
  ChannelRates rates(int64_t channel) const {
    const TensorView& k = call.in(1);
    const T* at = k.as<T>() + channel * k.strides[0];
    double given[3] = {};
    for (int i = 0; i < grid.dims; ++i)
      given[i] = static_cast<double>(at[anisotropic ? i * k.strides[1] : 0]);
    return ChannelRates(p, anisotropic, grid.dims, given);
  }
};

// What a thread works in.
template <class T>
struct Scratch {
  SymbolTables<T> symbol;
  LineBuffers<T> lines;
  T *u, *g;  // planes between the axes
  Scratch(const Diffusion<T>& d, int thread, bool gradient) {
    const SpectralScratch sizes(d.grid, d.p.boundary, sizeof(T), gradient);
    char* base = d.call.template scratch<char>(thread);
    symbol = SymbolTables<T>(base, sizes);
    lines = LineBuffers<T>(base + sizes.symbol_bytes(), sizes.longest);
    u = reinterpret_cast<T*>(base + sizes.symbol_bytes() + sizes.line_bytes());
    g = u + static_cast<int64_t>(sizes.plane) / static_cast<int64_t>(sizeof(T));
  }
};

template <class T>
bool streams(const Kernel& call, const T* out, int64_t row) {
  constexpr int64_t kCached = int64_t{1}
                              << 20;  // half of L2: smaller outputs may be read from there
  return call.out(0).size() * static_cast<int64_t>(sizeof(T)) > kCached && row % kLanes<T> == 0 &&
         reinterpret_cast<uintptr_t>(out) % (kLanes<T> * sizeof(T)) == 0;
}

// --- planes and volumes

template <class T>
void diffuse_plane(const Diffusion<T>& d, const Scratch<T>& s, const T* u, T* out, bool streaming) {
  const SpectralGrid& grid = d.grid;
  analyse_columns(d.basis, grid, u, s.u, s.lines);
  for (int64_t row = 0; row < grid.rows; row += 2 * kLanes<T>) {
    fetch_part(s.lines.next);
    const RowPair<T> rows(s.u + row * grid.pitch<T>(), grid.pitch<T>(), grid.rows - row);
    load_rows(d.basis[0], rows, s.lines.re, s.lines.im);
    analyse_lines(d.basis[0], s.lines.re, s.lines.im, s.lines.coefficients(), s.lines.fft,
                  s.lines.next);
    const LinePair<T> cells =
        synthesise_lines(d.basis[0], s.symbol.scaled(s.lines.coefficients(), row, rows.count_b),
                         s.lines.re, s.lines.im, s.lines.fft, s.lines.next);
    fetch_part(s.lines.next);
    store_rows(d.basis[0], cells, rows, false);
  }
  synthesise_columns(d.basis, grid, s.u, out, s.lines, streaming);
}

// The same with g, and adds the sums of one plane: sums[i] is the derivative along axis i, or all of it.
template <class T>
void diffuse_plane_vjp(const Diffusion<T>& d, const Scratch<T>& s, const T* u, const T* g, T* gu,
                       bool streaming, double* sums) {
  const SpectralGrid& grid = d.grid;
  const LineBasis<T>& x = d.basis[0];
  const LineBuffers<T>& lines = s.lines;
  analyse_columns(d.basis, grid, u, s.u, lines);
  analyse_columns(d.basis, grid, g, s.g, lines);
  for (int64_t row = 0; row < grid.rows; row += 2 * kLanes<T>) {
    fetch_part(lines.next);
    const RowPair<T> from(s.u + row * grid.pitch<T>(), grid.pitch<T>(), grid.rows - row);
    load_rows(x, from, lines.re, lines.im);
    analyse_lines(x, lines.re, lines.im, lines.second(), lines.fft, lines.next);
    const RowPair<T> rows(s.g + row * grid.pitch<T>(), grid.pitch<T>(), grid.rows - row);
    fetch_part(lines.next);
    load_rows(x, rows, lines.re, lines.im);
    analyse_lines(x, lines.re, lines.im, lines.coefficients(), lines.fft, lines.next);
    const LaneSums<T> products =
        slope_products(s.symbol, row, rows.count_b, lines.second(), lines.coefficients());
    add_axis_sums(d.axes, grid, d.anisotropic, products, row, sums);
    if (!gu) continue;
    const LinePair<T> cells =
        synthesise_lines(x, s.symbol.scaled(lines.coefficients(), row, rows.count_b), lines.re,
                         lines.im, lines.fft, lines.next);
    fetch_part(lines.next);
    store_rows(x, cells, rows, false);
  }
  if (gu) synthesise_columns(d.basis, grid, s.g, gu, lines, streaming);
}

// Calls f(plane, scratch) for all planes of u and (backward) g, in chunks that share a channel and its tables;
// the last of a chunk is its own next.
template <class T, class F>
void for_planes(const Diffusion<T>& d, const T* u, const T* g, const F& f) {
  const SpectralGrid& grid = d.grid;
  // Enough blocks to keep threads busy to the end; a table costs as much as a part of a plane.
  constexpr int64_t kBlocks = 32;
  const int64_t planes = grid.batch * grid.channels;
  const int64_t chunk = std::clamp<int64_t>(planes / kBlocks, 1, grid.batch);
  const int64_t chunks = blocks_of(grid.batch, chunk);
  d.call.parallel_for(grid.channels * chunks, [&](int64_t block, int thread) {
    Scratch<T> scratch(d, thread, g != nullptr);
    const int64_t channel = block / chunks, first = block % chunks * chunk;
    fill_plane_tables(d.p, d.axes, grid, d.anisotropic, d.rates(channel), scratch.symbol);
    const int64_t end = std::min(first + chunk, grid.batch);
    for (int64_t n = first; n < end; ++n) {
      const int64_t plane = n * grid.channels + channel;
      const int64_t at = (n + 1 < end ? plane + grid.channels : plane) * grid.cells;
      NextPlanes next = d.next(u + at, g ? g + at : nullptr);
      scratch.lines.next = &next;
      f(plane, scratch);
    }
    stream_fence();
  });
}

// --- lines [N, C, L]: rows of one plane, each with the rate of its channel

template <class T>
void diffuse_line_pair(const Diffusion<T>& d, const Scratch<T>& s, int64_t row, const T* u,
                       const T* g, T* out, bool streaming, double* sums) {
  const LineBasis<T>& x = d.basis[0];
  const LineBuffers<T>& lines = s.lines;
  const int64_t n = d.grid.n[0], left = d.grid.batch * d.grid.channels - row;
  const RowPair<const T> rows(g + row * n, n, left);
  if (sums) {
    load_rows(x, RowPair<const T>(u + row * n, n, left), lines.re, lines.im);
    analyse_lines(x, lines.re, lines.im, lines.second(), lines.fft, nullptr);
  }
  load_rows(x, rows, lines.re, lines.im);
  analyse_lines(x, lines.re, lines.im, lines.coefficients(), lines.fft, nullptr);
  if (sums) {
    const LaneSums<T> products =
        slope_products(s.symbol, 0, rows.count_b, lines.second(), lines.coefficients());
    for (int i = 0; i < rows.count_a; ++i) sums[row + i] = static_cast<double>(products.a[i]);
    for (int i = 0; i < rows.count_b; ++i)
      sums[row + kLanes<T> + i] = static_cast<double>(products.b[i]);
  }
  if (!out) return;
  const LinePair<T> cells =
      synthesise_lines(x, s.symbol.scaled(lines.coefficients(), 0, rows.count_b), lines.re,
                       lines.im, lines.fft, nullptr);
  store_rows(x, cells, RowPair<T>(out + row * n, n, left), streaming);
}

// Vectors of rows with the same channels in their lanes share the tables.
template <class T>
void diffuse_lines(const Diffusion<T>& d, const T* u, const T* g, T* out, double* sums) {
  const SpectralGrid& grid = d.grid;
  constexpr int64_t group = 2 * kLanes<T>;
  const int64_t channels = grid.channels, rows = grid.batch * channels;
  const bool streaming = out && streams(d.call, out, grid.n[0]);
  // Either a block is a group of channels for all n, or a run of groups.
  const bool by_channel = channels % group == 0;
  const int64_t run = by_channel ? grid.batch : 8;
  const int64_t step = by_channel ? channels : group;
  const int64_t blocks = by_channel ? channels / group : blocks_of(rows, run * group);
  d.call.parallel_for(blocks, [&](int64_t block, int thread) {
    const Scratch<T> s(d, thread, sums != nullptr);
    const int64_t first = by_channel ? block * group : block * run * group;
    int64_t phase = -1;  // the channel of the first lane of the tables
    for (int64_t i = 0; i < run && first + i * step < rows; ++i) {
      const int64_t row = first + i * step;
      if (row % channels != phase) {
        phase = row % channels;
        ChannelRates rates[group];
        for (int64_t lane = 0; lane < group; ++lane)
          rates[lane] = d.rates((phase + lane) % channels);
        fill_line_tables(d.p, d.axes, rates, s.symbol);
      }
      diffuse_line_pair(d, s, row, u, g, out, streaming, sums);
    }
    stream_fence();
  });
}

// --- ops

void out_of_memory(const Kernel& call) {
  call.fault(ErrorCode::OutOfMemory, "no memory for the tables of the transforms");
}

template <class T>
void diffuse(const SpectralDiffusionParams& p, const Kernel& call) {
  const Diffusion<T> d(p, call, call.in(0).shape);
  if (!d.ready()) return out_of_memory(call);
  const T* u = call.in(0).as<T>();
  T* out = call.out(0).as<T>();
  if (d.grid.dims == 1) return diffuse_lines<T>(d, nullptr, u, out, nullptr);
  const bool streaming = streams(call, out, d.grid.n[0]);
  const int64_t cells = d.grid.cells;
  for_planes<T>(d, u, nullptr, [&](int64_t plane, const Scratch<T>& s) {
    diffuse_plane(d, s, u + plane * cells, out + plane * cells, streaming);
  });
}

template <class T>
void diffuse_vjp(const SpectralDiffusionParams& p, const Kernel& call) {
  const Diffusion<T> d(p, call, call.in(0).shape);
  const SpectralGrid& grid = d.grid;
  const T *g = call.in(0).as<T>(), *u = call.in(2).as<T>();
  T *gu = call.out(0).as<T>(), *gk = call.out(1).as<T>();
  if (!d.ready()) return out_of_memory(call);
  const int count = d.anisotropic ? grid.dims : 1;
  double* sums = d.axes.end();
  if (grid.dims == 1) {
    diffuse_lines<T>(d, u, g, gu, sums);
  } else {
    const bool streaming = gu && streams(call, gu, grid.n[0]);
    for_planes<T>(d, u, g, [&](int64_t plane, const Scratch<T>& s) {
      double* own = sums + plane * count;
      for (int i = 0; i < count; ++i) own[i] = 0;
      const int64_t at = plane * grid.cells;
      diffuse_plane_vjp(d, s, u + at, g + at, gu ? gu + at : nullptr, streaming, own);
    });
  }
  for (int64_t c = 0; c < grid.channels; ++c) {
    const ChannelRates rates = d.rates(c);
    for (int i = 0; i < count; ++i) {
      double total = 0;
      for (int64_t n = 0; n < grid.batch; ++n) total += sums[(n * grid.channels + c) * count + i];
      gk[c * count + i] = static_cast<T>(total * rates.derivative[i]);
    }
  }
}

void run(const SpectralDiffusionParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { diffuse<typename decltype(tag)::type>(p, call); });
}

void run_vjp(const SpectralDiffusionParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* gk = call.out(1).as<T>();
    if (call.in(0).size() == 0) {
      for (int64_t i = 0; i < call.out(1).size(); ++i) gk[i] = T(0);
      return;
    }
    diffuse_vjp<T>(p, call);
  });
}

}  // namespace

void k_spectral_diffusion_1d(const SpectralDiffusionParams& p, const Kernel& call) { run(p, call); }
void k_spectral_diffusion_2d(const SpectralDiffusionParams& p, const Kernel& call) { run(p, call); }
void k_spectral_diffusion_3d(const SpectralDiffusionParams& p, const Kernel& call) { run(p, call); }
void k_spectral_diffusion_1d_vjp(const SpectralDiffusionParams& p, const Kernel& call) {
  run_vjp(p, call);
}
void k_spectral_diffusion_2d_vjp(const SpectralDiffusionParams& p, const Kernel& call) {
  run_vjp(p, call);
}
void k_spectral_diffusion_3d_vjp(const SpectralDiffusionParams& p, const Kernel& call) {
  run_vjp(p, call);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
