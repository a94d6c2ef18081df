// Solves (I - r D) x = b along lines, D the 3-point second difference with a boundary, constant r.
// Thomas elimination with factors from float64:
//     m_0 = 1 / b_0,   m_i = 1 / (b_i - r^2 m_{i-1}),   b_i the diagonal
//     forward   e_i = b_i + (r m_{i-1}) e_{i-1}
//     backward  v_i = e_i + (r m_{i+1}) v_{i+1},   y_i = m_i v_i
// Periodic lines: Sherman-Morrison, x = y - (y_0 + w y_{n-1}) z with the precomputed z.
// The pivot is q_i + r with q_{i+1} = 1 + r q_i / (q_i + r): nothing cancels, however large r is, and as a
// fraction of linear functions it can be had for any i by a power of a 2 x 2 matrix of positive numbers, so
// that a thread per cell finds its own.
// Source: Press et al., Numerical Recipes, 2.4 and 2.7.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

enum class Wall : int { neumann, dirichlet, periodic };

// Of one line of n cells: m, r m, z and then w, each in a row.
template <class T>
struct LineTable {
  const T* m;
  const T* rm;
  const T* z;
  T w;
  bool cyclic;

  __device__ static LineTable at(const T* table, int n, Wall wall) {
    return {table, table + n, table + 2 * n, table[3 * n], wall == Wall::periodic && n > 2};
  }
};
__host__ __device__ constexpr int64_t line_table_size(int64_t n) { return 3 * n + 1; }

// r q / (q + r) of cell i, from that of cell 0: c -> (r c + r) / (c + 1 + r), i times.
__device__ inline double carried_to(double first, double r, int i) {
  double a = r, b = r, c = 1, d = 1 + r;         // the matrix, squared on the way
  double top = first, bottom = 1;
  for (int rest = i; rest > 0; rest >>= 1) {
    if (rest & 1) {
      const double next = a * top + b * bottom;
      bottom = c * top + d * bottom;
      top = next / bottom;
      bottom = 1;
    }
    const double scale = 1 / (d > a ? d : a);
    const double aa = a * a + b * c, bb = b * (a + d), cc = c * (a + d), dd = b * c + d * d;
    a = aa * scale * scale, b = bb * scale * scale, c = cc * scale * scale, d = dd * scale * scale;
  }
  return top / bottom;
}

// Fills m, rm and z of a line by the threads of a block; all arrays have n elements.
template <class Line>
__device__ inline void factor_line(double r, int n, Wall wall, const Line& m, const Line& rm,
                                   const Line& z) {
  const bool cyclic = wall == Wall::periodic && n > 2;
  if (wall == Wall::periodic && n == 2) r *= 2;  // both neighbours are the same cell
  const double middle = 1 + 2 * r, beyond = wall == Wall::dirichlet ? r : 0;
  const double at_first = cyclic ? 1 + 3 * r : beyond;
  const double at_last = cyclic ? r + r * r / middle : beyond;
  const double q_first = 1 + at_first, first = r * q_first / (q_first + r);
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const double carried = i == 0 ? 0 : carried_to(first, r, i - 1);
    const double q = 1 + (i == 0 ? at_first : 0) + (i == n - 1 ? at_last : 0) + carried;
    const double pivot = q + (i == n - 1 ? 0 : r);
    m[i] = 1 / pivot;
    rm[i] = r / pivot;
    z[i] = 0;
  }
  __syncthreads();
  if (!cyclic || threadIdx.x != 0) return;
  // z = q / (1 + v.q) with T q = (gamma, 0, ..., 0, -r), gamma = -middle, and v = (1, 0, ..., 0, r / middle).
  double last = m[0] * -middle;
  z[0] = last;
  for (int i = 1; i < n; ++i) {
    last = m[i] * (i == n - 1 ? -r : 0.0) + rm[i] * last;
    z[i] = last;
  }
  for (int i = n - 2; i >= 0; --i) {
    last = z[i] + rm[i] * last;
    z[i] = last;
  }
  const double scale = 1 / (1 + z[0] + r / middle * z[n - 1]);
  for (int i = 0; i < n; ++i) {
    const double value = z[i] * scale;
    z[i] = value > 1e-30 || value < -1e-30 ? value : 0.0;  // subnormal numbers are of no use
  }
}

// Solves the line of n cells `step` apart from `at` on, in place.
template <class T, class Field>
__device__ __forceinline__ void solve_line(const Field& x, int at, int step, int n,
                                           const LineTable<T>& f) {
  constexpr int kAhead = 4;  // values and factors are asked for this far before their turn
  T carry = T(0);
  for (int i = 0; i < n; i += kAhead) {
    T value[kAhead] = {}, factor[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      if (i + j < n) value[j] = x[at + (i + j) * step];
      factor[j] = i + j > 0 && i + j < n ? f.rm[i + j - 1] : T(0);
    }
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      if (i + j < n) {
        carry = factor[j] * carry + value[j];
        x[at + (i + j) * step] = carry;
      }
    }
  }
  carry = T(0);
  for (int i = n - 1; i >= 0; i -= kAhead) {
    T value[kAhead] = {}, inverse[kAhead] = {}, factor[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      if (i - j >= 0) value[j] = x[at + (i - j) * step], inverse[j] = f.m[i - j];
      factor[j] = i - j >= 0 && i - j < n - 1 ? f.rm[i - j + 1] : T(0);
    }
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      if (i - j >= 0) {
        carry = factor[j] * carry + value[j];
        x[at + (i - j) * step] = inverse[j] * carry;
      }
    }
  }
  if (!f.cyclic) return;
  const T shift = x[at] + f.w * x[at + (n - 1) * step];
  for (int i = 0; i < n; ++i) x[at + i * step] -= shift * f.z[i];
}

}  // namespace fluxion::cuda
