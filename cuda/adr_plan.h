// The parts of the fused advection-diffusion-reaction step and of its adjoint, in the order of a step.
#pragma once

#include "device/divide.cuh"
#include "device/adr_line.cuh"
#include "device/reaction.cuh"
#include "ops/adr_step.h"
#include "sampling.h"
#include "tuning.h"

namespace fluxion::cuda {

static_assert(static_cast<int>(Boundary::dirichlet) == static_cast<int>(Wall::dirichlet) &&
              static_cast<int>(Boundary::periodic) == static_cast<int>(Wall::periodic) &&
              static_cast<int>(ReactionActivation::gelu) == static_cast<int>(ReactionKind::gelu) &&
              static_cast<int>(ReactionActivation::tanh) == static_cast<int>(ReactionKind::tanh));

// The lines of all planes, with the factors of their channels.
template <class T>
struct DiffusionLines {
  int64_t planes, channels;
  int rows, columns;
  Divisor by_columns;
  Wall wall;
  const T* tables;  // [channel][x, y][table]
  int64_t table_size;

  __device__ LineTable<T> along(int64_t plane, int axis) const {
    return LineTable<T>::at(tables + (int64_t{split(plane, channels).rest} * 2 + axis) * table_size,
                            axis == 0 ? columns : rows, wall);
  }
};

// Enqueues the computation of the factors. Null tables: no memory, and the op has failed.
template <class T>
DiffusionLines<T> diffusion_lines(const AdrStep2dParams& p, const Kernel& call, const AdrSizes& s,
                                  const T* diffusivity);

// to = S_y S_x (u at the displaced points).
template <class T>
void launch_transport(const Kernel& call, const DiffusionLines<T>& lines, const Sampling<T>& s,
                      T* to);

// field = S_y S_x field, and, unless null, sums[plane][axis] = <S_k field, D_k v> without the spacing.
template <class T>
void launch_diffusion_vjp(const Kernel& call, const DiffusionLines<T>& lines, const T* v, T* field,
                          double* sums);

template <class T>
struct Reaction {
  AdrSizes size;
  T dt;
  ReactionKind kind;
  const T *w1, *b1, *w2, *b2;
};

// field += dt R(field).
template <class T>
void launch_reaction(const Kernel& call, const Reaction<T>& reaction, T* field);

// back = g + dt R'(v)^T g, and, unless null, the gradients of w1, b1, w2, b2 one after the other.
template <class T>
void launch_reaction_vjp(const Kernel& call, const Reaction<T>& reaction, const T* v, const T* g,
                         T* back, T* parameters);

}  // namespace fluxion::cuda
