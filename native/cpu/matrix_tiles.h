// The block of a product on the matrix unit (AMX): 32 rows of weights x 32 pixels of x, each float32 three bfloat16
// (see pointwise_tiles.cpp, which reads this once, in its region, after epilogue.h and next_rows.h). Four of the eight
// tile registers hold sums, two rows, two pixels. The unit works beside the vectors: between the products the last
// block is written, the next panel of x is split and what comes after it is asked for.

namespace fluxion::cpu::FLUXION_TARGET {

using Bfloat = uint16_t;
constexpr int64_t kBlock = MatrixTilePlan::kBlock;
constexpr int64_t kTile = 512;        // elements of a tile register: 16 rows of 64 bytes
constexpr int64_t kTerm = 2 * kTile;  // of one of the three terms of a block and depth step
constexpr int64_t kStep = MatrixTilePlan::kStepElements;  // of all three
constexpr int64_t kPairs = kBlock / 2;                    // of channels, in a depth step
constexpr int64_t kRowsAtOnce = 4, kPairsAtOnce = 2;
constexpr int64_t kRounds = 6;  // products of terms in a depth step

// --- the three terms

// The next term of 16 values in the upper halves, which is taken from them. Ties round away from zero; the last term
// is what is left, without a rest, and keeps a NaN that rounding would lose.
inline __attribute__((always_inline)) __m512i take_term(__m512i& x, int term) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const __m512i rounded = term < 2 ? _mm512_add_epi32(x, _mm512_set1_epi32(0x8000)) : x;
  x = _mm512_castps_si512(
      _mm512_sub_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(_mm512_and_si512(rounded, high))));
  return rounded;
}

inline __attribute__((always_inline)) __m512i upper_halves(__m512i x) {
  return _mm512_maskz_srli_epi32(0xffff, x, 16);
}

// Two channels of 16 pixels as the unit reads them: pairs of channels, one pixel after the other. `to` is a row of a
// tile of the first term.
inline __attribute__((always_inline)) void split_pair(__m512i x, __m512i y, Bfloat* to) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  constexpr int kFirstOrBothOthers = 0xf8;
  for (int t = 0; t < 3; ++t, to += kTerm) {
    const __m512i first = upper_halves(take_term(x, t)), second = take_term(y, t);
    _mm512_store_si512(to, _mm512_ternarylogic_epi32(first, second, high, kFirstOrBothOthers));
  }
}

inline __mmask16 lanes_of(int64_t n) {
  return static_cast<__mmask16>((1u << std::clamp<int64_t>(n, 0, 16)) - 1);
}

inline __attribute__((always_inline)) __m512i load_lanes(bool there, __mmask16 lanes,
                                                         const float* from) {
  return _mm512_maskz_loadu_epi32(there ? lanes : __mmask16{0}, from);
}

// Makes a panel, [depth step][term][pixel / 16][pair][16 pixels][2 channels], of 32 pixels of all channels.
struct Split {
  const float* row = nullptr;  // the next channel
  int64_t plane = 0, pixels = 0, channels = 0;
  Bfloat* panel = nullptr;
  int64_t pair = 0, pairs = 0;

  __attribute__((always_inline)) Bfloat* place() const {
    return panel + pair / kPairs * kStep + pair % kPairs * 2 * 16;
  }
  // A fixed number, in a straight line: a loop that ends now here, now there is guessed wrongly, and the unit waits.
  __attribute__((always_inline)) void go_whole() {
    if (pair == pairs) return;
    Bfloat* to = place();
    const float *x = row, *y = x + plane, *next = y + plane, *last = next + plane;
    split_pair(_mm512_loadu_si512(x), _mm512_loadu_si512(y), to);
    split_pair(_mm512_loadu_si512(x + 16), _mm512_loadu_si512(y + 16), to + kTile);
    split_pair(_mm512_loadu_si512(next), _mm512_loadu_si512(last), to + 32);
    split_pair(_mm512_loadu_si512(next + 16), _mm512_loadu_si512(last + 16), to + kTile + 32);
    row = last + plane;
    pair += kPairsAtOnce;
  }
  void go(int64_t count) {
    const __mmask16 left = lanes_of(pixels), right = lanes_of(pixels - 16);
    for (const int64_t end = std::min(pairs, pair + count); pair < end; ++pair) {
      Bfloat* to = place();
      const float *x = row, *y = x + plane;
      const bool has_x = 2 * pair < channels, has_y = 2 * pair + 1 < channels;
      split_pair(load_lanes(has_x, left, x), load_lanes(has_y, left, y), to);
      split_pair(load_lanes(has_x, right, x + 16), load_lanes(has_y, right, y + 16), to + kTile);
      row = y + plane;
    }
  }
};

// Writes a block of sums to the output. Whole: no pixel is missing.
struct Write {
  const float* sums = nullptr;  // [32][32]
  float* to = nullptr;
  Epilogue<float> epilogue;  // of this block
  int64_t plane = 0, rows = 0, pixels = 0;
  bool stream = false;
  __m512i not_finite{};
  int64_t row = 0;

  template <bool kWhole, bool kPrior>
  __attribute__((always_inline)) void write_row(const float* from, float* y, const float* prior,
                                                float bias, __m512i& strange) const {
    const __mmask16 left = kWhole ? 0xffff : lanes_of(pixels);
    const __mmask16 right = kWhole ? 0xffff : lanes_of(pixels - 16);
    const __m512 shift = _mm512_set1_ps(bias), floor = _mm512_set1_ps(epilogue.floor());
    __m512 a = _mm512_add_ps(_mm512_load_ps(from), shift);
    __m512 b = _mm512_add_ps(_mm512_load_ps(from + 16), shift);
    strange = _mm512_or_si512(strange, _mm512_castps_si512(_mm512_sub_ps(a, a)));
    strange = _mm512_or_si512(strange, _mm512_castps_si512(_mm512_sub_ps(b, b)));
    if constexpr (kPrior) {
      a = _mm512_add_ps(a, _mm512_maskz_loadu_ps(left, prior));
      b = _mm512_add_ps(b, _mm512_maskz_loadu_ps(right, prior + 16));
    }
    a = _mm512_maskz_max_ps(0xffff, floor, a), b = _mm512_maskz_max_ps(0xffff, floor, b);
    if (kWhole && stream) {
      _mm512_stream_ps(y, a), _mm512_stream_ps(y + 16, b);
    } else {
      _mm512_mask_storeu_ps(y, left, a), _mm512_mask_storeu_ps(y + 16, right, b);
    }
  }
  template <bool kWhole, bool kPrior>
  __attribute__((always_inline)) void write_rows(int64_t count) {
    static constexpr float kNoBias[kRowsAtOnce] = {};
    const float* from = sums + row * kBlock;
    const float* prior = kPrior ? epilogue.residual + row * plane : nullptr;
    const float* bias = epilogue.bias ? epilogue.bias + row : kNoBias;
    float* y = to + row * plane;
    const int64_t pitch = plane;
    __m512i strange = not_finite;
#pragma GCC unroll 4
    for (int64_t i = 0; i < count; ++i) {
      write_row<kWhole, kPrior>(from + i * kBlock, y + i * pitch,
                                kPrior ? prior + i * pitch : prior, bias[i], strange);
    }
    not_finite = strange;
    row += count;
  }
  __attribute__((always_inline)) void go_whole() {
    if (row == rows) return;
    epilogue.residual ? write_rows<true, true>(kRowsAtOnce) : write_rows<true, false>(kRowsAtOnce);
  }
  void go(int64_t count) {
    for (const int64_t end = std::min(rows, row + count); row < end;) {
      epilogue.residual ? write_rows<false, true>(1) : write_rows<false, false>(1);
    }
  }
  void finish() {
    go(rows);
    if (rows > 0 && epilogue.smooth()) {
      activate_rows(epilogue.activation, to, plane, rows, pixels);
    }
    rows = row = 0;
  }
};

// What the vectors do while the unit multiplies, in parts after each round of four products: more than an equal share,
// so that all of it is done when the block is.
struct Beside {
  Split split;
  Write write;
  NextRows<float> next{nullptr, 0, 0, 0};
  int64_t rows_each = 0, pairs_each = 0, lines_each = 0;

  template <bool kWhole>
  __attribute__((always_inline)) void go() {
    if constexpr (kWhole) {
      for (int64_t i = 0; i < rows_each; i += kRowsAtOnce) write.go_whole();
      for (int64_t i = 0; i < pairs_each; i += kPairsAtOnce) split.go_whole();
    } else {
      write.go(rows_each), split.go(pairs_each);
    }
    next.fetch(lines_each);
  }
};

// --- the unit

struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

inline __attribute__((always_inline)) void load_weights(const Bfloat* from) {
  _tile_loadd(4, from, 64);
  _tile_loadd(5, from + kTile, 64);
}
inline __attribute__((always_inline)) void load_panel(const Bfloat* from) {
  _tile_loadd(6, from, 64);
  _tile_loadd(7, from + kTile, 64);
}
template <bool kWhole>
inline __attribute__((always_inline)) void multiply(Beside& beside) {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
  beside.go<kWhole>();
}

// The compiler does not see what the tile loads read.
inline __attribute__((always_inline)) void written_before() { asm volatile("" ::: "memory"); }

template <bool kWhole>
__attribute__((noinline)) void multiply_block(const Bfloat* w, const Bfloat* x, int64_t steps,
                                              Beside& beside) {
  written_before();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < steps; ++k, w += kStep, x += kStep) {
    load_weights(w), load_panel(x), multiply<kWhole>(beside);
    load_panel(x + kTerm), multiply<kWhole>(beside);
    load_panel(x + 2 * kTerm), multiply<kWhole>(beside);
    load_weights(w + kTerm), load_panel(x), multiply<kWhole>(beside);
    load_panel(x + kTerm), multiply<kWhole>(beside);
    load_weights(w + 2 * kTerm), load_panel(x), multiply<kWhole>(beside);
  }
}

inline void store_sums(float* sums) {
  constexpr int64_t kRowBytes = kBlock * sizeof(float);
  _tile_stored(0, sums, kRowBytes);
  _tile_stored(1, sums + 16, kRowBytes);
  _tile_stored(2, sums + 16 * kBlock, kRowBytes);
  _tile_stored(3, sums + 16 * kBlock + 16, kRowBytes);
  written_before();
}

}  // namespace fluxion::cpu::FLUXION_TARGET
