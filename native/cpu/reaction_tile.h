// The reaction R(v) = W2 act(W1 v + b1) + b2 at a tile of pixels, and its adjoint, in L1. Read once per
// instruction set, after gemm.h and vector_math.h.
//
// A tile has kTileCols pixels; fields lie as panels [channel][pixel], which is what gemm.h multiplies as B
// without packing. The weights are packed once per launch into panels [depth][kTileRows].

namespace fluxion::cpu::FLUXION_TARGET {

// y = act(x) and g *= act'(x).
template <ReactionActivation A, class T>
inline __attribute__((always_inline)) T activate(T x) {
  if constexpr (A == ReactionActivation::relu) return x < T(0) ? T(0) : x;
  if constexpr (A == ReactionActivation::silu) return x / (T(1) + vexp(-x));
  if constexpr (A == ReactionActivation::gelu) return x * vnormal(x).cdf;
  if constexpr (A == ReactionActivation::tanh) return vtanh(x);
}
template <ReactionActivation A, class T>
inline __attribute__((always_inline)) T activation_slope(T x) {
  if constexpr (A == ReactionActivation::relu) return x > T(0) ? T(1) : T(0);
  if constexpr (A == ReactionActivation::silu) return vsilu_slope(x);
  if constexpr (A == ReactionActivation::gelu) return vgelu_slope(x);
  if constexpr (A == ReactionActivation::tanh) {
    const T y = vtanh(x);
    return T(1) - y * y;
  }
}

template <ReactionActivation A, class T>
inline void activate_panel(const T* __restrict from, T* __restrict to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = activate<A>(from[i]);
}
template <ReactionActivation A, class T>
inline void scale_by_slope(const T* __restrict x, T* __restrict g, int64_t n) {
  for (int64_t i = 0; i < n; ++i) g[i] *= activation_slope<A>(x[i]);
}

template <class T>
inline void activate_panel(ReactionActivation a, const T* from, T* to, int64_t n) {
  switch (a) {
    case ReactionActivation::relu:
      return activate_panel<ReactionActivation::relu>(from, to, n);
    case ReactionActivation::silu:
      return activate_panel<ReactionActivation::silu>(from, to, n);
    case ReactionActivation::gelu:
      return activate_panel<ReactionActivation::gelu>(from, to, n);
    case ReactionActivation::tanh:
      return activate_panel<ReactionActivation::tanh>(from, to, n);
  }
}
template <class T>
inline void scale_by_slope(ReactionActivation a, const T* x, T* g, int64_t n) {
  switch (a) {
    case ReactionActivation::relu:
      return scale_by_slope<ReactionActivation::relu>(x, g, n);
    case ReactionActivation::silu:
      return scale_by_slope<ReactionActivation::silu>(x, g, n);
    case ReactionActivation::gelu:
      return scale_by_slope<ReactionActivation::gelu>(x, g, n);
    case ReactionActivation::tanh:
      return scale_by_slope<ReactionActivation::tanh>(x, g, n);
  }
}

// Packs a matrix of rows x depth, element (row, k) = from[row * row_step + k * depth_step].
template <class T>
inline void pack_weight(const T* from, int64_t rows, int64_t depth, int64_t row_step,
                        int64_t depth_step, T* to) {
  for (int64_t i = 0; i < rows; i += kTileRows, to += depth * kTileRows) {
    const int valid = static_cast<int>(std::min<int64_t>(kTileRows, rows - i));
    pack_strided<T, kTileRows>(from + i * row_step, depth_step, row_step, valid, depth, to);
  }
}

// c [rows][kTileCols] = A b (+ bias), or += when `add`.
template <class T>
inline void panel_product(const T* a, const T* b, int64_t rows, int64_t depth, bool add,
                          const T* bias, T* c) {
  for (int64_t i = 0; i < rows; i += kTileRows, a += depth * kTileRows) {
    const int here = static_cast<int>(std::min<int64_t>(kTileRows, rows - i));
    const Tile<T> tile{depth, c + i * kTileCols<T>,     kTileCols<T>, here, kTileCols<T>,
                       add,   bias ? bias + i : nullptr};
    packed_tile<T, kTileRows, kTileVectors>(tile, a, b);
  }
}

// c[row][lane] += sum_pixel a[row][pixel] b[pixel][lane] for R rows and one group of channels: the
// gradients of the weights. Row r of a is at a + r * kTileCols, pixel p of b at b + p * kLanes.
template <class T, int R>
inline __attribute__((always_inline)) void accumulate_outer(const T* a, const T* b, int64_t pixels,
                                                            T* c, int64_t pitch) {
  Vec<T> sum[R] = {};
  for (int64_t p = 0; p < pixels; ++p) {
    const Vec<T> right = load(b + p * kLanes<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] += broadcast<T>(a[r * kTileCols<T> + p]) * right;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) store(c + r * pitch, load(c + r * pitch) + sum[r]);
}

template <class T>
inline void weight_gradient(const T* a, int64_t rows, const T* b, int64_t pixels, T* c,
                            int64_t pitch) {
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8)
    accumulate_outer<T, 8>(a + r * kTileCols<T>, b, pixels, c + r * pitch, pitch);
  for (; r < rows; ++r)
    accumulate_outer<T, 1>(a + r * kTileCols<T>, b, pixels, c + r * pitch, pitch);
}

// sums[row] += the sum of a row of a panel.
template <class T>
inline void add_row_sums(const T* panel, int64_t rows, T* sums) {
  for (int64_t r = 0; r < rows; ++r, panel += kTileCols<T>) {
    Vec<T> sum{};
    for (int v = 0; v < kTileVectors; ++v) sum += load(panel + v * kLanes<T>);
    sums[r] += sum_lanes<T>(sum);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
