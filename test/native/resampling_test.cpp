// Interpolation, padding and running sums on every instruction set, called without the engine: adjoints are
// transposes, constants stay, naive references.
#include "kernel_ops.h"
#include "ops/cumsum.h"
#include "ops/interpolate.h"
#include "ops/pad.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)                             \
  X(interpolate, InterpolateParams)        \
  X(interpolate_vjp, InterpolateVjpParams) \
  X(pad, PadParams)                        \
  X(pad_vjp, PadVjpParams)                 \
  X(cumsum, CumsumParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

double epsilon(DType t) { return t == DType::f64 ? 2.2e-16 : 1.2e-7; }

void test_interpolate(int isa, DType t, const Shape& x, const Shape& size, Resampling mode,
                      bool aligned, double scale) {
  InterpolateVjpParams p;
  p.size = size, p.mode = mode, p.align_corners = aligned, p.input_shape = x;
  p.scale_w = scale;
  const Array in = noise(x, t);
  const Array y = run<InterpolateParams>(interpolate, isa, p, {in})[0], g = noise(y.shape, t);
  const Array gx = run(interpolate_vjp, isa, p, {g})[0];
  const double bound = 64 * epsilon(t) * static_cast<double>(std::max(in.v.size(), y.v.size()));
  CHECK(std::abs(dot(y, g) - dot(gx, in)) <= bound);
  Array ones = in;
  std::fill(ones.v.begin(), ones.v.end(), 1);
  const Array still = run<InterpolateParams>(interpolate, isa, p, {ones})[0];
  near(still, std::vector<double>(still.v.size(), 1), 16, "interpolated constant");
}

void test_interpolations(int isa, DType t) {
  for (const Resampling mode :
       {Resampling::Nearest, Resampling::NearestExact, Resampling::Linear, Resampling::Area}) {
    test_interpolate(isa, t, {2, 3, 7}, {15}, mode, false, 0);
    test_interpolate(isa, t, {1, 2, 40}, {17}, mode, false, 0);
    test_interpolate(isa, t, {2, 2, 5, 70}, {9, 33}, mode, false, 0);
    test_interpolate(isa, t, {1, 3, 9, 16}, {18, 32}, mode, false, 0);
    test_interpolate(isa, t, {1, 1, 3, 5, 6}, {4, 3, 13}, mode, false, 0);
    test_interpolate(isa, t, {1, 1, 1, 1}, {3, 40}, mode, false, 0);
  }
  for (const Resampling mode : {Resampling::Linear, Resampling::Cubic}) {
    for (const bool aligned : {false, true}) {
      test_interpolate(isa, t, {2, 3, 6, 11}, {13, 35}, mode, aligned, 0);
      test_interpolate(isa, t, {1, 2, 33, 50}, {7, 16}, mode, aligned, 0);
      test_interpolate(isa, t, {1, 2, 2, 2}, {5, 1}, mode, aligned, 0);
    }
  }
  test_interpolate(isa, t, {1, 2, 6, 10}, {12, 23}, Resampling::Linear, false, 2.3);
}

void test_pad(int isa, DType t, const Shape& x, const Shape& before, const Shape& after) {
  for (const PadMode mode :
       {PadMode::Constant, PadMode::Reflect, PadMode::Replicate, PadMode::Circular}) {
    const PadParams p{before, after, mode, 3};
    const Array in = noise(x, t), y = run(pad, isa, p, {in})[0];
    std::vector<double> expected;
    for (int64_t i = 0; i < y.shape.size(); ++i) {
      int64_t rest = i, from = 0, step = 1;
      bool inside = true;
      for (int d = x.ndim - 1; d >= 0; --d) {
        int64_t j = rest % y.shape[d] - before[d];
        rest /= y.shape[d];
        if (mode == PadMode::Constant) inside = inside && j >= 0 && j < x[d];
        if (mode == PadMode::Reflect) j = j < 0 ? -j : j >= x[d] ? 2 * (x[d] - 1) - j : j;
        if (mode == PadMode::Replicate) j = std::clamp<int64_t>(j, 0, x[d] - 1);
        if (mode == PadMode::Circular) j = (j + x[d]) % x[d];
        from += j * step;
        step *= x[d];
      }
      expected.push_back(inside ? in[from] : 3);
    }
    near(y, expected, 0, "pad " + describe(x));
    if (mode == PadMode::Constant) continue;
    const Array g = noise(y.shape, t);
    const Array gx = run(pad_vjp, isa, PadVjpParams{before, after, x, mode}, {g})[0];
    CHECK(std::abs(dot(y, g) - dot(gx, in)) <= 8 * epsilon(t) * static_cast<double>(y.v.size()));
  }
}

void test_cumsum(int isa, DType t, const Shape& x, int dim) {
  for (const bool reverse : {false, true}) {
    const Array in = noise(x, t);
    int64_t inner = 1;
    for (int d = dim + 1; d < x.ndim; ++d) inner *= x[d];
    std::vector<double> expected(in.v.size());
    for (int64_t i = 0; i < x.size(); ++i) {
      const int64_t at = i / inner % x[dim];
      for (int64_t k = 0; k < x[dim]; ++k)
        if (reverse ? k >= at : k <= at)
          expected[static_cast<size_t>(i)] += in[i + (k - at) * inner];
    }
    near(run(cumsum, isa, CumsumParams{dim, reverse}, {in})[0], expected, 64,
         "cumsum " + describe(x));
  }
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_interpolations(isa, t);
      test_pad(isa, t, {3, 5}, {0, 2}, {0, 3});
      test_pad(isa, t, {2, 3, 4, 37}, {0, 0, 2, 1}, {0, 0, 1, 16});
      test_pad(isa, t, {4, 3, 2}, {2, 0, 0}, {1, 0, 0});
      test_cumsum(isa, t, {5, 33}, 1);
      test_cumsum(isa, t, {3, 40, 17}, 1);
      test_cumsum(isa, t, {200, 2}, 0);
      test_cumsum(isa, t, {0, 4}, 1);
    }
  }
  return fluxion::test::finish();
}
