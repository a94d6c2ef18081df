// Half spectra of real planes in shared memory. Rows are analysed in pairs as in line_basis.cuh (periodic), which
// leaves 2 Re A_k in column k and 2 Im A_k in column W - k (once, where a mode is its own mirror: k = 0 and W / 2).
// Columns k and W - k are then one complex line, whose transform is 2 X(k, ky); columns 0 and W / 2, both real
// lines, share the first one: Z = X(0, ky) + i X(W/2, ky).
#pragma once

#include "spectral_box.cuh"

namespace fluxion::cuda {

__host__ __device__ __forceinline__ int column_lines(int width) { return (width + 1) / 2; }

// Calls f(line in shared memory, columns of the box, k); f meets the group.
template <class T, class F>
__device__ __forceinline__ void for_columns(const SpectralBox<T>& s, const Shared<T>& box,
                                            const Shared<Point<T>>& staging, const F& f) {
  const FftPlan<T>& plan = s.basis[1].fft;
  const BoxGroup group(plan.group);
  const int lines = column_lines(s.width);
  for (int first = 0; first < lines; first += group.groups) {
    const int k = first + group.own;
    const bool active = k < lines;
    const int mirror = k == 0 ? s.width / 2 : s.width - k;
    const bool has_b = active && (k > 0 || (s.width % 2 == 0));
    const FftLine<T> line{staging, group.own * plan.pitch, group.lane, active};
    f(line, LinePair<T>{box, active ? k : 0, has_b ? mirror : 0, s.pitch, has_b}, k);
  }
}

// The two real lines behind Z_k and Z_(n-k): their bins k.
template <class T>
struct SplitPair {
  Point<T> a, b;
};
template <class T>
__device__ __forceinline__ SplitPair<T> split_pair(Point<T> z, Point<T> mirror) {
  const Point<T> m = conjugate(mirror);
  return {T(0.5) * (z + m), T(0.5) * turned(z - m)};
}

// Bins of the whole spectrum that one of column k stands for.
template <class T>
__device__ __forceinline__ T column_weight(int width, int k) {
  return k == 0 || 2 * k == width ? T(1) : T(2);
}

}  // namespace fluxion::cuda
