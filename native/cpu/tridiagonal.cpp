// General tridiagonal systems, batched over all axes but the last:
//     lower_i x_{i-1} + diag_i x_i + upper_i x_{i+1} = rhs_i,   lower_0 and upper_{n-1} are not read
// Thomas elimination without pivoting (stable for diagonally dominant systems), one system in each SIMD
// lane. A block is one vector of systems; its coefficients are transposed into scratch [n][lanes], so that
// broadcast (stride 0) coefficients cost no memory. Adjoint: A^T lambda = g, then
//     grhs = lambda,  gdiag_i = -lambda_i x_i,  glower_i = -lambda_i x_{i-1},  gupper_i = -lambda_i x_{i+1}
// Source: Press et al., Numerical Recipes, 2.4.
#include <utility>

#include "cpu/kernel.h"
#include "ops/diffusion.h"

#define FLUXION_KERNELS "cpu/tridiagonal.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Offset of a system in a strided batch (all axes but the last).
int64_t offset_of(const TensorView& view, int64_t system) {
  int64_t offset = 0;
  for (int axis = view.ndim() - 2; axis >= 0; --axis) {
    offset += system % view.shape[axis] * view.strides[axis];
    system /= view.shape[axis];
  }
  return offset;
}

// lines[i][lane] = element i of system first + lane. Missing lanes repeat the first system, so that they
// divide by nothing worse than it does.
template <class T>
void load_systems(const TensorView& view, int64_t first, int count, int64_t n, T* lines) {
  constexpr int w = kLanes<T>;
  const int64_t stride = view.strides[view.ndim() - 1];
  for (int lane = 0; lane < w; ++lane) {
    const T* from = view.as<T>() + offset_of(view, first + (lane < count ? lane : 0));
    for (int64_t i = 0; i < n; ++i) lines[i * w + lane] = from[i * stride];
  }
}

template <class T>
void store_systems(const T* lines, int64_t first, int count, int64_t n, T* to) {
  constexpr int w = kLanes<T>;
  store_transposed<T>(lines, w, count, n, to + first * n, n, nullptr);
}

// Solves in place; `upper` becomes the eliminated upper diagonal.
template <class T>
void eliminate(const T* lower, const T* diag, T* upper, T* x, int64_t n) {
  constexpr int w = kLanes<T>;
  Vec<T> c{}, d{};
  for (int64_t i = 0; i < n; ++i) {
    const Vec<T> l = i ? load(lower + i * w) : Vec<T>{};
    const Vec<T> m = T(1) / (load(diag + i * w) - l * c);
    c = load(upper + i * w) * m;
    d = (load(x + i * w) - l * d) * m;
    store(upper + i * w, c);
    store(x + i * w, d);
  }
  for (int64_t i = n - 2; i >= 0; --i) {
    d = load(x + i * w) - load(upper + i * w) * d;
    store(x + i * w, d);
  }
}

template <class T>
void solve(const Kernel& call) {
  const TensorView& out = call.out(0);
  const int64_t n = out.shape[out.ndim() - 1], systems = n ? out.size() / n : 0;
  constexpr int w = kLanes<T>;
  call.parallel_for(blocks_of(systems, w), [&](int64_t block, int thread) {
    T* lower = call.scratch<T>(thread);
    T *diag = lower + n * w, *upper = diag + n * w, *x = upper + n * w;
    const int64_t first = block * w;
    const int count = static_cast<int>(std::min<int64_t>(w, systems - first));
    load_systems(call.in(0), first, count, n, lower);
    load_systems(call.in(1), first, count, n, diag);
    load_systems(call.in(2), first, count, n, upper);
    load_systems(call.in(3), first, count, n, x);
    eliminate(lower, diag, upper, x, n);
    store_systems(x, first, count, n, out.as<T>());
  });
}

template <class T>
void solve_vjp(const Kernel& call) {
  const TensorView& g = call.in(0);
  const int64_t n = g.shape[g.ndim() - 1], systems = n ? g.size() / n : 0;
  constexpr int w = kLanes<T>;
  call.parallel_for(blocks_of(systems, w), [&](int64_t block, int thread) {
    T* lower = call.scratch<T>(thread);
    T *diag = lower + n * w, *upper = diag + n * w, *lambda = upper + n * w, *x = lambda + n * w;
    const int64_t first = block * w;
    const int count = static_cast<int>(std::min<int64_t>(w, systems - first));
    load_systems(call.in(0), first, count, n, lambda);
    load_systems(call.in(2), first, count, n, diag);
    load_systems(call.in(4), first, count, n, x);
    // The transposed matrix: its lower diagonal is the upper one shifted down, and the reverse.
    load_systems(call.in(3), first, count, n, lower);
    load_systems(call.in(1), first, count, n, upper);
    for (int64_t i = n - 1; i > 0; --i) store(lower + i * w, load(lower + (i - 1) * w));
    for (int64_t i = 0; i + 1 < n; ++i) store(upper + i * w, load(upper + (i + 1) * w));
    eliminate(lower, diag, upper, lambda, n);
    T* product = lower;  // no longer needed
    for (int output = 0; output < 3; ++output) {
      if (!call.out(output).data) continue;
      const int64_t shift = output == 0 ? -1 : (output == 1 ? 0 : 1);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t j = i + shift;
        store(product + i * w,
              j < 0 || j >= n ? Vec<T>{} : -load(lambda + i * w) * load(x + j * w));
      }
      store_systems(product, first, count, n, call.out(output).as<T>());
    }
    if (call.out(3).data) store_systems(lambda, first, count, n, call.out(3).as<T>());
  });
}

}  // namespace

void k_tridiagonal_solve(const NoParams&, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { solve<typename decltype(tag)::type>(call); });
}

void k_tridiagonal_solve_vjp(const NoParams&, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { solve_vjp<typename decltype(tag)::type>(call); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
