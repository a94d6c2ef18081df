// Bilinear sampling of tiles [pixel][lane] at displaced points, and its transpose: the four taps of a pixel
// are the same for all lanes, so each is one vector. Read once per instruction set, after simd.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct AxisTaps {
  int64_t index[2];
  T weight[2], slope[2];
};

template <class T>
inline AxisTaps<T> axis_taps(int64_t i, T d, int64_t n, SemiLagrangianBoundary boundary) {
  T at = static_cast<T>(i) + d;
  if (!(at > T(-1e6))) at = T(-1e6);
  if (at > T(1e6)) at = T(1e6);
  const T whole = std::floor(at), a = at - whole;
  AxisTaps<T> taps{{}, {T(1) - a, a}, {T(-1), T(1)}};
  for (int t = 0; t < 2; ++t) {
    int64_t j = static_cast<int64_t>(whole) + t;
    switch (boundary) {
      case SemiLagrangianBoundary::zeros:
        if (j < 0 || j >= n) j = 0, taps.weight[t] = taps.slope[t] = T(0);
        break;
      case SemiLagrangianBoundary::border:
        j = std::clamp<int64_t>(j, 0, n - 1);
        break;
      case SemiLagrangianBoundary::reflect:
        j = (j % (2 * n) + 2 * n) % (2 * n);
        if (j >= n) j = 2 * n - 1 - j;
        break;
      case SemiLagrangianBoundary::periodic:
        j = (j % n + n) % n;
        break;
    }
    taps.index[t] = j;
  }
  return taps;
}

// Of one pixel: where the taps are, their weights, and the derivatives of the weights in the displacement.
template <class T>
struct PixelTap {
  int32_t index[4];
  T weight[4], along_x[4], along_y[4];
};

template <class T>
inline void find_taps(const T* displacement, int64_t rows, int64_t columns,
                      SemiLagrangianBoundary boundary, PixelTap<T>* taps) {
  const int64_t pixels = rows * columns;
  for (int64_t y = 0, p = 0; y < rows; ++y) {
    for (int64_t x = 0; x < columns; ++x, ++p) {
      const AxisTaps<T> h = axis_taps(x, displacement[p], columns, boundary);
      const AxisTaps<T> v = axis_taps(y, displacement[pixels + p], rows, boundary);
      for (int t = 0; t < 4; ++t) {
        const int i = t & 1, j = t >> 1;
        taps[p].index[t] = static_cast<int32_t>(v.index[j] * columns + h.index[i]);
        taps[p].weight[t] = v.weight[j] * h.weight[i];
        taps[p].along_x[t] = v.weight[j] * h.slope[i];
        taps[p].along_y[t] = v.slope[j] * h.weight[i];
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
