// From an image to the transformed tiles of one block, B^T d B for each 6 x 6 tile d. No include guard: read
// once per instruction set, after winograd_transform.h.
//
// Lanes are tiles. A block is a stretch of the sequence of all tiles, so that it may begin anywhere in a row
// of tiles and go on in the next row or image; every maximal piece of a row is a run. The transform along y
// works on whole rows of pixels and writes them, run after run, into two strips per point: one with the
// columns 0 to 3 of each tile, one with the columns 4 to 7, of which 4 and 5 are used. In both, tile t
// begins at 4 t, whatever run it belongs to, so that the transform along x reads any tiles as lanes.

namespace fluxion::cpu::FLUXION_TARGET {

struct TileRun {
  int64_t image, row, column;  // of its first tile
  int64_t first, count;        // tiles of the block
};

struct TileRuns {
  TileRun run[kWinogradCols];
  int count = 0;

  TileRuns(const WinogradTiles& tiles, int64_t block) {
    int64_t tile = block * kWinogradCols;
    const int64_t end = std::min(tile + kWinogradCols, tiles.count);
    for (int64_t first = 0; tile < end;) {
      const int64_t column = tile % tiles.across, row = tile / tiles.across;
      const int64_t here = std::min(tiles.across - column, end - tile);
      run[count++] = {row / tiles.down, row % tiles.down, column, first, here};
      tile += here, first += here;
    }
  }
  int64_t tiles() const { return run[count - 1].first + run[count - 1].count; }
};

// One vector of six rows of pixels: lanes [lane, lane + lanes) of the rows in `rows` lie in the image.
struct PixelVector {
  int64_t offset;  // of lane 0 of the first row, may lie outside
  int32_t strip;   // position of lane 0 in the first strip
  int16_t lane, lanes;
  uint8_t rows;
  bool whole;  // all lanes of all rows
  bool leads;  // its first four lanes have no place in the second strip
};

// The pixels of a block of tiles, 6 x (4 tiles + 2) for each run.
struct PixelVectors {
  // Runs of a single tile need the most.
  PixelVector vector[kWinogradCols * ((5 + kLanes<float>) / kLanes<float>)];
  int count = 0;
  int64_t height, width;

  PixelVectors(const TileRuns& runs, int64_t height, int64_t width, int64_t pad_h, int64_t pad_w,
               int64_t image_stride)
      : height(height), width(width) {
    for (int r = 0; r < runs.count; ++r) {
      const TileRun& run = runs.run[r];
      const int64_t top = kWinogradTile * run.row - pad_h,
                    left = kWinogradTile * run.column - pad_w;
      unsigned rows = 0;
      for (int k = 0; k < 6; ++k) rows |= (top + k >= 0 && top + k < height ? 1u : 0u) << k;
      for (int64_t x = 0; x < kWinogradTile * run.count + 2; x += kLanes<float>) {
        const int64_t lane = std::clamp<int64_t>(-(left + x), 0, kLanes<float>);
        const int64_t end = std::clamp<int64_t>(width - (left + x), lane, kLanes<float>);
        vector[count++] = {run.image * image_stride + top * width + left + x,
                           static_cast<int32_t>(kWinogradTile * run.first + x),
                           static_cast<int16_t>(lane),
                           static_cast<int16_t>(end - lane),
                           static_cast<uint8_t>(rows),
                           rows == 63 && end - lane == kLanes<float>,
                           x == 0};
      }
    }
  }
};

// The lanes of six rows that lie in the image, the others zero; nothing else is touched.
inline __attribute__((always_inline)) void load_pixels(const float* from, int64_t width,
                                                       const PixelVector& v, Floats (&d)[6]) {
  if (v.whole) {
#pragma GCC unroll 6
    for (int k = 0; k < 6; ++k) d[k] = load(from + k * width);
    return;
  }
#if FLUXION_VECTOR_BYTES == 64
  const uint32_t lanes = ((1u << v.lanes) - 1u) << v.lane;
#pragma GCC unroll 6
  for (int k = 0; k < 6; ++k) {
    const uint32_t row = lanes & -(static_cast<uint32_t>(v.rows) >> k & 1u);
    d[k] = reinterpret_cast<Floats>(
        _mm512_maskz_loadu_ps(static_cast<__mmask16>(row), from + k * width));
  }
#elif FLUXION_VECTOR_BYTES == 32
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i lanes =
      _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(v.lane - 1)),
                       _mm256_cmpgt_epi32(_mm256_set1_epi32(v.lane + v.lanes), lane));
#pragma GCC unroll 6
  for (int k = 0; k < 6; ++k) {
    const __m256i row = _mm256_set1_epi32(-(v.rows >> k & 1));
    d[k] = reinterpret_cast<Floats>(
        _mm256_maskload_ps(from + k * width, _mm256_and_si256(lanes, row)));
  }
#else
  for (int k = 0; k < 6; ++k) {
    float values[kLanes<float>] = {};
    for (int i = v.lane; (v.rows >> k & 1) && i < v.lane + v.lanes; ++i)
      values[i] = from[k * width + i];
    d[k] = load(values);
  }
#endif
}

// All lanes but the first four.
inline __attribute__((always_inline)) void store_after_four(float* p, Floats v) {
#if FLUXION_VECTOR_BYTES == 64
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>(0xfff0), reinterpret_cast<__m512>(v));
#elif FLUXION_VECTOR_BYTES == 32
  _mm_storeu_ps(p + 4, _mm256_extractf128_ps(reinterpret_cast<__m256>(v), 1));
#else
  (void)p, (void)v;
#endif
}

// Where the transformed tiles of channel c go: lane group v of point k to
//   to[k * point + v * lanes / width * panel + c * width + v * lanes % width]
struct TransformedTiles {
  float* to;
  int64_t point, panel, width;
};

// The input transform of one block for any channel.
class WinogradInput {
 public:
  WinogradInput(const PixelVectors& pixels, int64_t tiles) : pixels_(pixels), tiles_(tiles) {
    std::fill_n(strips_, 12 * kPitch, 0.0f);  // lanes without a tile
  }

  __attribute__((noinline)) void transform(const float* plane, int64_t channel,
                                           const TransformedTiles& tiles) {
    fill_strips(plane);
    const int64_t point = tiles.point;
    float* panel = tiles.to + channel * tiles.width;
    for (int64_t tile = 0, column = 0; tile < tiles_; tile += kLanes<float>) {
      float* to = panel + column;
      const float* strip = strips_ + kMargin + kWinogradTile * tile;
#pragma GCC unroll 1
      for (int i = 0; i < 6; ++i, strip += kPitch, to += 6 * point) {
        Floats d[6], t[6];
        load_four(strip, d);
        load_two(strip + 6 * kPitch + kWinogradTile, d + 4);
        winograd_input(d, t);
        store(to, t[0]);
        store(to + point, t[1]);
        store(to + 2 * point, t[2]);
        store(to + 3 * point, t[3]);
        store(to + 4 * point, t[4]);
        store(to + 5 * point, t[5]);
      }
      column += kLanes<float>;
      if (column == tiles.width) column = 0, panel += tiles.panel;
    }
  }

 private:
  static constexpr int64_t kMargin = 16;
  static constexpr int64_t kPitch = 2 * kMargin + kWinogradTile * kWinogradCols;

  __attribute__((noinline)) void fill_strips(const float* plane) {
    const int64_t width = pixels_.width, ahead = 2 * pixels_.height * width;
    for (int n = 0; n < pixels_.count; ++n) {
      const PixelVector& v = pixels_.vector[n];
      const float* from = plane + v.offset;
      // Channels lie a plane apart, where no hardware prefetcher looks.
#pragma GCC unroll 6
      for (int k = 0; k < 6; ++k) __builtin_prefetch(from + ahead + k * width + kLanes<float> / 2);
      Floats d[6], t[6];
      load_pixels(from, width, v, d);
      winograd_input(d, t);
      float* strip = strips_ + kMargin + v.strip;
#pragma GCC unroll 6
      for (int k = 0; k < 6; ++k) store(strip + k * kPitch, t[k]);
      strip += 6 * kPitch;
      if (v.leads) {
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) store_after_four(strip + k * kPitch, t[k]);
      } else {
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) store(strip + k * kPitch, t[k]);
      }
    }
  }

  const PixelVectors& pixels_;
  int64_t tiles_;
  alignas(64) float strips_[12 * kPitch];
};

}  // namespace fluxion::cpu::FLUXION_TARGET
