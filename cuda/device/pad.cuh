// pad: out_i = x_source(i), where source(i) = i - before inside of [0, n) and outside depends on the mode; and
// the adjoint, gx_j = sum of g_i over source(i) = j, which gathers: a cell reads its few copies in a fixed
// order. One thread for an element of the output; every element is written once, and read once from memory.
#pragma once

#include "divide.cuh"
#include "reduce.cuh"
#include "strided.cuh"

namespace fluxion::cuda {

enum class Border : int { constant, reflect, replicate, circular };  // as PadMode

// One axis: n elements become `out`.
struct PadSide {
  int64_t n, before, out;

  __device__ __forceinline__ int64_t source(int64_t i, Border border) const {
    const int64_t j = i - before;
    if (j >= 0 && j < n) return j;
    switch (border) {
      case Border::reflect:
        return j < 0 ? -j : 2 * (n - 1) - j;
      case Border::replicate:
        return j < 0 ? 0 : n - 1;
      case Border::circular:
        return j < 0 ? j + n : j - n;
      default:
        return -1;
    }
  }
};

// Slowest axis first; `divide` by the sizes of the side that the launch counts.
struct PadSpace {
  int ndim;
  Border border;
  PadSide side[kMaxAxes];
  Divisor divide[kMaxAxes];
};

template <class W>
__global__ void pad_elements(PadSpace space, int64_t first, uint32_t n, W value, const W* x,
                             W* out) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint32_t rest = i;
  int64_t at = 0, step = 1;
  bool inside = true;
  for (int axis = space.ndim - 1; axis >= 0; --axis) {
    const uint32_t next = axis > 0 ? space.divide[axis].quotient(rest) : 0;
    const int64_t position = axis > 0 ? int64_t{rest - next * space.divide[axis].by} : first + rest;
    const int64_t source = space.side[axis].source(position, space.border);
    inside &= source >= 0;
    at += source * step;
    step *= space.side[axis].n;
    rest = next;
  }
  out[i] = inside ? x[at] : value;
}

// Positions [begin, end) of the output that copy one element.
struct PadCopies {
  int64_t begin[3], end[3];
  int count;

  __device__ PadCopies(const PadSide& s, int64_t j, Border border) : count(0) {
    add(s, j + s.before, j + s.before + 1);
    if (border == Border::reflect) {
      if (j >= 1) add(s, s.before - j, s.before - j + 1);
      const int64_t mirrored = s.before + 2 * (s.n - 1) - j;
      if (j <= s.n - 2) add(s, mirrored, mirrored + 1);
    } else if (border == Border::circular) {
      add(s, j + s.before - s.n, j + s.before - s.n + 1);
      add(s, j + s.before + s.n, j + s.before + s.n + 1);
    } else {
      if (j == 0) add(s, 0, s.before);
      if (j == s.n - 1) add(s, s.before + s.n, s.out);
    }
  }
  __device__ void add(const PadSide& s, int64_t from, int64_t to) {
    begin[count] = from > 0 ? from : 0;
    end[count] = to < s.out ? to : s.out;
    if (begin[count] < end[count]) ++count;
  }
  // The first position, and the one after a position; -1 behind the last.
  __device__ int64_t start() const { return count > 0 ? begin[0] : -1; }
  __device__ int64_t after(int64_t position) const {
    for (int c = 0; c < count; ++c) {
      if (position < begin[c] || position >= end[c]) continue;
      if (position + 1 < end[c]) return position + 1;
      return c + 1 < count ? begin[c + 1] : -1;
    }
    return -1;
  }
};

template <class T>
__global__ void pad_gather(PadSpace space, int64_t first, uint32_t n, const T* g, T* gx) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint32_t rest = i;
  int64_t cell[kMaxAxes], position[kMaxAxes];
  bool any = true;
  for (int axis = space.ndim - 1; axis >= 0; --axis) {
    const uint32_t next = axis > 0 ? space.divide[axis].quotient(rest) : 0;
    cell[axis] = axis > 0 ? int64_t{rest - next * space.divide[axis].by} : first + rest;
    rest = next;
    position[axis] = PadCopies(space.side[axis], cell[axis], space.border).start();
    any &= position[axis] >= 0;
  }
  T sum{};
  while (any) {
    int64_t at = 0;
    for (int axis = 0; axis < space.ndim; ++axis) at = at * space.side[axis].out + position[axis];
    sum = Sum{}(sum, g[at]);
    // The next copy: the last axis moves first.
    int axis = space.ndim - 1;
    for (; axis >= 0; --axis) {
      const PadCopies copies(space.side[axis], cell[axis], space.border);
      position[axis] = copies.after(position[axis]);
      if (position[axis] >= 0) break;
      position[axis] = copies.start();
    }
    any = axis >= 0;
  }
  gx[i] = sum;
}

}  // namespace fluxion::cuda
