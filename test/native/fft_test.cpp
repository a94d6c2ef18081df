// Transforms in lanes on every instruction set: every length up to 256 and larger ones against sums in
// float64, out of place and in place, back again, and nothing beyond lines and scratch is written.
#ifndef FLUXION_TARGET
#include <utility>
#include <vector>

#include "cpu/kernel.h"
#include "kernel_call.h"
#include "ops/fourier.h"
#endif

#define FLUXION_KERNELS "../test/native/fft_test.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/fft.h"
#include "cpu/fft_real.h"

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
double worst_error(const T* lines, const std::vector<T>& from, int64_t n, int64_t stride) {
  constexpr int w = kLanes<T>;
  double worst = 0;
  for (const int lane : {0, w - 1}) {
    double errors = 0, norm = 0;
    for (int64_t k = 0; k < n; k += stride) {
      double re = 0, im = 0;
      for (int64_t j = 0; j < n; ++j) {
        double c = 0, s = 0;
        unit_root(j * k % n, n, &c, &s);
        const double x = from[static_cast<size_t>(j * w + lane)];
        const double y = from[static_cast<size_t>((n + j) * w + lane)];
        re += x * c + y * s;
        im += y * c - x * s;
      }
      const double dr = lines[k * w + lane] - re, di = lines[(n + k) * w + lane] - im;
      errors += dr * dr + di * di;
      norm += re * re + im * im;
    }
    worst = std::max(worst, std::sqrt(errors / norm));
  }
  return worst;
}

template <class T>
void test_length(const Kernel& call, int64_t n, int64_t stride) {
  using namespace fluxion::test;
  constexpr int w = kLanes<T>;
  const double limit = sizeof(T) == 4 ? 1e-6 : 1e-14;
  const size_t bytes = 2 * static_cast<size_t>(n * w) * sizeof(T);
  Block lines(bytes), other(bytes), scratch(fft_scratch_bytes(n));
  T* re = reinterpret_cast<T*>(lines.data());
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> from(static_cast<size_t>(2 * n * w));
  for (T& x : from) x = static_cast<T>(uniform(generator));
  std::memcpy(re, from.data(), bytes);
  const FftPlan<T> plan = fft_plan<T>(call, n);
  T* room = reinterpret_cast<T*>(scratch.data());
  T* out = reinterpret_cast<T*>(other.data());
  fft_lines<T>(plan, {re, re + n * w, w}, {out, out + n * w, w}, false, room);
  CHECK(std::memcmp(re, from.data(), bytes) == 0);  // out of place keeps its input
  CHECK(worst_error(out, from, n, stride) < limit);
  fft_lines<T>(plan, re, re + n * w, false, room);
  CHECK(std::memcmp(re, out, bytes) == 0);
  fft_lines<T>(plan, re, re + n * w, true, room);
  double errors = 0, norm = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const double d = re[i] / static_cast<double>(n) - from[i];
    errors += d * d;
    norm += static_cast<double>(from[i]) * static_cast<double>(from[i]);
  }
  CHECK(std::sqrt(errors / norm) < limit);
  CHECK(lines.intact() && other.intact() && scratch.intact());
}

// Real lines agree with complex ones, and come back.
template <class T>
void test_real(const Kernel& call, int64_t n) {
  using namespace fluxion::test;
  constexpr int w = kLanes<T>;
  const double limit = sizeof(T) == 4 ? 2e-6 : 2e-14;
  const size_t points = static_cast<size_t>(real_fft_room(n));
  Block lines(2 * points * w * sizeof(T)), scratch(fft_scratch_bytes(real_fft_points(n)));
  T* x = reinterpret_cast<T*>(lines.data());
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> from(static_cast<size_t>(2 * n * w));
  for (int64_t i = 0; i < n * w; ++i) {
    from[static_cast<size_t>(i)] = x[i] = static_cast<T>(uniform(generator));
  }
  RealPlan<T> plan;
  CHECK(real_plan<T>(call, n, plan));
  real_forward<T>(plan, x, reinterpret_cast<T*>(scratch.data()));
  std::vector<T> spectrum = from;
  Block full(fft_scratch_bytes(n));
  fft_lines<T>(fft_plan<T>(call, n), spectrum.data(), spectrum.data() + n * w, false,
               reinterpret_cast<T*>(full.data()));
  double worst = 0;
  for (int64_t k = 0; k <= n / 2; ++k) {
    for (int lane = 0; lane < w; ++lane) {
      const double dr = x[2 * w * k + lane] - spectrum[static_cast<size_t>(k * w + lane)];
      const double di = x[2 * w * k + w + lane] - spectrum[static_cast<size_t>((n + k) * w + lane)];
      worst = std::max({worst, std::abs(dr), std::abs(di)});
    }
  }
  CHECK(worst < limit * std::sqrt(static_cast<double>(n)));
  real_inverse<T>(plan, x, reinterpret_cast<T*>(scratch.data()));
  worst = 0;
  for (int64_t i = 0; i < n * w; ++i) {
    worst = std::max(worst, std::abs(x[i] / static_cast<double>(n) -
                                     static_cast<double>(from[static_cast<size_t>(i)])));
  }
  CHECK(worst < limit);
  CHECK(lines.intact() && scratch.intact());
}

template <class T>
void test_all() {
  PlanCache plans;
  Kernel call{};
  call.plans = &plans;
  for (int64_t n = 1; n <= 256; ++n) {
    test_length<T>(call, n, 1);
    test_real<T>(call, n);
  }
  for (const int64_t n : {257, 360, 509, 512, 1000, 1009, 1024, 2048, 4099}) {
    test_length<T>(call, n, n / 16);
    test_real<T>(call, n);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#else
int main() {
  using namespace fluxion::cpu;
  baseline::test_all<float>();
  baseline::test_all<double>();
#if FLUXION_WIDE_SETS
  if (fluxion::test::isa_count() > 1) {
    avx2::test_all<float>();
    avx2::test_all<double>();
  }
  if (fluxion::test::isa_count() > 2) {
    avx512::test_all<float>();
    avx512::test_all<double>();
  }
#endif
  return fluxion::test::finish();
}
#endif
