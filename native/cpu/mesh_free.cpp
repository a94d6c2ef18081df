// Mesh-free convolution: out_o = sum_i F^-1[c_oi F u_i] + b_o, the symbol c as in mesh_free_symbol.h.
//
// Three steps for a part of the batch that keeps the spectra in the outer caches: transforms (a block is a
// plane, or a vector of lines), sums over channels at each vector of bins (mesh_free_contract.h), inverse
// transforms. 1 / cells is part of the coefficients, the bias is added to the mean mode.
//
// Adjoint: gu_i = sum_o F^-1[conj(c_oi) F g_o], the same sums with coefficients of the transposed conjugate
// symbol. With S_oi = sum_n conj(F u_i) F g_o, dL/dtheta = 1 / cells sum_w Re(conj(S_oi) dc_oi/dtheta).
// The input is transformed again: no spectrum is saved. Sums over bins: one partial for each group of bins,
// added in order; groups do not depend on the number of threads.
//
// A shared Gaussian multiplies the spectra of its channel once, and the symbols are polynomials.
// Memory floor 4 (Ci + Co) bytes a cell and sample in float32; spectra are as large, written and read once.
#include <utility>

#include "cpu/kernel.h"
#include "ops/mesh_free.h"

#define FLUXION_KERNELS "cpu/mesh_free.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/fft.h"
#include "cpu/fft_plane.h"
#include "cpu/mesh_free_symbol.h"
#include "cpu/mesh_free_contract.h"
#include "cpu/mesh_free_transform.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Outputs of this size and more go around the caches.
constexpr int64_t kStreamBytes = int64_t{4} << 20;

// Positions of the weight's last axis among the coefficients: moments, then p1, p2, p3.
struct WeightSlots {
  int moments, widths;
  int slot[6];
  explicit WeightSlots(const MeshFreeProblem& p)
      : moments(static_cast<int>(p.line ? (p.moments == 6 ? 3 : 2) : p.moments)),
        widths(p.line ? 1 : 3),
        slot{kA0, kA1, kA2, kA3, kA4, kA5} {
    if (p.line) slot[2] = kA3;
  }
  static bool negative(int slot) { return slot >= kA3; }  // -a3 wx^2 - a4 wx wy - a5 wy^2
};

template <class T, bool kSecond, bool kShared>
class MeshFree {
 public:
  MeshFree(const Kernel& call, const MeshFreeProblem& p, double length_x, double length_y,
           bool backward)
      : call_(call),
        p_(p),
        slots_(p),
        at_(p, backward),
        grid_{ModeAxis<T>(part<T>(at_.axes), p.padded(p.modes_x())),
              ModeAxis<T>(part<T>(at_.axes) + 4 * p.padded(p.modes_x()), p.padded(p.modes_y()) + 1),
              blocks_of(p.modes_y(), kLanes<T>),
              0,
              0,
              p.padded(p.modes_y()),
              p.width % 2 == 0 ? p.width / 2 : -1} {
    grid_.inner = p.line ? 0 : p.width * grid_.vectors;
    grid_.bins = grid_.inner + (p.extra_row() ? blocks_of(p.modes_x(), kLanes<T>) : 0);
    grid_.x.fill(p.width, p.modes_x(), p.padded(p.modes_x()), p.line, length_x);
    grid_.y.fill(p.height, p.modes_y(), p.padded(p.modes_y()), !p.line, length_y);
    grid_.y.set(grid_.extra, p.height, p.height / 2, length_y);
    if (p.line) {
      line_ = fft_plan<T>(call, p.width);
    } else {
      plane_ = plane_fft<T>(call, p.height, p.width);
    }
  }

  bool ready() const {
    if (p_.line ? line_.table != nullptr : plane_.ready()) return true;
    call_.fault(ErrorCode::OutOfMemory, "no memory for the tables of a Fourier transform");
    return false;
  }

  void forward(const T* u, const T* weight, const T* bias, const T* gaussian, T* out) {
    T* coefficients = part<T>(at_.coefficients);
    prepare(weight, coefficients, false);
    prepare_damping(gaussian);
    for (int64_t n = 0; n < p_.batch; n += at_.chunk) {
      const int64_t samples = std::min(at_.chunk, p_.batch - n);
      const Panels<T> x{part<T>(at_.spectra_u), p_.inputs, samples};
      const Panels<T> y{part<T>(at_.spectra_y), p_.outputs, samples};
      to_panels(u + n * p_.inputs * cells(), x, kShared);
      mix(coefficients, x, y, bias);
      from_panels(y, out + n * p_.outputs * cells(), false);
    }
  }

  void backward(const T* g, const T* u, const T* weight, const T* gaussian, T* gu, T* gweight,
                T* gbias, T* ggaussian) {
    T* coefficients = part<T>(at_.coefficients);
    T* adjoint = part<T>(at_.adjoint);
    double* partials = part<double>(at_.partials);
    double* channel_sums = part<double>(at_.channel_sums);
    if (gbias) sum_planes(g, channel_sums + 3 * p_.inputs);
    if (gu || gweight || ggaussian) {
      if (gweight) prepare(weight, coefficients, false);
      if (gu || ggaussian) prepare(weight, adjoint, true);
      prepare_damping(gaussian);
      std::fill(partials, partials + at_.groups * pairs() * p_.sums(), 0.0);
      std::fill(channel_sums, channel_sums + 3 * p_.inputs, 0.0);
    }
    for (int64_t n = 0; (gu || gweight || ggaussian) && n < p_.batch; n += at_.chunk) {
      const int64_t samples = std::min(at_.chunk, p_.batch - n);
      const Panels<T> x{part<T>(at_.spectra_u), p_.inputs, samples};
      const Panels<T> y{part<T>(at_.spectra_y), p_.outputs, samples};
      const Panels<T> gx{part<T>(at_.spectra_gu), p_.inputs, samples};
      to_panels(g + n * p_.outputs * cells(), y, false);
      if (gweight || ggaussian) to_panels(u + n * p_.inputs * cells(), x, kShared);
      if (gweight) correlate_pairs(coefficients, x, y, partials);
      if (gu || ggaussian) mix(adjoint, y, gx, nullptr);
      if (ggaussian) correlate_channels(x, gx, channel_sums);
      if (gu) from_panels(gx, gu + n * p_.inputs * cells(), kShared);
    }
    if (gweight) write_weight(weight, partials, gweight);
    for (int64_t i = 0; ggaussian && i < p_.inputs; ++i) {
      write_widths(gaussian + i * slots_.widths, channel_sums + 3 * i,
                   ggaussian + i * slots_.widths);
    }
    for (int64_t o = 0; gbias && o < p_.outputs; ++o) {
      double total = 0;
      for (int64_t n = 0; n < p_.batch; ++n) {
        total += channel_sums[3 * p_.inputs + n * p_.outputs + o];
      }
      gbias[o] = static_cast<T>(total);
    }
  }

 private:
  template <class U>
  U* part(size_t offset) const {
    return reinterpret_cast<U*>(call_.workspace<char>() + offset);
  }
  int64_t cells() const { return p_.height * p_.width; }
  int64_t pairs() const { return p_.inputs * p_.outputs; }
  T* damping_coefficients(int64_t channel) const {
    return part<T>(at_.coefficients) + (pairs() + channel) * kMeshFreeCoefficients;
  }

  // Coefficients [output][input], or of the transposed conjugate symbol [input][output].
  void prepare(const T* weight, T* to, bool adjoint) const {
    const int64_t last = slots_.moments + (kShared ? 0 : slots_.widths);
    const double scale = 1.0 / static_cast<double>(cells());
    call_.parallel_for(p_.outputs, [&](int64_t o, int) {
      for (int64_t i = 0; i < p_.inputs; ++i) {
        const T* from = weight + (o * p_.inputs + i) * last;
        T* c = to + (adjoint ? i * p_.outputs + o : o * p_.inputs + i) * kMeshFreeCoefficients;
        std::fill(c, c + kMeshFreeCoefficients, T(0));
        for (int m = 0; m < slots_.moments; ++m) {
          const int slot = slots_.slot[m];
          const bool minus =
              WeightSlots::negative(slot) != (adjoint && (slot == kA1 || slot == kA2));
          const double value = static_cast<double>(from[m]) * scale;
          c[slot] = static_cast<T>(minus ? -value : value);
        }
        if (!kShared) set_pair_widths(from + slots_.moments, c);
      }
    });
  }

  void set_pair_widths(const T* p, T* c) const {
    set_widths(static_cast<double>(p[0]), p_.line ? 0.0 : static_cast<double>(p[1]),
               p_.line ? 0.0 : static_cast<double>(p[2]), c);
  }

  // E of each channel at all bins.
  void prepare_damping(const T* gaussian) const {
    if (!kShared) return;
    call_.parallel_for(p_.inputs, [&](int64_t i, int) {
      T* c = damping_coefficients(i);
      set_pair_widths(gaussian + i * slots_.widths, c);
      tabulate_damping(c, grid_, part<T>(at_.damping) + i * grid_.bins * kLanes<T>);
    });
  }

  SpectrumFactor<T> factor(bool damped) const {
    return {damped ? part<T>(at_.damping) : nullptr, grid_.bins * kLanes<T>};
  }

  // Behind the scratch of the plane's transform.
  T* side_lines(int thread) const {
    const size_t plane = plane_fft_scratch_bytes(p_.height, p_.width, sizeof(T));
    return call_.scratch<T>(thread) + (plane + 63) / 64 * 64 / sizeof(T);
  }

  struct LineScratch {
    T *re, *im, *fft;
    LineScratch(const Kernel& call, int64_t n, int thread)
        : re(call.scratch<T>(thread)), im(re + n * kLanes<T>), fft(im + n * kLanes<T>) {}
  };

  void to_panels(const T* batch, const Panels<T>& to, bool damped) const {
    const int64_t fields = to.channels * to.samples;
    const SpectrumFactor<T> by = factor(damped);
    if (p_.line) {
      constexpr int64_t group = 2 * kLanes<T>;
      call_.parallel_for(blocks_of(fields, group), [&](int64_t block, int thread) {
        const LineScratch s(call_, p_.width, thread);
        lines_to_panels(line_, grid_, by, batch, block * group,
                        std::min(group, fields - block * group), to, s.re, s.im, s.fft);
      });
      return;
    }
    call_.parallel_for(fields, [&](int64_t plane, int thread) {
      plane_to_panels(plane_, grid_, by, batch + plane * cells(), to, plane % to.channels,
                      plane / to.channels, call_.scratch<void>(thread), side_lines(thread));
    });
  }

  void from_panels(const Panels<T>& from, T* batch, bool damped) const {
    const int64_t fields = from.channels * from.samples;
    const SpectrumFactor<T> by = factor(damped);
    if (p_.line) {
      constexpr int64_t group = 2 * kLanes<T>;
      call_.parallel_for(blocks_of(fields, group), [&](int64_t block, int thread) {
        const LineScratch s(call_, p_.width, thread);
        panels_to_lines(line_, grid_, by, from, batch, block * group,
                        std::min(group, fields - block * group), s.re, s.im, s.fft);
      });
      return;
    }
    const bool streaming =
        p_.width * static_cast<int64_t>(sizeof(T)) % FLUXION_VECTOR_BYTES == 0 &&
        p_.batch * from.channels * cells() * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
    call_.parallel_for(fields, [&](int64_t plane, int thread) {
      panels_to_plane(plane_, grid_, by, from, plane % from.channels, plane / from.channels,
                      batch + plane * cells(), streaming, call_.scratch<void>(thread),
                      side_lines(thread));
      if (streaming) stream_fence();
    });
  }

  void mix(const T* coefficients, const Panels<T>& x, const Panels<T>& y, const T* bias) const {
    call_.parallel_for(grid_.bins, [&](int64_t bin, int thread) {
      contract<T, kSecond, kShared>(coefficients, grid_, bin, x, y, call_.scratch<T>(thread));
      if (!bias || bin != 0) return;
      for (int64_t o = 0; o < y.channels; ++o) {
        for (int64_t n = 0; n < y.samples; ++n) *y.at(0, o, n) += bias[o];
      }
    });
  }

  // Blocks are groups of bins times groups of outputs.
  void correlate_pairs(const T* coefficients, const Panels<T>& x, const Panels<T>& g,
                       double* partials) const {
    constexpr int64_t outputs = 32;
    const int64_t parts = blocks_of(p_.outputs, outputs);
    call_.parallel_for(at_.groups * parts, [&](int64_t block, int thread) {
      const int64_t group = block / parts, first = block % parts * outputs;
      correlate<T, kSecond, kShared>(
          coefficients, grid_, group * grid_.bins / at_.groups,
          (group + 1) * grid_.bins / at_.groups, x, g, first, std::min(first + outputs, p_.outputs),
          partials + group * pairs() * p_.sums(), call_.scratch<T>(thread));
    });
  }

  void correlate_channels(const Panels<T>& v, const Panels<T>& gv, double* sums) const {
    call_.parallel_for(p_.inputs, [&](int64_t i, int) {
      correlate_damping(damping_coefficients(i), grid_, v, gv, i, sums + 3 * i);
    });
  }

  void sum_planes(const T* g, double* sums) const {
    call_.parallel_for(p_.batch * p_.outputs,
                       [&](int64_t plane, int) { sums[plane] = sum_plane(g + plane * cells()); });
  }

  double sum_plane(const T* plane) const {
    constexpr int w = kLanes<T>;
    double total = 0;
    for (int64_t i = 0; i < cells(); i += 64 * w) {
      Vec<T> sum{};
      const int64_t end = std::min(i + 64 * w, cells());
      for (int64_t j = i; j < end; j += w) sum += load_up_to(plane + j, end - j);
      total += static_cast<double>(sum_lanes<T>(sum));
    }
    return total;
  }

  // From sums with the scaled p of the coefficients (see set_widths) to gradients in p.
  void write_widths(const T* p, const double* sums, T* to) const {
    const double scale = -2 / std::sqrt(kLog2E);
    to[0] = static_cast<T>(scale * sums[0]);
    if (p_.line) return;
    to[1] = static_cast<T>(scale * sums[1]);
    to[2] = static_cast<T>(-2 * static_cast<double>(p[2]) * sums[2]);
  }

  void write_weight(const T* weight, const double* partials, T* to) const {
    const int64_t last = slots_.moments + (kShared ? 0 : slots_.widths), sums = p_.sums();
    const double scale = 1.0 / static_cast<double>(cells());
    call_.parallel_for(p_.outputs, [&](int64_t o, int) {
      for (int64_t pair = o * p_.inputs; pair < (o + 1) * p_.inputs; ++pair) {
        double total[9] = {};
        for (int64_t group = 0; group < at_.groups; ++group) {
          const double* from = partials + (group * pairs() + pair) * sums;
          for (int64_t m = 0; m < sums; ++m) total[m] += from[m];
        }
        for (int m = 0; m < slots_.moments; ++m) {
          const int slot = slots_.slot[m];
          const double value = total[slot] * scale;
          to[pair * last + m] = static_cast<T>(WeightSlots::negative(slot) ? -value : value);
        }
        if (kShared) continue;
        const int64_t at = pair * last + slots_.moments;
        write_widths(weight + at, total + p_.moments, to + at);
      }
    });
  }

  const Kernel& call_;
  MeshFreeProblem p_;
  WeightSlots slots_;
  MeshFreeWorkspace at_;
  ModeGrid<T> grid_;
  PlaneFft<T> plane_{};
  FftPlan<T> line_{};
};

// field: the input, or the cotangent, which has the same batch and cells.
MeshFreeProblem problem_of(const TensorView& field, const TensorView& weight, bool shared) {
  const bool line = field.ndim() == 3;
  const int64_t without = shared ? 0 : line ? 1 : 3;
  return {line,
          shared,
          field.shape[0],
          weight.shape[1],
          weight.shape[0],
          line ? 1 : field.shape[2],
          field.shape[line ? 2 : 3],
          weight.shape[2] - without > (line ? 2 : 3) ? 6 : 3,
          size_of(field.dtype)};
}

template <class T, bool kSecond, bool kShared>
void run(const Kernel& call, const MeshFreeProblem& p, double length_x, double length_y,
         bool backward) {
  MeshFree<T, kSecond, kShared> problem(call, p, length_x, length_y, backward);
  if (!problem.ready()) return;
  const T* first = call.in(0).as<T>();
  const T* second = call.in(1).as<T>();
  const T* third = call.in(2).as<T>();
  const T* gaussian = call.in(3).as<T>();
  if (backward) {
    problem.backward(first, second, third, gaussian, call.out(0).as<T>(), call.out(1).as<T>(),
                     call.out(2).as<T>(), call.out(3).as<T>());
  } else {
    problem.forward(first, second, third, gaussian, call.out(0).as<T>());
  }
}

template <class T>
void choose(const Kernel& call, double length_x, double length_y, bool backward) {
  const bool shared = call.in(3).present;
  const MeshFreeProblem p = problem_of(call.in(0), call.in(backward ? 2 : 1), shared);
  if (p.moments == 6) {
    if (shared) return run<T, true, true>(call, p, length_x, length_y, backward);
    return run<T, true, false>(call, p, length_x, length_y, backward);
  }
  if (shared) return run<T, false, true>(call, p, length_x, length_y, backward);
  run<T, false, false>(call, p, length_x, length_y, backward);
}

void convolve(const Kernel& call, double length_x, double length_y, bool backward) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    choose<typename decltype(tag)::type>(call, length_x, length_y, backward);
  });
}

}  // namespace

void k_mesh_free_conv2d(const MeshFreeConv2dParams& p, const Kernel& call) {
  convolve(call, p.lengthX, p.lengthY, false);
}

void k_mesh_free_conv2d_vjp(const MeshFreeConv2dParams& p, const Kernel& call) {
  convolve(call, p.lengthX, p.lengthY, true);
}

void k_mesh_free_conv1d(const MeshFreeConv1dParams& p, const Kernel& call) {
  convolve(call, p.length, p.length, false);
}

void k_mesh_free_conv1d_vjp(const MeshFreeConv1dParams& p, const Kernel& call) {
  convolve(call, p.length, p.length, true);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
