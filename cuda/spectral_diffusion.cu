// Spectral diffusion, forward and backward; equations in device/spectral_symbol.cuh, sources in
// docs/numerics/spectral-diffusion.md.
//
// Lines, planes or volumes that shared memory holds: one kernel (device/spectral_box.cuh), 8 bytes a cell in
// float32, backward 12. Others: passes along single axes over tiles of columns around the kernel for the axes
// that fit, 16 bytes a cell more for each (backward 32 in place of 24, the saved input being analysed, too). Axes
// beyond that: spectral_passes.cu.
// dL/dk: two sums for each row of modes, added over the rows of a channel in a fixed order.
#include <algorithm>

#include "device/spectral_box.cuh"
#include "spectral_plan.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kFftThreads)
    spectral_step(const __grid_constant__ SpectralBox<T> s, const T* in, T* out) {
  run_box<T, false>(s, nullptr, in, out, nullptr);
}

template <class T>
__global__ void __launch_bounds__(kFftThreads)
    spectral_step_vjp(const __grid_constant__ SpectralBox<T> s, const T* saved, const T* in, T* out,
                      double* partials) {
  run_box<T, true>(s, saved, in, out, partials);
}

// Block (channel, axis): the sum over n and the rows of a plane or volume, times dz/dk's constant part.
template <class T>
__global__ void sum_rows(DiffusionSymbol<T> s, int64_t batch, int64_t parts, int count,
                         const double* partials, T* gradient) {
  SharedMemory memory;
  const auto warps = memory.take<double>(kWarp);
  const int64_t channel = blockIdx.x / count;
  const int axis = static_cast<int>(blockIdx.x - channel * count);
  const int64_t rows = int64_t{s.n[1]} * s.n[2] * parts, total_rows = batch * rows;
  double total = 0;
  for (int64_t i = threadIdx.x; i < total_rows; i += blockDim.x) {
    const int64_t n = i / rows, r = i - n * rows;
    const double* from = partials + 2 * ((n * s.channels + channel) * rows + r);
    const int64_t row = r / parts;
    double value = s.anisotropic && axis == 0 ? from[1] : from[0];
    if (axis == 1) value *= static_cast<double>(s.lambda[1][row % s.n[1]]);
    if (axis == 2) value *= static_cast<double>(s.lambda[2][row / s.n[1]]);
    total += value;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) total += __shfl_xor_sync(kAllLanes, total, step);
  if (threadIdx.x % kWarp == 0) warps[static_cast<int>(threadIdx.x) / kWarp] = total;
  __syncthreads();
  if (threadIdx.x != 0) return;
  total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) total += warps[w];
  const T k = s.diffusivity[channel * s.channel_stride + axis * s.axis_stride];
  if (s.anisotropic && s.power != T(1)) {
    total *= pow(static_cast<double>(k), 1 / static_cast<double>(s.power) - 1);
  }
  gradient[channel * count + axis] = static_cast<T>(total);
}

LineEnds line_ends(Boundary boundary) {
  if (boundary == Boundary::periodic) return LineEnds::periodic;
  return boundary == Boundary::neumann ? LineEnds::neumann : LineEnds::dirichlet;
}

template <class T>
class Step {
 public:
  Step(const SpectralDiffusionParams& p, const Kernel& call, bool backward)
      : p_(p),
        call_(call),
        grid_(call.in(0).shape),
        boxes_(backward ? 2 : 1),
        symbol_(diffusion_symbol<T>(p, call, grid_)) {
    for (int i = 0; i < grid_.dims; ++i) {
      const int64_t length = spectral_line_length(grid_.n[i], p.boundary);
      fits_[i] = fft_fits_block(call, length, sizeof(T));
      if (fits_[i]) basis_[i] = line_basis(grid_.n[i], length);
    }
  }

  void forward(const T* u, T* out) {
    const int fused = fused_axes();
    if (!fused) return diffuse_long<T>(p_, call_, grid_, nullptr, u, out, nullptr);
    for (int axis = grid_.dims - 1; axis >= fused; --axis, u = out)
      column_pass(axis, true, true, u, out);
    SpectralBox<T> s = rows_box(fused);
    call_.launch(spectral_step<T>, box_grid(s), s, u, out);
    for (int axis = fused; axis < grid_.dims; ++axis) column_pass(axis, false, false, out, out);
  }

  void backward(const T* g, const T* u, T* gu, T* gk) {
    const int fused = fused_axes(), count = symbol_.anisotropic ? grid_.dims : 1;
    const int64_t parts = fused ? 1 : long_chunks(grid_);
    const int64_t rows = grid_.batch * grid_.channels * grid_.rows;
    auto* partials = call_.scratch<double>(2 * rows * parts);
    if (!partials) return;
    if (fused) {
      fused_backward(fused, g, u, gu, partials);
    } else {
      diffuse_long<T>(p_, call_, grid_, u, g, gu, partials);
    }
    if (!gk) return;
    call_.launch(sum_rows<T>, {grid_.channels * count, kFftBlock, shared_bytes<double>(kWarp)},
                 symbol_, grid_.batch, parts, count, partials, gk);
  }

 private:
  LineBasis<T> line_basis(int64_t n, int64_t length) const {
    LineBasis<T> basis{fft_plan<T>(call_, length), line_ends(p_.boundary), static_cast<int>(n),
                       nullptr};
    if (basis.ends == LineEnds::neumann) {
      basis.rotation = root_table<T>(call_, 4 * n, 1, n / 2 + 1);
    }
    return basis;
  }

  void fused_backward(int fused, const T* g, const T* u, T* gu, double* partials) {
    if (fused < grid_.dims) {
      const int64_t cells = grid_.batch * grid_.channels * grid_.cells;
      T* saved = call_.scratch<T>(cells);
      T* field = gu ? gu : call_.scratch<T>(cells);
      if (!saved || !field) return;
      for (int axis = grid_.dims - 1; axis >= fused; --axis, u = saved, g = field) {
        column_pass(axis, true, false, u, saved);
        column_pass(axis, true, true, g, field);
      }
    }
    SpectralBox<T> s = rows_box(fused);
    call_.launch(spectral_step_vjp<T>, box_grid(s), s, u, g, gu, partials);
    for (int axis = fused; gu && axis < grid_.dims; ++axis) column_pass(axis, false, false, gu, gu);
  }

  static constexpr int kBanks = 128 / static_cast<int>(sizeof(T));
  static constexpr int kWide = 16 / static_cast<int>(sizeof(T));

  // Distance of rows: whole vectors where rows are, and such that threads of several lines along y meet
  // different banks.
  int pitch_of(int64_t width, const LineBasis<T>* y) const {
    int64_t pitch = width % kWide == 0 ? width : width | 1;
    if (!y || y->fft.group < 4) return static_cast<int>(pitch);
    const int wanted = std::max(kWide, kBanks / y->fft.group);
    while (pitch % kBanks != wanted) ++pitch;
    return static_cast<int>(pitch);
  }

  // Threads and staging for the axes of a box's phases.
  void finish(SpectralBox<T>& s, int axes_from, int axes_to) const {
    int threads = kWarp;
    for (int i = axes_from; i < axes_to; ++i) {
      const LineBasis<T>& basis = basis_[i];
      const int64_t pairs = (int64_t{s.rows} * s.width / basis.n + 1) / 2;
      while (threads < basis.fft.group) threads *= 2;
      while (threads < kFftBlock && threads < pairs * basis.fft.group) threads *= 2;
    }
    s.staging = 0;
    for (int i = axes_from; i < axes_to; ++i) {
      s.basis[i] = basis_[i];
      s.staging = std::max(s.staging, threads / basis_[i].fft.group * basis_[i].fft.pitch);
    }
    threads_ = threads;
  }

  size_t shared_of(const SpectralBox<T>& s, int boxes) const {
    return static_cast<size_t>(boxes) * shared_bytes<T>(int64_t{s.rows} * s.pitch) +
           shared_bytes<Point<T>>(s.staging) + (boxes > 1 ? shared_bytes<double>(kWarp) : 0);
  }

  // Rows of the axes below `fused`, whole planes or volumes of them.
  SpectralBox<T> rows_box(int fused) const {
    SpectralBox<T> s{};
    s.symbol = symbol_;
    s.width = static_cast<int>(grid_.n[0]);
    s.height = fused > 1 ? static_cast<int>(grid_.n[1]) : 1;
    s.depth = fused > 2 ? static_cast<int>(grid_.n[2]) : 1;
    s.pitch = fused > 2 ? s.width : pitch_of(s.width, fused > 1 ? &basis_[1] : nullptr);
    s.array_rows = grid_.batch * grid_.channels * grid_.rows;
    s.wide = s.width % kWide == 0 && s.pitch % kWide == 0 && aligned_;
    s.scaled = true;
    s.phases = kAnalyseX | kSynthesiseX;
    if (fused > 1) s.phases |= kAnalyseY | kSynthesiseY;
    if (fused > 2) s.phases |= kAnalyseZ | kSynthesiseZ;
    // As many planes (rows) as keep a block busy, but blocks enough for the device.
    const int64_t each = int64_t{s.height} * s.depth, all = s.array_rows / each;
    int64_t planes = kSpectralCells / (each * s.width);
    planes = std::min(planes, all / (2 * call_.multiprocessors()));
    planes = std::max<int64_t>(std::min(planes, all), 1);
    if (fused == 1 && all > 1) planes = std::max<int64_t>(planes, 2);
    for (;; planes = (planes + 1) / 2) {
      s.rows = static_cast<int>(planes * each);
      finish(s, 0, fused);
      if (planes == 1 || shared_of(s, boxes_) <= call_.shared_limit()) return s;
    }
  }

  // Axes, from x on, of which shared memory holds all lines at once.
  int fused_axes() const {
    for (int fused = grid_.dims; fused > 0; --fused) {
      if (!possible(fused)) continue;
      const int64_t cells =
          grid_.n[0] * (fused > 1 ? grid_.n[1] : 1) * (fused > 2 ? grid_.n[2] : 1);
      if (cells * boxes_ * static_cast<int64_t>(sizeof(T)) > int64_t{1} << 20) continue;
      if (shared_of(rows_box(fused), boxes_) <= call_.shared_limit()) return fused;
    }
    return 0;
  }
  bool possible(int fused) const {
    for (int i = 0; i < fused; ++i) {
      if (!fits_[i]) return false;
    }
    for (int i = fused; i < grid_.dims; ++i) {
      if (!fits_[i] || shared_of(columns_box(i, kWide), 1) > call_.shared_limit()) return false;
    }
    return true;
  }

  // Tiles of `width` columns along an axis.
  SpectralBox<T> columns_box(int axis, int64_t width) const {
    SpectralBox<T> s{};
    s.inner = axis == 1 ? grid_.n[0] : grid_.n[0] * grid_.n[1];
    width = std::min(width, s.inner);
    s.rows = static_cast<int>(grid_.n[axis]);
    s.width = static_cast<int>(width);
    s.pitch = pitch_of(width, &basis_[axis]);
    s.chunks = blocks_of(s.inner, width);
    s.height = axis == 1 ? s.rows : 1;
    s.depth = axis == 2 ? s.rows : 1;
    s.wide = s.inner % kWide == 0 && s.width % kWide == 0 && s.pitch % kWide == 0 && aligned_;
    finish(s, axis, axis + 1);
    return s;
  }

  void column_pass(int axis, bool analyse, bool scaled, const T* from, T* to) {
    int64_t width = kFftRunBytes / static_cast<int64_t>(sizeof(T));
    while (width > kWide && shared_of(columns_box(axis, width), 1) > call_.shared_limit() / 2) {
      width /= 2;
    }
    SpectralBox<T> s = columns_box(axis, width);
    s.scaled = scaled;
    s.phases =
        analyse ? (axis == 1 ? kAnalyseY : kAnalyseZ) : (axis == 1 ? kSynthesiseY : kSynthesiseZ);
    const int64_t outer = grid_.batch * grid_.channels * grid_.cells / (s.rows * s.inner);
    call_.launch(spectral_step<T>, {outer * s.chunks, threads_, shared_of(s, 1)}, s, from, to);
  }

  Grid box_grid(const SpectralBox<T>& s) const {
    return {blocks_of(s.array_rows, s.rows), threads_, shared_of(s, boxes_)};
  }

 public:
  // Whether all arrays begin on 16 bytes.
  void set_aligned(std::initializer_list<const void*> arrays) {
    for (const void* array : arrays) {
      aligned_ = aligned_ && reinterpret_cast<uintptr_t>(array) % 16 == 0;
    }
  }

 private:
  const SpectralDiffusionParams& p_;
  const Kernel& call_;
  SpectralGrid grid_;
  int boxes_;
  DiffusionSymbol<T> symbol_;
  LineBasis<T> basis_[3] = {};
  bool fits_[3] = {};
  bool aligned_ = true;
  mutable int threads_ = kWarp;  // of the box made last
};

void run(const SpectralDiffusionParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Step<T> step(p, call, false);
    step.set_aligned({call.in(0).data, call.out(0).data});
    step.forward(call.in(0).as<T>(), call.out(0).as<T>());
  });
}

void run_vjp(const SpectralDiffusionParams& p, const Kernel& call) {
  const TensorView& gk = call.out(1);
  if (call.in(0).size() == 0) {
    if (gk.data) call.fill(gk.data, 0, static_cast<size_t>(gk.size()) * size_of(gk.dtype));
    return;
  }
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Step<T> step(p, call, true);
    step.set_aligned({call.in(0).data, call.in(2).data, call.out(0).data});
    step.backward(call.in(0).as<T>(), call.in(2).as<T>(), call.out(0).as<T>(), gk.as<T>());
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

}  // namespace fluxion::cuda
