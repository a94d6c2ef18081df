// Launchers of pad and its adjoint (device/pad.cuh). Neighbouring axes that are not padded count as one, and
// the slowest axis is cut so that positions of a launch fit 31 bits.
#include "ops/pad.h"

#include <algorithm>

#include "device/pad.cuh"
#include "fill.h"
#include "move.h"

namespace fluxion::cuda {
namespace {

// Axes of the padding; counted = true: the launch counts elements of the padded side.
PadSpace pad_space(const Shape& x, const Shape& before, const Shape& after, PadMode mode,
                   bool counts_out) {
  PadSpace space{};
  space.border = static_cast<Border>(mode);
  bool plain = false;  // the last axis so far is not padded
  for (int i = 0; i < x.ndim; ++i) {
    const bool padded = before[i] != 0 || after[i] != 0;
    if (!padded && plain) {
      PadSide& side = space.side[space.ndim - 1];
      side.n *= x[i];
      side.out *= x[i];
    } else {
      space.side[space.ndim++] = {x[i], before[i], before[i] + x[i] + after[i]};
    }
    plain = !padded;
  }
  if (space.ndim == 0) space.side[space.ndim++] = {1, 0, 1};
  for (int axis = 0; axis < space.ndim; ++axis) {
    const PadSide& side = space.side[axis];
    space.divide[axis] = Divisor(std::max<int64_t>(1, counts_out ? side.out : side.n));
  }
  return space;
}

// Calls f(first place of the slowest axis, first element, elements) for pieces of a space.
template <class F>
void for_slow_pieces(int64_t slowest, int64_t n, const F& f) {
  const int64_t inner = n / slowest, run = std::max<int64_t>(1, kPieceElements / inner);
  for (int64_t at = 0; at < slowest; at += run) {
    f(at, at * inner, std::min(run, slowest - at) * inner);
  }
}

template <class T>
T element_of(double number) {
  if constexpr (std::is_arithmetic_v<T>) {
    return convert<T>(number);
  } else {
    return T(convert<decltype(T::re)>(number), 0);
  }
}

}  // namespace

void k_pad(const PadParams& p, const Kernel& call) {
  const TensorView &x = call.in(0), &out = call.out(0);
  if (out.size() == 0) return;
  if (x.size() == 0) return fill_view(call, out, p.value);
  const PadSpace space = pad_space(x.shape, p.before, p.after, p.mode, true);
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_slow_pieces(space.side[0].out, out.size(), [&](int64_t slow, int64_t first, int64_t n) {
      call.launch(pad_elements<T>, {blocks_of(n, kElementThreads), kElementThreads}, space, slow,
                  static_cast<uint32_t>(n), element_of<T>(p.value), x.as<T>(), out.as<T>() + first);
    });
  });
}

namespace {

template <class T>
void gather_pad(const Kernel& call, const PadSpace& space) {
  const TensorView& out = call.out(0);
  for_slow_pieces(space.side[0].n, out.size(), [&](int64_t slow, int64_t first, int64_t n) {
    call.launch(pad_gather<T>, {blocks_of(n, kElementThreads), kElementThreads}, space, slow,
                static_cast<uint32_t>(n), call.in(0).as<T>(), out.as<T>() + first);
  });
}

}  // namespace

void k_pad_vjp(const PadVjpParams& p, const Kernel& call) {
  const TensorView &g = call.in(0), &out = call.out(0);
  if (out.size() == 0) return;
  if (g.size() == 0) return fill_view(call, out, 0);
  const PadSpace space = pad_space(p.input_shape, p.before, p.after, p.mode, false);
  dispatch_any(out.dtype, [&](auto tag) { gather_pad<typename decltype(tag)::type>(call, space); });
}

}  // namespace fluxion::cuda
