// General tridiagonal systems, batched over all axes but the last:
//     lower_i x_{i-1} + diag_i x_i + upper_i x_{i+1} = rhs_i,   indices modulo n when periodic
// Thomas elimination without pivoting, one system in each lane; a warp owns 32 systems and is a block. Operands
// are strided views, broadcast ones cost no memory: they pass through small turned pieces. What the
// elimination leaves stays in shared memory where it fits, else in scratch memory. Periodic (n > 2):
// Sherman-Morrison with gamma = -diag_0 and a second right-hand side in the same sweep.
// Adjoint: A^T lambda = g, whose lower is upper one cell back and whose upper is lower one cell on; then
//     grhs = lambda,  gdiag_i = -lambda_i x_i,  glower_i = -lambda_i x_{i-1},  gupper_i = -lambda_i x_{i+1}
// Bytes moved in float32: 20 an unknown, the floor; 36 where shared memory does not hold 32 systems.
// Source: Press et al., Numerical Recipes, 2.4 and 2.7.
#include "device/line_pieces.cuh"
#include "kernel.h"
#include "ops/diffusion.h"
#include "strided_space.h"

namespace fluxion::cuda {
namespace {

enum Role : int { kLower, kDiag, kUpper, kRight, kSolution, kRoles };

template <class T>
struct Systems {
  StridedSpace<kRoles> space;  // of all axes but the last
  const T* base[kRoles];
  int64_t stride[kRoles];
  int shift[kRoles];
  T* out[4];   // gradients of lower, diag, upper, rhs; the solution is the last
  T* storage;  // null: in shared memory
  int64_t n, count;
  bool periodic;
};

template <class T>
struct Row {
  T lower, diag, upper, right;
};

// A ring of one or two cells is an open system whose entries that meet the same cell add up.
template <class T>
__device__ __forceinline__ void merge_neighbours(int64_t n, int64_t i, Row<T>& row) {
  if (n == 1) row.diag += row.lower + row.upper;
  if (n == 2 && i == 0) row.upper += row.lower;
  if (n == 2 && i == 1) row.lower += row.upper;
}

// Sherman-Morrison: A = M + (gamma, 0 .. 0, beta)^T (1, 0 .. 0, alpha / gamma), alpha = lower_0,
// beta = upper_{n-1}; q solves M q = (gamma, 0 .. 0, beta).
template <class T>
class Elimination {
 public:
  __device__ Elimination(const LineRemains<T>& to, bool periodic)
      : to_(to), periodic_(periodic), ring_(periodic && to.n > 2) {}

  __device__ __forceinline__ void add(int64_t i, Row<T> row) {
    const bool first = i == 0, last = i + 1 == to_.n;
    if (periodic_ && to_.n <= 2) merge_neighbours(to_.n, i, row);
    T right = 0;
    if (ring_ && first) {
      right = -row.diag;
      ratio_ = row.lower / right;
      row.diag -= right;
    } else if (ring_ && last) {
      right = row.upper;
      row.diag -= row.upper * ratio_;
    }
    if (first) row.lower = 0;
    if (last) row.upper = 0;
    const T m = T(1) / (row.diag - row.lower * c_);
    c_ = row.upper * m;
    d_ = (row.right - row.lower * d_) * m;
    to_.c(i) = c_;
    to_.d(i) = d_;
    if (!ring_) return;
    q_ = (right - row.lower * q_) * m;
    to_.q(i) = q_;
  }

  // d becomes the solution.
  __device__ void back() {
    T d = 0, q = 0;
    for (int64_t i = to_.n - 1; i >= 0; --i) {
      const T c = to_.c(i);
      d = to_.d(i) - c * d;
      to_.d(i) = d;
      if (!ring_) continue;
      q = to_.q(i) - c * q;
      to_.q(i) = q;
    }
    if (ring_)
      share_ = (d + ratio_ * to_.d(to_.n - 1)) / (T(1) + q + ratio_ * to_.q(to_.n - 1));
  }

  __device__ __forceinline__ T solution(int64_t i) const {
    return ring_ ? to_.d(i) - share_ * to_.q(i) : to_.d(i);
  }

 private:
  LineRemains<T> to_;
  bool periodic_, ring_;
  T c_ = 0, d_ = 0, q_ = 0, ratio_ = 0, share_ = 0;
};

template <class T, bool kAdjoint>
__global__ void __launch_bounds__(kWarp) solve_systems(Systems<T> p) {
  SharedMemory memory;
  const int lane = static_cast<int>(threadIdx.x);
  T* pieces[4];
  for (T*& piece : pieces) piece = memory.take<T>(kPieceCells).data();
  const int64_t arrays = p.periodic && p.n > 2 ? 3 : 2, all = arrays * p.n * kWarp;
  T* at = p.storage ? p.storage + blockIdx.x * all : memory.take<T>(static_cast<int>(all)).data();
  const int64_t system = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  const bool present = system < p.count;
  int64_t offset[kRoles];
  offsets_of(p.space, present ? system : 0, offset);
  const LineRemains<T> remains{at, p.n, lane};
  Elimination<T> elimination(remains, p.periodic);
  for (int64_t begin = 0; begin < p.n; begin += kPiece) {
    for (int r = 0; r < 4; ++r)
      fetch_piece<T>({p.base[r], offset[r], p.stride[r]}, present, begin, p.shift[r], p.n,
                     r == kDiag ? T(1) : T(0), pieces[r]);
    for (int i = 0; i < kPiece && begin + i < p.n; ++i) {
      const int cell = i * kPiecePitch + lane;
      elimination.add(begin + i, {pieces[kLower][cell], pieces[kDiag][cell], pieces[kUpper][cell],
                                  pieces[kRight][cell]});
    }
    __syncwarp();
  }
  elimination.back();
  for (int64_t begin = 0; begin < p.n; begin += kPiece) {
    for (int output = kAdjoint ? 0 : 3; output < 4; ++output) {
      T* to = p.out[output];
      if (!to) continue;
      if (output < 3)
        fetch_piece<T>({p.base[kSolution], offset[kSolution], p.stride[kSolution]}, present, begin,
                       output - 1, p.n, T(0), pieces[0]);
      for (int i = 0; i < kPiece && begin + i < p.n; ++i) {
        const int64_t at_x = begin + i + output - 1;
        const T x = elimination.solution(begin + i);
        const bool beyond = !p.periodic && (at_x < 0 || at_x >= p.n);
        T& cell = pieces[0][i * kPiecePitch + lane];
        cell = output == 3 ? x : beyond ? T(0) : -x * cell;
      }
      put_piece<T>({to, system * p.n, 1}, present, begin, p.n, pieces[0]);
    }
  }
}

template <class T, bool kAdjoint>
void solve(const Kernel& call, bool periodic, const TensorView* const (&views)[kRoles]) {
  Systems<T> p{};
  const TensorView& right = *views[kRight];
  const int axes = right.ndim() - 1;
  p.n = right.shape[axes];
  p.count = p.n ? right.size() / p.n : 0;
  if (p.count == 0) return;
  p.periodic = periodic;
  TensorView outer[kRoles];
  for (int r = 0; r < kRoles; ++r) {
    outer[r] = *views[r];
    p.base[r] = views[r]->as<T>();
    p.stride[r] = views[r]->strides[axes];
    outer[r].shape.ndim = outer[r].strides.ndim = axes;
  }
  if (kAdjoint) p.shift[kLower] = -1, p.shift[kUpper] = 1;
  p.space = strided_space<kRoles>(outer[0].shape,
                                  {&outer[0], &outer[1], &outer[2], &outer[3], &outer[4]});
  for (int i = 0; i < 4; ++i) {
    if (kAdjoint || i == 3) p.out[i] = call.out(kAdjoint ? i : 0).as<T>();
  }
  const int64_t blocks = blocks_of(p.count, kWarp);
  const int64_t all = (periodic && p.n > 2 ? 3 : 2) * p.n * kWarp;
  size_t shared = 4 * shared_bytes<T>(kPieceCells);
  if (shared + shared_bytes<T>(all) <= call.shared_limit()) {
    shared += shared_bytes<T>(all);
  } else {
    p.storage = call.scratch<T>(blocks * all);
    if (!p.storage) return;
  }
  call.launch(solve_systems<T, kAdjoint>, {blocks, kWarp, shared}, p);
}

}  // namespace

void k_tridiagonal_solve(const TridiagonalParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const TensorView* views[kRoles] = {&call.in(0), &call.in(1), &call.in(2), &call.in(3),
                                       &call.in(3)};
    solve<T, false>(call, params.periodic, views);
  });
}

void k_tridiagonal_solve_vjp(const TridiagonalParams& params, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const TensorView* views[kRoles] = {&call.in(3), &call.in(2), &call.in(1), &call.in(0),
                                       &call.in(4)};
    solve<T, true>(call, params.periodic, views);
  });
}

}  // namespace fluxion::cuda
