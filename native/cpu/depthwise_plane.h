// One plane of a depthwise correlation and how strips of its outputs are stored. No include guard: read once per
// instruction set, after depthwise_taps.h.

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
  const T* prior;   // what is added to the sums, laid out as `out` (which it may be), or null
  T bias, floor;    // what is stored is at least `floor`
  bool streaming;   // whole vectors of a row of `out` may go around the caches
  const T* in_end;  // of the tensor, whose next parts are fetched ahead; null: they are not

  // Brings a part of the next plane to the cache: while a plane is worked on, the hardware does not see
  // that its neighbour is next.
  void fetch_next(int64_t y) const {
    const int64_t plane = h.in * w.in, begin = plane * y / h.out;
    if (!in_end || in_end - in < 2 * plane) return;
    const int64_t end = plane * std::min(h.out, y + kStripBand) / h.out;
    for (int64_t i = begin; i < end; i += 64 / static_cast<int64_t>(sizeof(T)))
      __builtin_prefetch(in + plane + i, 0, 2);
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

}  // namespace fluxion::cpu::FLUXION_TARGET
