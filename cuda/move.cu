// Which of the copies, and how wide its words are.
#include "move.h"

#include <algorithm>
#include <utility>

namespace fluxion::cuda {
namespace {

using Space = StridedSpace<2>;  // from, to

// Bytes of the widest word in which every run of the last axis can be moved.
int64_t word_bytes(const Space& space, int64_t element, const void* from, const void* to) {
  const int last = space.ndim - 1;
  int64_t bytes = 16;
  const auto fits = [&](int64_t value) {
    while (value % bytes != 0) bytes /= 2;
  };
  if (space.stride[0][last] != 1 || space.stride[1][last] != 1) return element;
  fits(static_cast<int64_t>(reinterpret_cast<uintptr_t>(from) % 16));
  fits(static_cast<int64_t>(reinterpret_cast<uintptr_t>(to) % 16));
  fits(space.size[last] * element);
  for (int axis = 0; axis < last; ++axis) {
    fits(space.stride[0][axis] * element);
    fits(space.stride[1][axis] * element);
  }
  return std::max(bytes, element);
}

// The space counted in words of `ratio` elements.
Space widened(Space space, int64_t ratio) {
  const int last = space.ndim - 1;
  space.size[last] /= ratio;
  for (int axis = 0; axis < last; ++axis)
    for (int t = 0; t < 2; ++t) space.stride[t][axis] /= ratio;
  return space;
}

// Moves the axis to the end.
void put_last(Space& space, int axis) {
  for (int i = axis; i + 1 < space.ndim; ++i) {
    std::swap(space.size[i], space.size[i + 1]);
    for (int t = 0; t < 2; ++t) std::swap(space.stride[t][i], space.stride[t][i + 1]);
  }
}

int contiguous_axis(const Space& space, int t) {
  for (int axis = space.ndim - 1; axis >= 0; --axis)
    if (space.stride[t][axis] == 1) return axis;
  return -1;
}

template <class W>
bool move_tiles(const Kernel& call, Space space, const W* from, W* to) {
  const int read = contiguous_axis(space, 0), write = contiguous_axis(space, 1);
  if (read < 0 || write < 0 || read == write) return false;
  const int64_t n_read = space.size[read], n_write = space.size[write];
  if (n_read < kMoveTile / 2 || n_write < kMoveTile / 2) return false;
  const int64_t read_tiles = blocks_of(n_read, kMoveTile);
  const int64_t tiles = read_tiles * blocks_of(n_write, kMoveTile);
  const int64_t places = elements_of(space) / (n_read * n_write);
  if (tiles * places >= kPieceElements) return false;
  TransposedAxes axes{
      n_read,        n_write, space.stride[0][write], space.stride[1][read], Divisor(read_tiles),
      Divisor(tiles)};
  put_last(space, read);
  put_last(space, write > read ? write - 1 : write);
  space.ndim -= 2;
  if (space.ndim == 0) {
    space.ndim = 1;
    space.size[0] = 1;
  }
  call.launch(move_transposed<W>,
              {tiles * places, kMoveTile * kMoveRows, shared_bytes<W>(kMoveTile * (kMoveTile + 1))},
              axes, row_space(space, 1), from, to);
  return true;
}

template <class W>
void move_as(const Kernel& call, const Space& space, const void* from_data, void* to_data) {
  const W* from = static_cast<const W*>(from_data);
  W* to = static_cast<W*>(to_data);
  if (move_tiles(call, space, from, to)) return;
  for_pieces(space, [&](const Space& piece, int64_t, const int64_t* offset) {
    const int64_t n = elements_of(piece);
    call.launch(move_words<W>, {blocks_of(n, kElementThreads), kElementThreads},
                row_space(piece, 1), static_cast<uint32_t>(n), from + offset[0], to + offset[1]);
  });
}

}  // namespace

void move_view(const Kernel& call, const TensorView& from, const TensorView& to) {
  if (to.size() == 0) return;
  const Space space = strided_space<2>(to.shape, {&from, &to});
  const int64_t element = static_cast<int64_t>(size_of(to.dtype));
  const int64_t bytes = word_bytes(space, element, from.data, to.data);
  const Space words = widened(space, bytes / element);
  switch (bytes) {
    case 1:
      return move_as<uint8_t>(call, words, from.data, to.data);
    case 2:
      return move_as<uint16_t>(call, words, from.data, to.data);
    case 4:
      return move_as<uint32_t>(call, words, from.data, to.data);
    case 8:
      return move_as<uint2>(call, words, from.data, to.data);
    default:
      return move_as<uint4>(call, words, from.data, to.data);
  }
}

}  // namespace fluxion::cuda
