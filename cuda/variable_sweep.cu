// One solve of variable diffusion along an axis, for all lines: a warp owns 32 lines, one in each lane, and is
// a block (device/variable_line.cuh). Factors are computed on the way and stay in shared memory with the
// forward sweep where they fit, else in scratch memory.
// Bytes moved in float32: 12 a cell and direction (k, from, to), 4 more when reflecting.
#include "variable_diffusion.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct LineSweep {
  VariableFields fields;
  FaceRule<T> rule;
  const T *k, *from;
  T *to, *solution;
  T* storage;  // null: in shared memory
  int64_t n, stride, lines;
  bool reflect;
};

template <class T>
__global__ void __launch_bounds__(kWarp) sweep_lines(LineSweep<T> p) {
  SharedMemory memory;
  const int lane = static_cast<int>(threadIdx.x);
  T* first = memory.take<T>(kPieceCells).data();
  T* second = memory.take<T>(kPieceCells).data();
  const int64_t all = (p.rule.ends == 2 ? 3 : 2) * p.n * kWarp;
  T* at = p.storage ? p.storage + blockIdx.x * all : memory.take<T>(static_cast<int>(all)).data();
  const int64_t line = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  const bool present = line < p.lines;
  const int64_t per_volume = p.fields.cells / p.n;
  const int64_t volume = present ? line / per_volume : 0;
  const int64_t in_volume = present ? line - volume * per_volume : 0;
  const int64_t outer = in_volume / p.stride;
  const int64_t start = outer * p.n * p.stride + (in_volume - outer * p.stride);
  const int64_t offset = volume * p.fields.cells + start;
  const int64_t k_offset = p.fields.k_volume(volume) * p.fields.cells + start;
  VariableElimination<T> elimination(LineRemains<T>{at, p.n, lane}, p.rule);
  for (int64_t begin = 0; begin < p.n; begin += kPiece) {
    fetch_piece<T>({p.k, k_offset, p.stride}, present, begin, 0, p.n, T(0), first);
    fetch_piece<T>({p.from, offset, p.stride}, present, begin, 0, p.n, T(0), second);
    for (int i = 0; i < kPiece && begin + i < p.n; ++i)
      elimination.add(begin + i, first[i * kPiecePitch + lane], second[i * kPiecePitch + lane]);
    __syncwarp();
  }
  elimination.back();
  for (int64_t begin = 0; begin < p.n; begin += kPiece) {
    if (p.reflect && p.to)
      fetch_piece<T>({p.from, offset, p.stride}, present, begin, 0, p.n, T(0), second);
    for (int i = 0; i < kPiece && begin + i < p.n; ++i) {
      const int cell = i * kPiecePitch + lane;
      const T x = elimination.solution(begin + i);
      first[cell] = x;
      second[cell] = p.reflect ? x + x - second[cell] : x;
    }
    if (p.solution) put_piece<T>({p.solution, offset, p.stride}, present, begin, p.n, first);
    if (p.to) put_piece<T>({p.to, offset, p.stride}, present, begin, p.n, second);
    __syncwarp();
  }
}

}  // namespace

template <class T>
void variable_sweep(const VariableBatch<T>& b, int i, const T* from, T* to, bool reflect,
                    T* solution) {
  const int axis = b.sweeps.at[i].axis;
  const VariableFields& fields = b.fields;
  const int64_t n = fields.extent[axis], lines = fields.size() / n;
  LineSweep<T> p{fields,
                 b.rule(i, b.crank() ? 0.5 : 1.0),
                 b.k,
                 from,
                 to,
                 solution,
                 nullptr,
                 n,
                 fields.stride(axis),
                 lines,
                 reflect};
  const int64_t blocks = blocks_of(lines, kWarp);
  const int64_t all = (b.p.boundary == Boundary::periodic ? 3 : 2) * n * kWarp;
  size_t shared = 2 * shared_bytes<T>(kPieceCells);
  if (shared + shared_bytes<T>(all) <= b.call.shared_limit()) {
    shared += shared_bytes<T>(all);
  } else {
    p.storage = b.call.template scratch<T>(blocks * all);
    if (!p.storage) return;
  }
  b.call.launch(sweep_lines<T>, {blocks, kWarp, shared}, p);
}

template void variable_sweep<float>(const VariableBatch<float>&, int, const float*, float*, bool,
                                    float*);
template void variable_sweep<double>(const VariableBatch<double>&, int, const double*, double*,
                                     bool, double*);

}  // namespace fluxion::cuda
