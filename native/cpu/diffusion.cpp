// Implicit diffusion on planes, locally one-dimensional:
//     backward Euler   w = S_x S_y u,  S = (I - dt k D)^-1          D = second difference / spacing^2
//     Crank-Nicolson   w = C_x C_y u,  C = 2 S - I,  S = (I - dt k D / 2)^-1
// C = (I - rD)^-1 (I + rD) exactly. S and C act on different axes, hence commute, and are symmetric: the
// adjoint is the operator itself.
//
// Diffusivity gradient, with dS/dk = dt S D S (backward Euler) and dC/dk = dt S D S (Crank-Nicolson), and B
// the operator of the scheme:
//     dL/dk_x = dt <S_x g, D_x S_x B_y u>,  dL/dk_y = dt <S_y g, D_y S_y B_x u>
// For backward Euler both right factors are the output w. Inner products with D are summed by parts over
// cell faces. Nothing is multiplied by (I - rD), so large dt amplifies no rounding.
//
// Layout [N, C, H, W]; a block is one plane, solved along both axes in a scratch plane that stays in cache.
// Per-channel sums: one partial per plane, added over n in order. Memory floor 8 bytes per cell in float32.
#include <utility>

#include "cpu/kernel.h"
#include "ops/diffusion.h"

#define FLUXION_KERNELS "cpu/diffusion.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/line_solver.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Factors of all channels in the element type: for each channel the lines along x, then along y.
template <class T>
class PlaneFactors {
 public:
  PlaneFactors(const ImplicitDiffusion2dParams& p, const Kernel& call, const Shape& shape)
      : boundary_(p.boundary),
        height_(shape[2]),
        width_(shape[3]),
        table_(call.workspace<double>()) {
    const TensorView& diffusivity = call.in(1);
    const double step = p.scheme == DiffusionScheme::crank_nicolson ? p.dt / 2 : p.dt;
    for (int64_t c = 0; c < shape[1]; ++c) {
      const T* k = diffusivity.as<T>() + c * diffusivity.strides[0];
      factor(static_cast<double>(k[0]) * step / (p.dx * p.dx), width_, at(c));
      factor(static_cast<double>(k[diffusivity.strides[1]]) * step / (p.dy * p.dy), height_,
             at(c) + line_factor_size(width_));
    }
  }
  LineFactors<T> x(int64_t channel) const { return read(at(channel), width_); }
  LineFactors<T> y(int64_t channel) const {
    return read(at(channel) + line_factor_size(width_), height_);
  }
  int64_t doubles(int64_t channels) const { return channels * channel_size(); }

 private:
  int64_t channel_size() const { return line_factor_size(width_) + line_factor_size(height_); }
  double* at(int64_t channel) const { return table_ + channel * channel_size(); }
  // Computed in double, then rounded in place: element i of T never lies beyond double i.
  void factor(double r, int64_t n, double* out) const {
    factor_line(r, n, boundary_, out);
    T* rounded = reinterpret_cast<T*>(out);
    for (int64_t i = 0; i < line_factor_size(n); ++i) {
      const T value = static_cast<T>(out[i]);
      __builtin_memcpy(rounded + i, &value, sizeof value);
    }
  }
  LineFactors<T> read(const double* from, int64_t n) const {
    const T* t = reinterpret_cast<const T*>(from);
    const bool cyclic = boundary_ == Boundary::periodic && n > 2;
    return {t, t + n, cyclic ? t + 2 * n : nullptr, t[3 * n]};
  }

  Boundary boundary_;
  int64_t height_, width_;
  double* table_;
};

struct Scratch {
  char* base;
  size_t line_bytes, plane_bytes;
  Scratch(const Kernel& call, const Shape& shape, size_t element, int thread)
      : base(call.scratch<char>(thread)),
        line_bytes(static_cast<size_t>(std::max(shape[2], shape[3])) * 4 * 64),
        plane_bytes((static_cast<size_t>(shape[2] * shape[3]) * element + 63) / 64 * 64) {}
  template <class T>
  T* lines() const {
    return reinterpret_cast<T*>(base);
  }
  template <class T>
  T* plane(int i) const {
    return reinterpret_cast<T*>(base + line_bytes + plane_bytes * static_cast<size_t>(i));
  }
};

// sum over the faces of n cells, `step` apart, of (a_{j+1} - a_j)(b_{j+1} - b_j), for `lanes` lines side by
// side at distance 1: minus this is <a, D b> (times spacing^2).
template <class T>
double dot_row_differences(const T* a, const T* b, int64_t n, int64_t step) {
  constexpr int w = kLanes<T>;
  Vec<T> sum{};
  int64_t j = 0;
  for (; j + w <= n; j += w) {
    sum += (load(a + j + step) - load(a + j)) * (load(b + j + step) - load(b + j));
  }
  if (j < n) {
    const int left = static_cast<int>(n - j);
    sum += (load_partial(a + j + step, left) - load_partial(a + j, left)) *
           (load_partial(b + j + step, left) - load_partial(b + j, left));
  }
  return static_cast<double>(sum_lanes<T>(sum));
}

// <a, D_x b> dx^2 on a plane.
template <class T>
double dot_laplacian_x(const T* a, const T* b, int64_t rows, int64_t columns, Boundary boundary) {
  double total = 0;
  for (int64_t i = 0; i < rows; ++i, a += columns, b += columns) {
    total -= dot_row_differences(a, b, columns - 1, 1);
    const int64_t last = columns - 1;
    if (boundary == Boundary::periodic)
      total -= static_cast<double>((a[0] - a[last]) * (b[0] - b[last]));
    if (boundary == Boundary::dirichlet)
      total -= static_cast<double>(a[0] * b[0] + a[last] * b[last]);
  }
  return total;
}

// <a, D_y b> dy^2 on a plane.
template <class T>
double dot_laplacian_y(const T* a, const T* b, int64_t rows, int64_t columns, Boundary boundary) {
  double total = 0;
  for (int64_t i = 0; i + 1 < rows; ++i) {
    total -= dot_row_differences(a + i * columns, b + i * columns, columns, columns);
  }
  const int64_t last = (rows - 1) * columns;
  for (int64_t j = 0; j < columns; ++j) {
    const T at = a[j], al = a[last + j], bt = b[j], bl = b[last + j];
    if (boundary == Boundary::periodic) total -= static_cast<double>((at - al) * (bt - bl));
    if (boundary == Boundary::dirichlet) total -= static_cast<double>(at * bt + al * bl);
  }
  return total;
}

template <class T>
void diffuse(const ImplicitDiffusion2dParams& p, const Kernel& call, const T* u, T* w,
             const Shape& shape) {
  const PlaneFactors<T> factors(p, call, shape);
  const bool reflect = p.scheme == DiffusionScheme::crank_nicolson;
  const int64_t rows = shape[2], columns = shape[3], cells = rows * columns;
  call.parallel_for(shape[0] * shape[1], [&](int64_t plane, int thread) {
    const Scratch scratch(call, shape, sizeof(T), thread);
    const int64_t channel = plane % shape[1];
    T* half = scratch.plane<T>(0);
    solve_rows(u + plane * cells, half, rows, columns, factors.x(channel), reflect,
               scratch.lines<T>());
    solve_columns(half, w + plane * cells, rows, columns, factors.y(channel), reflect,
                  scratch.lines<T>());
  });
}

// The two inner products of one plane, before the factor dt.
template <class T>
void diffusivity_sums(const ImplicitDiffusion2dParams& p, const PlaneFactors<T>& factors,
                      int64_t channel, const Scratch& scratch, const T* g, const T* s_x_g,
                      const T* saved, const Shape& shape, double* sums) {
  const int64_t rows = shape[2], columns = shape[3];
  const LineFactors<T> x = factors.x(channel), y = factors.y(channel);
  T* lines = scratch.lines<T>();
  T* right = scratch.plane<T>(1);
  T* left = scratch.plane<T>(2);
  const bool crank = p.scheme == DiffusionScheme::crank_nicolson;
  const T* factor = saved;
  if (crank) {  // S_x C_y u
    solve_columns(saved, right, rows, columns, y, true, lines);
    solve_rows(right, right, rows, columns, x, false, lines);
    factor = right;
  }
  sums[0] = dot_laplacian_x(s_x_g, factor, rows, columns, p.boundary) / (p.dx * p.dx);
  if (crank) {  // S_y C_x u
    solve_rows(saved, right, rows, columns, x, true, lines);
    solve_columns(right, right, rows, columns, y, false, lines);
  }
  solve_columns(g, left, rows, columns, y, false, lines);
  sums[1] = dot_laplacian_y(left, factor, rows, columns, p.boundary) / (p.dy * p.dy);
}

template <class T>
void diffuse_vjp(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  const T* g = call.in(0).as<T>();
  const T* saved = call.in(2).as<T>();
  T* gu = call.out(0).as<T>();
  T* gk = call.out(1).as<T>();
  if (!gk) return diffuse(p, call, g, gu, shape);  // the operator is its own adjoint

  const PlaneFactors<T> factors(p, call, shape);
  const bool crank = p.scheme == DiffusionScheme::crank_nicolson;
  const int64_t rows = shape[2], columns = shape[3], cells = rows * columns, channels = shape[1];
  double* partials = call.workspace<double>() + factors.doubles(channels);
  call.parallel_for(shape[0] * channels, [&](int64_t plane, int thread) {
    const Scratch scratch(call, shape, sizeof(T), thread);
    const int64_t channel = plane % channels;
    const LineFactors<T> x = factors.x(channel), y = factors.y(channel);
    const T* g_plane = g + plane * cells;
    T* half = scratch.plane<T>(0);
    solve_rows(g_plane, half, rows, columns, x, false, scratch.lines<T>());
    double* sums = partials + 2 * plane;
    diffusivity_sums(p, factors, channel, scratch, g_plane, half, saved + plane * cells, shape,
                     sums);
    if (!gu) return;
    if (crank) {  // C_x g = 2 S_x g - g
      for (int64_t i = 0; i < cells; ++i) half[i] = half[i] + half[i] - g_plane[i];
    }
    solve_columns(half, gu + plane * cells, rows, columns, y, crank, scratch.lines<T>());
  });
  for (int64_t c = 0; c < channels; ++c) {
    for (int axis = 0; axis < 2; ++axis) {
      double total = 0;
      for (int64_t n = 0; n < shape[0]; ++n) total += partials[2 * (n * channels + c) + axis];
      gk[2 * c + axis] = static_cast<T>(p.dt * total);
    }
  }
}

}  // namespace

void k_implicit_diffusion_2d(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (call.out(0).size() == 0) return;
    diffuse<T>(p, call, call.in(0).as<T>(), call.out(0).as<T>(), call.in(0).shape);
  });
}

void k_implicit_diffusion_2d_vjp(const ImplicitDiffusion2dParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (call.in(0).size() == 0) {
      T* gk = call.out(1).as<T>();
      for (int64_t i = 0; gk && i < call.out(1).size(); ++i) gk[i] = T(0);
      return;
    }
    diffuse_vjp<T>(p, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
