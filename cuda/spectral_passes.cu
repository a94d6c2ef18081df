// Spectral diffusion by a pass for each transform and one for the factors, for axes of any length: the
// transforms are those of fft_lines.cu, without the factors 2 of device/line_basis.cuh, so that a mode's weight in
// synthesis and in inner products is 1 / n (k = 0) or 2 / n (neumann), 2 / (n + 1) (dirichlet), 1 / n or 1 / 2n
// (periodic). 16 bytes a cell and axis, 8 for the factors; the eigenvalues of each axis as a table.
#include <algorithm>
#include <cmath>

#include "spectral_plan.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr int64_t kChunk = 4096;  // modes of a row that a block takes

template <class T>
struct LongModes {
  DiffusionSymbol<T> symbol;
  Boundary boundary;
  int dims;
  int64_t rows, chunks;
};

template <class T>
__device__ __forceinline__ T mode_weight(Boundary boundary, int n, int k) {
  if (boundary == Boundary::dirichlet) return T(2) / static_cast<T>(n + 1);
  const bool single = k == 0 || (boundary == Boundary::periodic && 2 * k == n);
  const T twice = boundary == Boundary::neumann ? T(2) : T(0.5);
  return (single ? T(1) : twice) / static_cast<T>(n);
}

// A block is a part of a row of modes. field becomes factor * field; backward with the sums of P = slope u g.
template <class T, bool kGradient>
__global__ void multiply_modes(LongModes<T> m, const T* saved, T* field, double* partials) {
  SharedMemory memory;
  const auto warps = memory.take<double>(2 * kWarp);
  const DiffusionSymbol<T>& s = m.symbol;
  const int64_t row = blockIdx.x / m.chunks, chunk = blockIdx.x - row * m.chunks;
  const RowSymbol<T> symbol = row_symbol(s, row);
  T scale = T(1);
  if (m.dims > 1) scale *= mode_weight<T>(m.boundary, s.n[1], static_cast<int>(row % s.n[1]));
  if (m.dims > 2) {
    scale *= mode_weight<T>(m.boundary, s.n[2], static_cast<int>(row / s.n[1] % s.n[2]));
  }
  const int64_t end = chunk * kChunk + kChunk < s.n[0] ? chunk * kChunk + kChunk : s.n[0];
  double plain = 0, along = 0;
  for (int64_t k = chunk * kChunk + threadIdx.x; k < end; k += blockDim.x) {
    const int kx = static_cast<int>(k);
    const ModeFactor<T> factor = mode_factor<T, kGradient>(s, symbol, kx);
    const T weight = scale * mode_weight<T>(m.boundary, s.n[0], kx);
    const T value = field[row * s.n[0] + k];
    if constexpr (kGradient) {
      const auto p = static_cast<double>(weight * factor.slope * saved[row * s.n[0] + k] * value);
      plain += p;
      along += p * static_cast<double>(s.lambda[0][kx]);
    }
    field[row * s.n[0] + k] = weight * factor.value * value;
  }
  if constexpr (kGradient) {
    for (int step = kWarp / 2; step > 0; step /= 2) {
      plain += __shfl_xor_sync(kAllLanes, plain, step);
      along += __shfl_xor_sync(kAllLanes, along, step);
    }
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    if (threadIdx.x % kWarp == 0) {
      warps[warp] = plain;
      warps[kWarp + warp] = along;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    plain = along = 0;
    for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
      plain += warps[w];
      along += warps[kWarp + w];
    }
    partials[2 * blockIdx.x] = plain;
    partials[2 * blockIdx.x + 1] = along;
  }
}

template <class T>
void transform_axis(const Kernel& call, const SpectralGrid& grid, Boundary boundary, int axis,
                    bool analyse, const T* from, T* to) {
  LineKind kind = analyse ? LineKind::waves : LineKind::from_waves;
  if (boundary == Boundary::neumann) kind = analyse ? LineKind::cos2 : LineKind::cos3;
  if (boundary == Boundary::dirichlet) kind = LineKind::sin1;
  const int64_t n = grid.n[axis];
  const int64_t inner = axis == 0 ? 1 : axis == 1 ? grid.n[0] : grid.n[0] * grid.n[1];
  const int64_t outer = grid.batch * grid.channels * grid.cells / (n * inner);
  transform_lines<T>(call, line_map<T>(call, kind, false, n, n, n),
                     line_space(outer, inner, n, n, 1, 1), from, to);
}

double eigenvalue(const SpectralDiffusionParams& p, int64_t n, int64_t k, double dx) {
  const double pi = 3.14159265358979323846, cells = static_cast<double>(n);
  double angle = pi * static_cast<double>(k) / cells;  // between neighbouring cells
  if (p.boundary == Boundary::dirichlet) angle = pi * static_cast<double>(k + 1) / (cells + 1);
  if (p.boundary == Boundary::periodic) {
    angle = 2 * pi * static_cast<double>(std::min(k, n - k)) / cells;
  }
  const double w = p.symbol == SpectralSymbol::continuous ? angle : 2 * std::sin(angle / 2);
  return w * w / (dx * dx);
}

// Numbers that tell tables apart to the last bit.
std::string exactly(double x) {
  uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return std::to_string(bits);
}

}  // namespace

template <class T>
DiffusionSymbol<T> diffusion_symbol(const SpectralDiffusionParams& p, const Kernel& call,
                                    const SpectralGrid& grid) {
  const TensorView& k = call.in(1);
  DiffusionSymbol<T> s{};
  s.scheme = static_cast<StepScheme>(p.scheme);
  s.anisotropic = k.shape[1] > 1;
  s.dims = grid.dims;
  s.power = static_cast<T>(p.power);
  s.dt = static_cast<T>(p.dt);
  s.channels = grid.channels;
  s.diffusivity = k.as<T>();
  s.channel_stride = k.strides[0];
  s.axis_stride = k.strides[1];
  const double spacing[3] = {p.dx, p.dy, p.dz};
  for (int i = 0; i < 3; ++i) {
    s.n[i] = static_cast<int>(grid.n[i]);
    if (i >= grid.dims) continue;
    const int64_t n = grid.n[i];
    const double dx = spacing[i];
    std::string key = "spectral eigenvalues ";
    key.append(std::to_string(sizeof(T))).append(" ").append(std::to_string(n));
    key.append(" ").append(std::to_string(static_cast<int>(p.boundary)));
    key.append(" ").append(std::to_string(static_cast<int>(p.symbol)));
    key.append(" ").append(exactly(dx));
    s.lambda[i] = call.table<T>(key, n, [=](T* to) {
      for (int64_t j = 0; j < n; ++j) to[j] = static_cast<T>(eigenvalue(p, n, j, dx));
    });
  }
  return s;
}

int64_t long_chunks(const SpectralGrid& grid) { return blocks_of(grid.n[0], kChunk); }

template <class T>
void diffuse_long(const SpectralDiffusionParams& p, const Kernel& call, const SpectralGrid& grid,
                  const T* saved, const T* in, T* out, double* partials) {
  const int64_t cells = grid.batch * grid.channels * grid.cells;
  // Transforms along strided axes do not work in place: two arrays in turn.
  T* arrays[2] = {call.scratch<T>(cells), call.scratch<T>(cells)};
  T* kept = saved ? call.scratch<T>(cells) : nullptr;
  if (!arrays[0] || !arrays[1] || (saved && !kept)) return;
  const auto analyse = [&](const T* from, T* last) {
    for (int axis = grid.dims - 1; axis >= 0; --axis) {
      T* to = axis == 0 ? last : from == arrays[0] ? arrays[1] : arrays[0];
      transform_axis(call, grid, p.boundary, axis, true, from, to);
      from = to;
    }
  };
  if (saved) analyse(saved, kept);
  // The last array must differ from the one before.
  T* field = grid.dims == 2 ? arrays[1] : arrays[0];
  analyse(in, field);
  const LongModes<T> modes{diffusion_symbol<T>(p, call, grid), p.boundary, grid.dims,
                           grid.batch * grid.channels * grid.rows, long_chunks(grid)};
  const Grid blocks{modes.rows * modes.chunks, kFftBlock, shared_bytes<double>(2 * kWarp)};
  if (saved) {
    call.launch(multiply_modes<T, true>, blocks, modes, kept, field, partials);
  } else {
    call.launch(multiply_modes<T, false>, blocks, modes, nullptr, field, nullptr);
  }
  const T* from = field;
  for (int axis = 0; out && axis < grid.dims; ++axis) {
    T* to = axis + 1 == grid.dims ? out : from == arrays[0] ? arrays[1] : arrays[0];
    transform_axis<T>(call, grid, p.boundary, axis, false, from, to);
    from = to;
  }
}

#define FLUXION_SPECTRAL(T)                                                                      \
  template DiffusionSymbol<T> diffusion_symbol<T>(const SpectralDiffusionParams&, const Kernel&, \
                                                  const SpectralGrid&);                          \
  template void diffuse_long<T>(const SpectralDiffusionParams&, const Kernel&,                   \
                                const SpectralGrid&, const T*, const T*, T*, double*);
FLUXION_SPECTRAL(float)
FLUXION_SPECTRAL(double)
#undef FLUXION_SPECTRAL

}  // namespace fluxion::cuda
