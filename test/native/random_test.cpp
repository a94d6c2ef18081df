// Philox against its published answers and against itself on every instruction set; moments, bounds and
// the counter rule of the distributions built on it.
#include <algorithm>

#include "cpu/philox.h"
#include "op_call.h"
#include "ops/random.h"

using namespace fluxion;
using namespace fluxion::test;

namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

// The known answers of the authors' Random123 library (kat_vectors, philox4x32 10).
void test_known_answers() {
  const cpu::PhiloxBlock zero = cpu::philox({0, 0, 0, 0}, 0, 0);
  CHECK(zero.x0 == 0x6627e8d5 && zero.x1 == 0xe169c58d && zero.x2 == 0xbc57ac4c &&
        zero.x3 == 0x9b00dbd8);
  const uint32_t ones = ~0u;
  const cpu::PhiloxBlock full = cpu::philox({ones, ones, ones, ones}, ones, ones);
  CHECK(full.x0 == 0x408f276d && full.x1 == 0x41c83b0e && full.x2 == 0xa20bc7c6 &&
        full.x3 == 0x6d5451fd);
  const cpu::PhiloxBlock pi =
      cpu::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0);
  CHECK(pi.x0 == 0xd16cfe09 && pi.x1 == 0x94fdcceb && pi.x2 == 0x5001e420 && pi.x3 == 0x24126ea1);
}

uint32_t word(int64_t seed, int64_t offset, int64_t i) {
  const uint64_t counter = static_cast<uint64_t>(offset + i / 4), key = static_cast<uint64_t>(seed);
  const cpu::PhiloxBlock b =
      cpu::philox({static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0},
                  static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
  const uint32_t words[] = {b.x0, b.x1, b.x2, b.x3};
  return words[i % 4];
}

// Kernels see the words in the order of ops/random.h, at offsets that cross 2^32 too.
void test_words() {
  for (const int64_t n : {0, 1, 3, 255, 256, 257, 16385}) {
    for (const int64_t offset : {int64_t{0}, int64_t{5}, (int64_t{1} << 32) - 3}) {
      const int64_t seed = 0x123456789abcdef;
      const RandomUniformParams p{Shape{n}, DType::f32, seed, offset, 0, 1},
          d{Shape{n}, DType::f64, seed, offset, 0, 1};
      const RandomBernoulliParams b{Shape{n}, DType::u8, seed, offset, 0.25};
      std::vector<double> want, wide, coins;
      for (int64_t i = 0; i < n; ++i) {
        want.push_back(static_cast<double>(word(seed, offset, i) >> 8) / 16777216.0);
        const uint64_t w =
            word(seed, offset, 2 * i) | static_cast<uint64_t>(word(seed, offset, 2 * i + 1)) << 32;
        wide.push_back(static_cast<double>(w >> 11) / 9007199254740992.0);
        coins.push_back(word(seed, offset, i) < 0x40000000u);
      }
      expect(OpId::rand, &p, {}, want);
      expect(OpId::rand, &d, {}, wide);
      expect(OpId::bernoulli, &b, {}, coins);
    }
  }
}

// The next op starts philox_blocks(n) further: streams of consecutive ops do not overlap.
void test_counter_rule() {
  for (const int64_t n : {1, 2, 3, 4, 5, 100, 101}) {
    CHECK((n + 3) / 4 <= philox_blocks(n));      // one word per element
    CHECK((2 * n + 3) / 4 <= philox_blocks(n));  // two words per element
  }
}

void moments(OpId op, const void* params, double mean, double variance, double low, double high) {
  call(op, params, {}, [&](const Result& r) {
    const std::vector<double> v = r.outputs[0].values();
    const double n = static_cast<double>(v.size());
    double sum = 0, squares = 0, least = v[0], most = v[0];
    for (const double x : v) {
      sum += x;
      squares += (x - mean) * (x - mean);
      least = std::min(least, x);
      most = std::max(most, x);
    }
    CHECK(std::abs(sum / n - mean) < 5 * std::sqrt(variance / n));
    CHECK(std::abs(squares / n / variance - 1) < 0.02);
    CHECK(least >= low && most < high);
  });
}

void test_distributions() {
  const Shape shape{200000};
  for (const DType dtype : {DType::f32, DType::f64}) {
    const RandomUniformParams uniform{shape, dtype, 1, 0, -2, 3};
    const RandomNormalParams normal{shape, dtype, 2, 0, 1, 0.5};
    moments(OpId::rand, &uniform, 0.5, 25.0 / 12, -2, 3);
    moments(OpId::randn, &normal, 1, 0.25, -4, 6);
    const RandomUniformParams tight{shape, dtype, 1,
                                    0,     1,     1 + 1e-6};  // rounding must not reach high
    const double end = dtype == DType::f32 ? static_cast<float>(1 + 1e-6) : 1 + 1e-6;
    call(OpId::rand, &tight, {}, [end](const Result& r) {
      bool inside = true;
      for (const double x : r.outputs[0].values()) inside = inside && x >= 1 && x < end;
      CHECK(inside);
    });
  }
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::u8}) {
    const RandomIntegerParams integer{shape, dtype, 3, 0, 5, 11};
    const RandomBernoulliParams coin{shape, dtype, 4, 0, 0.3};
    const RandomBernoulliParams never{Shape{99}, dtype, 4, 0, 0}, always{Shape{99}, dtype, 4, 0, 1};
    moments(OpId::randint, &integer, 7.5, 35.0 / 12, 5, 11);
    moments(OpId::bernoulli, &coin, 0.3, 0.21, 0, 2);
    expect(OpId::bernoulli, &never, {}, std::vector<double>(99, 0.0));
    expect(OpId::bernoulli, &always, {}, std::vector<double>(99, 1.0));
  }
  const RandomIntegerParams full{shape, DType::i32, 3, 0, -2147483648LL, 2147483648LL};
  moments(OpId::randint, &full, -0.5, std::pow(2.0, 64) / 12, -2147483648.0, 2147483648.0);
}

// Tails and independence of the pairs of the float32 normal numbers.
void test_normal_shape() {
  const RandomNormalParams p{Shape{1000000}, DType::f32, 7, 0, 0, 1};
  call(OpId::randn, &p, {}, [](const Result& r) {
    int64_t beyond[4] = {};
    double product = 0, cube = 0, fourth = 0;
    for (int64_t i = 0; i < 1000000; ++i) {
      const double x = r.outputs[0].raw(i);
      for (int s = 1; s < 4; ++s) beyond[s] += std::abs(x) > s;
      if (i % 2) product += x * r.outputs[0].raw(i - 1);
      cube += x * x * x;
      fourth += x * x * x * x;
    }
    CHECK(std::abs(static_cast<double>(beyond[1]) / 1e6 - 0.317311) < 0.002);
    CHECK(std::abs(static_cast<double>(beyond[2]) / 1e6 - 0.045500) < 0.001);
    CHECK(std::abs(static_cast<double>(beyond[3]) / 1e6 - 0.002700) < 0.0003);
    CHECK(std::abs(product / 5e5) < 0.006 && std::abs(cube / 1e6) < 0.02 &&
          std::abs(fourth / 1e6 - 3) < 0.05);
  });
}

void test_permutation() {
  for (const int64_t n : {0, 1, 2, 129, 5000}) {
    const RandomPermutationParams p{n, 11, 0};
    call(OpId::permutation, &p, {}, [&](const Result& r) {
      std::vector<double> v = r.outputs[0].values();
      std::sort(v.begin(), v.end());
      bool all = true;
      for (size_t i = 0; i < v.size(); ++i) all = all && v[i] == static_cast<double>(i);
      CHECK(all && static_cast<int64_t>(v.size()) == n);
    });
  }
  // All 24 orders of 4 elements are equally likely: chi-squared with 23 degrees of freedom.
  std::vector<int> seen(256, 0);
  const int trials = 24000;
  for (int t = 0; t < trials; ++t) {
    const RandomPermutationParams p{4, 13, 2 * t};
    const std::vector<double> v = call_on(0, 1, OpId::permutation, &p, {}).outputs[0].values();
    ++seen[static_cast<size_t>(v[0] + 4 * v[1] + 16 * v[2] + 64 * v[3])];
  }
  double chi = 0;
  int orders = 0;
  for (const int count : seen) {
    if (count == 0) continue;
    ++orders;
    chi += (count - 1000.0) * (count - 1000.0) / 1000.0;
  }
  CHECK(orders == 24 && chi < 50);  // exceeded with probability 1e-3
}

void test_errors() {
  const RandomUniformParams empty{Shape{3}, DType::f32, 0, 0, 1, 1};
  const RandomNormalParams negative{Shape{3}, DType::f32, 0, 0, 0, -1},
      integer{Shape{3}, DType::i32, 0, 0, 0, 1};
  const RandomIntegerParams wide{Shape{3}, DType::u8, 0, 0, 0, 257};
  const RandomBernoulliParams nan{Shape{3}, DType::f32, 0, 0, kNan};
  expect_error(ErrorCode::InvalidArgument, OpId::rand, &empty, {});
  expect_error(ErrorCode::InvalidArgument, OpId::randn, &negative, {});
  expect_error(ErrorCode::DTypeMismatch, OpId::randn, &integer, {});
  expect_error(ErrorCode::InvalidArgument, OpId::randint, &wide, {});
  expect_error(ErrorCode::InvalidArgument, OpId::bernoulli, &nan, {});
}

}  // namespace

int main() {
  test_known_answers();
  test_words();
  test_counter_rule();
  test_distributions();
  test_normal_shape();
  test_permutation();
  test_errors();
  return finish();
}
