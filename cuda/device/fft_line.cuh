// Discrete Fourier transforms of lines that stand in shared memory, by groups of threads.
//
// A group of `group` threads owns a line: a part of a warp (a power of two up to 32), or several warps. Each
// Stockham pass reads all points of the line into registers (kFftPoints of them a thread at most), meets the
// group, and writes them to the same place: one array a line. Pass of radix r over n = r groups span points:
//     y[q + span (r p + k)] = w^(p k) sum_j x[q + span (p + groups j)] e^(-2 pi i j k / r),
//     w = e^(-2 pi i / (r groups)),  p < groups, q < span
// Lengths with prime factors beyond kLargestDeviceRadix are a convolution with a chirp (Bluestein).
// Shared memory moved: 2 points a pass; factors w^p, w^2p, w^4p come from one table of roots in L1, the others
// are products of these. Sources: Van Loan (1992), 1.7; Bluestein (1970).
#pragma once

#include "fft_butterfly.cuh"

namespace fluxion::cuda {

inline constexpr int kMaxFftPasses = 16;
inline constexpr int kLargestDeviceRadix = 31;

// Points that a thread holds in a pass, in 16 or (float64) 32 registers.
inline constexpr int kFftPoints = 8;

struct FftPass {
  int radix, groups, span;
  Divisor by_span;
};

template <class T>
struct FftPlan {
  int n;       // points
  int length;  // of the passes: n, or the padded length of a convolution
  int passes;
  int group;                 // threads of a line
  int pitch;                 // points between lines in shared memory
  const Point<T>* roots;     // e^(-2 pi i k / length)
  const Point<T>* chirp;     // convolutions: e^(-pi i j^2 / n), j < n; else null
  const Point<T>* spectrum;  // transform of the conjugate chirp over `length`, over `length`
  FftPass pass[kMaxFftPasses];
};

// Where point i of a line stands: strides of 8 and 16 points meet different banks.
__host__ __device__ __forceinline__ int fft_place(int i) { return i + (i >> 4); }

__device__ __forceinline__ void meet_group(int group) {
  if (group > kWarp) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

// A line in shared memory, and this thread's place among those that own it. Threads of a group that has no
// line (active = false) take part in all meetings.
template <class T>
struct FftLine {
  Shared<Point<T>> memory;
  int base;
  int lane;
  bool active;
  __device__ __forceinline__ Point<T>& operator()(int i) const {
    return memory[base + fft_place(i)];
  }
};

// x_k times w^k for w = roots[step].
template <int R, class T>
__device__ __forceinline__ void twiddle(Point<T> (&x)[R], const Point<T>* roots, int step) {
  const Point<T> w1 = fetch(roots + step);
  x[1] = x[1] * w1;
  if constexpr (R > 2) {
    const Point<T> w2 = fetch(roots + 2 * step);
    x[2] = x[2] * w2;
    if constexpr (R > 3) {
      const Point<T> w3 = w1 * w2;
      x[3] = x[3] * w3;
      if constexpr (R > 4) {
        const Point<T> w4 = fetch(roots + 4 * step);
        x[4] = x[4] * w4;
        if constexpr (R > 5) {
          x[5] = x[5] * (w4 * w1);
          x[6] = x[6] * (w4 * w2);
          x[7] = x[7] * (w4 * w3);
        }
      }
    }
  }
}

template <int R, class T>
__device__ __forceinline__ void fft_pass(const FftPlan<T>& plan, const FftPass& pass,
                                         const FftLine<T>& line) {
  constexpr int kButterflies = kFftPoints / R;
  Point<T> x[kButterflies][R];
  const int count = pass.groups * pass.span;
#pragma unroll
  for (int b = 0; b < kButterflies; ++b) {
    const int t = line.lane + b * plan.group;
    if (!line.active || t >= count) continue;
#pragma unroll
    for (int j = 0; j < R; ++j) x[b][j] = line(t + count * j);
  }
  meet_group(plan.group);
#pragma unroll
  for (int b = 0; b < kButterflies; ++b) {
    const int t = line.lane + b * plan.group;
    if (!line.active || t >= count) continue;
    const int from = pass.by_span.of(t) * pass.span;  // span p
    butterfly<R>(x[b]);
    if (pass.groups > 1) twiddle<R>(x[b], plan.roots, from);
    const int to = t + (R - 1) * from;
#pragma unroll
    for (int k = 0; k < R; ++k) line(to + pass.span * k) = x[b][k];
  }
  meet_group(plan.group);
}

// A pass of any odd radix: a thread computes single points of the result, each from its `radix` inputs, of which
// j and radix - j go together: x_0 + sum_j cos (x_j + x_(r-j)) - i sin (x_j - x_(r-j)).
template <class T>
__device__ __forceinline__ void fft_pass_any(const FftPlan<T>& plan, const FftPass& pass,
                                             const FftLine<T>& line) {
  Point<T> sum[kFftPoints];
  const int r = pass.radix, count = pass.groups * pass.span;
  const int turn = plan.length / r;  // of the roots: e^(-2 pi i / r)
#pragma unroll
  for (int b = 0; b < kFftPoints; ++b) {
    const int at = line.lane + b * plan.group;
    if (!line.active || at >= plan.length) continue;
    const int row = pass.by_span.of(at), p = row / r, k = row - p * r;
    const int t = at - row * pass.span + p * pass.span;
    Point<T> odd{T(0), T(0)};
    sum[b] = line(t);
    for (int j = 1, angle = k; 2 * j < r; ++j) {
      const Point<T> w = fetch(plan.roots + angle * turn);
      const Point<T> lower = line(t + count * j), upper = line(t + count * (r - j));
      sum[b] = sum[b] + w.re * (lower + upper);
      odd = odd + w.im * (lower - upper);
      angle += k;
      if (angle >= r) angle -= r;
    }
    sum[b] = sum[b] - turned(odd);
    if (pass.groups > 1) sum[b] = sum[b] * fetch(plan.roots + p * pass.span * k);
  }
  meet_group(plan.group);
#pragma unroll
  for (int b = 0; b < kFftPoints; ++b) {
    const int at = line.lane + b * plan.group;
    if (line.active && at < plan.length) line(at) = sum[b];
  }
  meet_group(plan.group);
}

// line(k) = sum_j line(j) e^(-2 pi i j k / n), or of a convolution its line(j) e^(-pi i j^2 / n) with zeros behind
// them. Not part of each caller: a kernel has it once.
template <class T>
__attribute__((noinline)) __device__ void fft_in_place(const FftPlan<T>& plan,
                                                       const FftLine<T>& line) {
  for (int half = 0; half < (plan.chirp ? 2 : 1); ++half) {
    meet_group(plan.group);
    for (int i = 0; i < plan.passes; ++i) {
      const FftPass& pass = plan.pass[i];
      switch (pass.radix) {
        case 2:
          fft_pass<2>(plan, pass, line);
          break;
        case 3:
          fft_pass<3>(plan, pass, line);
          break;
        case 4:
          fft_pass<4>(plan, pass, line);
          break;
        case 5:
          fft_pass<5>(plan, pass, line);
          break;
        case 8:
          fft_pass<8>(plan, pass, line);
          break;
        default:
          fft_pass_any(plan, pass, line);
          break;
      }
    }
    if (!plan.chirp) return;
    // The product with the spectrum, whose inverse transform is next; then with the chirp.
    const Point<T>* table = half == 0 ? plan.spectrum : plan.chirp;
    const int end = half == 0 ? plan.length : plan.n;
    for (int k = line.lane; line.active && k < end; k += plan.group) {
      const Point<T> w = fetch(table + k);
      line(k) = half == 0 ? exchanged(line(k) * w) : exchanged(line(k)) * w;
    }
  }
  meet_group(plan.group);
}

// line(k) = sum_j load(j) e^(-2 pi i j k / n) for all k < n. `load` may read the line itself, point j from
// place j. Complete for the whole group on return; before, what `load` reads must be, while the line may
// still be read.
template <class T, class Load>
__device__ __forceinline__ void fft_line(const FftPlan<T>& plan, const FftLine<T>& line,
                                         const Load& load) {
  meet_group(plan.group);
  for (int j = line.lane; line.active && j < plan.length; j += plan.group) {
    Point<T> z{T(0), T(0)};
    if (j < plan.n) z = load(j);
    if (plan.chirp && j < plan.n) z = z * fetch(plan.chirp + j);
    line(j) = z;
  }
  fft_in_place(plan, line);
}

}  // namespace fluxion::cuda
