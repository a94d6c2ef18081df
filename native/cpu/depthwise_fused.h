// Both gradients of a depthwise 3x3 convolution with dense rows, from one reading of g and x. No include guard: read
// once per instruction set, after depthwise_dense.h.
//
//     gx[i, j]  = sum_{a, b} weight[a, b] g[i - a - top, j - b - left]
//     gw[a, b] += sum_{i, j} x[i, j]      g[i - a - top, j - b - left]
//
// A vector of g that a tap reads is multiplied with the weight for gx and with the vector of x at the output for gw:
// 18 products for 6 loads of g, one of x and one store. 9 weights and 9 sums stay in registers, which takes a
// set with 32 of them. Without gx the sums are the same to the bit.

namespace fluxion::cpu::FLUXION_TARGET {

#if FLUXION_VECTOR_BYTES == 64 || defined(__aarch64__)
inline constexpr bool kFusedGradients = true;
#else
inline constexpr bool kFusedGradients = false;
#endif
inline constexpr int kFusedRows = 2;

template <class T>
struct FusedPlane {
  ConvAxis h, w;     // of the input gradient, ascending
  const T* weights;  // ascending; only read for gx
  const T *g, *x;
  T *gx, *sums;  // sums of the taps of the kernel, [tap][lane]
  bool streaming;
  const T *g_end, *x_end;  // of the tensors, for what is fetched ahead

  T* sum_of(int th, int tw) const {
    const int64_t row = h.first_kernel + th * h.kernel_step;
    const int64_t column = w.first_kernel + tw * w.kernel_step;
    return sums + (row * 3 + column) * kLanes<T>;
  }
};

// R rows of a vector. ahead: elements to fetch ahead in g and x.
template <class T, int R, bool Input, bool Edge, class Strip>
inline __attribute__((always_inline)) void fused_strip(const FusedPlane<T>& c,
                                                       const WeightVectors<T, 9>& weights,
                                                       const Strip& strip, int64_t y,
                                                       const int64_t (&ahead)[2],
                                                       Vec<T> (&sums)[9]) {
  const int64_t width = c.w.out, at = y * width + strip.x;
  const int valid = static_cast<int>(std::min<int64_t>(kLanes<T>, width - strip.x));
  const int64_t top = y + c.h.offset;
  const T* row = c.g + top * c.w.in + strip.x + c.w.offset;
  Vec<T> acc[R] = {}, x[R];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i)
    x[i] = Edge ? load_partial(c.x + at + i * width, valid) : load(c.x + at + i * width);
#pragma GCC unroll 8
  for (int r = 0; r < R + 2; ++r, row += c.w.in) {
    if (top + r < 0 || top + r >= c.h.in) continue;
#pragma GCC unroll 4
    for (int tw = 0; tw < 3; ++tw) {
      const Vec<T> value = load_taps<T, 1, Edge>(row + tw, Edge ? strip.windows[tw][0] : 0, 1);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) {
        const int th = r - i;
        if (th < 0 || th > 2) continue;
        if constexpr (Input) acc[i] += weights.at(th * 3 + tw) * value;
        sums[th * 3 + tw] += x[i] * value;
      }
    }
  }
  if (ahead[0]) fetch_rows<T, R, 1>(c.g + y * c.w.in + strip.x + ahead[0], c.w.in);
  if (ahead[1]) fetch_rows<T, R, 1>(c.x + at + ahead[1], width);
#pragma GCC unroll 4
  for (int i = 0; Input && i < R; ++i) {
    T* to = c.gx + at + i * width;
    if (Edge && valid < kLanes<T>) {
      store_partial(to, acc[i], valid);
    } else if (c.streaming) {
      stream(to, acc[i]);
    } else {
      store(to, acc[i]);
    }
  }
}

template <class T, int R, bool Input>
inline __attribute__((always_inline)) void fused_rows(const FusedPlane<T>& c,
                                                      const WeightVectors<T, 9>& weights,
                                                      const StripColumns<T, 3, 1>& columns,
                                                      int64_t y, const int64_t (&ahead)[2],
                                                      Vec<T> (&sums)[9]) {
  for (int i = 0; i < columns.count; ++i) {
    const auto& strip = columns.strips[i];
    if (strip.edge) {
      fused_strip<T, R, Input, true>(c, weights, strip, y, ahead, sums);
    } else {
      fused_strip<T, R, Input, false>(c, weights, strip, y, ahead, sums);
    }
  }
}

template <class T, bool Input>
static __attribute__((noinline)) void fused_plane(const FusedPlane<T>& c) {
  constexpr T kNone[9] = {};
  const WeightVectors<T, 9> weights(Input ? c.weights : kNone);
  const int64_t ahead[2] = {fetch_distance(c.g, c.h.in, c.w.in, c.g_end),
                            fetch_distance(c.x, c.h.out, c.w.out, c.x_end)};
  Vec<T> sums[9];
#pragma GCC unroll 16
  for (int tap = 0; tap < 9; ++tap) sums[tap] = load(c.sum_of(tap / 3, tap % 3));
  StripColumns<T, 3, 1> columns;
  for (int64_t x = 0; x < c.w.out;) {
    x = columns.cut(c.w, x);
    int64_t y = 0;
    for (; y + kFusedRows <= c.h.out; y += kFusedRows)
      fused_rows<T, kFusedRows, Input>(c, weights, columns, y, ahead, sums);
    for (; y < c.h.out; ++y) fused_rows<T, 1, Input>(c, weights, columns, y, ahead, sums);
  }
#pragma GCC unroll 16
  for (int tap = 0; tap < 9; ++tap) store(c.sum_of(tap / 3, tap % 3), sums[tap]);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
