// Sums over channels and samples at each bin of the spectra. Spectra of a part of the batch lie in panels, one
// panel for each vector of bins: [channel][sample][re, im][lane]. All operands are vectors of bins, so the
// sums are small complex matrix products in each lane.
//
//     contract     Y_r(n) = sum_k c_rk X_k(n)             a tile of symbols is evaluated once for all samples
//     correlate    S_oi = sum_n conj(X_i(n)) G_o(n), which at once becomes sums for the coefficients' gradients:
//                  dL/da = sum w E {Re S, wx Im S, ...}, dL/dp = -sum w E Re(conj(q) S) dt/dp, q the polynomial
//
// Read once per instruction set, after mesh_free_symbol.h and transpose.h.

namespace fluxion::cpu::FLUXION_TARGET {

// 4 x 2 complex accumulators fill half of 32 registers, 2 x 2 half of 16.
inline constexpr int kTileRows = FLUXION_VECTOR_BYTES == 64 ? 4 : 2;
inline constexpr int kTileSamples = 2;
inline constexpr int64_t kTileDepth = kMeshFreeTileDepth;
inline constexpr int64_t kTileColumns = kMeshFreeTileColumns;

// Spectra of `channels` channels of `samples` samples.
template <class T>
struct Panels {
  T* base = nullptr;
  int64_t channels = 0, samples = 0;

  int64_t stride() const { return (channels * samples + 1) * 2 * kLanes<T>; }
  T* panel(int64_t bin) const { return base + bin * stride(); }
  // Of a channel within a panel.
  int64_t channel_stride() const { return samples * 2 * kLanes<T>; }
  T* at(int64_t bin, int64_t channel, int64_t sample) const {
    return panel(bin) + (channel * samples + sample) * 2 * kLanes<T>;
  }
};

// y[r][n] (+)= sum_k symbols[k][r] x[k][n]
template <class T, int R, int N>
inline void contract_tile(const T* symbols, const T* x, int64_t x_step, int64_t depth, T* y,
                          int64_t y_step, bool first) {
  constexpr int w = kLanes<T>;
  Vec<T> re[R][N], im[R][N];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      const T* at = y + r * y_step + n * 2 * w;
      re[r][n] = first ? Vec<T>{} : load(at);
      im[r][n] = first ? Vec<T>{} : load(at + w);
    }
  }
  for (int64_t k = 0; k < depth; ++k, x += x_step, symbols += R * 2 * w) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      const Vec<T> a = load(x + n * 2 * w), b = load(x + n * 2 * w + w);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Vec<T> c = load(symbols + r * 2 * w), s = load(symbols + r * 2 * w + w);
        re[r][n] += c * a;
        im[r][n] += c * b;
        re[r][n] -= s * b;
        im[r][n] += s * a;
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      store(y + r * y_step + n * 2 * w, re[r][n]);
      store(y + r * y_step + n * 2 * w + w, im[r][n]);
    }
  }
}

// R rows of a panel. coefficients: of the first of them, [row][k].
template <class T, bool kSecond, bool kShared, int R>
inline void contract_rows(const T* coefficients, const ModeVec<T>& modes, const T* x,
                          int64_t channels, int64_t samples, T* y, T* symbols) {
  constexpr int w = kLanes<T>;
  const int64_t step = samples * 2 * w;
  for (int64_t k0 = 0; k0 < channels; k0 += kTileDepth) {
    const int64_t depth = std::min(kTileDepth, channels - k0);
    for (int64_t k = 0; k < depth; ++k) {
      for (int r = 0; r < R; ++r) {
        const T* c = coefficients + (r * channels + k0 + k) * kMeshFreeCoefficients;
        Vec<T> re, im;
        symbol_at<T, kSecond, kShared>(c, modes, re, im);
        store(symbols + (k * R + r) * 2 * w, re);
        store(symbols + (k * R + r) * 2 * w + w, im);
      }
    }
    const T* from = x + k0 * step;
    int64_t n = 0;
    for (; n + kTileSamples <= samples; n += kTileSamples) {
      contract_tile<T, R, kTileSamples>(symbols, from + n * 2 * w, step, depth, y + n * 2 * w, step,
                                        k0 == 0);
    }
    for (; n < samples; ++n) {
      contract_tile<T, R, 1>(symbols, from + n * 2 * w, step, depth, y + n * 2 * w, step, k0 == 0);
    }
  }
}

// One bin vector of all rows y.channels. scratch: kTileRows * kTileDepth complex vectors.
template <class T, bool kSecond, bool kShared>
inline void contract(const T* coefficients, const ModeGrid<T>& grid, int64_t bin,
                     const Panels<T>& x, const Panels<T>& y, T* scratch) {
  const ModeVec<T> modes = grid.at(bin);
  const int64_t row = x.channels * kMeshFreeCoefficients;
  int64_t r = 0;
  for (; r + kTileRows <= y.channels; r += kTileRows) {
    contract_rows<T, kSecond, kShared, kTileRows>(coefficients + r * row, modes, x.panel(bin),
                                                  x.channels, x.samples, y.at(bin, r, 0), scratch);
  }
  for (; r < y.channels; ++r) {
    contract_rows<T, kSecond, kShared, 1>(coefficients + r * row, modes, x.panel(bin), x.channels,
                                          x.samples, y.at(bin, r, 0), scratch);
  }
  if (x.channels == 0) {
    T* to = y.panel(bin);
    for (int64_t i = 0; i < y.channels * y.channel_stride(); ++i) to[i] = T(0);
  }
}

// The sums of a pair, one accumulator each, in this order; those of second order and of p may be absent.
template <bool kSecond, bool kShared>
inline constexpr int kPairSums = (kSecond ? 6 : 3) + (kShared ? 0 : 3);

// Adds what the cross spectrum S of a pair at one vector of bins gives.
template <class T, bool kSecond, bool kShared>
inline __attribute__((always_inline)) void add_pair(const T* c, const ModeVec<T>& m, Vec<T> s_re,
                                                    Vec<T> s_im, T* sums) {
  constexpr int w = kLanes<T>;
  constexpr int moments = kSecond ? 6 : 3;
  s_re *= m.weight;
  s_im *= m.weight;
  Damping<T> d{};
  if constexpr (!kShared) {
    d = damping_at(c, m);
    s_re *= d.e;
    s_im *= d.e;
  }
  store(sums, load(sums) + s_re);
  store(sums + w, load(sums + w) + m.x * s_im);
  store(sums + 2 * w, load(sums + 2 * w) + m.y * s_im);
  if constexpr (kSecond) {
    store(sums + 3 * w, load(sums + 3 * w) + m.xx * s_re);
    store(sums + 4 * w, load(sums + 4 * w) + m.xy * s_re);
    store(sums + 5 * w, load(sums + 5 * w) + m.yy * s_re);
  }
  if constexpr (!kShared) {
    Vec<T> re, im;
    moments_at<T, kSecond>(c, m, re, im);
    const Vec<T> q = re * s_re + im * s_im, qs = q * d.s;
    Vec<T> by_p1 = qs * m.x, by_p2 = qs * m.y;
    if (m.at_edge) {
      by_p1 += q * m.x_edge * c[kP1];
      by_p2 += q * m.y_edge * c[kP2];
    }
    T* p = sums + moments * w;
    store(p, load(p) + by_p1);
    store(p + w, load(p + w) + by_p2);
    store(p + 2 * w, load(p + 2 * w) + q * m.yy);
  }
}

// Cross spectra of O outputs with I inputs, and what follows from them. sums: of the first pair; the sums of
// pairs lie [output][input of kTileColumns][sum][lane].
template <class T, bool kSecond, bool kShared, int O, int I>
inline void correlate_tile(const T* coefficients, int64_t inputs, const ModeVec<T>& modes,
                           const T* x, const T* g, int64_t samples, T* sums) {
  constexpr int w = kLanes<T>;
  const int64_t step = samples * 2 * w;
  Vec<T> re[O][I], im[O][I];
#pragma GCC unroll 4
  for (int o = 0; o < O; ++o) {
#pragma GCC unroll 4
    for (int i = 0; i < I; ++i) re[o][i] = im[o][i] = Vec<T>{};
  }
  for (int64_t n = 0; n < samples; ++n, x += 2 * w, g += 2 * w) {
#pragma GCC unroll 4
    for (int i = 0; i < I; ++i) {
      const Vec<T> a = load(x + i * step), b = load(x + i * step + w);
#pragma GCC unroll 4
      for (int o = 0; o < O; ++o) {
        const Vec<T> c = load(g + o * step), d = load(g + o * step + w);
        re[o][i] += a * c;
        im[o][i] += a * d;
        re[o][i] += b * d;
        im[o][i] -= b * c;
      }
    }
  }
  constexpr int size = kPairSums<kSecond, kShared> * w;
#pragma GCC unroll 4
  for (int o = 0; o < O; ++o) {
#pragma GCC unroll 4
    for (int i = 0; i < I; ++i) {
      add_pair<T, kSecond, kShared>(coefficients + (o * inputs + i) * kMeshFreeCoefficients, modes,
                                    re[o][i], im[o][i], sums + (o * kTileColumns + i) * size);
    }
  }
}

// Adds the sums over lanes of `count` vectors to as many numbers.
template <class T>
inline void add_lane_sums(const T* vectors, int64_t count, double* to) {
  constexpr int w = kLanes<T>;
  for (int64_t at = 0; at < count; at += w) {
    const int rows = static_cast<int>(std::min<int64_t>(w, count - at));
    Vec<T> tile[w];
    for (int i = 0; i < w; ++i) tile[i] = i < rows ? load(vectors + (at + i) * w) : Vec<T>{};
    transpose_tile<T>(tile);
    for (int step = w / 2; step > 0; step /= 2)
      for (int i = 0; i < step; ++i) tile[i] += tile[i + step];
    T sums[w];
    store(sums, tile[0]);
    for (int i = 0; i < rows; ++i) to[at + i] += static_cast<double>(sums[i]);
  }
}

// Outputs o..o+O-1 and all inputs over bins [begin, end), added to partials [output][input][sum].
template <class T, bool kSecond, bool kShared, int O>
inline void correlate_outputs(const T* coefficients, const ModeGrid<T>& grid, int64_t begin,
                              int64_t end, const Panels<T>& x, const Panels<T>& g, int64_t o,
                              double* partials, T* scratch) {
  constexpr int w = kLanes<T>;
  constexpr int sums = kPairSums<kSecond, kShared>;
  const int64_t inputs = x.channels;
  for (int64_t i0 = 0; i0 < inputs; i0 += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, inputs - i0);
    __builtin_memset(scratch, 0, static_cast<size_t>(O * kTileColumns * sums * w) * sizeof(T));
    const T* c = coefficients + (o * inputs + i0) * kMeshFreeCoefficients;
    for (int64_t bin = begin; bin < end; ++bin) {
      const ModeVec<T> modes = grid.at(bin);
      const T* from = g.at(bin, o, 0);
      int64_t i = 0;
      for (; i + 2 <= columns; i += 2) {
        correlate_tile<T, kSecond, kShared, O, 2>(c + i * kMeshFreeCoefficients, inputs, modes,
                                                  x.at(bin, i0 + i, 0), from, x.samples,
                                                  scratch + i * sums * w);
      }
      for (; i < columns; ++i) {
        correlate_tile<T, kSecond, kShared, O, 1>(c + i * kMeshFreeCoefficients, inputs, modes,
                                                  x.at(bin, i0 + i, 0), from, x.samples,
                                                  scratch + i * sums * w);
      }
    }
    for (int r = 0; r < O; ++r) {
      add_lane_sums(scratch + r * kTileColumns * sums * w, columns * sums,
                    partials + ((o + r) * inputs + i0) * sums);
    }
  }
}

// Outputs [first, last) and all inputs over bins [begin, end).
template <class T, bool kSecond, bool kShared>
inline void correlate(const T* coefficients, const ModeGrid<T>& grid, int64_t begin, int64_t end,
                      const Panels<T>& x, const Panels<T>& g, int64_t first, int64_t last,
                      double* partials, T* scratch) {
  int64_t o = first;
  for (; o + kTileRows <= last; o += kTileRows) {
    correlate_outputs<T, kSecond, kShared, kTileRows>(coefficients, grid, begin, end, x, g, o,
                                                      partials, scratch);
  }
  for (; o < last; ++o) {
    correlate_outputs<T, kSecond, kShared, 1>(coefficients, grid, begin, end, x, g, o, partials,
                                              scratch);
  }
}

// Gradient sums of the shared Gaussian of one channel, from v = E x and the cotangent gv of E x.
template <class T>
inline void correlate_damping(const T* coefficients, const ModeGrid<T>& grid, const Panels<T>& v,
                              const Panels<T>& gv, int64_t channel, double* sums) {
  constexpr int w = kLanes<T>;
  T total[3 * w] = {};
  for (int64_t bin = 0; bin < grid.bins; ++bin) {
    const ModeVec<T> m = grid.at(bin);
    const T *a = v.at(bin, channel, 0), *b = gv.at(bin, channel, 0);
    Vec<T> q{};
    for (int64_t i = 0; i < 2 * v.samples; ++i) q += load(a + i * w) * load(b + i * w);
    q *= m.weight;
    const Vec<T> s = m.x * coefficients[kP1] + m.y * coefficients[kP2], qs = q * s;
    store(total, load(total) + (qs * m.x + q * m.x_edge * coefficients[kP1]));
    store(total + w, load(total + w) + (qs * m.y + q * m.y_edge * coefficients[kP2]));
    store(total + 2 * w, load(total + 2 * w) + q * m.yy);
  }
  add_lane_sums(total, int64_t{3}, sums);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
