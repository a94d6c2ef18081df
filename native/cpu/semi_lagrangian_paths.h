// Interpolation at positions and its transposes over blocks of channels. Read once per instruction set, after
// semi_lagrangian_taps.h and transpose.h. MODE says what a pass does with the field I that is read, the values
// J that are carried, and the weights w_p(cell) of point p:
//     kGather    gathered_p = sum over cells of w_p I
//     kScatter   scattered(cell) += w_p(cell) J_p
//     kSlopes    position gradient of p += sum over channels of J_p dw_p/dposition I
// Two layouts of the same sums:
//   channel lanes  a vector holds one cell of several channels: the planes of I are transposed into a tile
//                  [cell][lane], so that a tap is one contiguous load, and adding to a tap one vector addition
//                  that cannot collide with another lane. Positions are worked out once for all lanes.
//   point lanes    a vector holds kLanes points of one channel; taps are gathered, and scattered one by one.
// Either way one block owns every cell that it adds to, and adds in the order of the points.

namespace fluxion::cpu::FLUXION_TARGET {

enum : int { kGather = 1, kScatter = 2, kSlopes = 4 };

// One field of the batch and a range of its channels.
struct ChannelBlock {
  int64_t field, first, last;
  int64_t index;  // among the blocks of the launch
};

// The taps of one point, for vectors of channels.
template <class T, int K, int AXES, bool SLOPES>
struct ChannelLanes {
  const Taps<T, K, AXES, SLOPES>& taps;
  int lane;
  using Offset = int64_t;
  Offset at(int axis, int k) const { return taps.at[axis][k][lane]; }
  Vec<T> weight(int axis, int k) const { return broadcast<T>(taps.weight[axis][k][lane]); }
  Vec<T> slope(int axis, int k) const { return broadcast<T>(taps.slope[axis][k][lane]); }
  Vec<T> read(const T* image, Offset at) const { return load(image + at); }
};

// The taps of a vector of points.
template <class T, int K, int AXES, bool SLOPES>
struct PointLanes {
  const Taps<T, K, AXES, SLOPES>& taps;
  using Offset = CellVec<T>;
  Offset at(int axis, int k) const {
    Offset v;
    __builtin_memcpy(&v, taps.at[axis][k], sizeof v);
    return v;
  }
  Vec<T> weight(int axis, int k) const { return load(taps.weight[axis][k]); }
  Vec<T> slope(int axis, int k) const { return load(taps.slope[axis][k]); }
  Vec<T> read(const T* image, Offset at) const { return gather<T>(image, at); }
};

// sum += weight * term, of which the first begins the sum.
template <class T>
inline __attribute__((always_inline)) Vec<T> plus(bool first, Vec<T> sum, Vec<T> weight,
                                                  Vec<T> term) {
  return first ? weight * term : multiply_add<T>(weight, term, sum);
}

// Value and derivatives along the axes of the interpolant.
template <class T, int K, int AXES, bool SLOPES, class Lanes>
inline __attribute__((always_inline)) void interpolate(const Lanes& lanes, const T* image,
                                                       Vec<T>& value, Vec<T> (&slope)[3]) {
  Vec<T> v{}, dx{}, dy{}, dz{};
#pragma GCC unroll 2
  for (int kz = 0; kz < (AXES == 3 ? K : 1); ++kz) {
    Vec<T> plane_v{}, plane_dx{}, plane_dy{};
#pragma GCC unroll 4
    for (int ky = 0; ky < K; ++ky) {
      auto row = lanes.at(1, ky);
      if constexpr (AXES == 3) row += lanes.at(2, kz);
      Vec<T> row_v{}, row_dx{};
#pragma GCC unroll 4
      for (int kx = 0; kx < K; ++kx) {
        const Vec<T> u = lanes.read(image, row + lanes.at(0, kx));
        row_v = plus<T>(kx == 0, row_v, lanes.weight(0, kx), u);
        if constexpr (SLOPES) row_dx = plus<T>(kx == 0, row_dx, lanes.slope(0, kx), u);
      }
      plane_v = plus<T>(ky == 0, plane_v, lanes.weight(1, ky), row_v);
      if constexpr (SLOPES) {
        plane_dx = plus<T>(ky == 0, plane_dx, lanes.weight(1, ky), row_dx);
        plane_dy = plus<T>(ky == 0, plane_dy, lanes.slope(1, ky), row_v);
      }
    }
    if constexpr (AXES == 2) {
      v = plane_v, dx = plane_dx, dy = plane_dy;
    } else {
      v = plus<T>(kz == 0, v, lanes.weight(2, kz), plane_v);
      if constexpr (SLOPES) {
        dx = plus<T>(kz == 0, dx, lanes.weight(2, kz), plane_dx);
        dy = plus<T>(kz == 0, dy, lanes.weight(2, kz), plane_dy);
        dz = plus<T>(kz == 0, dz, lanes.slope(2, kz), plane_v);
      }
    }
  }
  value = v;
  if constexpr (SLOPES) slope[0] = dx, slope[1] = dy, slope[2] = dz;
}

// Adds w J of one point to the cells of its taps, for a vector of channels.
template <class T, int K, int AXES, bool SLOPES>
inline __attribute__((always_inline)) void push(const ChannelLanes<T, K, AXES, SLOPES>& lanes,
                                                T* tile, Vec<T> carried) {
#pragma GCC unroll 2
  for (int kz = 0; kz < (AXES == 3 ? K : 1); ++kz) {
    const Vec<T> plane = AXES == 3 ? lanes.weight(AXES - 1, kz) * carried : carried;
#pragma GCC unroll 4
    for (int ky = 0; ky < K; ++ky) {
      const Vec<T> row = lanes.weight(1, ky) * plane;
      const int64_t at = lanes.at(1, ky) + (AXES == 3 ? lanes.at(AXES - 1, kz) : 0);
#pragma GCC unroll 4
      for (int kx = 0; kx < K; ++kx) {
        T* cell = tile + at + lanes.at(0, kx);
        store(cell, multiply_add<T>(lanes.weight(0, kx), row, load(cell)));
      }
    }
  }
}

// The same for `count` points of one channel, point by point.
template <class T, int K, int AXES, bool SLOPES>
inline void push(const PointLanes<T, K, AXES, SLOPES>& lanes, T* plane, Vec<T> carried, int count) {
  alignas(64) T values[kLanes<T>];
  alignas(64) Cell<T> cells[kLanes<T>];
  for (int kz = 0; kz < (AXES == 3 ? K : 1); ++kz) {
    const Vec<T> slab = AXES == 3 ? lanes.weight(AXES - 1, kz) * carried : carried;
    for (int ky = 0; ky < K; ++ky) {
      const Vec<T> row = lanes.weight(1, ky) * slab;
      CellVec<T> at = lanes.at(1, ky);
      if constexpr (AXES == 3) at += lanes.at(2, kz);
      for (int kx = 0; kx < K; ++kx) {
        store(values, lanes.weight(0, kx) * row);
        const CellVec<T> to = at + lanes.at(0, kx);
        __builtin_memcpy(cells, &to, sizeof to);
        for (int i = 0; i < count; ++i) plane[cells[i]] += values[i];
      }
    }
  }
}

template <class T>
inline __attribute__((always_inline)) void put(T* to, Vec<T> v, int count, bool around_cache) {
  if (count < kLanes<T>) return store_partial(to, v, count);
  if (around_cache && reinterpret_cast<uintptr_t>(to) % sizeof(Vec<T>) == 0) return stream(to, v);
  store(to, v);
}

// rows[lane] of `lanes` planes, `pitch` apart: v[i] holds element i of all of them.
template <class T>
inline __attribute__((always_inline)) void load_lanes(const T* from, int64_t pitch, int lanes,
                                                      int count, Vec<T> (&v)[kLanes<T>]) {
  for (int i = 0; i < kLanes<T>; ++i) {
    v[i] = i >= lanes           ? Vec<T>{}
           : count == kLanes<T> ? load(from + i * pitch)
                                : load_partial(from + i * pitch, count);
  }
  transpose_tile<T>(v);
}

template <class T>
inline __attribute__((always_inline)) void store_lanes(Vec<T> (&v)[kLanes<T>], T* to, int64_t pitch,
                                                       int lanes, int count, bool around_cache) {
  transpose_tile<T>(v);
  for (int i = 0; i < lanes; ++i) put<T>(to + i * pitch, v[i], count, around_cache);
}

// Lane i of the result is the sum over the lanes of v[i]; v is used up.
template <class T>
inline __attribute__((always_inline)) Vec<T> sum_each(Vec<T> (&v)[kLanes<T>]) {
  using Lanes = std::make_index_sequence<static_cast<size_t>(kLanes<T>)>;
#pragma GCC unroll 4
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) {
      v[i] =
          interleave_low(v[i], v[i + half], Lanes{}) + interleave_high(v[i], v[i + half], Lanes{});
    }
  }
  return v[0];
}

// Writes or adds the position gradient of a piece of a row, in cells, to where the block keeps it.
template <class T>
inline void put_slopes(const Sampling<T>& s, T* sums, const RowPiece& piece,
                       const Vec<T> (&slope)[3], bool first) {
  for (int axis = 0; axis < s.axes; ++axis) {
    if (s.grid) {
      T lanes[kLanes<T>];
      const T n = static_cast<T>(s.in[axis]);
      store(lanes, slope[axis] * ((s.align_corners ? n - 1 : n) / 2));
      for (int i = 0; i < piece.count; ++i) {
        T& to = sums[(piece.point + i) * s.axes + axis];
        to = first ? lanes[i] : to + lanes[i];
      }
      continue;
    }
    T* to = sums + axis * s.points + piece.point;
    const Vec<T> sum = first ? slope[axis] : load_partial(to, piece.count) + slope[axis];
    store_partial(to, sum, piece.count);
  }
}

template <class T>
inline __attribute__((always_inline)) RowPiece first_piece(const Sampling<T>& s) {
  return {0, 0, 0, 0, static_cast<int>(std::min<int64_t>(s.out[0], kLanes<T>))};
}

// The piece after another, in the order of the points; its count is 0 after the last.
template <class T>
inline __attribute__((always_inline)) void next_piece(const Sampling<T>& s, RowPiece& piece) {
  piece.point += piece.count;
  piece.x += piece.count;
  if (piece.x == s.out[0]) {
    piece.x = 0;
    if (++piece.y == s.out[1]) piece.y = 0, ++piece.z;
  }
  const int64_t left = piece.z == s.out[2] ? 0 : s.out[0] - piece.x;
  piece.count = left < kLanes<T> ? static_cast<int>(left) : kLanes<T>;
}

// Where a block leaves its sums of the position gradient.
template <class T>
inline T* slope_sums(const Sampling<T>& s, const ChannelBlock& b) {
  if (s.partials) return s.partials + b.index * s.axes * s.points;
  return s.position_gradient + (s.position_channel_stride ? b.index : b.field) * s.axes * s.points;
}

template <class T>
inline const T* positions_of(const Sampling<T>& s, const ChannelBlock& b) {
  return s.positions + b.field * s.position_batch_stride + b.first * s.position_channel_stride;
}

// --- Channel lanes

// Asks for one line of each of a vector of planes. They are too many streams for the processor to follow.
template <class T>
inline __attribute__((always_inline)) void expect_lanes(const T* from, int64_t pitch) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) __builtin_prefetch(from + i * pitch, 0, 2);
}

// One vector of channels at the points of a piece.
template <class T, int K, int AXES, int MODE>
inline __attribute__((always_inline)) void sample_channels(const Sampling<T>& s,
                                                           const RowPiece& piece, int64_t channel,
                                                           int lanes, const T* positions, T* image,
                                                           T* sink, T* sums, bool first) {
  constexpr bool kSlope = (MODE & kSlopes) != 0;
  Taps<T, K, AXES, kSlope> taps;
  find_taps<T, K, AXES, kSlope>(s, positions, piece, kLanes<T>, taps);
  const int64_t at = channel * s.points + piece.point;
  if (s.ahead) {  // the same place of the next tile; of what is carried, a few pieces further
    if (s.image) expect_lanes<T>(s.image + at + kLanes<T> * s.points, s.points);
    if (s.carried) expect_lanes<T>(s.carried + at + 4 * kLanes<T>, s.points);
  }
  Vec<T> carried[kLanes<T>], value[kLanes<T>], slopes[3][kLanes<T>];
  if constexpr ((MODE & (kScatter | kSlopes)) != 0)
    load_lanes<T>(s.carried + at, s.points, lanes, piece.count, carried);
  for (int i = 0; i < piece.count; ++i) {
    const ChannelLanes<T, K, AXES, kSlope> point{taps, i};
    if constexpr ((MODE & (kGather | kSlopes)) != 0) {
      Vec<T> slope[3];
      interpolate<T, K, AXES, kSlope>(point, image, value[i], slope);
      if constexpr (kSlope) {
        for (int axis = 0; axis < AXES; ++axis) slopes[axis][i] = slope[axis] * carried[i];
      }
    }
    if constexpr ((MODE & kScatter) != 0) push(point, sink, carried[i]);
  }
  for (int i = piece.count; i < kLanes<T>; ++i) {
    value[i] = Vec<T>{};
    for (int axis = 0; axis < AXES; ++axis) slopes[axis][i] = Vec<T>{};
  }
  if constexpr ((MODE & kGather) != 0) {
    if (s.gathered) store_lanes<T>(value, s.gathered + at, s.points, lanes, piece.count, s.stream);
  }
  if constexpr (kSlope) {
    Vec<T> total[3] = {};
    for (int axis = 0; axis < AXES; ++axis) total[axis] = sum_each<T>(slopes[axis]);
    put_slopes<T>(s, sums, piece, total, first);
  }
}

template <class T>
inline void store_tile(const T* tile, T* planes, int64_t cells, int lanes, bool around_cache) {
  constexpr int w = kLanes<T>;
  for (int64_t j = 0; j < cells; j += w) {
    const int count = cells - j < w ? static_cast<int>(cells - j) : w;
    Vec<T> v[w];
    for (int i = 0; i < w; ++i) v[i] = i < count ? load(tile + (j + i) * w) : Vec<T>{};
    store_lanes<T>(v, planes + j, cells, lanes, count, around_cache);
  }
}

template <class T, int K, int AXES, int MODE>
inline void sample_in_channel_lanes(const Sampling<T>& s, const ChannelBlock& b, void* scratch) {
  T* image = static_cast<T*>(scratch);
  T* sink = image + s.cells * kLanes<T>;
  for (int64_t c = b.first; c < b.last; c += kLanes<T>) {
    const int lanes = b.last - c < kLanes<T> ? static_cast<int>(b.last - c) : kLanes<T>;
    const int64_t channel = b.field * s.channels + c;
    if constexpr ((MODE & (kGather | kSlopes)) != 0)
      load_transposed(s.image + channel * s.cells, s.cells, lanes, s.cells, image, kLanes<T>);
    if constexpr ((MODE & kScatter) != 0)
      std::memset(sink, 0, static_cast<size_t>(s.cells) * sizeof(Vec<T>));
    T* sums = (MODE & kSlopes) != 0 ? slope_sums(s, b) : nullptr;
    const T* positions = positions_of(s, b);
    for (RowPiece piece = first_piece(s); piece.count > 0; next_piece(s, piece)) {
      sample_channels<T, K, AXES, MODE>(s, piece, channel, lanes, positions, image, sink, sums,
                                        c == b.first);
    }
    if constexpr ((MODE & kScatter) != 0)
      store_tile<T>(sink, s.scattered + channel * s.cells, s.cells, lanes, s.stream);
  }
  if (s.stream) stream_fence();
}

// --- Point lanes

// Asks for what the piece at the same place of the next plane reads. Gathers touch a plane in no order that the
// processor could foresee.
template <class T>
inline __attribute__((always_inline)) void expect_next_plane(const Sampling<T>& s,
                                                             const RowPiece& piece,
                                                             const T* positions, int64_t channel) {
  if (s.image) __builtin_prefetch(s.image + (channel + 1) * s.cells + piece.point, 0, 2);
  if (s.carried) __builtin_prefetch(s.carried + (channel + 1) * s.points + piece.point, 0, 2);
  for (int axis = 0; axis < s.axes; ++axis)
    __builtin_prefetch(positions + (s.axes + axis) * s.points + piece.point, 0, 2);
}

// The points of a piece in all channels of the block.
template <class T, int K, int AXES, int MODE>
inline __attribute__((always_inline)) void sample_points(const Sampling<T>& s,
                                                         const ChannelBlock& b,
                                                         const RowPiece& piece, const T* positions,
                                                         T* sums) {
  constexpr bool kSlope = (MODE & kSlopes) != 0;
  Taps<T, K, AXES, kSlope> taps;
  find_taps<T, K, AXES, kSlope>(s, positions, piece, 1, taps);
  const PointLanes<T, K, AXES, kSlope> lanes{taps};
  Vec<T> total[3] = {};
  for (int64_t c = b.first; c < b.last; ++c) {
    const int64_t channel = b.field * s.channels + c, at = channel * s.points + piece.point;
    Vec<T> carried{}, value, slope[3];
    if constexpr ((MODE & (kScatter | kSlopes)) != 0) {
      carried = piece.count == kLanes<T> ? load(s.carried + at)
                                         : load_partial(s.carried + at, piece.count);
    }
    if constexpr ((MODE & (kGather | kSlopes)) != 0) {
      interpolate<T, K, AXES, kSlope>(lanes, s.image + channel * s.cells, value, slope);
      if constexpr (kSlope) {
        for (int axis = 0; axis < AXES; ++axis) total[axis] += slope[axis] * carried;
      }
      if constexpr ((MODE & kGather) != 0) {
        if (s.gathered) put<T>(s.gathered + at, value, piece.count, s.stream);
      }
    }
    if constexpr ((MODE & kScatter) != 0)
      push(lanes, s.scattered + channel * s.cells, carried, piece.count);
  }
  if constexpr (kSlope) put_slopes<T>(s, sums, piece, total, true);
}

template <class T, int K, int AXES, int MODE>
inline void sample_in_point_lanes(const Sampling<T>& s, const ChannelBlock& b, void*) {
  if constexpr ((MODE & kScatter) != 0) {
    const int64_t first = (b.field * s.channels + b.first) * s.cells;
    std::memset(s.scattered + first, 0,
                static_cast<size_t>((b.last - b.first) * s.cells) * sizeof(T));
  }
  T* sums = (MODE & kSlopes) != 0 ? slope_sums(s, b) : nullptr;
  const T* positions = positions_of(s, b);
  for (RowPiece piece = first_piece(s); piece.count > 0; next_piece(s, piece)) {
    if (s.ahead) expect_next_plane<T>(s, piece, positions, b.field * s.channels + b.first);
    sample_points<T, K, AXES, MODE>(s, b, piece, positions, sums);
  }
  if (s.stream) stream_fence();
}

}  // namespace fluxion::cpu::FLUXION_TARGET
