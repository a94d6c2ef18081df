// Depthwise correlation of planes: one weight per channel and tap, so there is no matrix product in it.
// No include guard: read once per instruction set, after simd.h.
//
// A plane is copied once, zero-padded and with the columns of equal remainder modulo the step together:
//     padded[row][remainder][column / step]
// so that every tap of every output row is a contiguous stretch: whole vectors without bounds, for any
// stride, dilation and padding. Parallel over planes; the weight gradient over channels, so that the
// images of a channel are added in order.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct Depthwise {
  ConvAxis h, w;
  int64_t images, channels, out_height, out_width;
  const T* in;
  T* out;
  const T* weights;
  int64_t kernel_height, kernel_width;
  Epilogue<T> epilogue;

  int64_t pitch() const { return depthwise_pitch(w); }
  // Where tap (th, tw) of output row y begins in the padded plane.
  int64_t tap_offset(int64_t y, int64_t th, int64_t tw) const {
    const int64_t row = y * h.step + h.offset + th * h.tap_step - h.lowest();
    const int64_t column = w.offset + tw * w.tap_step - w.lowest();
    return (row * w.step + column % w.step) * pitch() + column / w.step;
  }
};

template <class T>
static void pad_plane(const Depthwise<T>& c, const T* plane, T* padded) {
  const int64_t rows = c.h.span(), low = c.w.lowest();
  for (int64_t r = 0; r < rows; ++r) {
    T* to = padded + r * c.w.step * c.pitch();
    std::fill_n(to, c.w.step * c.pitch(), T{});
    const int64_t y = r + c.h.lowest();
    if (y < 0 || y >= c.h.in) continue;
    const T* row = plane + y * c.w.in;
    const int64_t begin = std::max<int64_t>(0, low), end = std::min(c.w.in, c.w.highest() + 1);
    if (c.w.step == 1) {
      if (begin < end) std::copy(row + begin, row + end, to + begin - low);
      continue;
    }
    for (int64_t remainder = 0; remainder < c.w.step; ++remainder, to += c.pitch()) {
      // The first column of this remainder inside the image.
      const int64_t skipped = ceil_div(std::max<int64_t>(0, begin - low - remainder), c.w.step);
      const T* from = row + low + remainder + skipped * c.w.step;
      const int64_t count =
          ceil_div(std::max<int64_t>(0, end - low - remainder - skipped * c.w.step), c.w.step);
      for (int64_t i = 0; i < count; ++i) to[skipped + i] = from[i * c.w.step];
    }
  }
}

// `vectors` of outputs of one row from column x on.
template <class T, int V>
inline __attribute__((always_inline)) void correlate_row(const Depthwise<T>& c, const T* padded,
                                                         const T* weight, int64_t y, int64_t x,
                                                         Vec<T> (&acc)[V]) {
  for (int64_t th = 0; th < c.h.taps; ++th) {
    const T* kernel_row =
        weight + (c.h.first_kernel + th * c.h.kernel_step) * c.kernel_width + c.w.first_kernel;
    for (int64_t tw = 0; tw < c.w.taps; ++tw) {
      const T* from = padded + c.tap_offset(y, th, tw) + x;
      const Vec<T> factor = broadcast(kernel_row[tw * c.w.kernel_step]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[v] += factor * load(from + v * kLanes<T>);
    }
  }
}

template <class T>
static void depthwise_plane_out(const Depthwise<T>& c, const T* padded, const T* weight, T bias,
                                T* out) {
  constexpr int n = kLanes<T>;
  alignas(64) T values[n];
  for (int64_t y = 0; y < c.h.out; ++y) {
    T* row = out + (c.h.first_out + y * c.h.out_step) * c.out_width + c.w.first_out;
    int64_t x = 0;
    for (; c.w.out_step == 1 && x + 4 * n <= c.w.out; x += 4 * n) {
      Vec<T> acc[4];
      for (int v = 0; v < 4; ++v) acc[v] = broadcast(bias);
      correlate_row<T, 4>(c, padded, weight, y, x, acc);
      for (int v = 0; v < 4; ++v) store(row + x + v * n, acc[v]);
    }
    for (; x < c.w.out; x += n) {
      Vec<T> acc[1] = {broadcast(bias)};
      correlate_row<T, 1>(c, padded, weight, y, x, acc);
      store(values, acc[0]);
      const int count = static_cast<int>(std::min<int64_t>(n, c.w.out - x));
      for (int i = 0; i < count; ++i) row[(x + i) * c.w.out_step] = values[i];
    }
  }
}

template <class T>
static void depthwise_planes(const Kernel& kernel, const Depthwise<T>& c) {
  if (c.h.out == 0 || c.w.out == 0) return;
  const bool empty = c.h.taps == 0 || c.w.taps == 0;  // a phase of the stride that no tap reaches
  kernel.parallel_for(c.images * c.channels, [&](int64_t plane, int thread) {
    const int64_t channel = plane % c.channels;
    T* padded = kernel.scratch<T>(thread);
    if (!empty) pad_plane(c, c.in + plane * c.h.in * c.w.in, padded);
    T* out = c.out + plane * c.out_height * c.out_width;
    Epilogue<T> rest = c.epilogue.at(channel, 0, out - c.out);
    depthwise_plane_out(c, padded, c.weights + channel * c.kernel_height * c.kernel_width,
                        rest.bias ? *rest.bias : T{}, out);
    rest.bias = nullptr;
    if (!rest.empty()) finish_rows(rest, out, c.out_width, c.out_height, c.out_width);
  });
}

// gw[channel][kh][kw] = sum over images and pixels of g * x
template <class T>
static void depthwise_weight_vjp(const Kernel& kernel, const Depthwise<T>& c, const T* g, T* out) {
  constexpr int n = kLanes<T>;
  const int64_t taps = c.h.taps * c.w.taps;
  kernel.parallel_for(c.channels, [&](int64_t channel, int thread) {
    T* padded = kernel.scratch<T>(thread);
    T* sums = out + channel * taps;
    std::fill_n(sums, taps, T{});
    for (int64_t image = 0; image < c.images; ++image) {
      const int64_t plane = image * c.channels + channel;
      pad_plane(c, c.in + plane * c.h.in * c.w.in, padded);
      const T* cotangent = g + plane * c.h.out * c.w.out;
      for (int64_t tap = 0; tap < taps; ++tap) {
        Vec<T> acc[2] = {};
        T rest{};
        for (int64_t y = 0; y < c.h.out; ++y) {
          const T* from = padded + c.tap_offset(y, tap / c.w.taps, tap % c.w.taps);
          const T* row = cotangent + y * c.w.out;
          int64_t x = 0;
          for (; x + 2 * n <= c.w.out; x += 2 * n) {
            acc[0] += load(row + x) * load(from + x);
            acc[1] += load(row + x + n) * load(from + x + n);
          }
          for (; x + n <= c.w.out; x += n) acc[0] += load(row + x) * load(from + x);
          for (; x < c.w.out; ++x) rest += row[x] * from[x];
        }
        sums[tap] += sum_lanes<T>(acc[0] + acc[1]) + rest;
      }
    }
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
