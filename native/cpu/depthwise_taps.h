// Vectors of a row for lanes j: row[(x + j) * step + shift], zero outside of the row. No include guard: read once
// per instruction set, after transpose.h.

namespace fluxion::cpu::FLUXION_TARGET {

// Bits for the elements begin to end of `width`.
inline __attribute__((always_inline)) uint64_t lanes_between(int64_t begin, int64_t end,
                                                             int64_t width) {
  begin = std::clamp<int64_t>(begin, 0, width);
  end = std::clamp<int64_t>(end, 0, width);
  return end <= begin ? 0 : (~uint64_t{0} >> (64 - (end - begin))) << begin;
}

// The lanes of a vector whose bits are set; nothing else is read.
template <class T>
inline __attribute__((always_inline)) Vec<T> load_window(const T* p, uint64_t window) {
#if FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_ps(static_cast<__mmask16>(window), p));
  } else {
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_pd(static_cast<__mmask8>(window), p));
  }
#else
  if (window == (uint64_t{1} << kLanes<T>)-1) return load(p);
  T values[kLanes<T>] = {};
  for (int i = 0; i < kLanes<T>; ++i)
    if (window >> i & 1) values[i] = p[i];
  return load(values);
#endif
}

template <class V, size_t... I>
inline __attribute__((always_inline)) V even_lanes(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, static_cast<int>(2 * I)...);
}

// How far a vector of outputs reaches in the input: Step 1 and 2 load whole vectors, 0 stands for any other.
template <class T, int Step>
inline constexpr int64_t kReach = (Step == 2 ? 2 : 1) * kLanes<T>;

template <class T, int Step>
inline __attribute__((always_inline)) uint64_t window_of(const ConvAxis& w, int64_t x,
                                                         int64_t tap) {
  const int64_t first = x * w.step + w.offset + tap * w.tap_step;
  if constexpr (Step == 0) {
    return lanes_between(first < 0 ? ceil_div(-first, w.step) : 0,
                         w.in > first ? ceil_div(w.in - first, w.step) : 0, kLanes<T>);
  } else {
    return lanes_between(-first, w.in - first, kReach<T, Step>);
  }
}

// p is where lane 0 lies, which may be outside of the row.
template <class T, int Step, bool Edge>
inline __attribute__((always_inline)) Vec<T> load_taps(const T* p, uint64_t window, int64_t step) {
  constexpr int n = kLanes<T>;
  if constexpr (Step == 1) {
    return Edge ? load_window(p, window) : load(p);
  } else if constexpr (Step == 2) {
    const uint64_t low = window & ((uint64_t{1} << n) - 1);
    return even_lanes(load_window(p, low), load_window(p + n, window >> n),
                      std::make_index_sequence<static_cast<size_t>(n)>{});
  } else {
    T values[n] = {};
    for (int i = 0; i < n; ++i)
      if (window >> i & 1) values[i] = p[i * step];
    return load(values);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
