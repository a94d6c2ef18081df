// Plans of the transforms that a block does in shared memory (device/fft_line.cuh), and their tables.
#pragma once

#include "device/fft_line.cuh"
#include "kernel.h"

namespace fluxion::cuda {

// e^(-2 pi i k / n) for k >= 0, from an angle that is reduced exactly.
Point<double> unit_root(int64_t k, int64_t n);
template <class T>
Point<T> rounded(Point<double> z) {
  return {static_cast<T>(z.re), static_cast<T>(z.im)};
}

// Tables of the device: e^(-2 pi i step k / n), k < count.
template <class T>
const Point<T>* root_table(const Kernel& call, int64_t n, int64_t step, int64_t count);

// e^(-pi i j^2 / n), j < n, and the transform of its conjugate over `length` points, over `length`.
template <class T>
const Point<T>* chirp_table(const Kernel& call, int64_t n);
template <class T>
const Point<T>* chirp_spectrum(const Kernel& call, int64_t n, int64_t length);

// Whether a block can hold a line of n points with its passes (or those of its convolution).
bool fft_fits_block(const Kernel& call, int64_t n, size_t element);

template <class T>
FftPlan<T> fft_plan(const Kernel& call, int64_t n);

// All prime factors are radices of a pass.
bool fft_is_smooth(int64_t n);

}  // namespace fluxion::cuda
