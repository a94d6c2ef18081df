// The pooling kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include "kernel_ops.h"
#include "ops/convolution.h"
#include "ops/pooling.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)                                    \
  X(max_pool2d, Pool2dParams)                     \
  X(max_pool2d_vjp, MaxPool2dVjpParams)           \
  X(avg_pool2d, AvgPool2dParams)                  \
  X(avg_pool2d_vjp, AvgPool2dVjpParams)           \
  X(adaptive_avg_pool2d, AdaptiveAvgPool2dParams) \
  X(adaptive_avg_pool2d_vjp, AdaptiveAvgPool2dVjpParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

Pair pair(int64_t h, int64_t w) { return {h, w, 2}; }

void test_pool(int isa, DType t, const Shape& x, const Pair& k, const Pair& s, const Pair& p) {
  Array in = noise(x, t);
  if (in.v.size() > 30) in.v[30] = std::numeric_limits<double>::quiet_NaN();
  const int64_t oh = conv_output_size(x[2], k.h, s.h, p.h, 1),
                ow = conv_output_size(x[3], k.w, s.w, p.w, 1);
  const Shape out{x[0], x[1], oh, ow};
  const Array g = noise(out, t);
  std::vector<double> best(g.v.size(), -INFINITY), index(g.v.size(), -1), gmax(in.v.size()),
      mean[2], gmean[2];
  for (int pad = 0; pad < 2; ++pad) mean[pad].resize(g.v.size()), gmean[pad].resize(in.v.size());
  for (int64_t at = 0; at < out.size(); ++at) {
    const int64_t plane = at / (oh * ow), i = at / ow % oh, j = at % ow;
    std::vector<int64_t> inside;
    int64_t padded = 0;
    for (int64_t a = 0; a < k.h; ++a)
      for (int64_t b = 0; b < k.w; ++b) {
        const int64_t r = i * s.h + a - p.h, c = j * s.w + b - p.w;
        padded += r < x[2] + p.h && c < x[3] + p.w;
        if (r >= 0 && r < x[2] && c >= 0 && c < x[3]) inside.push_back(r * x[3] + c);
      }
    const size_t o = static_cast<size_t>(at);
    for (int64_t q : inside) {
      const double v = in[plane * x[2] * x[3] + q];
      if (index[o] < 0 || v > best[o] || std::isnan(v))
        best[o] = v, index[o] = static_cast<double>(q);
    }
    gmax[static_cast<size_t>(plane * x[2] * x[3]) + static_cast<size_t>(index[o])] += g.v[o];
    for (int pad = 0; pad < 2; ++pad) {
      const double count = static_cast<double>(pad ? padded : static_cast<int64_t>(inside.size()));
      for (int64_t q : inside) {
        mean[pad][o] += in[plane * x[2] * x[3] + q] / count;
        gmean[pad][static_cast<size_t>(plane * x[2] * x[3] + q)] += g.v[o] / count;
      }
    }
  }
  const std::string what =
      "pool " + describe(x) + " k" + describe({k.h, k.w}) + " s" + describe({s.h, s.w});
  AvgPool2dVjpParams params;
  params.kernelSize = k, params.stride = s, params.padding = p, params.inputShape = x;
  MaxPool2dVjpParams max_params;
  static_cast<Pool2dParams&>(max_params) = params;
  max_params.inputShape = x;
  const auto y = run<Pool2dParams>(max_pool2d, isa, max_params, {in});
  near(y[0], best, 0, what + " max");
  CHECK(y[1].v == index);
  near(run<Pool2dParams>(max_pool2d, isa, max_params, {in}, 1)[0], best, 0, what + " max alone");
  near(run(max_pool2d_vjp, isa, max_params, {g, y[1]})[0], gmax, 8, what + " max vjp");
  for (int pad = 0; pad < 2; ++pad) {
    params.countIncludePad = pad;
    near(run<AvgPool2dParams>(avg_pool2d, isa, params, {in})[0], mean[pad], 16, what + " avg");
    near(run(avg_pool2d_vjp, isa, params, {g})[0], gmean[pad], 16, what + " avg vjp");
  }
}

void test_adaptive(int isa, DType t, const Shape& x, int64_t oh, int64_t ow) {
  const Array in = noise(x, t), g = noise({x[0], x[1], oh, ow}, t);
  std::vector<double> y(g.v.size()), gx(in.v.size());
  for (int64_t at = 0; at < g.shape.size(); ++at) {
    const int64_t plane = at / (oh * ow), i = at / ow % oh, j = at % ow;
    const int64_t r0 = i * x[2] / oh, r1 = ceil_div((i + 1) * x[2], oh), c0 = j * x[3] / ow,
                  c1 = ceil_div((j + 1) * x[3], ow);
    const double count = static_cast<double>((r1 - r0) * (c1 - c0));
    for (int64_t r = r0; r < r1; ++r)
      for (int64_t c = c0; c < c1; ++c) {
        const size_t q = static_cast<size_t>((plane * x[2] + r) * x[3] + c);
        y[static_cast<size_t>(at)] += in.v[q] / count;
        gx[q] += g[at] / count;
      }
  }
  near(run(adaptive_avg_pool2d, isa, AdaptiveAvgPool2dParams{pair(oh, ow)}, {in})[0], y, 64,
       "adaptive " + describe(x));
  near(run(adaptive_avg_pool2d_vjp, isa, AdaptiveAvgPool2dVjpParams{x}, {g})[0], gx, 16,
       "adaptive vjp " + describe(x));
}

void test_refusals() {
  Pool2dParams q;
  q.kernelSize = pair(2, 2), q.stride = pair(1, 1), q.padding = pair(2, 0);
  CHECK(refuses(max_pool2d, q, {{1, 1, 4, 4}}));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_pool(isa, t, {2, 3, 9, 35}, pair(3, 2), pair(2, 2), pair(1, 0));
      test_pool(isa, t, {1, 2, 16, 16}, pair(2, 2), pair(2, 2), pair(0, 0));
      test_pool(isa, t, {1, 2, 7, 5}, pair(3, 3), pair(1, 1), pair(1, 1));
      test_pool(isa, t, {1, 1, 8, 20}, pair(2, 3), pair(3, 3), pair(1, 1));
      test_adaptive(isa, t, {2, 3, 9, 37}, 1, 1);
      test_adaptive(isa, t, {2, 3, 9, 37}, 4, 5);
      test_adaptive(isa, t, {1, 2, 3, 3}, 5, 7);
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
