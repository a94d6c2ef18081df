// Real eigenbases of the 3-point second difference along lines, two lines in one complex transform: line a is
// the real and line b the imaginary part.
//     periodic   coefficients 2 Re A_k (k <= n/2) and 2 Im A_(n-k) (beyond), A = FFT a
//     neumann    DCT-II  2 sum_j a_j cos(pi k (2 j + 1) / 2n), by Makhoul's reordering and a rotation
//     dirichlet  DST-I   2 sum_j a_j sin(pi (j + 1)(k + 1) / (n + 1)), by the odd extension to 2 (n + 1)
// Coefficients that are their own partner (k = 0 and k = n / 2 of the first two) lack the factor 2, and that
// of the DCT also the cosine: line_scale makes synthesis invert analysis, and <a, b> = sum s_k a^_k b^_k.
// Lines stand in a box in shared memory; cells and coefficients take the same places.
// Source: J. Makhoul, IEEE Trans. ASSP 28(1), 1980; docs/numerics/spectral-diffusion.md.
#pragma once

#include "fft_line.cuh"

namespace fluxion::cuda {

enum class LineEnds : int { periodic, neumann, dirichlet };

template <class T>
struct LineBasis {
  FftPlan<T> fft;  // of n points, or 2 (n + 1)
  LineEnds ends;
  int n;
  const Point<T>* rotation;  // neumann: e^(-pi i k / (2 n)), k <= n / 2
};

template <class T>
__device__ __forceinline__ T line_scale(const LineBasis<T>& basis, int k) {
  if (basis.ends == LineEnds::dirichlet) return T(0.5) / static_cast<T>(basis.n + 1);
  return (k == 0 || 2 * k == basis.n ? T(1) : T(0.5)) / static_cast<T>(basis.n);
}

// Two lines in a box; where there is no second one, b is a.
template <class T>
struct LinePair {
  Shared<T> box;
  int a, b, stride;
  bool has_b;
  __device__ __forceinline__ Point<T> get(int j) const {
    return {box[a + j * stride], has_b ? box[b + j * stride] : T(0)};
  }
  __device__ __forceinline__ void put(int j, Point<T> value) const {
    box[a + j * stride] = value.re;
    if (has_b) box[b + j * stride] = value.im;
  }
};

// The cell at point j of the transform.
template <class T>
__device__ __forceinline__ int cell_place(const LineBasis<T>& basis, int j) {
  if (basis.ends != LineEnds::neumann) return j;
  return 2 * j < basis.n ? 2 * j : 2 * (basis.n - 1 - j) + 1;
}

template <class T>
__device__ __forceinline__ Point<T> odd_point(const LineBasis<T>& basis, const LinePair<T>& pair,
                                              int j) {
  if (j == 0 || j == basis.n + 1) return {T(0), T(0)};
  if (j <= basis.n) return pair.get(j - 1);
  return T(-1) * pair.get(2 * basis.n + 1 - j);
}

// Coefficients of both lines; put(k, coefficients) for each k, by some thread of the group.
template <class T, class Put>
__device__ __forceinline__ void analyse_lines(const LineBasis<T>& basis, const FftLine<T>& line,
                                              const LinePair<T>& pair, const Put& put) {
  const int n = basis.n;
  const bool sine = basis.ends == LineEnds::dirichlet;
  fft_line(basis.fft, line, [&](int j) {
    return sine ? odd_point(basis, pair, j) : pair.get(cell_place(basis, j));
  });
  if (!line.active) return;
  if (sine) {
    for (int k = line.lane; k < n; k += basis.fft.group) {
      const Point<T> z = line(k + 1);
      put(k, Point<T>{-z.im, z.re});
    }
    return;
  }
  for (int k = line.lane; 2 * k <= n; k += basis.fft.group) {
    const Point<T> z = line(k);
    if (k == 0 || 2 * k == n) {
      put(k, z);
      continue;
    }
    const Point<T> m = line(n - k);
    const Point<T> even = z + m, odd = turned(z - m);  // 2 (Re A, Re B) and 2 (Im A, Im B)
    if (basis.ends == LineEnds::periodic) {
      put(k, even);
      put(n - k, odd);
    } else {
      const Point<T> w = fetch(basis.rotation + k);  // cos, -sin
      put(k, w.re * even - w.im * odd);
      put(n - k, -w.im * even - w.re * odd);
    }
  }
}

// Point j of the inverse transform.
template <class T>
__device__ __forceinline__ Point<T> merged_point(const LineBasis<T>& basis, const LinePair<T>& pair,
                                                 int j) {
  const int n = basis.n;
  if (j == 0 || 2 * j == n) return pair.get(j);
  const bool upper = 2 * j > n;
  const int k = upper ? n - j : j;
  Point<T> even = pair.get(k), odd = pair.get(n - k);
  if (basis.ends == LineEnds::neumann) {
    const Point<T> w = fetch(basis.rotation + k);
    const Point<T> turned_back = w.re * even - w.im * odd;
    odd = -w.im * even - w.re * odd;
    even = turned_back;
  }
  return upper ? even + turned(odd) : even - turned(odd);
}

// Cells from coefficients that include line_scale.
template <class T>
__device__ __forceinline__ void synthesise_lines(const LineBasis<T>& basis, const FftLine<T>& line,
                                                 const LinePair<T>& pair) {
  const bool sine = basis.ends == LineEnds::dirichlet;
  fft_line(basis.fft, line, [&](int j) {
    return sine ? odd_point(basis, pair, j) : exchanged(merged_point(basis, pair, j));
  });
  if (!line.active) return;
  for (int j = line.lane; j < basis.n; j += basis.fft.group) {
    const Point<T> z = line(sine ? j + 1 : j);
    if (sine) {
      pair.put(j, Point<T>{-z.im, z.re});
    } else {
      pair.put(cell_place(basis, j), exchanged(z));
    }
  }
}

}  // namespace fluxion::cuda
