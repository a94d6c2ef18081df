// Bilinear sampling of tiles [pixel][lane] at displaced points, and its transpose: the four taps of a pixel
// are the same for all lanes, so each is one vector. Read once per instruction set, after
// semi_lagrangian_taps.h.

namespace fluxion::cpu::FLUXION_TARGET {

static_assert(static_cast<int>(Padding::periodic) == static_cast<int>(SampleBoundary::periodic) &&
              static_cast<int>(Padding::reflect) == static_cast<int>(SampleBoundary::reflect));

// Of one pixel: where the taps are, their weights, and the derivatives of the weights in the displacement.
template <class T>
struct PixelTap {
  int32_t index[4];
  T weight[4], along_x[4], along_y[4];
};

template <class T>
inline void find_pixel_taps(const T* displacement, int64_t rows, int64_t columns, Padding padding,
                            PixelTap<T>* pixel) {
  Sampling<T> s{};
  s.axes = s.taps = 2;
  s.padding = padding;
  s.in[0] = s.out[0] = columns;
  s.in[1] = s.out[1] = rows;
  s.points = rows * columns;
  Taps<T, 2, 2, true> taps;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t x = 0; x < columns; x += kLanes<T>) {
      const int count = static_cast<int>(std::min<int64_t>(kLanes<T>, columns - x));
      find_taps(s, displacement, RowPiece{x, row, 0, row * columns + x, count}, 1, taps);
      for (int i = 0; i < count; ++i, ++pixel) {
        for (int t = 0; t < 4; ++t) {
          const int h = t & 1, v = t >> 1;
          pixel->index[t] = static_cast<int32_t>(taps.at[0][h][i] + taps.at[1][v][i]);
          pixel->weight[t] = taps.weight[0][h][i] * taps.weight[1][v][i];
          pixel->along_x[t] = taps.slope[0][h][i] * taps.weight[1][v][i];
          pixel->along_y[t] = taps.weight[0][h][i] * taps.slope[1][v][i];
        }
      }
    }
  }
}

template <class T>
inline __attribute__((always_inline)) Vec<T> combine(const T* tile, const int32_t (&index)[4],
                                                     const T (&weight)[4]) {
  Vec<T> sum = weight[0] * load(tile + index[0] * kLanes<T>);
#pragma GCC unroll 4
  for (int t = 1; t < 4; ++t) sum += weight[t] * load(tile + index[t] * kLanes<T>);
  return sum;
}

template <class T>
inline void gather_tile(const T* from, int64_t pixels, const PixelTap<T>* taps, T* to) {
  for (int64_t p = 0; p < pixels; ++p)
    store(to + p * kLanes<T>, combine(from, taps[p].index, taps[p].weight));
}

// to += the transpose of gather_tile applied to `from`, pixel after pixel.
template <class T>
inline void scatter_tile(const T* from, int64_t pixels, const PixelTap<T>* taps, T* to) {
  for (int64_t p = 0; p < pixels; ++p) {
    const Vec<T> x = load(from + p * kLanes<T>);
    for (int t = 0; t < 4; ++t) {
      T* at = to + taps[p].index[t] * kLanes<T>;
      store(at, load(at) + taps[p].weight[t] * x);
    }
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
