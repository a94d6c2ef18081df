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

// Where the plane of an output is written, and how it gets around the caches; a block of planes ends with a fence.
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
  void fence() const {
    if (streaming || buffered) stream_fence();
  }
  void finish(const T* buffer, T* to) const {
    constexpr int n = kLanes<T>;
    for (int64_t i = 0; buffered && i < plane; i += n) stream(to + i, load(buffer + i));
  }
};

template <class T>
static void depthwise_forward(const Kernel& kernel, const Depthwise<T>& c,
                              const Epilogue<T>& epilogue, const T* x, T* y) {
  const DepthwiseShape& s = c.shape;
  const ConvAxis h = s.rows(), w = s.columns();
  const int64_t planes = s.images * s.outputs(), blocks = std::min(planes, kDepthwiseBlocks);
  const PlaneWriter<T> writer(y, planes, h.out, w.out, !epilogue.smooth());
  const T* end = x + s.images * s.channels * h.in * w.in;
  kernel.parallel_for(blocks, [&](int64_t block, int thread) {
    T* buffer = kernel.scratch<T>(thread);
    const int64_t stop = planes * (block + 1) / blocks;
    for (int64_t plane = planes * block / blocks; plane < stop; ++plane) {
      const int64_t output = plane % s.outputs();
      const int64_t from = plane / s.outputs() * s.channels + output / s.multiplier;
      const Epilogue<T> part = epilogue.at(output, 0, plane * writer.plane);
      T *to = y + plane * writer.plane, *out = writer.buffered ? buffer : to;
      correlate_plane<T>({h, w, c.weights + output * c.taps(), x + from * h.in * w.in, out, w.out,
                          part.residual, part.bias ? *part.bias : T{}, part.floor(),
                          writer.streaming, end});
      if (part.smooth()) activate_rows(part.activation, out, writer.plane, 1, writer.plane);
      writer.finish(buffer, to);
    }
    writer.fence();
  });
}

// One plane of gx (+ bias), from the outputs of its channel.
template <class T>
static void depthwise_input_plane(const Depthwise<T>& c, const PlaneWriter<T>& writer, const T* g,
                                  const T* bias, int64_t plane, T* scratch, T* gx) {
  const DepthwiseShape& s = c.shape;
  const int64_t channel = plane % s.channels;
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
        const T* end = ph + pw == 0 ? g + s.images * s.outputs() * g_plane : nullptr;
        correlate_plane<T>({h, w, weights, g + from * g_plane, out, s.width, j > 0 ? out : nullptr,
                            bias && j == 0 ? bias[channel] : T{},
                            -std::numeric_limits<T>::infinity(), writer.streaming, end});
      }
    }
  }
  writer.finish(buffer, to);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
