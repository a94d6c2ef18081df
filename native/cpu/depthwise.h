// Depthwise correlation of planes: one weight per channel and tap, so there is no matrix product in it.
// No include guard: read once per instruction set, after transpose.h and epilogue.h.
//
//     out[i, j] = act(sum_{a, b} weight[a, b] in[i s + a d + top, j s + b d + left] + bias + residual[i, j])
//
// with zeros outside of `in`.
//
// It is bound by memory: 8 bytes an element forward, against 18 flops. A plane is read where it lies, by
// strips of vectors; lanes outside of a row are masked at the edges. Where the rows are dense (stride and
// dilation 1) a strip covers kStripRows rows of outputs, so that a loaded vector of the input serves all of
// them. Outputs that caches cannot hold are written around them, directly where the rows begin on a vector and
// else through a buffer of one plane. Parallel over planes.

namespace fluxion::cpu::FLUXION_TARGET {

inline constexpr int kStripRows = 4;
inline constexpr int64_t kStripBand =
    16;  // rows of a plane that all strips go through before the next rows

// An axis with its taps in ascending order of the positions that they read.
inline ConvAxis ascending(ConvAxis a) {
  if (a.tap_step >= 0) return a;
  a.offset += (a.taps - 1) * a.tap_step;
  a.first_kernel += (a.taps - 1) * a.kernel_step;
  a.tap_step = -a.tap_step;
  a.kernel_step = -a.kernel_step;
  return a;
}

// Correlation of one plane with one kernel, for the outputs of one phase of a stride.
template <class T>
struct PlaneCorrelation {
  ConvAxis h, w;     // ascending
  const T* weights;  // [h.taps][w.taps], ascending
  const T* in;
  T* out;
  int64_t out_width;
  const T* prior;  // what is added to the sums, laid out as `out` (which it may be), or null
  T bias, floor;   // what is stored is at least `floor`
  bool streaming;  // whole vectors of a row of `out` may go around the caches
  const T* next;   // the plane that is read after this one, or null

  // Brings a part of the next plane to the cache: while a plane is worked on, the hardware does not see
  // that its neighbour is next.
  void fetch_next(int64_t y) const {
    if (!next) return;
    const int64_t plane = h.in * w.in, begin = plane * y / h.out;
    const int64_t end = plane * std::min(h.out, y + kStripBand) / h.out;
    for (int64_t i = begin; i < end; i += 64 / static_cast<int64_t>(sizeof(T)))
      __builtin_prefetch(next + i, 0, 2);
  }
};

// --- a strip of outputs

// Every second element of a row from p on: lanes below n of a phase of stride 2.
template <class T>
inline void store_spread(T* p, Vec<T> v, int64_t n, int64_t step) {
#if FLUXION_VECTOR_BYTES == 64
  if (step == 2) {
    constexpr int w = kLanes<T>;
    using Lanes = std::make_index_sequence<static_cast<size_t>(w)>;
    const uint64_t bits = 0x5555555555555555u & lanes_between(0, 2 * n, 2 * w);
    const Vec<T> low = interleave_low(v, v, Lanes{}), high = interleave_high(v, v, Lanes{});
    if constexpr (sizeof(T) == 4) {
      _mm512_mask_storeu_ps(p, static_cast<__mmask16>(bits), reinterpret_cast<__m512>(low));
      _mm512_mask_storeu_ps(p + w, static_cast<__mmask16>(bits >> w),
                            reinterpret_cast<__m512>(high));
    } else {
      _mm512_mask_storeu_pd(p, static_cast<__mmask8>(bits), reinterpret_cast<__m512d>(low));
      _mm512_mask_storeu_pd(p + w, static_cast<__mmask8>(bits >> w),
                            reinterpret_cast<__m512d>(high));
    }
    return;
  }
#endif
  T values[kLanes<T>];
  store(values, v);
  for (int64_t i = 0; i < n; ++i) p[i * step] = values[i];
}

template <class T, int R, int V>
inline __attribute__((always_inline)) void store_strip(const PlaneCorrelation<T>& c, int64_t y,
                                                       int64_t x, Vec<T> (&acc)[R][V]) {
  constexpr int n = kLanes<T>;
  const Vec<T> bias = broadcast(c.bias), floor = broadcast(c.floor);
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
    const int64_t row = (c.h.first_out + (y + i) * c.h.out_step) * c.out_width + c.w.first_out;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const int64_t column = x + v * n, left = std::min<int64_t>(n, c.w.out - column);
      if (left <= 0) continue;
      const int64_t at = row + column * c.w.out_step;
      T* to = c.out + at;
      Vec<T> value = acc[i][v] + bias;
      if (c.w.out_step != 1) {
        if (c.prior)
          value += load_taps<T, 0, true>(c.prior + at, lanes_between(0, left, n), c.w.out_step);
        store_spread(to, raise_to<T>(floor, value), left, c.w.out_step);
      } else {
        const int count = static_cast<int>(left);
        if (c.prior) value += load_partial(c.prior + at, count);
        value = raise_to<T>(floor, value);
        if (count < n) {
          store_partial(to, value, count);
        } else if (c.streaming) {
          stream(to, value);
        } else {
          store(to, value);
        }
      }
    }
  }
}

// R rows of V vectors where the taps are KH x KW and the rows dense: each input vector is loaded once.
template <class T, int KH, int KW, int R, int V, bool Edge>
inline __attribute__((always_inline)) void dense_strip(const PlaneCorrelation<T>& c, int64_t y,
                                                       int64_t x, const uint64_t (&windows)[KW][V],
                                                       Vec<T> (&acc)[R][V]) {
  const int64_t top = y + c.h.offset;
  const T* row = c.in + top * c.w.in + x + c.w.offset;
#pragma GCC unroll 16
  for (int r = 0; r < R + KH - 1; ++r, row += c.w.in) {
    if (top + r < 0 || top + r >= c.h.in) continue;
#pragma GCC unroll 8
    for (int tw = 0; tw < KW; ++tw) {
      Vec<T> value[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v)
        value[v] = load_taps<T, 1, Edge>(row + tw * c.w.tap_step + v * kLanes<T>,
                                         Edge ? windows[tw][v] : 0, 1);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) {
        const int th = r - i;
        if (th < 0 || th >= KH) continue;
        const Vec<T> weight = broadcast(c.weights[th * KW + tw]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[i][v] += weight * value[v];
      }
    }
  }
}

// The strip of V vectors from column x on, rows y to stop.
template <class T, int KH, int KW, int V, bool Edge>
static __attribute__((noinline)) void dense_strips(const PlaneCorrelation<T>& c, int64_t y,
                                                   int64_t stop, int64_t x) {
  uint64_t windows[KW][V] = {};
  if constexpr (Edge) {
    for (int tw = 0; tw < KW; ++tw)
      for (int v = 0; v < V; ++v) windows[tw][v] = window_of<T, 1>(c.w, x + v * kLanes<T>, tw);
  }
  for (; y + kStripRows <= stop; y += kStripRows) {
    Vec<T> acc[kStripRows][V] = {};
    dense_strip<T, KH, KW, kStripRows, V, Edge>(c, y, x, windows, acc);
    store_strip<T, kStripRows, V>(c, y, x, acc);
  }
  for (; y < stop; ++y) {
    Vec<T> acc[1][V] = {};
    dense_strip<T, KH, KW, 1, V, Edge>(c, y, x, windows, acc);
    store_strip<T, 1, V>(c, y, x, acc);
  }
}

// Any stride, dilation and number of taps: R rows of outputs at a time, for the latency of the sums.
template <class T, int Step, int R, int V>
static __attribute__((noinline)) void sparse_strip(const PlaneCorrelation<T>& c, int64_t y,
                                                   int64_t x) {
  constexpr int n = kLanes<T>;
  Vec<T> acc[R][V] = {};
  for (int64_t tw = 0; tw < c.w.taps; ++tw) {
    uint64_t windows[V];
    for (int v = 0; v < V; ++v) windows[v] = window_of<T, Step>(c.w, x + v * n, tw);
    const int64_t column = x * c.w.step + c.w.offset + tw * c.w.tap_step;
    for (int64_t th = 0; th < c.h.taps; ++th) {
      const Vec<T> weight = broadcast(c.weights[th * c.w.taps + tw]);
      const int64_t top = y * c.h.step + c.h.offset + th * c.h.tap_step;
      const T* row = c.in + top * c.w.in + column;
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) {
        if (top + i * c.h.step < 0 || top + i * c.h.step >= c.h.in) continue;
        const T* from = row + i * c.h.step * c.w.in;
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v)
          acc[i][v] +=
              weight * load_taps<T, Step, true>(from + v * n * c.w.step, windows[v], c.w.step);
      }
    }
  }
  store_strip<T, R, V>(c, y, x, acc);
}

template <class T, int Step, int V>
static void sparse_strips(const PlaneCorrelation<T>& c, int64_t y, int64_t stop, int64_t x) {
  for (; y + kStripRows <= stop; y += kStripRows) sparse_strip<T, Step, kStripRows, V>(c, y, x);
  for (; y < stop; ++y) sparse_strip<T, Step, 1, V>(c, y, x);
}

template <class T, int KH, int KW>
static void dense_plane(const PlaneCorrelation<T>& c) {
  constexpr int n = kLanes<T>;
  for (int64_t y = 0; y < c.h.out; y += kStripBand) {
    const int64_t stop = std::min(c.h.out, y + kStripBand);
    c.fetch_next(y);
    for (int64_t x = 0; x < c.w.out; x += 2 * n) {
      const int64_t first = x + c.w.offset;
      const bool inside = first >= 0 && first + (KW - 1) * c.w.tap_step + 2 * n <= c.w.in;
      if (x + n >= c.w.out) {
        dense_strips<T, KH, KW, 1, true>(c, y, stop, x);
      } else if (inside) {
        dense_strips<T, KH, KW, 2, false>(c, y, stop, x);
      } else {
        dense_strips<T, KH, KW, 2, true>(c, y, stop, x);
      }
    }
  }
}

template <class T, int Step>
static void sparse_plane(const PlaneCorrelation<T>& c) {
  constexpr int n = kLanes<T>;
  for (int64_t y = 0; y < c.h.out; y += kStripBand) {
    const int64_t stop = std::min(c.h.out, y + kStripBand);
    c.fetch_next(y);
    for (int64_t x = 0; x < c.w.out; x += 2 * n) {
      if (x + n >= c.w.out) {
        sparse_strips<T, Step, 1>(c, y, stop, x);
      } else {
        sparse_strips<T, Step, 2>(c, y, stop, x);
      }
    }
  }
}

template <class T>
static void correlate_plane(const PlaneCorrelation<T>& c) {
  const bool dense = c.h.step == 1 && c.w.step == 1 && (c.h.tap_step == 1 || c.h.taps == 1);
  if (dense && c.h.taps == c.w.taps) {
    if (c.h.taps == 3) return dense_plane<T, 3, 3>(c);
    if (c.h.taps == 5) return dense_plane<T, 5, 5>(c);
    if (c.h.taps == 7) return dense_plane<T, 7, 7>(c);
  }
  if (c.w.step == 1) return sparse_plane<T, 1>(c);
  if (c.w.step == 2) return sparse_plane<T, 2>(c);
  sparse_plane<T, 0>(c);
}

// --- all planes

// Forward: in = x and out = y. Input gradient: in = g and out = gx.
template <class T>
struct Depthwise {
  DepthwiseShape shape;
  const T* weights;  // [channels * multiplier][kernel height][kernel width]

  int64_t taps() const { return shape.kernel_height * shape.kernel_width; }
};

// The weights of a phase, in ascending order.
template <class T>
static const T* ordered_weights(const ConvAxis& h, const ConvAxis& w, const T* kernel,
                                int64_t kernel_width, T* to) {
  for (int64_t i = 0; i < h.taps; ++i) {
    const T* row = kernel + (h.first_kernel + i * h.kernel_step) * kernel_width + w.first_kernel;
    for (int64_t j = 0; j < w.taps; ++j) to[i * w.taps + j] = row[j * w.kernel_step];
  }
  return to;
}

// Where the plane of an output is written, and how it gets around the caches.
template <class T>
struct PlaneWriter {
  bool streaming, buffered;
  int64_t plane;

  PlaneWriter(const T* out, int64_t planes, int64_t height, int64_t width, bool once)
      : plane(height * width) {
    const int64_t bytes = plane * static_cast<int64_t>(sizeof(T));
    const bool large = planes * bytes >= kDepthwiseStreamBytes && bytes % 64 == 0 &&
                       reinterpret_cast<uintptr_t>(out) % 64 == 0;
    streaming = large && once && width * static_cast<int64_t>(sizeof(T)) % 64 == 0;
    buffered = large && !streaming && bytes <= kDepthwisePlaneBytes;
  }
  void finish(const T* buffer, T* to) const {
    constexpr int n = kLanes<T>;
    for (int64_t i = 0; buffered && i < plane; i += n) stream(to + i, load(buffer + i));
    if (streaming || buffered) stream_fence();
  }
};

template <class T>
static void depthwise_forward(const Kernel& kernel, const Depthwise<T>& c,
                              const Epilogue<T>& epilogue, const T* x, T* y) {
  const DepthwiseShape& s = c.shape;
  const ConvAxis h = s.rows(), w = s.columns();
  const PlaneWriter<T> writer(y, s.images * s.outputs(), h.out, w.out, !epilogue.smooth());
  const int64_t last = s.images * s.channels - 1;
  kernel.parallel_for(s.images * s.outputs(), [&](int64_t plane, int thread) {
    const int64_t output = plane % s.outputs();
    const int64_t from = plane / s.outputs() * s.channels + output / s.multiplier;
    const Epilogue<T> part = epilogue.at(output, 0, plane * writer.plane);
    T *to = y + plane * writer.plane, *buffer = kernel.scratch<T>(thread);
    T* out = writer.buffered ? buffer : to;
    correlate_plane<T>({h, w, c.weights + output * c.taps(), x + from * h.in * w.in, out, w.out,
                        part.residual, part.bias ? *part.bias : T{}, part.floor(), writer.streaming,
                        x + std::min(from + 1, last) * h.in * w.in});
    if (part.smooth()) activate_rows(part.activation, out, writer.plane, 1, writer.plane);
    writer.finish(buffer, to);
  });
}

// One plane of gx (+ bias), from the outputs of its channel.
template <class T>
static void depthwise_input_plane(const Depthwise<T>& c, const PlaneWriter<T>& writer, const T* g,
                                  const T* bias, int64_t plane, T* scratch, T* gx) {
  const DepthwiseShape& s = c.shape;
  const int64_t channel = plane % s.channels, last = s.images * s.outputs() - 1;
  T *ordered = scratch, *buffer = scratch + depthwise_taps_size(c.taps());
  T *to = gx + plane * writer.plane, *out = writer.buffered ? buffer : to;
  for (int64_t j = 0; j < s.multiplier; ++j) {
    const int64_t output = channel * s.multiplier + j;
    const int64_t from = plane / s.channels * s.outputs() + output;
    for (int64_t ph = 0; ph < s.stride_height; ++ph) {
      for (int64_t pw = 0; pw < s.stride_width; ++pw) {
        const ConvAxis h = ascending(s.rows_vjp(ph)), w = ascending(s.columns_vjp(pw));
        const T* weights =
            ordered_weights(h, w, c.weights + output * c.taps(), s.kernel_width, ordered);
        const int64_t g_plane = h.in * w.in;
        const bool prefetch = ph + pw == 0;
        correlate_plane<T>({h, w, weights, g + from * g_plane, out, s.width, j > 0 ? out : nullptr,
                            bias && j == 0 ? bias[channel] : T{},
                            -std::numeric_limits<T>::infinity(), writer.streaming,
                            prefetch ? g + std::min(from + 1, last) * g_plane : nullptr});
      }
    }
  }
  writer.finish(buffer, to);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
