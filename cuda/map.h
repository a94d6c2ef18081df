// Launching elementwise kernels (device/map.cuh) on views: which of the kernels, and how an operand is read.
#pragma once

#include "device/map.cuh"
#include "kernel.h"
#include "strided_space.h"
#include "tuning.h"

namespace fluxion::cuda {

// Positions of one launch of a strided kernel fit 31 bits; larger outputs are made in pieces. The host
// execution layer cuts early, so that its tests run what only tensors of 8 GB would.
#if defined(__CUDACC__)
inline constexpr int64_t kPieceElements = int64_t{1} << 30;
#else
inline constexpr int64_t kPieceElements = 2048;
#endif

template <class T>
Operand<T> operand_of(const TensorView& view) {
  Operand<T> operand{};
  operand.access = Access::repeated;
  if (view.scalar) {
    std::memcpy(&operand.value, view.data, sizeof(T));
  } else {
    operand.data = view.as<const T>();
  }
  return operand;
}

// An operand that was not given.
template <class T>
Operand<T> constant_operand(T value) {
  return {nullptr, value, Access::repeated, 0};
}

// How an operand is read along the last axis of a space: by packs if all of them are aligned.
template <int kCount, int kTensors, class T>
void choose_access(const StridedSpace<kTensors>& space, int t, Operand<T>& operand) {
  const int last = space.ndim - 1;
  const int64_t step = operand.data ? space.stride[t][last] : 0;
  operand.step = step;
  if (step == 0) {
    operand.access = Access::repeated;
    return;
  }
  bool aligned = step == 1 && reinterpret_cast<uintptr_t>(operand.data) % (kCount * sizeof(T)) == 0;
  for (int axis = 0; axis < last; ++axis) aligned &= space.stride[t][axis] % kCount == 0;
  operand.access = aligned ? Access::packs : Access::elements;
}

template <int kTensors>
RowSpace<kTensors> row_space(const StridedSpace<kTensors>& space, int count) {
  RowSpace<kTensors> rows{};
  rows.ndim = space.ndim;
  rows.whole_packs = space.size[space.ndim - 1] % count == 0;
  for (int axis = 0; axis < space.ndim; ++axis) {
    rows.size[axis] = Divisor(space.size[axis]);
    for (int t = 0; t < kTensors; ++t) rows.stride[t][axis] = space.stride[t][axis];
  }
  return rows;
}

template <int kTensors>
int64_t elements_of(const StridedSpace<kTensors>& space) {
  int64_t n = 1;
  for (int axis = 0; axis < space.ndim; ++axis) n *= space.size[axis];
  return n;
}

// Calls f(piece, first element, operand offsets) for pieces of at most kPieceElements: runs of the slowest
// axis, or each of its places cut further.
template <int kTensors, class F>
void for_pieces(const StridedSpace<kTensors>& space, const F& f, int64_t first = 0,
                const int64_t* base = nullptr) {
  int64_t offset[kTensors] = {};
  for (int t = 0; base && t < kTensors; ++t) offset[t] = base[t];
  const int64_t n = elements_of(space);
  if (n == 0) return;
  if (n <= kPieceElements) return f(space, first, offset);
  const int64_t inner = n / space.size[0];
  const bool cut_further = inner > kPieceElements;
  // Runs begin at whole packs wherever rows do.
  const int64_t fitting = cut_further ? 1 : kPieceElements / inner;
  const int64_t run = fitting >= 16 ? fitting / 16 * 16 : fitting;
  for (int64_t at = 0; at < space.size[0]; at += run) {
    StridedSpace<kTensors> piece = space;
    piece.size[0] = std::min(run, space.size[0] - at);
    int64_t start[kTensors];
    for (int t = 0; t < kTensors; ++t) start[t] = offset[t] + at * space.stride[t][0];
    if (cut_further) {
      for (int axis = 1; axis < space.ndim; ++axis) {
        piece.size[axis - 1] = space.size[axis];
        for (int t = 0; t < kTensors; ++t) piece.stride[t][axis - 1] = space.stride[t][axis];
      }
      --piece.ndim;
    }
    for_pieces(piece, f, first + at * inner, start);
  }
}

template <class T>
Operand<T> moved(Operand<T> operand, int64_t by) {
  if (operand.data) operand.data += by;
  return operand;
}

// out[i] = op(operands[i]...) over the shape. Each operand has a view, which broadcasts to the shape; `out` is
// contiguous and aligned as memory that was just allocated is.
template <class Out, class Op, size_t... I, class... In>
void map_operands(const Kernel& call, const Op& op, const Shape& shape, Out* out,
                  const TensorView* const (&views)[sizeof...(In)], std::index_sequence<I...>,
                  Operand<In>... operands) {
  constexpr int kTensors = static_cast<int>(sizeof...(In));
  constexpr int kCount = pack_of<Out, In...>();
  const int64_t n = shape.size();
  if (n == 0) return;
  const StridedSpace<kTensors> space = strided_space<kTensors>(shape, views);
  (choose_access<kCount>(space, static_cast<int>(I), operands), ...);
  if (space.ndim == 1 && ((operands.access != Access::elements) && ...)) {
    constexpr int64_t kBlock = int64_t{kElementThreads} * kCount * kElementPacks;
    return call.launch(map_arrays<kElementPacks, Op, Out, In...>,
                       {blocks_of(n, kBlock), kElementThreads}, op, n, out, operands...);
  }
  for_pieces(space, [&](const StridedSpace<kTensors>& piece, int64_t first, const int64_t* offset) {
    const int64_t size = elements_of(piece);
    RowSpace<kTensors> rows = row_space(piece, kCount);
    rows.whole_packs &= first % kCount == 0;  // else the packs of the output would not be aligned
    call.launch(map_rows<Op, Out, In...>,
                {blocks_of(size, int64_t{kElementThreads} * kCount), kElementThreads}, op, rows,
                static_cast<uint32_t>(size), out + first,
                moved(operands, offset[I])...);
  });
}

// out(0) = op(in(0), in(1), ...), the operands' types given.
template <class Out, class... In, class Op>
void map(const Kernel& call, const Op& op) {
  const auto run = [&]<size_t... I>(std::index_sequence<I...> indices) {
    const TensorView* const views[] = {&call.in(static_cast<int>(I))...};
    map_operands<Out>(call, op, call.out(0).shape, call.out(0).as<Out>(), views, indices,
                      operand_of<In>(call.in(static_cast<int>(I)))...);
  };
  run(std::index_sequence_for<In...>{});
}

}  // namespace fluxion::cuda
