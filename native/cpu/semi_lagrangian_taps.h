// Where samples look: for kLanes points of a row, the taps of each axis with their weights and the slopes of
// the weights. Read once per instruction set, after simd_gather.h.
//
// A position is a whole cell plus a fraction f in [0, 1). The taps of one axis are
//     nearest  1: the rounded position           weight 1
//     linear   2: cell, cell + 1                 1 - f, f
//     cubic    4: cell - 1 .. cell + 2           Keys' kernel with a = -0.75
// and the weight of a cell of the grid is the product over the axes. The boundary maps each tap into the
// domain ('zeros' drops it). For linear weights that is the same as mapping the position, for all boundaries.
// The cell of a displaced point is counted from the point in whole numbers, so the fraction keeps the
// precision of the displacement, and whole displacements are exact.
// Source: Keys, IEEE Trans. ASSP 29(6), 1981; conventions of torch.nn.functional.grid_sample.

namespace fluxion::cpu::FLUXION_TARGET {

// mirror: about the centres of the end cells (align_corners), the others as SampleBoundary.
enum class Padding { zeros, border, reflect, periodic, mirror };

// What is read where. Axes are numbered from the fastest: 0 is x.
template <class T>
struct Sampling {
  int axes;
  int taps;  // of an axis: 1, 2 or 4
  Padding padding;
  bool grid, align_corners;  // positions are a grid in [-1, 1], else displacements in cells
  bool stream;               // results are larger than the cache
  bool ahead;  // the next plane is the next block's, and small enough to be asked for early
  int64_t batch, channels, in[3], out[3], cells, points;
  const T* positions;
  int64_t position_batch_stride, position_channel_stride;
  const T* image;    // [batch, channels, cells], read at the positions
  const T* carried;  // [batch, channels, points], added at the positions
  T* gathered;       // [batch, channels, points]
  T* scattered;      // [batch, channels, cells]
  T* position_gradient;
  T* partials;  // of the position gradient, where several blocks add to one; else null
  SamplingPlan plan;
};

// kLanes points in one row of the output.
struct RowPiece {
  int64_t x, y, z;
  int64_t point;
  int count;
};

template <class T, int K, int AXES, bool SLOPES>
struct Taps {
  alignas(64) Cell<T> at[AXES][K][kLanes<T>];  // offsets in elements
  alignas(64) T weight[AXES][K][kLanes<T>];
  alignas(64) T slope[SLOPES ? AXES : 1][SLOPES ? K : 1][kLanes<T>];
};

// i - n floor(i / n) for whole i; within rounding of [0, n) for any finite i.
template <class T>
inline __attribute__((always_inline)) Vec<T> wrap(Vec<T> i, T n) {
  const Vec<T> r = i - n * round_down<T>(i * (T(1) / n));
  const Vec<T> raised = r < T(0) ? r + n : r;
  return raised >= n ? raised - n : raised;
}

// Into [0, n - 1]; NaN becomes 0.
template <class T>
inline __attribute__((always_inline)) Vec<T> clip(Vec<T> i, T n) {
  const Vec<T> low = i > T(0) ? i : Vec<T>{};
  return low < n - 1 ? low : broadcast<T>(n - 1);
}

template <class T>
inline __attribute__((always_inline)) Vec<T> into_domain(Vec<T> i, T n, Padding padding) {
  if (padding == Padding::periodic) i = wrap<T>(i, n);
  if (padding == Padding::reflect) {
    i = wrap<T>(i, 2 * n);
    i = i < n ? i : 2 * n - 1 - i;
  }
  if (padding == Padding::mirror && n > 1) {
    i = wrap<T>(i, 2 * n - 2);
    i = i < n ? i : 2 * n - 2 - i;
  }
  return clip<T>(i, n);
}

// The kernel with a = -3/4 and its derivative at distances 1 + f, f, 1 - f, 2 - f.
template <class T>
inline __attribute__((always_inline)) void keys(Vec<T> f, Vec<T> (&weight)[4], Vec<T> (&slope)[4]) {
  constexpr T a = T(-0.75);
  const Vec<T> distance[4] = {T(1) + f, f, T(1) - f, T(2) - f};
  for (int k = 0; k < 4; ++k) {
    const Vec<T> x = distance[k];
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
inline __attribute__((always_inline)) Vec<T> nearest_cell(Vec<T> position, T n, Padding padding) {
  if (padding == Padding::reflect) {
    const Vec<T> from_face = wrap<T>(position + T(0.5), 2 * n);
    position = (from_face < n ? from_face : 2 * n - from_face) - T(0.5);
  }
  if (padding == Padding::mirror && n > 1) {
    position = wrap<T>(position, 2 * n - 2);
    position = position < n - 1 ? position : 2 * n - 2 - position;
  }
  if (padding == Padding::zeros) {  // what is far outside stays outside
    position = position > T(-2) ? position : broadcast<T>(-2);
    position = position < n + 1 ? position : broadcast<T>(n + 1);
  } else {
    position = clip<T>(position, n);
  }
  return (position + kRoundingShift<T>)-kRoundingShift<T>;
}

template <class T, int K, int AXES, bool SLOPES>
inline __attribute__((always_inline)) void put_tap(Taps<T, K, AXES, SLOPES>& taps, int axis, int k,
                                                   CellVec<T> offset, Vec<T> weight, Vec<T> slope) {
  __builtin_memcpy(taps.at[axis][k], &offset, sizeof offset);
  store(taps.weight[axis][k], weight);
  if constexpr (SLOPES) store(taps.slope[axis][k], slope);
}

// Which of the two derivatives at a whole position is PyTorch's, on a grid: the end centres count as outside
// (marked in the result), and where the image is mirrored the derivative is the one from the left.
template <class T>
inline __attribute__((always_inline)) CellVec<T> one_sided(const Sampling<T>& s, T n, Vec<T>& cell,
                                                           Vec<T>& fraction) {
  if (!s.grid || s.padding == Padding::zeros) return CellVec<T>{};
  const Vec<T> mapped = into_domain<T>(cell, n, s.padding);
  const auto whole = fraction == T(0);
  const auto turned = whole & (into_domain<T>(cell + T(1), n, s.padding) < mapped);
  cell = turned ? cell - T(1) : cell;
  fraction = turned ? broadcast<T>(1) : fraction;
  return whole & ((mapped == T(0)) | (mapped == n - 1));
}

// The taps of one axis of n cells, `step` elements apart.
template <class T, int K, int AXES, bool SLOPES>
inline __attribute__((always_inline)) void axis_taps(const Sampling<T>& s, int axis, int64_t step,
                                                     Vec<T> cell, Vec<T> fraction,
                                                     Taps<T, K, AXES, SLOPES>& taps) {
  const T n = static_cast<T>(s.in[axis]);
  const Cell<T> stride = static_cast<Cell<T>>(step);
  if constexpr (K == 2) {
    // Inside the domain no boundary has a say. (On a grid the end cells do: see one_sided.)
    if (all_between<T>(cell, s.grid ? T(1) : T(0), s.grid ? n - 3 : n - 2)) {
      const CellVec<T> first = __builtin_convertvector(cell, CellVec<T>) * stride;
      put_tap(taps, axis, 0, first, T(1) - fraction, broadcast<T>(-1));
      put_tap(taps, axis, 1, first + stride, fraction, broadcast<T>(1));
      return;
    }
  }
  CellVec<T> kink{};
  if constexpr (SLOPES && K == 2) kink = one_sided<T>(s, n, cell, fraction);
  Vec<T> weight[4] = {T(1) - fraction, fraction}, slope[4] = {broadcast<T>(-1), broadcast<T>(1)};
  if constexpr (K == 4) keys<T>(fraction, weight, slope);
  if constexpr (K == 1) {
    cell = nearest_cell<T>(cell + fraction, n, s.padding);
    weight[0] = broadcast<T>(1);
  }
#pragma GCC unroll 4
  for (int k = 0; k < K; ++k) {
    const Vec<T> i = K == 4 ? cell + T(k - 1) : cell + T(k);
    const Vec<T> mapped = into_domain<T>(i, n, s.padding);
    if (s.padding == Padding::zeros) {
      const Vec<T> inside = mapped == i ? broadcast<T>(1) : Vec<T>{};
      weight[k] *= inside;  // NaN stays NaN
      slope[k] *= inside;
    } else if constexpr (SLOPES && K == 2) {
      slope[k] = kink ? Vec<T>{} : slope[k];
    }
    put_tap(taps, axis, k, __builtin_convertvector(mapped, CellVec<T>) * stride, weight[k],
            slope[k]);
  }
}

// Position of each point along an axis, as a whole cell and a fraction.
template <class T>
inline __attribute__((always_inline)) void locate(const Sampling<T>& s, const T* positions,
                                                  const RowPiece& piece, int axis, Vec<T>& cell,
                                                  Vec<T>& fraction) {
  if (s.grid) {
    T lanes[kLanes<T>] = {};
    for (int i = 0; i < piece.count; ++i) {
      const T g = positions[(piece.point + i) * s.axes + axis];
      lanes[i] = g == g ? g : T(-1);  // PyTorch reads NaN as -1
    }
    const T n = static_cast<T>(s.in[axis]);
    const Vec<T> g = load(lanes) + T(1);
    const Vec<T> x = s.align_corners ? g * ((n - 1) / 2) : g * (n / 2) - T(0.5);
    cell = round_down<T>(x);
    fraction = x - cell;
    return;
  }
  const T* from = positions + axis * s.points + piece.point;
  const Vec<T> d = piece.count == kLanes<T> ? load(from) : load_partial(from, piece.count);
  const Vec<T> whole = round_down<T>(d);
  fraction = d - whole;
  if (axis == 0) {
    cell = whole + (lane_numbers<T>() + static_cast<T>(piece.x));
  } else {
    cell = whole + static_cast<T>(axis == 1 ? piece.y : piece.z);
  }
}

// `pitch` elements lie between neighbouring cells along x.
template <class T, int K, int AXES, bool SLOPES>
inline __attribute__((always_inline)) void find_taps(const Sampling<T>& s, const T* positions,
                                                     const RowPiece& piece, int64_t pitch,
                                                     Taps<T, K, AXES, SLOPES>& taps) {
  for (int axis = 0; axis < AXES; ++axis) {
    Vec<T> cell, fraction;
    locate<T>(s, positions, piece, axis, cell, fraction);
    axis_taps<T, K, AXES, SLOPES>(s, axis, pitch, cell, fraction, taps);
    pitch *= s.in[axis];
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
