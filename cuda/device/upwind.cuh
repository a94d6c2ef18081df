// Upwind advection at one cell: the grid with its boundaries, the velocity, limited slopes, and the transport
// along an axis. Fields are anything with operator[]: shared or global memory.
//
// Outside the domain stand: of u the edge cell (Neumann) or 0 (Dirichlet); of the velocity minus that of the
// edge cell, so that the velocity of a wall face, the mean of both, is 0; of the cotangent the edge cell, or
// 0 where what flows in through the wall depends on no cell (Dirichlet, advective). With these the adjoint
// has no special case either. Periodic boundaries wrap all three.
#pragma once

#include "divide.cuh"

namespace fluxion::cuda {

enum class Reconstruction : int { first_order, unlimited, minmod, van_leer, superbee };
enum class Ghost : int { edge, zero, wrap };

template <class T>
struct UpwindGrid {
  int dims;
  int n[3];          // cells along x, y, z
  int step[3];       // between neighbours in a plane of global memory
  int pitch[3];      // and in one of shared memory
  int cells, rows;
  Divisor by_width, by_height;
  T courant[3];      // time step over spacing
  Ghost field, cotangent;
  bool periodic, conservative;
};

// A velocity component k stands at data + k * cells, or is one number.
template <class T>
struct Flow {
  const T* data;
  int64_t cells;
  bool constant;
  __device__ __forceinline__ T at(int k, int64_t cell) const {
    return constant ? data[k] : data[k * cells + cell];
  }
};

// Which planes a velocity field moves: its group has `members`, as VelocityGroups says on the host.
struct PlaneGroups {
  int64_t groups, members;
  int64_t group_step, member_step;  // in planes
  int64_t channels;
  bool per_batch, per_channel;

  __device__ __forceinline__ int64_t plane(int64_t group, int64_t m) const {
    return group * group_step + m * member_step;
  }
  __device__ __forceinline__ int64_t group_of(int64_t plane) const {
    const Split at = split(plane, channels);
    return (per_batch ? at.whole : 0) * (per_channel ? channels : 1) + (per_channel ? at.rest : 0);
  }
};

// A cell: its number in the plane, where it stands in a field, and its coordinates.
struct UpwindCell {
  int number, place;
  int x, y, z;
  __device__ __forceinline__ int at(int k) const { return k == 0 ? x : k == 1 ? y : z; }
};

template <class T>
__device__ __forceinline__ UpwindCell cell_of(const UpwindGrid<T>& grid, int number,
                                              const int (&step)[3]) {
  UpwindCell c;
  c.number = number;
  c.x = number;
  c.y = grid.by_width.split(c.x);
  c.z = grid.dims > 2 ? grid.by_height.split(c.y) : 0;
  c.place = c.x + c.y * step[1] + c.z * step[2];
  return c;
}

__device__ __forceinline__ int wrapped(int i, int n) {
  if (i >= 0 && i < n) return i;
  i %= n;
  return i < 0 ? i + n : i;
}

// The value at offset q along an axis from a cell at `at`, which stands at `place`.
template <class T, class Field>
__device__ __forceinline__ T value_at(const Field& u, int place, int at, int n, int step, int q,
                                      Ghost ghost) {
  const int to = at + q;
  if (to >= 0 && to < n) return u[place + q * step];
  if (ghost == Ghost::zero) return T(0);
  const int kept = ghost == Ghost::wrap ? wrapped(to, n) : to < 0 ? 0 : n - 1;
  return u[place + (kept - at) * step];
}

// Twice the velocity of the face above a cell of the line along axis k.
template <class T>
__device__ __forceinline__ T face_velocity(const UpwindGrid<T>& grid, const Flow<T>& flow, int k,
                                           int number, int at) {
  const T own = flow.at(k, number);
  if (at < grid.n[k] - 1) return own + flow.at(k, number + grid.step[k]);
  if (!grid.periodic) return T(0);
  return own + flow.at(k, number - at * grid.step[k]);
}
template <class T>
__device__ __forceinline__ T face_below(const UpwindGrid<T>& grid, const Flow<T>& flow, int k,
                                        int number, int at) {
  if (at > 0) return face_velocity(grid, flow, k, number - grid.step[k], at - 1);
  if (!grid.periodic) return T(0);
  return face_velocity(grid, flow, k, number + (grid.n[k] - 1) * grid.step[k], grid.n[k] - 1);
}
// The velocity at a neighbour, minus the own beyond a wall.
template <class T>
__device__ __forceinline__ T velocity_at(const UpwindGrid<T>& grid, const Flow<T>& flow, int k,
                                         int number, int at, int q) {
  const int to = at + q;
  if (to >= 0 && to < grid.n[k]) return flow.at(k, number + q * grid.step[k]);
  if (!grid.periodic) return -flow.at(k, number);
  return flow.at(k, number + (wrapped(to, grid.n[k]) - at) * grid.step[k]);
}

template <class T>
__device__ __forceinline__ T magnitude(T a) {
  return a > T(0) ? a : -a;
}
template <class T>
__device__ __forceinline__ T positive_part(T a) {
  return a > T(0) ? a : T(0);
}
template <class T>
__device__ __forceinline__ T negative_part(T a) {
  return a > T(0) ? T(0) : a;
}

// The slope phi(a, b) and its derivatives in a and b: those of the branch taken, 0 where it is cut to 0.
template <class T>
struct Slope {
  T value, by_behind, by_before;
};

template <Reconstruction R, class T>
__device__ __forceinline__ T limited(T a, T b) {
  if constexpr (R == Reconstruction::first_order) return T(0);
  if constexpr (R == Reconstruction::unlimited) return (a + b) * T(0.5);
  if constexpr (R == Reconstruction::minmod) {
    const T chosen = magnitude(a) < magnitude(b) ? a : b;
    return (a > T(0)) == (b > T(0)) ? chosen : T(0);
  }
  if constexpr (R == Reconstruction::van_leer) {
    // 2 a b / (a + b), written so that nothing overflows or vanishes where a and b are tiny.
    const bool same = (a > T(0) && b > T(0)) || (a < T(0) && b < T(0));
    return same ? (a + a) * (b / (a + b)) : T(0);
  }
  if constexpr (R == Reconstruction::superbee) {
    const T p = magnitude(a), q = magnitude(b);
    const T low = p < q ? p : q, high = p < q ? q : p;
    const T slope = low + low < high ? low + low : high;
    return (a > T(0)) == (b > T(0)) ? (a > T(0) ? slope : -slope) : T(0);
  }
}

template <Reconstruction R, class T>
__device__ __forceinline__ Slope<T> limited_slope(T a, T b) {
  Slope<T> slope{limited<R>(a, b), T(0), T(0)};
  const bool same = (a > T(0)) == (b > T(0));
  if constexpr (R == Reconstruction::unlimited) slope.by_behind = slope.by_before = T(0.5);
  if constexpr (R == Reconstruction::minmod) {
    const bool behind = magnitude(a) < magnitude(b);
    slope.by_behind = same && behind ? T(1) : T(0);
    slope.by_before = same && !behind ? T(1) : T(0);
  }
  if constexpr (R == Reconstruction::van_leer) {
    if ((a > T(0) && b > T(0)) || (a < T(0) && b < T(0))) {
      const T ra = a / (a + b), rb = b / (a + b);
      slope.by_behind = T(2) * rb * rb;
      slope.by_before = T(2) * ra * ra;
    }
  }
  if constexpr (R == Reconstruction::superbee) {
    const T p = magnitude(a), q = magnitude(b);
    const bool behind_low = p < q;
    const bool doubled = (behind_low ? p : q) * T(2) < (behind_low ? q : p);
    // The slope is twice the smaller difference, or the larger one.
    const T by_low = doubled ? T(2) : T(0), by_high = doubled ? T(0) : T(1);
    slope.by_behind = same ? (behind_low ? by_low : by_high) : T(0);
    slope.by_before = same ? (behind_low ? by_high : by_low) : T(0);
  }
  return slope;
}

// The value at a face with cells below, at | above, beyond around it.
template <Reconstruction R, class T>
__device__ __forceinline__ T face_value(T velocity, T below, T at, T above, T beyond) {
  const bool forward = velocity > T(0);
  const T w0 = forward ? at : above;
  if constexpr (R == Reconstruction::first_order) return w0;
  const T wf = forward ? above : at, w1 = forward ? below : beyond;
  return w0 + limited<R>(w0 - w1, wf - w0) * T(0.5);
}

// What a cell loses along axis k in a stage.
template <Reconstruction R, class T, class Field>
__device__ __forceinline__ T transport(const UpwindGrid<T>& grid, const Flow<T>& flow,
                                       const Field& u, const UpwindCell& c, int k,
                                       const int (&step)[3]) {
  constexpr bool kFirst = R == Reconstruction::first_order;
  const int at = c.at(k), n = grid.n[k];
  const auto near = [&](int q) {
    return value_at<T>(u, c.place, at, n, step[k], q, grid.field);
  };
  const T own = u[c.place], below = near(-1), above = near(1);
  if (grid.conservative) {
    const T half = grid.courant[k] / 2;
    const T right = face_velocity(grid, flow, k, c.number, at) * half;
    const T left = face_below(grid, flow, k, c.number, at) * half;
    const T below2 = kFirst ? T(0) : near(-2), above2 = kFirst ? T(0) : near(2);
    return right * face_value<R>(right, below, own, above, above2) -
           left * face_value<R>(left, below2, below, own, above);
  }
  const T a = flow.at(k, c.number);
  const bool forward = a > T(0);
  if constexpr (kFirst) return a * grid.courant[k] * (forward ? own - below : above - own);
  const T w1 = forward ? below : above, w2 = near(forward ? -2 : 2), wf = forward ? above : below;
  const T d1 = own - w1, d2 = w1 - w2, df = wf - own;
  const T slopes = limited<R>(d1, df) - limited<R>(d2, d1);
  return magnitude(a) * grid.courant[k] * (d1 + slopes * T(0.5));
}

// u + dt L(u) at a cell.
template <Reconstruction R, class T, class Field>
__device__ __forceinline__ T advanced(const UpwindGrid<T>& grid, const Flow<T>& flow,
                                      const Field& u, const UpwindCell& c, const int (&step)[3]) {
  T next = u[c.place];
  for (int k = 0; k < grid.dims; ++k) next -= transport<R>(grid, flow, u, c, k, step);
  return next;
}

// First order: what gu of a cell takes along axis k, and the gradient of its velocity component.
template <class T, class Field>
__device__ __forceinline__ T pulled_first(const UpwindGrid<T>& grid, const Flow<T>& flow,
                                          const Field& u, const Field& g, const UpwindCell& c,
                                          int k, const int (&step)[3], bool with_velocity, T& ga) {
  const int at = c.at(k), n = grid.n[k];
  const auto cotangent = [&](int q) {
    return value_at<T>(g, c.place, at, n, step[k], q, grid.cotangent);
  };
  const auto value = [&](int q) {
    return value_at<T>(u, c.place, at, n, step[k], q, grid.field);
  };
  const T own = g[c.place], g_below = cotangent(-1), g_above = cotangent(1);
  if (grid.conservative) {
    const T half = grid.courant[k] / 2;
    const T right = face_velocity(grid, flow, k, c.number, at);
    const T left = face_below(grid, flow, k, c.number, at);
    if (with_velocity) {
      ga = ((g_above - own) * (right > T(0) ? u[c.place] : value(1)) +
            (own - g_below) * (left > T(0) ? value(-1) : u[c.place])) *
           half;
    }
    return (positive_part(right) * (g_above - own) + negative_part(left) * (own - g_below)) * half;
  }
  const T a = flow.at(k, c.number);
  const T a_below = velocity_at(grid, flow, k, c.number, at, -1);
  const T a_above = velocity_at(grid, flow, k, c.number, at, 1);
  if (with_velocity)
    ga = own * (a > T(0) ? u[c.place] - value(-1) : value(1) - u[c.place]) * -grid.courant[k];
  return (positive_part(a_above) * g_above - negative_part(a_below) * g_below -
          magnitude(a) * own) *
         grid.courant[k];
}

}  // namespace fluxion::cuda
