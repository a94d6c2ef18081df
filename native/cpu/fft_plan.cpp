// Plans of discrete Fourier transforms; see fft_plan.h. Sources: Stockham autosort after Van Loan,
// Computational Frameworks for the Fast Fourier Transform (1992), 1.7; Bluestein (1970).
#include "cpu/fft_plan.h"

#include <algorithm>
#include <cmath>
#include <new>

namespace fluxion::cpu {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Radices in the order of the passes: powers of two in eights (16 as 4 x 4), then odd primes.
int radices_of(int64_t n, int64_t* radices) {
  int count = 0, twos = 0;
  for (; n % 2 == 0 && n > 0; n /= 2) ++twos;
  int eights = twos / 3;
  if (twos % 3 == 1 && eights > 0) --eights;
  for (int i = 0; i < eights; ++i) radices[count++] = 8;
  for (twos -= 3 * eights; twos >= 2; twos -= 2) radices[count++] = 4;
  if (twos == 1) radices[count++] = 2;
  for (int64_t p = 3; p <= kLargestFftRadix; p += 2) {
    for (; n % p == 0 && n > 1; n /= p) radices[count++] = p;
  }
  return count;
}

int64_t place(int64_t& end, int64_t elements) {
  const int64_t at = end;
  end += (elements + 15) / 16 * 16;  // tables begin at multiples of 64 bytes
  return at;
}

// Returns the elements of the plan up to the spectrum of a convolution.
int64_t lay_out(int64_t n, size_t element, FftLayout& layout) {
  layout = {};
  layout.n = n;
  layout.length = fft_is_mixed_radix(n) ? n : fft_padded_length(n);
  int64_t end = 0;
  place(end, static_cast<int64_t>((sizeof(FftLayout) + element - 1) / element));
  int64_t radices[kMaxFftPasses] = {};
  layout.passes = radices_of(layout.length, radices);
  int64_t span = 1;
  for (int i = 0; i < layout.passes; ++i) {
    FftPass& pass = layout.pass[i];
    const int64_t r = radices[i];
    pass = {r, layout.length / (r * span), span, 0, 0};
    if (pass.groups > 1) pass.twiddles = place(end, 2 * pass.groups * (r - 1));
    if (r % 2) pass.roots = place(end, 2 * (r / 2) * (r / 2));
    span *= r;
  }
  if (layout.length != n) {
    layout.chirp = place(end, 2 * n);
    layout.spectrum = end;
  }
  return end;
}

// Doubles in which the spectrum is computed: the chirp, its transform, roots of unity.
int64_t spectrum_doubles(int64_t length) { return 6 * length; }

// out = transform of in[0], in[stride], ..., by plain recursion; roots[k] = e^(-2 pi i k / (n scale)).
void transform(const double* in, int64_t stride, double* out, int64_t n, const double* roots,
               int64_t scale) {
  if (n == 1) {
    out[0] = in[0];
    out[1] = in[1];
    return;
  }
  int64_t r = 2;
  while (n % r) ++r;
  const int64_t m = n / r;
  for (int64_t j = 0; j < r; ++j) {
    transform(in + 2 * j * stride, stride * r, out + 2 * j * m, m, roots, scale * r);
  }
  for (int64_t k = 0; k < m; ++k) {
    double parts[2 * 8];
    for (int64_t j = 0; j < r; ++j) {
      parts[2 * j] = out[2 * (j * m + k)];
      parts[2 * j + 1] = out[2 * (j * m + k) + 1];
    }
    for (int64_t q = 0; q < r; ++q) {
      double re = 0, im = 0;
      for (int64_t j = 0; j < r; ++j) {
        const double* root = roots + 2 * (j * (k + q * m) % n) * scale;
        re += parts[2 * j] * root[0] - parts[2 * j + 1] * root[1];
        im += parts[2 * j] * root[1] + parts[2 * j + 1] * root[0];
      }
      out[2 * (k + q * m)] = re;
      out[2 * (k + q * m) + 1] = im;
    }
  }
}

template <class T>
void put_root(T* to, int64_t k, int64_t n) {
  double c = 0, s = 0;
  unit_root(k, n, &c, &s);
  to[0] = static_cast<T>(c);
  to[1] = static_cast<T>(-s);
}

template <class T>
void fill_pass(const FftPass& pass, T* base) {
  const int64_t r = pass.radix, points = r * pass.groups, half = r / 2;
  if (pass.groups > 1) {
    T* to = base + pass.twiddles;
    for (int64_t p = 0; p < pass.groups; ++p) {
      for (int64_t k = 1; k < r; ++k, to += 2) put_root(to, p * k, points);
    }
  }
  if (r % 2 == 0) return;
  T* cosines = base + pass.roots;
  T* sines = cosines + half * half;
  for (int64_t k = 1; k <= half; ++k) {
    for (int64_t j = 1; j <= half; ++j) {
      double c = 0, s = 0;
      unit_root(j * k % r, r, &c, &s);
      *cosines++ = static_cast<T>(c);
      *sines++ = static_cast<T>(s);
    }
  }
}

template <class T>
void fill_convolution(const FftLayout& layout, T* base) {
  const int64_t n = layout.n, length = layout.length;
  for (int64_t j = 0; j < n; ++j) put_root(base + layout.chirp + 2 * j, j * j % (2 * n), 2 * n);
  double* out = reinterpret_cast<double*>(base + layout.spectrum);
  double* in = out + 2 * length;
  double* roots = in + 2 * length;
  for (int64_t k = 0; k < length; ++k) put_root(roots + 2 * k, k, length);
  std::fill(in, in + 2 * length, 0.0);
  for (int64_t j = 0; j < n; ++j) {
    double root[2];
    put_root(root, j * j % (2 * n), 2 * n);
    for (const int64_t at : {j, j == 0 ? 0 : length - j}) {
      in[2 * at] = root[0] / static_cast<double>(length);
      in[2 * at + 1] = -root[1] / static_cast<double>(length);
    }
  }
  transform(in, 1, out, length, roots, 1);
  T* rounded = base + layout.spectrum;  // element i of T never lies beyond double i
  for (int64_t i = 0; i < 2 * length; ++i) {
    const T value = static_cast<T>(out[i]);
    __builtin_memcpy(rounded + i, &value, sizeof value);
  }
}

}  // namespace

void unit_root(int64_t k, int64_t n, double* cosine, double* sine) {
  k %= n;
  const bool lower = 2 * k > n;  // the angle lies in (pi, 2 pi)
  if (lower) k = n - k;
  const bool left = 4 * k > n;               // in (pi/2, pi]
  int64_t twice = left ? n - 2 * k : 2 * k;  // the angle is pi * twice / n, up to pi / 2
  const bool steep = 4 * twice > n;          // beyond pi / 4: the complement
  const double angle = steep
                           ? kPi * static_cast<double>(n - 2 * twice) / (2 * static_cast<double>(n))
                           : kPi * static_cast<double>(twice) / static_cast<double>(n);
  const double c = steep ? std::sin(angle) : std::cos(angle);
  const double s = steep ? std::cos(angle) : std::sin(angle);
  *cosine = left ? -c : c;
  *sine = lower ? -s : s;
}

size_t fft_plan_bytes(int64_t n, size_t element) {
  FftLayout layout;
  const size_t bytes = static_cast<size_t>(lay_out(n, element, layout)) * element;
  if (layout.length == n) return bytes;
  return bytes + static_cast<size_t>(spectrum_doubles(layout.length)) * sizeof(double);
}

template <class T>
void build_fft_plan(int64_t n, void* to) {
  FftLayout* layout = new (to) FftLayout;
  lay_out(n, sizeof(T), *layout);
  T* base = static_cast<T*>(to);
  for (int i = 0; i < layout->passes; ++i) fill_pass(layout->pass[i], base);
  if (layout->length != n) fill_convolution(*layout, base);
}

template void build_fft_plan<float>(int64_t n, void* to);
template void build_fft_plan<double>(int64_t n, void* to);

}  // namespace fluxion::cpu
