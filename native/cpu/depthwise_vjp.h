// Gradients of a depthwise convolution, both from one pass over g. No include guard: read once per
// instruction set, after depthwise_fused.h.
//
//     gx = correlation of g with the turned kernel (depthwise.h)
//     gw[o, a, b] = sum over images and pixels of g[n, o, i, j] x[n, c, i s + a d + top, j s + b d + left]
//
// Floor: 12 bytes an element. The sums of a kernel's taps stay in registers, a vector for each tap, while a
// plane goes by; between planes they wait in a partial gradient of their slice of images:
//     [slice][output][tap][lanes]
// Parallel over (slice, chunk of channels); the slices are added in order.

namespace fluxion::cpu::FLUXION_TARGET {

// The taps [th, th + KH) x [tw, tw + KW) of one plane; R rows of g share the loads of x where rows are dense.
template <class T, int KH, int KW, int R, int Step>
struct TapSums {
  const ConvAxis &h, &w;
  const T *x, *g;
  int64_t th, tw;

  template <int Rows>
  inline __attribute__((always_inline)) void add_rows(int64_t y, int64_t column,
                                                      const uint64_t (&windows)[KW], int valid,
                                                      Vec<T> (&acc)[KH][KW]) const {
    Vec<T> cotangent[Rows];
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i)
      cotangent[i] = load_window(g + (y + i) * w.out + column, lanes_between(0, valid, kLanes<T>));
    const int64_t left = column * w.step + w.offset + tw * w.tap_step;
    // With several rows, row r of x meets row i of g at tap r - i; with one, tap r has a row of its own.
#pragma GCC unroll 16
    for (int r = 0; r < Rows + KH - 1; ++r) {
      const int64_t row = y * h.step + h.offset + (th + r) * h.tap_step;
      if (row < 0 || row >= h.in) continue;
      const T* from = x + row * w.in + left;
#pragma GCC unroll 8
      for (int b = 0; b < KW; ++b) {
        const Vec<T> value = load_taps<T, Step, true>(from + b * w.tap_step, windows[b], w.step);
#pragma GCC unroll 4
        for (int i = 0; i < Rows; ++i) {
          if (r - i < 0 || r - i >= KH) continue;
          acc[r - i][b] += cotangent[i] * value;
        }
      }
    }
  }

  // `pitch`: taps of a row of the kernel.
  __attribute__((noinline)) void add_plane(T* sums, int64_t pitch) const {
    constexpr int n = kLanes<T>;
    T* first = sums + (th * pitch + tw) * n;
    Vec<T> acc[KH][KW];
#pragma GCC unroll 8
    for (int a = 0; a < KH; ++a)
#pragma GCC unroll 8
      for (int b = 0; b < KW; ++b) acc[a][b] = load(first + (a * pitch + b) * n);
    for (int64_t band = 0; band < h.out; band += kStripBand) {
      const int64_t stop = std::min(h.out, band + kStripBand);
      for (int64_t column = 0; column < w.out; column += n) {
        const int valid = static_cast<int>(std::min<int64_t>(n, w.out - column));
        uint64_t windows[KW];
        for (int b = 0; b < KW; ++b) windows[b] = window_of<T, Step>(w, column, tw + b);
        int64_t y = band;
        for (; y + R <= stop; y += R) add_rows<R>(y, column, windows, valid, acc);
        if constexpr (R > 1) {
          for (; y < stop; ++y) add_rows<1>(y, column, windows, valid, acc);
        }
      }
    }
#pragma GCC unroll 8
    for (int a = 0; a < KH; ++a)
#pragma GCC unroll 8
      for (int b = 0; b < KW; ++b) store(first + (a * pitch + b) * n, acc[a][b]);
  }
};

template <class T, int Step>
static void add_any_taps(const ConvAxis& h, const ConvAxis& w, const T* x, const T* g, T* sums) {
  if (h.taps == 3 && w.taps == 3)
    return TapSums<T, 3, 3, 1, Step>{h, w, x, g, 0, 0}.add_plane(sums, 3);
  for (int64_t th = 0; th < h.taps; ++th) {
    int64_t tw = 0;
    for (; tw + 5 <= w.taps; tw += 5)
      TapSums<T, 1, 5, 1, Step>{h, w, x, g, th, tw}.add_plane(sums, w.taps);
    for (; tw < w.taps; ++tw) TapSums<T, 1, 1, 1, Step>{h, w, x, g, th, tw}.add_plane(sums, w.taps);
  }
}

// sums[tap][lane] += products of one plane; lanes of x outside of it are zero, so a row of g may end early.
template <class T>
static void add_taps(const ConvAxis& h, const ConvAxis& w, const T* x, const T* g, T* sums) {
  const bool dense = h.step == 1 && w.step == 1 && h.tap_step == 1;
  if (dense && h.taps == 3 && w.taps == 3) {
    TapSums<T, 3, 3, 4, 1>{h, w, x, g, 0, 0}.add_plane(sums, 3);
  } else if (dense && w.taps == 5) {
    int64_t th = 0;
    for (; th + 5 <= h.taps; th += 5) TapSums<T, 5, 5, 2, 1>{h, w, x, g, th, 0}.add_plane(sums, 5);
    for (; th < h.taps; ++th) TapSums<T, 1, 5, 1, 1>{h, w, x, g, th, 0}.add_plane(sums, 5);
  } else if (dense && w.taps == 7) {
    int64_t th = 0;
    for (; th + 3 <= h.taps; th += 3) TapSums<T, 3, 7, 4, 1>{h, w, x, g, th, 0}.add_plane(sums, 7);
    for (; th < h.taps; ++th) TapSums<T, 1, 7, 1, 1>{h, w, x, g, th, 0}.add_plane(sums, 7);
  } else if (w.step == 1) {
    add_any_taps<T, 1>(h, w, x, g, sums);
  } else if (w.step == 2) {
    add_any_taps<T, 2>(h, w, x, g, sums);
  } else {
    add_any_taps<T, 0>(h, w, x, g, sums);
  }
}

// One plane of gx, unless it is null, and its part of gw, in one go.
template <class T>
static void depthwise_fused_plane(const Depthwise<T>& c, const PlaneWriter<T>& writer, const T* g,
                                  const T* x, int64_t plane, T* scratch, T* gx, T* sums) {
  const DepthwiseShape& s = c.shape;
  const ConvAxis h = ascending(s.rows_vjp(0)), w = ascending(s.columns_vjp(0));
  const int64_t channel = plane % s.channels, planes = s.images * s.channels;
  const int64_t g_plane = h.in * w.in, x_plane = h.out * w.out;
  T* buffer = gx ? scratch + depthwise_taps_size(9) : nullptr;
  T* to = gx ? gx + plane * writer.plane : nullptr;
  FusedPlane<T> fused{h,
                      w,
                      scratch,
                      g + plane * g_plane,
                      x + plane * x_plane,
                      writer.buffered ? buffer : to,
                      sums + channel * 9 * kLanes<T>,
                      writer.streaming,
                      g + planes * g_plane,
                      x + planes * x_plane};
  if (gx) {
    ordered_weights(h, w, c.weights + channel * 9, s.kernel_width, scratch);
    fused_plane<T, true>(fused);
    writer.finish(buffer, to);
  } else {
    fused_plane<T, false>(fused);
  }
}

// gx (+ bias) and gw; either may be null.
template <class T>
static void depthwise_vjp(const Kernel& kernel, const Depthwise<T>& c, const T* g, const T* x,
                          T* gx, T* gw, const T* bias = nullptr) {
  constexpr int n = kLanes<T>;
  const DepthwiseShape& s = c.shape;
  const ConvAxis h = s.rows(), w = s.columns();
  const PlaneWriter<T> writer(gx, s.images * s.channels, s.height, s.width,
                              s.stride_width == 1 && s.multiplier == 1);
  const bool fused = kFusedGradients && gw && !bias && s.multiplier == 1 && s.kernel_height == 3 &&
                     s.kernel_width == 3 && h.step == 1 && w.step == 1 && h.tap_step == 1 &&
                     w.tap_step == 1;
  const DepthwiseSlices cut(s.images, s.channels, gw != nullptr);
  const int64_t sums_size = s.outputs() * c.taps() * n;
  T* partial = kernel.workspace<T>();
  kernel.parallel_for(cut.slices * cut.chunks, [&](int64_t block, int thread) {
    const int64_t slice = block / cut.chunks, chunk = block % cut.chunks;
    const int64_t first = s.channels * chunk / cut.chunks;
    const int64_t last = s.channels * (chunk + 1) / cut.chunks;
    T* sums = partial + slice * sums_size;
    if (gw) {
      std::fill_n(sums + first * s.multiplier * c.taps() * n,
                  (last - first) * s.multiplier * c.taps() * n, T{});
    }
    for (int64_t image = s.images * slice / cut.slices; image < s.images * (slice + 1) / cut.slices;
         ++image) {
      for (int64_t channel = first; channel < last; ++channel) {
        const int64_t plane = image * s.channels + channel;
        if (fused) {
          depthwise_fused_plane(c, writer, g, x, plane, kernel.scratch<T>(thread), gx, sums);
          continue;
        }
        if (gx) depthwise_input_plane(c, writer, g, bias, plane, kernel.scratch<T>(thread), gx);
        for (int64_t o = channel * s.multiplier; gw && o < (channel + 1) * s.multiplier; ++o) {
          add_taps(h, w, x + plane * h.in * w.in, g + (image * s.outputs() + o) * h.out * w.out,
                   sums + o * c.taps() * n);
        }
      }
    }
    if (gx) writer.fence();
  });
  if (!gw) return;
  for (int64_t i = 0; i < s.outputs() * c.taps(); ++i) {
    Vec<T> sum{};
    for (int64_t slice = 0; slice < cut.slices; ++slice)
      sum += load(partial + slice * sums_size + i * n);
    gw[i] = sum_lanes<T>(sum);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
