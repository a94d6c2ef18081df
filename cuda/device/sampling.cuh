// Where samples look: the taps of a point along each axis with their weights and the slopes of the weights,
// and interpolation with them.
//
// A position is a whole cell plus a fraction f in [0, 1). The taps of one axis are
//     nearest  1: the rounded position           weight 1
//     linear   2: cell, cell + 1                 1 - f, f
//     cubic    4: cell - 1 .. cell + 2           Keys' kernel with a = -0.75
// and the weight of a cell is the product over the axes. The boundary maps each tap into the domain ('zeros'
// drops it). The cell of a displaced point is counted from the point in whole numbers, so the fraction keeps
// the precision of the displacement, and whole displacements are exact.
// Source: Keys, IEEE Trans. ASSP 29(6), 1981; conventions of torch.nn.functional.grid_sample.
#pragma once

#include "divide.cuh"

namespace fluxion::cuda {

// mirror: about the centres of the end cells (align_corners), reflect: at the outer faces.
enum class Padding : int { zeros, border, reflect, periodic, mirror };

// What is read where. Axes are numbered from the fastest: 0 is x.
template <class T>
struct Sampling {
  int axes;
  int taps;  // of an axis: 1, 2 or 4
  Padding padding;
  bool grid, align_corners;  // positions are a grid in [-1, 1], else displacements in cells
  int64_t batch, channels;
  int in[3], out[3], cells, points;
  Divisor by_x, by_y;  // of the points
  const T* positions;
  int64_t position_batch_stride, position_channel_stride;
  const T* image;    // [batch, channels, cells], read at the positions
  const T* carried;  // [batch, channels, points], added at the positions
  T* gathered;       // [batch, channels, points]
  T* scattered;      // [batch, channels, cells]
  T* position_gradient;

  __host__ __device__ const T* positions_of(int64_t field, int64_t channel) const {
    return positions + field * position_batch_stride + channel * position_channel_stride;
  }
};

template <class T, int K, int AXES, bool SLOPES>
struct Taps {
  int at[AXES][K];  // offsets in elements
  T weight[AXES][K];
  T slope[SLOPES ? AXES : 1][SLOPES ? K : 1];
};

__device__ __forceinline__ float round_down(float x) { return floorf(x); }
__device__ __forceinline__ double round_down(double x) { return floor(x); }
__device__ __forceinline__ float round_even(float x) { return rintf(x); }
__device__ __forceinline__ double round_even(double x) { return rint(x); }

// i - n floor(i / n) for whole i; within rounding of [0, n) for any finite i.
template <class T>
__device__ __forceinline__ T wrap(T i, T n) {
  const T r = i - n * round_down(i * (T(1) / n));
  const T raised = r < T(0) ? r + n : r;
  return raised >= n ? raised - n : raised;
}

// Into [0, n - 1]; NaN becomes 0.
template <class T>
__device__ __forceinline__ T clip(T i, T n) {
  const T low = i > T(0) ? i : T(0);
  return low < n - T(1) ? low : n - T(1);
}

template <class T>
__device__ __forceinline__ T into_domain(T i, T n, Padding padding) {
  if (padding == Padding::periodic) i = wrap(i, n);
  if (padding == Padding::reflect) {
    i = wrap(i, 2 * n);
    i = i < n ? i : 2 * n - 1 - i;
  }
  if (padding == Padding::mirror && n > 1) {
    i = wrap(i, 2 * n - 2);
    i = i < n ? i : 2 * n - 2 - i;
  }
  return clip(i, n);
}

// The kernel with a = -3/4 and its derivative at distances 1 + f, f, 1 - f, 2 - f.
template <class T>
__device__ __forceinline__ void keys(T f, T (&weight)[4], T (&slope)[4]) {
  constexpr T a = T(-0.75);
  const T distance[4] = {T(1) + f, f, T(1) - f, T(2) - f};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const T x = distance[k];
    const T sign = k < 2 ? T(1) : T(-1);
    if (k == 1 || k == 2) {
      weight[k] = ((a + 2) * x - (a + 3)) * x * x + T(1);
      slope[k] = sign * ((3 * (a + 2) * x - 2 * (a + 3)) * x);
    } else {
      weight[k] = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
      slope[k] = sign * ((3 * a * x - 10 * a) * x + 8 * a);
    }
  }
}

// As PyTorch: the position is mapped into the domain before it is rounded, ties to even.
template <class T>
__device__ __forceinline__ T nearest_cell(T position, T n, Padding padding) {
  if (padding == Padding::reflect) {
    const T from_face = wrap(position + T(0.5), 2 * n);
    position = (from_face < n ? from_face : 2 * n - from_face) - T(0.5);
  }
  if (padding == Padding::mirror && n > 1) {
    position = wrap(position, 2 * n - 2);
    position = position < n - 1 ? position : 2 * n - 2 - position;
  }
  if (padding == Padding::zeros) {  // what is far outside stays outside
    position = position > T(-2) ? position : T(-2);
    position = position < n + 1 ? position : n + 1;
  } else {
    position = clip(position, n);
  }
  return round_even(position);
}

// Which of the two derivatives at a whole position is PyTorch's, on a grid: the end centres count as outside
// (the result), and where the image is mirrored the derivative is the one from the left.
template <class T>
__device__ __forceinline__ bool one_sided(const Sampling<T>& s, T n, T& cell, T& fraction) {
  if (!s.grid || s.padding == Padding::zeros) return false;
  const T mapped = into_domain(cell, n, s.padding);
  const bool whole = fraction == T(0);
  if (whole && into_domain(cell + T(1), n, s.padding) < mapped) {
    cell -= T(1);
    fraction = T(1);
  }
  return whole && (mapped == T(0) || mapped == n - 1);
}

// The taps of one axis of n cells, `step` elements apart.
template <class T, int K, int AXES, bool SLOPES>
__device__ __forceinline__ void axis_taps(const Sampling<T>& s, int axis, int step, T cell,
                                          T fraction, Taps<T, K, AXES, SLOPES>& taps) {
  const T n = static_cast<T>(s.in[axis]);
  if constexpr (K == 2) {
    // Inside the domain no boundary has a say. (On a grid the end cells do: see one_sided.)
    const T margin = s.grid ? T(1) : T(0);
    if (cell >= margin && cell <= n - 2 - margin) {
      taps.at[axis][0] = static_cast<int>(cell) * step;
      taps.at[axis][1] = taps.at[axis][0] + step;
      taps.weight[axis][0] = T(1) - fraction;
      taps.weight[axis][1] = fraction;
      if constexpr (SLOPES) taps.slope[axis][0] = T(-1), taps.slope[axis][1] = T(1);
      return;
    }
  }
  bool kink = false;
  if constexpr (SLOPES && K == 2) kink = one_sided(s, n, cell, fraction);
  T weight[4] = {T(1) - fraction, fraction}, slope[4] = {T(-1), T(1)};
  if constexpr (K == 4) keys(fraction, weight, slope);
  if constexpr (K == 1) {
    cell = nearest_cell(cell + fraction, n, s.padding);
    weight[0] = T(1);
  }
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const T i = K == 4 ? cell + T(k - 1) : cell + T(k);
    const T mapped = into_domain(i, n, s.padding);
    if (s.padding == Padding::zeros) {
      const T inside = mapped == i ? T(1) : T(0);
      weight[k] *= inside;  // NaN stays NaN
      slope[k] *= inside;
    } else if (SLOPES && K == 2 && kink) {
      slope[k] = T(0);
    }
    taps.at[axis][k] = static_cast<int>(mapped) * step;
    taps.weight[axis][k] = weight[k];
    if constexpr (SLOPES) taps.slope[axis][k] = slope[k];
  }
}

// The taps of point p.
template <class T, int K, int AXES, bool SLOPES>
__device__ __forceinline__ void find_taps(const Sampling<T>& s, const T* positions, int p,
                                          Taps<T, K, AXES, SLOPES>& taps) {
  int at[3] = {p, 0, 0};
  if (!s.grid) {
    at[1] = s.by_x.split(at[0]);
    if constexpr (AXES == 3) at[2] = s.by_y.split(at[1]);
  }
  int step = 1;
#pragma unroll
  for (int axis = 0; axis < AXES; ++axis) {
    T cell, fraction;
    if (s.grid) {
      const T given = positions[static_cast<int64_t>(p) * AXES + axis];
      const T n = static_cast<T>(s.in[axis]);
      const T g = (given == given ? given : T(-1)) + T(1);  // PyTorch reads NaN as -1
      const T x = s.align_corners ? g * ((n - 1) / 2) : g * (n / 2) - T(0.5);
      cell = round_down(x);
      fraction = x - cell;
    } else {
      const T d = positions[static_cast<int64_t>(axis) * s.points + p];
      const T whole = round_down(d);
      fraction = d - whole;
      cell = whole + static_cast<T>(at[axis]);
    }
    axis_taps<T, K, AXES, SLOPES>(s, axis, step, cell, fraction, taps);
    step *= s.in[axis];
  }
}

// Value of the interpolant, and with SLOPES its derivatives along the axes.
template <class T, int K, int AXES, bool SLOPES, class Field>
__device__ __forceinline__ T interpolate(const Taps<T, K, AXES, SLOPES>& taps, const Field& image,
                                         int base, T (&slope)[3]) {
  T value = T(0);
  if constexpr (SLOPES) slope[0] = slope[1] = slope[2] = T(0);
#pragma unroll
  for (int kz = 0; kz < (AXES == 3 ? K : 1); ++kz) {
    T plane = T(0), plane_dx = T(0), plane_dy = T(0);
#pragma unroll
    for (int ky = 0; ky < K; ++ky) {
      int at = base + taps.at[1][ky];
      if constexpr (AXES == 3) at += taps.at[2][kz];
      T row = T(0), row_dx = T(0);
#pragma unroll
      for (int kx = 0; kx < K; ++kx) {
        const T u = image[at + taps.at[0][kx]];
        row += taps.weight[0][kx] * u;
        if constexpr (SLOPES) row_dx += taps.slope[0][kx] * u;
      }
      plane += taps.weight[1][ky] * row;
      if constexpr (SLOPES) {
        plane_dx += taps.weight[1][ky] * row_dx;
        plane_dy += taps.slope[1][ky] * row;
      }
    }
    if constexpr (AXES == 2) {
      value = plane;
      if constexpr (SLOPES) slope[0] = plane_dx, slope[1] = plane_dy;
    } else {
      value += taps.weight[2][kz] * plane;
      if constexpr (SLOPES) {
        slope[0] += taps.weight[2][kz] * plane_dx;
        slope[1] += taps.weight[2][kz] * plane_dy;
        slope[2] += taps.slope[2][kz] * plane;
      }
    }
  }
  return value;
}

// Adds w J of a point to the cells of its taps.
template <class T, int K, int AXES, bool SLOPES, class Sink>
__device__ __forceinline__ void push(const Taps<T, K, AXES, SLOPES>& taps, T carried,
                                     const Sink& sink) {
#pragma unroll
  for (int kz = 0; kz < (AXES == 3 ? K : 1); ++kz) {
    T slab = carried;
    if constexpr (AXES == 3) slab *= taps.weight[2][kz];
#pragma unroll
    for (int ky = 0; ky < K; ++ky) {
      const T row = taps.weight[1][ky] * slab;
      int at = taps.at[1][ky];
      if constexpr (AXES == 3) at += taps.at[2][kz];
#pragma unroll
      for (int kx = 0; kx < K; ++kx) sink.add(at + taps.at[0][kx], taps.weight[0][kx] * row);
    }
  }
}

// The gradient of the position of point p, in the units of the positions, to where its field begins.
template <class T, int AXES>
__device__ __forceinline__ void put_slopes(const Sampling<T>& s, T* to, int p,
                                           const T (&slope)[3]) {
#pragma unroll
  for (int axis = 0; axis < AXES; ++axis) {
    if (s.grid) {
      const T n = static_cast<T>(s.in[axis]);
      to[static_cast<int64_t>(p) * AXES + axis] = slope[axis] * ((s.align_corners ? n - 1 : n) / 2);
    } else {
      to[static_cast<int64_t>(axis) * s.points + p] = slope[axis];
    }
  }
}

}  // namespace fluxion::cuda
