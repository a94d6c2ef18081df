// Peer of the Fourier benchmark: FFTW, one trial of one case, by the protocol of bench/trial.ts. FFTW is used
// here only; the library neither needs nor contains it.
//   bench_fftw estimate|measure '{"peer": "fft-lines", "sizes": {"lines": 4096, "n": 64}, "sets": 4, "threads": 1}'
//   bench_fftw --version
#include <fftw3.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

// The number behind "name": in a flat JSON object; enough for the requests of bench/peers.ts.
long number(const char* json, const char* name) {
  const char* at = std::strstr(json, name);
  const char* colon = at ? std::strchr(at, ':') : nullptr;
  return colon ? std::atol(colon + 1) : 0;
}

struct Set {
  fftwf_complex *in, *out;
  fftwf_plan plan;
};

Set make_set(int lines, int n, unsigned flags) {
  const size_t size = static_cast<size_t>(lines) * static_cast<size_t>(n);
  Set set{fftwf_alloc_complex(size), fftwf_alloc_complex(size), nullptr};
  set.plan = fftwf_plan_many_dft(1, &n, lines, set.in, nullptr, 1, n, set.out, nullptr, 1, n,
                                 FFTW_FORWARD, flags);
  for (size_t i = 0; i < size; ++i) {  // after planning, which overwrites
    set.in[i][0] = static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX) - 0.5f;
    set.in[i][1] = static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX) - 0.5f;
  }
  return set;
}

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("%s\n", fftwf_version);
    return 0;
  }
  if (argc != 3) return 2;
  const unsigned flags = std::strcmp(argv[1], "measure") == 0 ? FFTW_MEASURE : FFTW_ESTIMATE;
  const int lines = static_cast<int>(number(argv[2], "\"lines\""));
  const int n = static_cast<int>(number(argv[2], "\"n\""));
  const long count = std::max(1L, number(argv[2], "\"sets\""));
  if (lines < 1 || n < 1) return 2;
  std::vector<Set> sets;
  for (long i = 0; i < count; ++i) sets.push_back(make_set(lines, n, flags));

  size_t calls = 0;
  const auto call = [&] { fftwf_execute(sets[calls++ % sets.size()].plan); };
  for (const auto begin = Clock::now(); seconds_since(begin) < 0.3;) call();
  std::vector<double> samples;
  for (const auto begin = Clock::now(); seconds_since(begin) < 1 || samples.size() < 20;) {
    const auto start = Clock::now();
    call();
    samples.push_back(1e9 * seconds_since(start));
  }
  std::vector<double> sorted = samples;
  std::sort(sorted.begin(), sorted.end());
  std::printf(
      "{\"median\": %.1f, \"calls\": %zu, \"version\": \"%s\", \"threads\": 1, \"samples\": [",
      sorted[sorted.size() / 2], samples.size(), fftwf_version);
  const size_t kept = std::min<size_t>(samples.size(), 2000);
  for (size_t i = 0; i < kept; ++i) std::printf("%s%.1f", i ? ", " : "", samples[i]);
  std::printf("]}\n");
  return 0;
}
