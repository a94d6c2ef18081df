// The linalg kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include <array>
#include <functional>

#include "kernel_call.h"
#include "ops/convolution.h"
#include "ops/linalg.h"

using namespace fluxion;
using namespace fluxion::test;

namespace fluxion {
#define LINALG_OPS(X)                                    \
  X(matmul, NoParams)                                    \
  X(conv2d, Conv2dParams)                                \
  X(conv2d_input_vjp, Conv2dInputVjpParams)              \
  X(conv2d_weight_vjp, Conv2dWeightVjpParams)            \
  X(max_pool2d, Pool2dParams)                            \
  X(max_pool2d_vjp, MaxPool2dVjpParams)                  \
  X(avg_pool2d, AvgPool2dParams)                         \
  X(avg_pool2d_vjp, AvgPool2dVjpParams)                  \
  X(adaptive_avg_pool2d, AdaptiveAvgPool2dParams)        \
  X(adaptive_avg_pool2d_vjp, AdaptiveAvgPool2dVjpParams) \
  X(batch_norm, BatchNormParams)                         \
  X(batch_norm_vjp, BatchNormParams)                     \
  X(layer_norm, LayerNormParams)                         \
  X(layer_norm_vjp, LayerNormVjpParams)                  \
  X(cross_entropy, CrossEntropyParams)                   \
  X(cross_entropy_vjp, CrossEntropyParams)
#define DECLARE(id, Params) void k_##id(const Params&, const Kernel&);
#define DECLARE_INFER(id, Params) void infer_##id(const Params&, Infer&);
LINALG_OPS(DECLARE_INFER)
namespace cpu::baseline {
LINALG_OPS(DECLARE)
}
namespace cpu::avx2 {
LINALG_OPS(DECLARE)
}
namespace cpu::avx512 {
LINALG_OPS(DECLARE)
}
}  // namespace fluxion

namespace {

#if defined(__x86_64__)
#define DEFINE(id, Params)            \
  constexpr Op<Params> id{infer_##id, \
                          {cpu::baseline::k_##id, cpu::avx2::k_##id, cpu::avx512::k_##id}};
#else
#define DEFINE(id, Params) \
  constexpr Op<Params> id{infer_##id, {cpu::baseline::k_##id, nullptr, nullptr}};
#endif
LINALG_OPS(DEFINE)

Pair pair(int64_t h, int64_t w) { return {h, w, 2}; }

// --- matmul

void test_matmul(int isa, DType t) {
  for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                   {3, 5, 7},
                                                                   {8, 48, 16},
                                                                   {9, 49, 17},
                                                                   {13, 31, 300},
                                                                   {70, 130, 33},
                                                                   {1, 100, 40},
                                                                   {100, 1, 40},
                                                                   {5, 2, 0},
                                                                   {0, 3, 4},
                                                                   {300, 520, 20}}) {
    for (int variant = 0; variant < 4; ++variant) {
      const bool at = variant & 1, bt = variant & 2;
      const Array a = noise(at ? Shape{k, m} : Shape{m, k}, t),
                  b = noise(bt ? Shape{n, k} : Shape{k, n}, t);
      std::vector<double> expected(static_cast<size_t>(m * n));
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j)
          for (int64_t l = 0; l < k; ++l)
            expected[static_cast<size_t>(i * n + j)] +=
                a[at ? l * m + i : i * k + l] * b[bt ? j * k + l : l * n + j];
      const auto y = run(matmul, isa, NoParams{},
                         {Input(a, {m, k}, at ? Shape{1, m} : Shape{k, 1}),
                          Input(b, {k, n}, bt ? Shape{1, k} : Shape{n, 1})});
      near(y[0], expected, 8 + static_cast<double>(k) / 8, "matmul " + describe({m, n, k}));
    }
  }
  // Batches that broadcast on both sides, one of them an expanded view: [2, 1, 3, 4] x [5, 4, 6].
  const Array a = noise({2, 1, 3, 4}, t), b = noise({4, 6}, t);
  std::vector<double> expected;
  for (int p = 0; p < 10; ++p)
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 6; ++j) {
        double sum = 0;
        for (int l = 0; l < 4; ++l) sum += a[p / 5 * 12 + i * 4 + l] * b[l * 6 + j];
        expected.push_back(sum);
      }
  near(run(matmul, isa, NoParams{}, {a, Input(b, {5, 4, 6}, {0, 6, 1})})[0], expected, 8,
       "matmul batches");
}

// --- convolution

struct ConvCase {
  Shape x;
  int64_t outputs, kh, kw, groups;
  Pair stride, padding, dilation;
};

void test_conv(int isa, DType t, const ConvCase& c) {
  Conv2dInputVjpParams pi;
  pi.stride = c.stride, pi.padding = c.padding, pi.dilation = c.dilation, pi.groups = c.groups;
  pi.inputShape = c.x;
  Conv2dWeightVjpParams pw;
  static_cast<Conv2dParams&>(pw) = pi;
  pw.weightShape = {c.outputs, c.x[1] / c.groups, c.kh, c.kw};
  const Shape &x = c.x, &w = pw.weightShape;
  const int64_t oh = conv_output_size(x[2], c.kh, c.stride.h, c.padding.h, c.dilation.h);
  const int64_t ow = conv_output_size(x[3], c.kw, c.stride.w, c.padding.w, c.dilation.w);
  const Array in = noise(x, t), weight = noise(w, t), bias = noise({c.outputs}, t),
              g = noise({x[0], w[0], oh, ow}, t);
  std::vector<double> y(g.v.size()), gx(in.v.size()), gw(weight.v.size());
  const int64_t per_group = c.outputs / c.groups;
  for (int64_t n = 0; n < x[0]; ++n)
    for (int64_t o = 0; o < c.outputs; ++o)
      for (int64_t i = 0; i < oh; ++i)
        for (int64_t j = 0; j < ow; ++j) {
          const size_t at = static_cast<size_t>(((n * c.outputs + o) * oh + i) * ow + j);
          y[at] = bias[o];
          for (int64_t ch = 0; ch < w[1]; ++ch)
            for (int64_t a = 0; a < c.kh; ++a)
              for (int64_t b = 0; b < c.kw; ++b) {
                const int64_t r = i * c.stride.h + a * c.dilation.h - c.padding.h;
                const int64_t s = j * c.stride.w + b * c.dilation.w - c.padding.w;
                if (r < 0 || r >= x[2] || s < 0 || s >= x[3]) continue;
                const size_t xi = static_cast<size_t>(
                    ((n * x[1] + o / per_group * w[1] + ch) * x[2] + r) * x[3] + s);
                const size_t wi = static_cast<size_t>(((o * w[1] + ch) * c.kh + a) * c.kw + b);
                y[at] += in.v[xi] * weight.v[wi];
                gx[xi] += g.v[at] * weight.v[wi];
                gw[wi] += g.v[at] * in.v[xi];
              }
        }
  const std::string what =
      "conv " + describe(x) + " " + describe(w) + " s" + describe({c.stride.h, c.stride.w}) + " p" +
      describe({c.padding.h, c.padding.w}) + " d" + describe({c.dilation.h, c.dilation.w});
  near(run<Conv2dParams>(conv2d, isa, pi, {in, weight, bias})[0], y, 64, what + " y");
  near(run(conv2d_input_vjp, isa, pi, {g, weight})[0], gx, 64, what + " gx");
  near(run(conv2d_weight_vjp, isa, pw, {g, in})[0], gw, 128, what + " gw");
}

void test_convolutions(int isa, DType t) {
  const Pair one = pair(1, 1), none = pair(0, 0);
  for (const ConvCase& c :
       std::vector<ConvCase>{{{2, 3, 9, 11}, 5, 3, 3, 1, one, one, one},
                             {{1, 1, 5, 5}, 1, 1, 1, 1, one, none, one},
                             {{2, 20, 8, 13}, 17, 1, 1, 1, one, none, one},
                             {{1, 9, 70, 65}, 10, 3, 3, 1, one, one, one},
                             {{2, 4, 12, 17}, 6, 3, 2, 2, pair(2, 3), pair(1, 2), pair(2, 1)},
                             {{2, 3, 13, 16}, 4, 3, 5, 1, pair(2, 2), pair(1, 2), pair(2, 2)},
                             {{1, 2, 10, 10}, 3, 2, 2, 1, pair(4, 3), none, one},
                             {{1, 2, 7, 6}, 3, 3, 3, 1, one, pair(4, 5), one},
                             {{3, 40, 4, 4}, 50, 3, 3, 1, one, one, one},
                             {{2, 12, 9, 33}, 12, 3, 3, 12, one, one, one},
                             {{2, 5, 11, 70}, 5, 5, 3, 5, pair(2, 2), pair(2, 1), one},
                             {{2, 5, 14, 19}, 5, 3, 3, 5, pair(3, 2), pair(1, 3), pair(2, 3)},
                             {{2, 6, 9, 9}, 12, 3, 3, 6, pair(2, 1), one, one},
                             {{1, 130, 3, 3}, 300, 1, 1, 1, pair(2, 2), none, one},
                             {{0, 3, 8, 8}, 4, 3, 3, 1, one, one, one}}) {
    test_conv(isa, t, c);
  }
}

// --- pooling

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

// --- normalisation. `group` maps an element to its mean, `column` to its weight.

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
  const BatchNormParams p{1e-3};
  const Input weight = affine ? Input(w) : Input(nullptr),
              bias = affine ? Input(b) : Input(nullptr);
  const auto y = run(batch_norm, isa, p, {in, weight, bias});
  const std::string what = "batch_norm " + describe(x);
  const double slack = 1 + std::abs(offset);
  near(y[0], r.y, 16 * slack, what);
  near(y[1], r.mean, 64, what + " mean");
  near(y[2], r.variance, 8 * slack, what + " variance");
  near(run(batch_norm, isa, p, {in, weight, bias}, 6)[2], r.variance, 8 * slack,
       what + " variance alone");
  const auto v = run(batch_norm_vjp, isa, p, {g, in, weight, y[1], y[2]});
  near(v[0], r.gx, 32 * slack, what + " gx");
  near(v[1], r.gweight, 32 * slack, what + " gweight");
  near(v[2], r.gbias, 32, what + " gbias");
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

// --- cross entropy

void test_cross_entropy(int isa, DType t, const Shape& logits, double smoothing) {
  Shape positions{logits[0]};
  for (int i = 2; i < logits.ndim; ++i) positions.push(logits[i]);
  const Array z = noise(logits, t, -30, 30), g = noise(positions, t);
  Array target{std::vector<double>(g.v.size()), positions, DType::i32};
  const int64_t classes = logits[1], size = positions.size() / std::max<int64_t>(1, logits[0]);
  for (double& l : target.v) l = static_cast<double>(generator() % static_cast<unsigned>(classes));
  if (target.v.size() > 2) target.v[2] = static_cast<double>(classes);  // out of range
  std::vector<double> loss(g.v.size()), gz(z.v.size());
  for (int64_t i = 0; i < positions.size(); ++i) {
    const auto at = [&](int64_t c) { return (i / size * classes + c) * size + i % size; };
    const int64_t label = static_cast<int64_t>(target[i]);
    double largest = -INFINITY, sum = 0, total = 0;
    for (int64_t c = 0; c < classes; ++c) largest = std::max(largest, z[at(c)]), total += z[at(c)];
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(z[at(c)] - largest);
    const double k = static_cast<double>(classes), lse = largest + std::log(sum);
    const bool valid = label < classes;
    loss[static_cast<size_t>(i)] =
        valid ? lse - (1 - smoothing) * z[at(label)] - smoothing / k * total : NAN;
    for (int64_t c = 0; c < classes; ++c) {
      gz[static_cast<size_t>(at(c))] =
          valid ? g[i] * (std::exp(z[at(c)] - lse) - (1 - smoothing) * (c == label) - smoothing / k)
                : NAN;
    }
  }
  const CrossEntropyParams p{smoothing};
  faults = 0;
  near(run(cross_entropy, isa, p, {z, target})[0], loss, 32, "cross_entropy " + describe(logits));
  near(run(cross_entropy_vjp, isa, p, {g, z, target})[0], gz, 64,
       "cross_entropy vjp " + describe(logits));
  CHECK(faults == (target.v.size() > 2 ? 4 : 0));
}

template <class P>
bool refuses(const Op<P>& op, const P& params, const std::vector<Shape>& shapes) {
  std::vector<TensorView> in;
  for (const Shape& s : shapes) {
    TensorView v;
    v.present = true, v.shape = s, v.strides = contiguous_strides(s);
    in.push_back(v);
  }
  try {
    Infer infer("op", in, ~0u);
    op.infer(params, infer);
  } catch (const Error& e) {
    return !e.message.empty();
  }
  return false;
}

void test_refusals() {
  CHECK(refuses(matmul, NoParams{}, {{2, 3}, {2, 3}}));
  CHECK(refuses(matmul, NoParams{}, {{2, 2, 3}, {3, 3, 3}}));
  Conv2dParams p;
  p.stride = pair(1, 1), p.padding = pair(0, 0), p.dilation = pair(1, 1);
  CHECK(!refuses(conv2d, p, {{1, 2, 5, 5}, {3, 2, 3, 3}}));
  CHECK(refuses(conv2d, p, {{1, 2, 5, 5}, {3, 1, 3, 3}}));
  CHECK(refuses(conv2d, p, {{1, 2, 2, 2}, {3, 2, 3, 3}}));
  p.stride = pair(0, 1);
  CHECK(refuses(conv2d, p, {{1, 2, 5, 5}, {3, 2, 3, 3}}));
  Pool2dParams q;
  q.kernelSize = pair(2, 2), q.stride = pair(1, 1), q.padding = pair(2, 0);
  CHECK(refuses(max_pool2d, q, {{1, 1, 4, 4}}));
  CHECK(refuses(batch_norm, BatchNormParams{1e-5}, {{1, 3, 1}, {3}, {3}}));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_matmul(isa, t);
      test_convolutions(isa, t);
      test_pool(isa, t, {2, 3, 9, 35}, pair(3, 2), pair(2, 2), pair(1, 0));
      test_pool(isa, t, {1, 2, 16, 16}, pair(2, 2), pair(2, 2), pair(0, 0));
      test_pool(isa, t, {1, 2, 7, 5}, pair(3, 3), pair(1, 1), pair(1, 1));
      test_pool(isa, t, {1, 1, 8, 20}, pair(2, 3), pair(3, 3), pair(1, 1));
      test_adaptive(isa, t, {2, 3, 9, 37}, 1, 1);
      test_adaptive(isa, t, {2, 3, 9, 37}, 4, 5);
      test_adaptive(isa, t, {1, 2, 3, 3}, 5, 7);
      for (const bool affine : {false, true}) {
        test_batch_norm(isa, t, {4, 3, 5, 7}, affine, 0);
        test_batch_norm(isa, t, {9, 33}, affine, 100);
        test_batch_norm(isa, t, {3, 2, 300}, affine, 1000);
        test_layer_norm(isa, t, {5, 33}, 1, affine);
        test_layer_norm(isa, t, {3, 4, 5, 7}, 3, affine);
        test_layer_norm(isa, t, {40, 700}, 1, affine);
      }
      for (const double smoothing : {0.0, 0.1}) {
        test_cross_entropy(isa, t, {5, 10}, smoothing);
        test_cross_entropy(isa, t, {300, 3}, smoothing);
        test_cross_entropy(isa, t, {2, 70, 9, 17}, smoothing);
        test_cross_entropy(isa, t, {2, 2, 2}, smoothing);
      }
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
