// out_i = x_0 + ... + x_i along a dimension, or x_i + ... + x_(n-1).
//
// Layout: [outer, n, inner], contiguous. Sums are kept in float64 (integers: modulo 2^32), so that a line of
// any length is as exact as its elements. Lines that lie side by side (inner > 1) are summed in vectors, lines
// that follow each other eight at a time, which hides the latency of the additions.
// Parallel: blocks of lines, fixed by the shape.
#include <cstdint>
#include <type_traits>

#include "cpu/kernel.h"
#include "ops/cumsum.h"

#define FLUXION_KERNELS "cpu/cumsum.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kColumns = 256;  // 2 KiB of sums: they stay in the first-level cache
constexpr int kLines = 8;

template <class T>
using Running = std::conditional_t<std::is_floating_point_v<T>, double, uint32_t>;

// `columns` lines side by side; consecutive elements of a line are `step` apart.
template <class From, class To>
void sum_columns(const From* from, To* to, int64_t n, int64_t step, int64_t columns) {
  Running<To> sums[kColumns];
  for (int64_t c = 0; c < columns; ++c) sums[c] = 0;
  for (int64_t i = 0; i < n; ++i, from += step, to += step) {
    for (int64_t c = 0; c < columns; ++c) {
      sums[c] += static_cast<Running<To>>(from[c]);
      to[c] = static_cast<To>(sums[c]);
    }
  }
}

// kCount contiguous lines, `pitch` apart.
template <int kCount, class From, class To>
void sum_lines(const From* from, To* to, int64_t n, int64_t step, int64_t pitch) {
  Running<To> sums[kCount] = {};
  for (int64_t i = 0; i < n; ++i, from += step, to += step) {
    for (int l = 0; l < kCount; ++l) {
      sums[l] += static_cast<Running<To>>(from[l * pitch]);
      to[l * pitch] = static_cast<To>(sums[l]);
    }
  }
}

template <class From, class To>
void sum_block(const From* from, To* to, int64_t n, int64_t step, int64_t lines) {
  int64_t l = 0;
  for (; l + kLines <= lines; l += kLines) sum_lines<kLines>(from + l * n, to + l * n, n, step, n);
  for (; l < lines; ++l) sum_lines<1>(from + l * n, to + l * n, n, step, n);
}

template <class From, class To>
void cumsum(const CumsumParams& p, const Kernel& k) {
  const Shape& shape = k.in(0).shape;
  int64_t outer = 1, n = 1, inner = parts_of(k.in(0).dtype);
  for (int i = 0; i < shape.ndim; ++i) (i < p.dim ? outer : i == p.dim ? n : inner) *= shape[i];
  if (outer * n * inner == 0) return;
  const int64_t step = p.reverse ? -inner : inner, start = p.reverse ? (n - 1) * inner : 0;
  const From* const from = k.in(0).as<From>() + start;
  To* const to = k.out(0).as<To>() + start;
  if (inner == 1) {
    const int64_t lines = std::max<int64_t>(kLines, kElementsPerBlock / n / kLines * kLines);
    k.parallel_for(blocks_of(outer, lines), [&](int64_t block, int) {
      const int64_t at = block * lines * n;
      sum_block(from + at, to + at, n, step, std::min(lines, outer - block * lines));
    });
    return;
  }
  const int64_t parts = blocks_of(inner, kColumns);
  k.parallel_for(outer * parts, [&](int64_t block, int) {
    const int64_t column = block % parts * kColumns, at = block / parts * n * inner + column;
    sum_columns(from + at, to + at, n, step, std::min(kColumns, inner - column));
  });
}

}  // namespace

void k_cumsum(const CumsumParams& p, const Kernel& k) {
  switch (real_of(k.in(0).dtype)) {
    case DType::f64:
      return cumsum<double, double>(p, k);
    case DType::i32:
      return cumsum<int32_t, int32_t>(p, k);
    case DType::u8:
      return cumsum<uint8_t, int32_t>(p, k);
    default:
      return cumsum<float, float>(p, k);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
