// Planes with dense rows (stride and dilation 1): blocks of rows by strips of vectors, so that a loaded vector of
// the input serves all rows of the block. No include guard: read once per instruction set, after
// depthwise_plane.h.
//
// The input is fetched a few rows ahead, a line for each line that is read: more at a time would wait for
// places among the lines on their way, and without it a core waits for memory at each new page.

namespace fluxion::cpu::FLUXION_TARGET {

// Elements of a row of `width` to fetch ahead: two blocks of rows, at least a page. 0 where the tensor ends before
// they do.
template <class T>
inline int64_t fetch_distance(const T* plane, int64_t height, int64_t width, const T* end) {
  constexpr int64_t kPage = 4096 / static_cast<int64_t>(sizeof(T));
  const int64_t ahead = std::max(2 * kStripRows * width, kPage);
  return end - plane >= height * width + ahead ? ahead : 0;
}

// The lines of R rows of V vectors.
template <class T, int R, int V>
inline __attribute__((always_inline)) void fetch_rows(const T* p, int64_t pitch) {
  constexpr int kLine = 64 / static_cast<int>(sizeof(T)), kWidth = V * kLanes<T>;
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int at = 0; at < kWidth; at += kLine) __builtin_prefetch(p + i * pitch + at, 0, 2);
}

// The strips that rows of outputs are cut into: V vectors each, or one at the end.
template <class T, int KW, int V>
struct StripColumns {
  static constexpr int kMost = 64;
  struct Strip {
    int64_t x;
    bool single, edge;        // edge: loads are masked; a single vector of several is one
    uint64_t windows[KW][V];  // at an edge: the lanes that lie in the row, of outputs too
  };
  int count = 0;
  Strip strips[kMost];

  // The strips from column x on; returns where the next ones begin.
  int64_t cut(const ConvAxis& w, int64_t x) {
    constexpr int n = kLanes<T>;
    for (count = 0; count < kMost && x < w.out; ++count) {
      Strip& s = strips[count];
      const int64_t first = x + w.offset;
      s.x = x;
      s.single = V == 1 || x + n >= w.out;
      const int64_t wide = s.single ? n : V * n;
      s.edge = (s.single && V > 1) || first < 0 || first + (KW - 1) * w.tap_step + wide > w.in ||
               x + wide > w.out;
      for (int tw = 0; s.edge && tw < KW; ++tw)
        for (int v = 0; v < V; ++v)
          s.windows[tw][v] =
              window_of<T, 1>(w, x + v * n, tw) & lanes_between(0, w.out - x - v * n, n);
      x += wide;
    }
    return x;
  }
};

// Weights of a kernel as vectors: few of them stay in registers.
template <class T, int N, bool Kept = (N <= 9)>
struct WeightVectors {
  Vec<T> held[N];
  explicit WeightVectors(const T* weights) {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) held[i] = broadcast(weights[i]);
  }
  inline __attribute__((always_inline)) Vec<T> at(int i) const { return held[i]; }
};

template <class T, int N>
struct WeightVectors<T, N, false> {
  const T* weights;
  explicit WeightVectors(const T* from) : weights(from) {}
  inline __attribute__((always_inline)) Vec<T> at(int i) const { return broadcast(weights[i]); }
};

// R rows of V vectors where the taps are KH x KW: each input vector is loaded once.
template <class T, int KH, int KW, int R, int V, bool Edge, class Strip, class Weights>
inline __attribute__((always_inline)) void dense_strip(const PlaneCorrelation<T>& c,
                                                       const Weights& weights, const Strip& strip,
                                                       int64_t y, int64_t ahead) {
  const int64_t top = y + c.h.offset;
  const T* row = c.in + top * c.w.in + strip.x + c.w.offset;
  Vec<T> acc[R][V] = {};
#pragma GCC unroll 16
  for (int r = 0; r < R + KH - 1; ++r, row += c.w.in) {
    if (top + r < 0 || top + r >= c.h.in) continue;
#pragma GCC unroll 8
    for (int tw = 0; tw < KW; ++tw) {
      Vec<T> value[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v)
        value[v] = load_taps<T, 1, Edge>(row + tw * c.w.tap_step + v * kLanes<T>,
                                         Edge ? strip.windows[tw][v] : 0, 1);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) {
        const int th = r - i;
        if (th < 0 || th >= KH) continue;
        const Vec<T> weight = weights.at(th * KW + tw);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[i][v] += weight * value[v];
      }
    }
  }
  if (ahead) fetch_rows<T, R, V>(c.in + y * c.w.in + strip.x + ahead, c.w.in);
  store_strip<T, R, V>(c, y, strip.x, acc);
}

// The same, as a function of its own where it is long or rare.
template <class T, int KH, int KW, int R, int V, bool Edge, class Strip, class Weights>
static __attribute__((noinline)) void long_strip(const PlaneCorrelation<T>& c,
                                                 const Weights& weights, const Strip& strip,
                                                 int64_t y, int64_t ahead) {
  dense_strip<T, KH, KW, R, V, Edge>(c, weights, strip, y, ahead);
}

template <class T, int KH, int KW, int R, int V, bool Edge, class Strip, class Weights>
inline __attribute__((always_inline)) void any_strip(const PlaneCorrelation<T>& c,
                                                     const Weights& weights, const Strip& strip,
                                                     int64_t y, int64_t ahead) {
  if constexpr (KH * KW > 9 || R == 1) {
    long_strip<T, KH, KW, R, V, Edge>(c, weights, strip, y, ahead);
  } else {
    dense_strip<T, KH, KW, R, V, Edge>(c, weights, strip, y, ahead);
  }
}

template <class T, int KH, int KW, int R, int V, class Weights>
inline __attribute__((always_inline)) void dense_rows(const PlaneCorrelation<T>& c,
                                                      const Weights& weights,
                                                      const StripColumns<T, KW, V>& columns,
                                                      int64_t y, int64_t ahead) {
  for (int i = 0; i < columns.count; ++i) {
    const auto& strip = columns.strips[i];
    if (!strip.edge) {
      any_strip<T, KH, KW, R, V, false>(c, weights, strip, y, ahead);
    } else if (V == 1 || strip.single) {
      any_strip<T, KH, KW, R, 1, true>(c, weights, strip, y, ahead);
    } else {
      any_strip<T, KH, KW, R, V, true>(c, weights, strip, y, ahead);
    }
  }
}

template <class T, int KH, int KW>
static void dense_plane(const PlaneCorrelation<T>& c) {
  constexpr int kVectors = FLUXION_VECTOR_BYTES == 64 && KH * KW <= 9 ? 1 : 2;
  const WeightVectors<T, KH * KW> weights(c.weights);
  const int64_t ahead = c.in_end ? fetch_distance(c.in, c.h.in, c.w.in, c.in_end) : 0;
  StripColumns<T, KW, kVectors> columns;
  for (int64_t x = 0; x < c.w.out;) {
    x = columns.cut(c.w, x);
    int64_t y = 0;
    for (; y + kStripRows <= c.h.out; y += kStripRows)
      dense_rows<T, KH, KW, kStripRows, kVectors>(c, weights, columns, y, ahead);
    for (; y < c.h.out; ++y) dense_rows<T, KH, KW, 1, kVectors>(c, weights, columns, y, ahead);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
