// Pointwise convolutions of float32 images and their input gradients on the matrix unit of x86 (AMX), where an image
// is a row-major matrix [channels, pixels]:
//
//   y[m, p] = act(sum_c weight[m, c] x[c, p] + bias[m] + residual[m, p])
//
// The unit multiplies bfloat16, 8 bits of significand, and sums in float32, 14 times as fast as the vectors' FMAs.
// A float32 is the sum of three bfloat16 without a rest, x = x1 + x2 + x3, each the rounding of what is left. Of the
// nine products of two such sums six are computed:
//
//   x w = x1 w1 + x1 w2 + x2 w1 + x2 w2 + x1 w3 + x3 w1,   error <= 2^-23 |x w|, in the mean 2^-26 |x w|
//
// so that the result is as exact as with FMAs (measured at 64 channels: half their error, there are fewer roundings
// of the sums). Below 1e-33 the last terms are zero, as are sums below 1e-38. Where an infinity, a NaN or a value
// that rounds to 2^128 comes in, something that is not finite comes out, and the avx512 kernel computes all again.
// Method: Henry, Tang and Heinecke, Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
// Computations, ARITH 2019.
//
// The unit and what the vectors do beside it: cpu/matrix_tiles.h. Parallel over (image, group) and pieces of large
// planes.
#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cpu/kernel.h"
#include "cpu/kernel_table.h"
#include "ops/convolution.h"

#if FLUXION_MATRIX_TILES

namespace fluxion::cpu::avx512 {
void k_conv2d(const Conv2dForwardParams& params, const Kernel& kernel);
void k_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& kernel);
}  // namespace fluxion::cpu::avx512

#define FLUXION_TARGET amx
#define FLUXION_VECTOR_BYTES 64
#if defined(__clang__)
#pragma clang attribute push(                                                                 \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target( \
    "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512,amx-tile,amx-bf16")
#endif

#include "cpu/simd.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/next_rows.h"
#include "cpu/pointwise_problem.h"
#include "cpu/matrix_tiles.h"

namespace fluxion::cpu::amx {

constexpr int64_t kStripPixels = 512;               // what is asked for at a time
constexpr int64_t kPiecePixels = 8 * kStripPixels;  // what a block of the pool has at most

inline MatrixTilePlan plan_of(const Pointwise<float>& c) { return {c.rows, c.channels}; }

// to: [row block][depth step][term][row / 16][16 rows][32 channels], zeros where there is none.
void pack_weights(const Kernel& kernel, const Pointwise<float>& c, Bfloat* packed) {
  const MatrixTilePlan plan = plan_of(c);
  const int64_t steps = plan.row_blocks * plan.depth_steps;
  kernel.parallel_for(c.groups * steps, [&](int64_t block, int) {
    const int64_t row = block % steps / plan.depth_steps * kBlock;
    const int64_t channel = block % plan.depth_steps * kBlock;
    const float* from = c.weights + block / steps * c.group_stride + row * c.row_stride +
                        channel * c.channel_stride;
    const int64_t rows = std::min(kBlock, c.rows - row);
    const int64_t channels = std::min(kBlock, c.channels - channel);
    Bfloat* to = packed + block * kStep;
    for (int64_t i = 0; i < kBlock; ++i, to += kBlock) {
      alignas(64) float values[kBlock] = {};
      for (int64_t k = 0; i < rows && k < channels; ++k) {
        values[k] = from[i * c.row_stride + k * c.channel_stride];
      }
      for (int64_t k = 0; k < kBlock; k += 16) {
        __m512i w = _mm512_load_si512(values + k);
        for (int t = 0; t < 3; ++t) {
          const __m256i term = _mm512_maskz_cvtepi32_epi16(0xffff, upper_halves(take_term(w, t)));
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + t * kTerm + k), term);
        }
      }
    }
  });
}

// --- a piece of the pixels of an image and a group

struct Piece {
  const float* in;
  float* out;
  const Bfloat* weights;
  Epilogue<float> epilogue;  // of this piece
  int64_t pixels;
  NextRows<float> next;  // the first strip of the next piece
  bool stream;
};

// Whether all that came out is finite.
bool compute_piece(const Pointwise<float>& c, const Piece& piece, Bfloat* scratch) {
  const MatrixTilePlan plan = plan_of(c);
  Bfloat *panel = scratch, *next_panel = scratch + plan.panel_elements();
  float* sums = reinterpret_cast<float*>(scratch + 2 * plan.panel_elements());
  const int64_t rounds = kRounds * plan.depth_steps;
  const bool whole_channels = c.channels % kBlock == 0;
  Beside beside;
  beside.rows_each = ceil_div(kBlock, rounds);
  beside.pairs_each = ceil_div(kPairs * plan.depth_steps, rounds * plan.row_blocks);
  const auto start_split = [&](int64_t pixel, Bfloat* to) {
    beside.split = {piece.in + pixel,
                    c.plane,
                    std::min(kBlock, piece.pixels - pixel),
                    c.channels,
                    to,
                    0,
                    pixel < piece.pixels ? kPairs * plan.depth_steps : 0};
  };
  start_split(0, panel);
  beside.split.go(beside.split.pairs);
  beside.write.plane = c.plane, beside.write.stream = piece.stream, beside.write.sums = sums;
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  for (int64_t p = 0; p < piece.pixels; p += kBlock) {
    if (p % kStripPixels == 0) {
      const int64_t strip = p + kStripPixels;
      beside.next = strip < piece.pixels
                        ? NextRows<float>{piece.in + strip, c.channels,
                                          std::min(kStripPixels, piece.pixels - strip), c.plane}
                        : piece.next;
      const int64_t panels = ceil_div(std::min(kStripPixels, piece.pixels - p), kBlock);
      beside.lines_each = ceil_div(beside.next.lines(), panels * rounds * plan.row_blocks);
    }
    start_split(p + kBlock, next_panel);
    for (int64_t block = 0; block < plan.row_blocks; ++block) {
      const int64_t row = block * kBlock;
      const Bfloat* weights = piece.weights + block * plan.depth_steps * kStep;
      const bool whole = whole_channels && beside.split.pixels >= kBlock &&
                         beside.write.pixels == kBlock && beside.write.rows % kRowsAtOnce == 0;
      whole ? multiply_block<true>(weights, panel, plan.depth_steps, beside)
            : multiply_block<false>(weights, panel, plan.depth_steps, beside);
      beside.write.finish();
      store_sums(sums);
      beside.write.to = piece.out + row * c.plane + p;
      beside.write.epilogue = piece.epilogue.at(row, 0, row * c.plane + p);
      beside.write.rows = std::min(kBlock, c.rows - row);
      beside.write.pixels = std::min(kBlock, piece.pixels - p);
    }
    beside.split.go(beside.split.pairs);
    std::swap(panel, next_panel);
  }
  beside.write.finish();
  _tile_release();
  return _mm512_test_epi32_mask(beside.write.not_finite, beside.write.not_finite) == 0;
}

// False where something that is not finite came out; the output is then to be computed by other means.
bool pointwise_tiles(const Kernel& kernel, const Pointwise<float>& c) {
  Bfloat* weights = kernel.workspace<Bfloat>();
  pack_weights(kernel, c, weights);
  const int64_t wanted = ceil_div(kConvMinBlocks, c.images * c.groups);
  const int64_t piece_pixels = std::min(kPiecePixels, round_up(ceil_div(c.plane, wanted), kBlock));
  const int64_t pieces = ceil_div(c.plane, piece_pixels), total = c.images * c.groups * pieces;
  const bool stream =
      c.images * c.groups * c.rows * c.plane * int64_t{sizeof(float)} >= kPointwiseStreamBytes &&
      reinterpret_cast<uintptr_t>(c.out) % 64 == 0 && c.plane % kBlock == 0 && !c.epilogue.smooth();
  const auto next_rows = [&](int64_t block) -> NextRows<float> {
    if (block == total) return {nullptr, 0, 0, 0};
    const int64_t pixel = block % pieces * piece_pixels;
    return {c.in + block / pieces * c.channels * c.plane + pixel, c.channels,
            std::min({kStripPixels, piece_pixels, c.plane - pixel}), c.plane};
  };
  std::atomic<bool> finite{true};
  kernel.parallel_for(total, [&](int64_t block, int thread) {
    const int64_t pixel = block % pieces * piece_pixels, sample = block / pieces;
    const int64_t group = sample % c.groups, out = sample * c.rows * c.plane + pixel;
    const Piece piece{c.in + sample * c.channels * c.plane + pixel,
                      c.out + out,
                      weights + group * plan_of(c).weight_elements(),
                      c.epilogue.at(group * c.rows, 0, out),
                      std::min(piece_pixels, c.plane - pixel),
                      next_rows(block + 1),
                      stream};
    if (!compute_piece(c, piece, kernel.scratch<Bfloat>(thread))) {
      finite.store(false, std::memory_order_relaxed);
    }
    if (stream) stream_fence();
  });
  return finite.load(std::memory_order_relaxed);
}

// False where it is none for the unit, or something that is not finite came out.
template <class Params>
bool compute(const Params& p, const Kernel& kernel, const Pointwise<float>& c) {
  const Shape& weight = kernel.in(1).shape;
  return kernel.in(0).dtype == DType::f32 && conv_is_pointwise(p, weight) &&
         !conv_is_depthwise(weight, p.groups) &&
         MatrixTilePlan::takes(c.images, c.rows, c.channels, c.plane) && pointwise_tiles(kernel, c);
}

void k_conv2d(const Conv2dForwardParams& p, const Kernel& kernel) {
  if (!compute(p, kernel, pointwise_forward<float>(p, kernel))) avx512::k_conv2d(p, kernel);
}

void k_conv2d_input_vjp(const Conv2dInputVjpParams& p, const Kernel& kernel) {
  if (!compute(p, kernel, pointwise_input_vjp<float>(p, kernel))) {
    avx512::k_conv2d_input_vjp(p, kernel);
  }
}

}  // namespace fluxion::cpu::amx

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif  // FLUXION_MATRIX_TILES
