// General tridiagonal systems, batched over all axes but the last:
//     lower_i x_{i-1} + diag_i x_i + upper_i x_{i+1} = rhs_i,   indices modulo n when periodic, else
// lower_0 and upper_{n-1} are not read. Thomas elimination without pivoting (stable for diagonally dominant
// systems), one system in each SIMD lane, two vectors at a time to hide the latency of the pivots; a block
// is such a group of systems. Coefficients pass through small transposed pieces, so that broadcast ones
// cost no memory. Up to three systems are solved one by one in scalars.
// Periodic (n > 2): Sherman-Morrison, with gamma = -diag_0 and a second right-hand side in the same sweep.
// Adjoint: A^T lambda = g, whose lower is upper one cell back and whose upper is lower one cell on; then
//     grhs = lambda,  gdiag_i = -lambda_i x_i,  glower_i = -lambda_i x_{i-1},  gupper_i = -lambda_i x_{i+1}
// Memory floor 20 bytes an unknown in float32. Source: Press et al., Numerical Recipes, 2.4 and 2.7.
#include <utility>

#include "cpu/kernel.h"
#include "ops/diffusion.h"

#define FLUXION_KERNELS "cpu/tridiagonal.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/row_lines.h"
#include "cpu/reciprocal.h"
#include "cpu/tridiagonal_sweep.h"

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

// The systems of one vector in an operand: where they begin, and whether at equal distances.
template <class T>
struct Operand {
  const T* base = nullptr;
  int64_t stride = 0;  // between the unknowns of a system
  int64_t offset[kLanes<T>];
  int64_t step = 0;
  bool even = true;
  int count = 0;

  Operand() = default;
  Operand(const TensorView& view, int64_t first, int systems)
      : base(view.as<T>()), stride(view.strides[view.ndim() - 1]), count(systems) {
    if (view.contiguous()) {  // saves the divisions
      step = view.shape[view.ndim() - 1];
      for (int lane = 0; lane < count; ++lane) offset[lane] = (first + lane) * step;
      return;
    }
    for (int lane = 0; lane < count; ++lane) offset[lane] = offset_of(view, first + lane);
    step = count > 1 ? offset[1] - offset[0] : 0;
    for (int lane = 2; lane < count; ++lane) even &= offset[lane] - offset[lane - 1] == step;
  }

  // Unknowns [begin, begin + n); lanes without a system become 0.
  void load_lines(int64_t begin, int64_t n, T* lines, int64_t pitch) const {
    constexpr int w = kLanes<T>;
    if (count == 0) {
      for (int64_t i = 0; i < n; ++i) store(lines + i * pitch, Vec<T>{});
      return;
    }
    const T* from = base + offset[0] + begin * stride;
    if (even && stride == 1) return rows_to_lines(from, step, count, n, lines, pitch);
    if (even && step == 1) {
      for (int64_t i = 0; i < n; ++i)
        store(lines + i * pitch,
              count == w ? load(from + i * stride) : load_partial(from + i * stride, count));
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      for (int lane = 0; lane < w; ++lane)
        lines[i * pitch + lane] = lane < count ? base[offset[lane] + (begin + i) * stride] : T(0);
    }
  }
};

// --- vectors of systems

template <class T, int G>
struct Block {
  static constexpr int w = kLanes<T>, pitch = G * w;
  int64_t first, count, n;  // systems first .. first + count, count <= G * w

  Block(int64_t block, int64_t systems, int64_t length)
      : first(block * pitch), count(std::min<int64_t>(pitch, systems - first)), n(length) {}

  int lanes_of(int g) const {
    return static_cast<int>(std::max<int64_t>(0, std::min<int64_t>(count - g * w, w)));
  }
  // The whole systems of an operand as lines.
  void load_all(const TensorView& view, T* lines) const {
    for (int g = 0; g < G; ++g)
      Operand<T>(view, first + g * w, lanes_of(g)).load_lines(0, n, lines + g * w, pitch);
  }
  void store_all(const T* lines, T* to, bool streams) const {
    for (int g = 0; g < G; ++g) {
      T* rows = to + (first + g * w) * n;
      if (streams) {
        put_rows<T, Put::stream>(lines + g * w, pitch, lanes_of(g), n, rows);
      } else {
        put_rows<T, Put::store>(lines + g * w, pitch, lanes_of(g), n, rows);
      }
    }
  }
};

template <class T>
bool streams_rows(const TensorView& out) {
  const int64_t n = out.shape[out.ndim() - 1];
  return reinterpret_cast<uintptr_t>(out.data) % FLUXION_VECTOR_BYTES == 0 &&
         n * static_cast<int64_t>(sizeof(T)) % FLUXION_VECTOR_BYTES == 0 &&
         out.size() * static_cast<int64_t>(sizeof(T)) > (1 << 20);
}

template <class T, int G>
void solve_block(const Kernel& call, bool periodic, int64_t index, int64_t systems, int thread) {
  using Lane = Vec<T>;
  constexpr int w = kLanes<T>, pitch = G * w;
  const TensorView& out = call.out(0);
  const Block<T, G> block(index, systems, out.shape[out.ndim() - 1]);
  const int64_t n = block.n;
  T* x = call.scratch<T>(thread);
  T *c = x + n * pitch, *q = c + n * pitch;
  T* piece = q + (periodic ? n * pitch : 0);
  const int64_t cells = std::min<int64_t>(n, kTridiagonalPiece);
  const bool whole = periodic && n <= 2;  // the neighbours are one cell: its entries add up
  ThomasSweep<Lane, T, G> sweep(n, periodic && n > 2);
  Operand<T> operands[3][G];
  for (int i = 0; i < 3; ++i)
    for (int g = 0; g < G; ++g)
      operands[i][g] = Operand<T>(call.in(i), block.first + g * w, block.lanes_of(g));
  block.load_all(call.in(3), x);
  for (int64_t begin = 0; begin < n; begin += cells) {
    const int64_t some = std::min(cells, n - begin);
    T* lines[3];
    for (int i = 0; i < 3; ++i) {
      lines[i] = piece + i * cells * pitch;
      for (int g = 0; g < G; ++g) operands[i][g].load_lines(begin, some, lines[i] + g * w, pitch);
    }
    if (whole) merge_neighbours<Lane, T, G>(n, lines[0], lines[1], lines[2]);
    sweep.advance(begin, some, lines[0], lines[1], lines[2], x, c, q);
  }
  sweep.back(x, c, q);
  block.store_all(x, out.as<T>(), streams_rows<T>(out));
}

template <class T, int G>
void vjp_block(const Kernel& call, bool periodic, int64_t index, int64_t systems, int thread) {
  using Lane = Vec<T>;
  constexpr int pitch = G * kLanes<T>;
  const TensorView& g = call.in(0);
  const Block<T, G> block(index, systems, g.shape[g.ndim() - 1]);
  const int64_t n = block.n, size = n * pitch;
  T* lambda = call.scratch<T>(thread);
  T *lower = lambda + size, *diag = lower + size, *upper = diag + size, *x = upper + size;
  T *c = x + size, *q = c + size;
  const TensorView* views[] = {&g, &call.in(1), &call.in(2), &call.in(3), &call.in(4)};
  T* lines[] = {lambda, lower, diag, upper, x};
  for (int i = 0; i < 5; ++i) block.load_all(*views[i], lines[i]);
  solve_transposed<Lane, T, G>(n, periodic, lower, diag, upper, lambda, c, q);
  for (int output = 0; output < 3; ++output) {
    const TensorView& out = call.out(output);
    if (!out.data) continue;
    outer_product<Lane, T, G>(n, output - 1, periodic, lambda, x, c);
    block.store_all(c, out.as<T>(), streams_rows<T>(out));
  }
  const TensorView& out = call.out(3);
  if (out.data) block.store_all(lambda, out.as<T>(), streams_rows<T>(out));
}

// --- one system in scalars

template <class T>
void gather_system(const TensorView& view, int64_t system, int64_t n, T* line) {
  const int64_t stride = view.strides[view.ndim() - 1];
  const T* from = view.as<T>() + offset_of(view, system);
  for (int64_t i = 0; i < n; ++i) line[i] = from[i * stride];
}

template <class T>
void solve_system(const Kernel& call, bool periodic, int64_t system, int thread) {
  const TensorView& out = call.out(0);
  const int64_t n = out.shape[out.ndim() - 1];
  T* scratch = call.scratch<T>(thread);
  T *lower = scratch, *diag = lower + n, *upper = diag + n, *c = upper + n, *q = c + n;
  T* x = out.as<T>() + system * n;
  T* lines[] = {lower, diag, upper, x};
  for (int i = 0; i < 4; ++i) gather_system(call.in(i), system, n, lines[i]);
  if (periodic && n <= 2) merge_neighbours<T, T, 1>(n, lower, diag, upper);
  ThomasSweep<T, T, 1> sweep(n, periodic && n > 2);
  sweep.advance(0, n, lower, diag, upper, x, c, q);
  sweep.back(x, c, q);
}

template <class T>
void vjp_system(const Kernel& call, bool periodic, int64_t system, int thread) {
  const int64_t n = call.in(0).shape[call.in(0).ndim() - 1];
  T* lambda = call.scratch<T>(thread);
  T *lower = lambda + n, *diag = lower + n, *upper = diag + n, *x = upper + n, *c = x + n;
  T* q = c + n;
  T* lines[] = {lambda, lower, diag, upper, x};
  for (int i = 0; i < 5; ++i) gather_system(call.in(i), system, n, lines[i]);
  solve_transposed<T, T, 1>(n, periodic, lower, diag, upper, lambda, c, q);
  for (int output = 0; output < 3; ++output) {
    T* to = call.out(output).as<T>();
    if (to) outer_product<T, T, 1>(n, output - 1, periodic, lambda, x, to + system * n);
  }
  T* to = call.out(3).as<T>();
  if (to) std::memcpy(to + system * n, lambda, static_cast<size_t>(n) * sizeof(T));
}

template <class T>
void solve(const Kernel& call, bool periodic) {
  const TensorView& out = call.out(0);
  const int64_t n = out.shape[out.ndim() - 1], systems = n ? out.size() / n : 0;
  if (systems <= kFewSystems) {
    call.parallel_for(systems, [&](int64_t system, int thread) {
      solve_system<T>(call, periodic, system, thread);
    });
    return;
  }
  const int64_t lanes = kTridiagonalVectors * kLanes<T>;
  call.parallel_for(blocks_of(systems, lanes), [&](int64_t block, int thread) {
    solve_block<T, kTridiagonalVectors>(call, periodic, block, systems, thread);
    stream_fence();
  });
}

template <class T>
void solve_vjp(const Kernel& call, bool periodic) {
  const TensorView& g = call.in(0);
  const int64_t n = g.shape[g.ndim() - 1], systems = n ? g.size() / n : 0;
  if (systems <= kFewSystems) {
    call.parallel_for(systems, [&](int64_t system, int thread) {
      vjp_system<T>(call, periodic, system, thread);
    });
    return;
  }
  const int64_t lanes = kTridiagonalVectors * kLanes<T>;
  call.parallel_for(blocks_of(systems, lanes), [&](int64_t block, int thread) {
    vjp_block<T, kTridiagonalVectors>(call, periodic, block, systems, thread);
    stream_fence();
  });
}

}  // namespace

void k_tridiagonal_solve(const TridiagonalParams& p, const Kernel& call) {
  dispatch_floating(call.out(0).dtype,
                    [&](auto tag) { solve<typename decltype(tag)::type>(call, p.periodic); });
}

void k_tridiagonal_solve_vjp(const TridiagonalParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { solve_vjp<typename decltype(tag)::type>(call, p.periodic); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
