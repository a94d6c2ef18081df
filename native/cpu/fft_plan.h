// Plans of discrete Fourier transforms: the radices of the passes and their tables, computed in float64 from
// exactly reduced angles and rounded once. A plan is one block of memory, kept by the device's PlanCache:
// an FftLayout, then the tables that its offsets name.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/fourier.h"

namespace fluxion::cpu {

inline constexpr int kMaxFftPasses = 32;

// Pass of radix r over n = r * groups * span points (Stockham, decimation in frequency):
//     y[q + span (r p + k)] = w^(p k) sum_j x[q + span (p + groups j)] e^(-2 pi i j k / r),
//     w = e^(-2 pi i / (r groups)),  p < groups, q < span
struct FftPass {
  int64_t radix, groups, span;
  int64_t twiddles;  // elements from the plan's begin: w^(p k) as (re, im), [groups][radix - 1]
  int64_t roots;     // odd radices: cos, then sin of 2 pi (j k mod r) / r, [r / 2][r / 2] each
};

struct FftLayout {
  int64_t n;
  int64_t length;  // of the passes: n, or the padded length of a Bluestein convolution
  int64_t passes;
  FftPass pass[kMaxFftPasses];
  int64_t chirp;     // Bluestein: e^(-pi i j^2 / n), j < n, as (re, im)
  int64_t spectrum;  // transform of the conjugate chirp over `length`, as (re, im)
};

// cos and sin of 2 pi k / n, k >= 0, within an ulp.
void unit_root(int64_t k, int64_t n, double* cosine, double* sine);

size_t fft_plan_bytes(int64_t n, size_t element);
// Fills fft_plan_bytes(n, sizeof(T)) bytes; T is float or double.
template <class T>
void build_fft_plan(int64_t n, void* to);

}  // namespace fluxion::cpu
