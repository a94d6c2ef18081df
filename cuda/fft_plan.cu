// Plans of transforms: radices, groups of threads, tables in float64 rounded once.
#include "fft_plan.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/fourier.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr double kPi = 3.14159265358979323846;

std::string key_of(const char* what, size_t element, std::initializer_list<int64_t> numbers) {
  std::string key = "fft ";
  key.append(what).append(" ").append(std::to_string(element));
  for (const int64_t number : numbers) key.append(" ").append(std::to_string(number));
  return key;
}

// Powers of two in passes as equal as possible, then odd primes.
std::vector<int> radices_of(int64_t n) {
  std::vector<int> radices;
  int twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  for (int left = (twos + 2) / 3; left > 0; --left) {
    const int exponent = (twos + left - 1) / left;
    radices.push_back(1 << exponent);
    twos -= exponent;
  }
  for (int p = 3; p <= kLargestDeviceRadix; p += 2) {
    for (; n % p == 0; n /= p) radices.push_back(p);
  }
  return radices;
}

bool has_butterfly(int radix) { return radix <= 5 || radix == 8; }

// Threads that a line of `length` points takes: each pass holds all points in registers.
int group_of(int64_t length, const std::vector<int>& radices) {
  int64_t needed = 1;
  for (const int radix : radices) {
    const int64_t tasks = has_butterfly(radix) ? length / radix : length;
    const int64_t each = has_butterfly(radix) ? kFftPoints / radix : kFftPoints;
    needed = std::max(needed, (tasks + each - 1) / each);
  }
  int64_t group = 1;
  while (group < needed) group *= 2;
  return static_cast<int>(std::min<int64_t>(group, 1 << 20));
}

int64_t length_of(int64_t n) { return fft_is_smooth(n) ? n : fft_padded_length(n); }

// Points between lines: where a line has less than 16 threads, the next one begins that many banks on.
int pitch_of(int64_t length, int group) {
  int pitch = fft_place(static_cast<int>(length) - 1) + 1;
  while (pitch % 16 != group % 16) ++pitch;
  return pitch;
}

// out = transform of in[0], in[stride], ... by recursion; roots[k scale] = e^(-2 pi i k / n).
void transform(const Point<double>* in, int64_t stride, Point<double>* out, int64_t n,
               const Point<double>* roots, int64_t scale) {
  if (n == 1) {
    out[0] = in[0];
    return;
  }
  int64_t r = 2;
  while (n % r) ++r;
  const int64_t m = n / r;
  for (int64_t j = 0; j < r; ++j) {
    transform(in + j * stride, stride * r, out + j * m, m, roots, scale * r);
  }
  for (int64_t k = 0; k < m; ++k) {
    Point<double> parts[8];
    for (int64_t j = 0; j < r; ++j) parts[j] = out[j * m + k];
    for (int64_t q = 0; q < r; ++q) {
      Point<double> sum{0, 0};
      for (int64_t j = 0; j < r; ++j) {
        const Point<double> w = roots[(j * (k + q * m) % n) * scale];
        sum.re += parts[j].re * w.re - parts[j].im * w.im;
        sum.im += parts[j].re * w.im + parts[j].im * w.re;
      }
      out[k + q * m] = sum;
    }
  }
}

// j^2 mod 2 n as an angle of the chirp.
Point<double> chirp(int64_t j, int64_t n) { return unit_root(j * j % (2 * n), 2 * n); }

}  // namespace

Point<double> unit_root(int64_t k, int64_t n) {
  k %= n;
  const bool lower = 2 * k > n;  // the angle lies in (pi, 2 pi)
  if (lower) k = n - k;
  const bool left = 4 * k > n;                     // in (pi / 2, pi]
  const int64_t twice = left ? n - 2 * k : 2 * k;  // the angle is pi twice / n, up to pi / 2
  const bool steep = 4 * twice > n;                // beyond pi / 4: the complement
  const int64_t part = steep ? n - 2 * twice : 2 * twice;
  const double angle = kPi * static_cast<double>(part) / (2 * static_cast<double>(n));
  const double c = steep ? std::sin(angle) : std::cos(angle);
  const double s = steep ? std::cos(angle) : std::sin(angle);
  return {left ? -c : c, lower ? s : -s};
}

template <class T>
const Point<T>* root_table(const Kernel& call, int64_t n, int64_t step, int64_t count) {
  const std::string key = key_of("roots", sizeof(T), {n, step, count});
  return call.table<Point<T>>(key, count, [=](Point<T>* to) {
    for (int64_t k = 0; k < count; ++k) to[k] = rounded<T>(unit_root(k * step, n));
  });
}

template <class T>
const Point<T>* chirp_table(const Kernel& call, int64_t n) {
  return call.table<Point<T>>(key_of("chirp", sizeof(T), {n}), n, [=](Point<T>* to) {
    for (int64_t j = 0; j < n; ++j) to[j] = rounded<T>(chirp(j, n));
  });
}

template <class T>
const Point<T>* chirp_spectrum(const Kernel& call, int64_t n, int64_t length) {
  const std::string key = key_of("spectrum", sizeof(T), {n, length});
  return call.table<Point<T>>(key, length, [=](Point<T>* to) {
    const auto size = static_cast<size_t>(length);
    std::vector<Point<double>> in(size, Point<double>{0, 0}), out(size), roots(size);
    const double scale = 1 / static_cast<double>(length);
    for (int64_t k = 0; k < length; ++k) roots[static_cast<size_t>(k)] = unit_root(k, length);
    for (int64_t j = 0; j < n; ++j) {
      const Point<double> w = chirp(j, n);
      const Point<double> value{w.re * scale, -w.im * scale};
      in[static_cast<size_t>(j)] = value;
      if (j > 0) in[static_cast<size_t>(length - j)] = value;
    }
    transform(in.data(), 1, out.data(), length, roots.data(), 1);
    for (size_t k = 0; k < size; ++k) to[k] = rounded<T>(out[k]);
  });
}

bool fft_is_smooth(int64_t n) {
  for (int64_t p = 2; p <= kLargestDeviceRadix; ++p) {
    while (n > 1 && n % p == 0) n /= p;
  }
  return n <= 1;
}

bool fft_fits_block(const Kernel& call, int64_t n, size_t element) {
  const int64_t length = length_of(n);
  if (length > int64_t{kFftThreads} * kFftPoints) return false;
  const int group = group_of(length, radices_of(length));
  // Beside the line, what else a block keeps for each of its lines.
  const size_t bytes = static_cast<size_t>(pitch_of(length, group)) * 2 * element + 1024;
  return group <= kFftThreads && bytes <= call.shared_limit();
}

template <class T>
FftPlan<T> fft_plan(const Kernel& call, int64_t n) {
  FftPlan<T> plan{};
  const int64_t length = length_of(n);
  const std::vector<int> radices = radices_of(length);
  plan.n = static_cast<int>(n);
  plan.length = static_cast<int>(length);
  plan.group = group_of(length, radices);
  plan.pitch = pitch_of(length, plan.group);
  plan.roots = root_table<T>(call, length, 1, length);
  int span = 1;
  for (const int radix : radices) {
    plan.pass[plan.passes++] = {radix, plan.length / (radix * span), span, Divisor(span)};
    span *= radix;
  }
  if (length != n) {
    plan.chirp = chirp_table<T>(call, n);
    plan.spectrum = chirp_spectrum<T>(call, n, length);
  }
  return plan;
}

#define FLUXION_FFT_PLAN(T)                                                         \
  template const Point<T>* root_table<T>(const Kernel&, int64_t, int64_t, int64_t); \
  template const Point<T>* chirp_table<T>(const Kernel&, int64_t);                  \
  template const Point<T>* chirp_spectrum<T>(const Kernel&, int64_t, int64_t);      \
  template FftPlan<T> fft_plan<T>(const Kernel&, int64_t);
FLUXION_FFT_PLAN(float)
FLUXION_FFT_PLAN(double)
#undef FLUXION_FFT_PLAN

}  // namespace fluxion::cuda
