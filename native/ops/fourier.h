// Fourier, cosine and sine transforms: parameters of the ops, and how a transform along several dimensions
// is cut into stages, which infer (memory) and kernels (work) must see alike.
#pragma once

#include "ops/op.h"

namespace fluxion {

// Prime factors up to this are butterflies of mixed-radix transforms; a length with a larger one becomes a
// convolution (Bluestein) of fft_padded_length(n) points.
inline constexpr int64_t kLargestFftRadix = 127;

inline bool fft_is_mixed_radix(int64_t n) {
  for (int64_t p = 2; p <= kLargestFftRadix; ++p) {
    while (n > 1 && n % p == 0) n /= p;
  }
  return n <= 1;
}

// The shortest convenient length >= 2 n - 1.
inline int64_t fft_padded_length(int64_t n) {
  int64_t best = 1;
  while (best < 2 * n - 1) best *= 2;
  for (const int64_t odd : {3, 5, 7, 9, 15}) {
    int64_t length = 2 * odd;
    while (length < 2 * n - 1) length *= 2;
    if (length < best) best = length;
  }
  return best;
}

// Bytes of scratch that a vector of transforms of n points needs (see cpu/fft.h); 64 bytes is the widest
// vector.
inline size_t fft_scratch_bytes(int64_t n) {
  const int64_t points = fft_is_mixed_radix(n) ? n : 2 * fft_padded_length(n);
  return 2 * static_cast<size_t>(points) * 64;
}

// A real line of n numbers: points of its complex transform, and points of room for spectra.
inline int64_t real_fft_points(int64_t n) { return n % 2 ? n : n / 2; }
inline int64_t real_fft_room(int64_t n) { return n % 2 ? n : n / 2 + 1; }

// fft, rfft, irfft: transforms along dims[i] of lengths[i] points. The input is cropped or padded with zeros
// to that length (irfft: to lengths / 2 + 1 in the last of dims), the result to sizes[i]. Results are
// multiplied by scale. The bins of a half spectrum whose mirror images are left out are multiplied by
// mirrored: rfft's results, irfft's inputs (2 is an inverse, 1 the adjoint of rfft with 1).
struct FourierParams {
  Shape dims, lengths, sizes;
  bool inverse;
  double scale, mirrored;
  template <class V>
  void visit(V& v) {
    v("dims", dims);
    v("lengths", lengths);
    v("sizes", sizes);
    v("inverse", inverse);
    v("scale", scale);
    v("mirrored", mirrored);
  }
};

// Matrices M of the cosine and sine transforms of n points, with j, k < n:
//     cos-1  cos(pi j k / (n - 1))              sin-1  sin(pi (j+1) (k+1) / (n + 1))
//     cos-2  cos(pi (2j+1) k / (2 n))           sin-2  sin(pi (2j+1) (k+1) / (2 n))
//     cos-3  transpose of cos-2                 sin-3  transpose of sin-2
//     cos-4  cos(pi (2j+1) (2k+1) / (4 n))      sin-4  sin(pi (2j+1) (2k+1) / (4 n))
enum class TrigonometricKind : int32_t { cos1, cos2, cos3, cos4, sin1, sin2, sin3, sin4 };
inline constexpr const char* kTrigonometricNames[] = {"cos-1", "cos-2", "cos-3", "cos-4",
                                                      "sin-1", "sin-2", "sin-3", "sin-4"};

// result = scale E_out M E_in input, along dim, cropped and padded as above. E multiplies the end elements by
// end_in, end_out: the first (cos) or last (sin) input of type 3, output of type 2; of cos-1 the first and
// the last of both.
struct TrigonometricParams {
  TrigonometricKind kind;
  int64_t dim, length, size;
  double scale, end_in, end_out;
  template <class V>
  void visit(V& v) {
    v.choice("kind", kind, kTrigonometricNames);
    v("dim", dim);
    v("length", length);
    v("size", size);
    v("scale", scale);
    v("endIn", end_in);
    v("endOut", end_out);
  }
};

// Lines along one dimension of a contiguous array [outer, from, inner], which becomes [outer, to, inner].
enum class FourierKind : int32_t { forward, inverse, to_half, from_half };
struct FourierStage {
  FourierKind kind;
  int64_t n, outer, from, to, inner;
  bool single;  // a line at a time in all lanes (cpu/fft_single.h), instead of a line in each lane
  bool serial;  // single: every thread has lines of its own, instead of all threads one line
};

struct FourierSchedule {
  FourierStage stage[kMaxDims] = {};
  int stages = 0;
  Shape result;
  // Stages run one after another on blocks [from the first transformed dimension on] that stay in the
  // cache; 0: each stage runs over the whole array.
  int64_t blocks = 0;
  int64_t buffer =
      0;  // numbers of the largest array between two stages (of a block, if there are blocks)
  size_t lanes = 0;  // bytes of scratch of a stage, without the arrays below
  // Points of the three arrays of a single line: in the workspace, and in the scratch if serial.
  int64_t shared_points = 0, serial_points = 0;
};

// element: bytes of a real number. The dims must be valid.
FourierSchedule fourier_schedule(const FourierParams& p, FourierKind kind, const Shape& input,
                                 size_t element);

// Numbers of the real line behind a cosine or sine transform of n points.
int64_t trigonometric_period(TrigonometricKind kind, int64_t n);

// Length of the complex transform of a single line: real lines of even length are pairs.
int64_t fft_single_length(const FourierStage& stage);
// n = n1 n2 with n1 the largest divisor <= sqrt(n); n1 is returned.
int64_t fft_split(int64_t n);
// Points of a single transform of n points: n, or of its convolution.
inline int64_t fft_single_points(int64_t n) {
  return fft_is_mixed_radix(n) ? n : fft_padded_length(n);
}

}  // namespace fluxion
