// The normalisation kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include <functional>

#include "kernel_ops.h"
#include "ops/normalization.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)                       \
  X(batch_norm, BatchNormParams)     \
  X(batch_norm_vjp, BatchNormParams) \
  X(group_norm, GroupNormParams)     \
  X(group_norm_vjp, GroupNormParams) \
  X(layer_norm, LayerNormParams)     \
  X(layer_norm_vjp, LayerNormVjpParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

// `group` maps an element to its mean, `column` to its weight.
struct Norm {
  std::vector<double> y, mean, variance, gx, gweight, gbias;
};

Norm normalise(const Array& x, const Array* weight, const Array* bias, const Array& g,
               size_t groups, size_t columns, double eps,
               const std::function<size_t(size_t)>& group,
               const std::function<size_t(size_t)>& column) {
  const size_t n = x.v.size();
  const double count = static_cast<double>(n) / static_cast<double>(std::max<size_t>(1, groups));
  Norm r{std::vector<double>(n), std::vector<double>(groups),  std::vector<double>(groups),
         std::vector<double>(n), std::vector<double>(columns), std::vector<double>(columns)};
  for (size_t i = 0; i < n; ++i) r.mean[group(i)] += x.v[i] / count;
  for (size_t i = 0; i < n; ++i)
    r.variance[group(i)] += std::pow(x.v[i] - r.mean[group(i)], 2) / count;
  std::vector<double> h(n), z(n), mh(groups), mhz(groups);
  for (size_t i = 0; i < n; ++i) {
    const size_t q = group(i), c = column(i);
    z[i] = (x.v[i] - r.mean[q]) / std::sqrt(r.variance[q] + eps);
    const double w = weight ? weight->v[c] : 1;
    r.y[i] = z[i] * w + (bias ? bias->v[c] : 0);
    h[i] = g.v[i] * w;
    r.gweight[c] += g.v[i] * z[i];
    r.gbias[c] += g.v[i];
    mh[q] += h[i] / count;
    mhz[q] += h[i] * z[i] / count;
  }
  for (size_t i = 0; i < n; ++i) {
    const size_t q = group(i);
    r.gx[i] = (h[i] - mh[q] - z[i] * mhz[q]) / std::sqrt(r.variance[q] + eps);
  }
  return r;
}

void test_batch_norm(int isa, DType t, const Shape& x, bool affine, double offset) {
  const Array in = noise(x, t, offset - 1, offset + 1), g = noise(x, t), w = noise({x[1]}, t),
              b = noise({x[1]}, t);
  size_t size = 1;
  for (int i = 2; i < x.ndim; ++i) size *= static_cast<size_t>(x[i]);
  const size_t channels = static_cast<size_t>(x[1]);
  const auto channel = [=](size_t i) { return i / size % channels; };
  const Norm r = normalise(in, affine ? &w : nullptr, affine ? &b : nullptr, g, channels, channels,
                           1e-3, channel, channel);
  BatchNormParams p;
  p.eps = 1e-3;
  const Input weight = affine ? Input(w) : Input(nullptr),
              bias = affine ? Input(b) : Input(nullptr);
  const auto y = run(batch_norm, isa, p, {in, weight, bias, nullptr, nullptr});
  const std::string what = "batch_norm " + describe(x);
  const double slack = 1 + std::abs(offset);
  near(y[0], r.y, 16 * slack, what);
  near(y[1], r.mean, 64, what + " mean");
  near(y[2], r.variance, 8 * slack, what + " variance");
  near(run(batch_norm, isa, p, {in, weight, bias, nullptr, nullptr}, 6)[2], r.variance, 8 * slack,
       what + " variance alone");
  const auto v = run(batch_norm_vjp, isa, p, {g, in, weight, bias, y[1], y[2]});
  near(v[0], r.gx, 32 * slack, what + " gx");
  near(v[1], r.gweight, 64 * slack, what + " gweight");
  near(v[2], r.gbias, 32, what + " gbias");
}

void test_group_norm(int isa, DType t, const Shape& x, int64_t groups, bool affine) {
  const Array in = noise(x, t, 1, 3), g = noise(x, t), w = noise({x[1]}, t), b = noise({x[1]}, t);
  size_t size = 1;
  for (int i = 2; i < x.ndim; ++i) size *= static_cast<size_t>(x[i]);
  const size_t channels = static_cast<size_t>(x[1]), all = static_cast<size_t>(x[0] * groups);
  const size_t count = in.v.size() / all;
  const Norm r = normalise(
      in, affine ? &w : nullptr, affine ? &b : nullptr, g, all, channels, 1e-3,
      [=](size_t i) { return i / count; }, [=](size_t i) { return i / size % channels; });
  GroupNormParams p;
  p.groups = groups, p.eps = 1e-3;
  const Input weight = affine ? Input(w) : Input(nullptr),
              bias = affine ? Input(b) : Input(nullptr);
  const auto y = run(group_norm, isa, p, {in, weight, bias});
  const std::string what = "group_norm " + describe(x);
  near(y[0], r.y, 64, what);
  near(y[1], r.mean, 64, what + " mean");
  near(y[2], r.variance, 32, what + " variance");
  const auto v = run(group_norm_vjp, isa, p, {g, in, weight, bias, y[1], y[2]});
  near(v[0], r.gx, 256, what + " gx");
  near(v[1], r.gweight, 64, what + " gweight");
  near(v[2], r.gbias, 64, what + " gbias");
}

void test_layer_norm(int isa, DType t, const Shape& x, int64_t trailing, bool affine) {
  Shape inner;
  for (int i = x.ndim - static_cast<int>(trailing); i < x.ndim; ++i) inner.push(x[i]);
  const Array in = noise(x, t, 2, 4), g = noise(x, t), w = noise(inner, t), b = noise(inner, t);
  const size_t n = static_cast<size_t>(inner.size()), rows = in.v.size() / std::max<size_t>(1, n);
  const Norm r = normalise(
      in, affine ? &w : nullptr, affine ? &b : nullptr, g, rows, n, 1e-5,
      [=](size_t i) { return i / n; }, [=](size_t i) { return i % n; });
  std::vector<double> rstd;
  for (double v : r.variance) rstd.push_back(1 / std::sqrt(v + 1e-5));
  LayerNormParams p;
  p.normalizedDims = trailing, p.eps = 1e-5;
  const Input weight = affine ? Input(w) : Input(nullptr),
              bias = affine ? Input(b) : Input(nullptr);
  const auto y = run(layer_norm, isa, p, {in, weight, bias});
  const std::string what = "layer_norm " + describe(x);
  near(y[0], r.y, 64, what);
  near(y[1], r.mean, 64, what + " mean");
  near(y[2], rstd, 32, what + " rstd");
  const auto v = run<LayerNormVjpParams>(layer_norm_vjp, isa, p, {g, in, weight, y[1], y[2]});
  near(v[0], r.gx, 256, what + " gx");
  near(v[1], r.gweight, 64, what + " gweight");
  near(v[2], r.gbias, 64, what + " gbias");
  CHECK(run<LayerNormVjpParams>(layer_norm_vjp, isa, p, {g, in, weight, y[1], y[2]}, 1)[0].v ==
        v[0].v);
}

void test_refusals() {
  CHECK(refuses(batch_norm, BatchNormParams{}, {{1, 3, 1}, {3}, {3}, {3}, {3}}));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (const bool affine : {false, true}) {
        test_batch_norm(isa, t, {4, 3, 5, 7}, affine, 0);
        test_batch_norm(isa, t, {9, 33}, affine, 100);
        test_batch_norm(isa, t, {3, 2, 300}, affine, 1000);
        test_batch_norm(isa, t, {5, 9, 37}, affine, 10);
        test_group_norm(isa, t, {3, 6, 5, 7}, 2, affine);
        test_group_norm(isa, t, {2, 4, 100}, 4, affine);
        test_layer_norm(isa, t, {5, 33}, 1, affine);
        test_layer_norm(isa, t, {3, 5000}, 1, affine);
        test_layer_norm(isa, t, {3, 4, 5, 7}, 3, affine);
        test_layer_norm(isa, t, {40, 700}, 1, affine);
      }
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
