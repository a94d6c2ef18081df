// The convolution kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include "activated.h"
#include "kernel_ops.h"
#include "ops/convolution.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)                                \
  X(conv2d, Conv2dForwardParams)              \
  X(conv2d_input_vjp, Conv2dInputVjpParams)   \
  X(conv2d_weight_vjp, Conv2dWeightVjpParams) \
  X(depthwise_conv2d_vjp, Conv2dParams)       \
  X(conv3d, Conv3dForwardParams)              \
  X(conv3d_input_vjp, Conv3dInputVjpParams)   \
  X(conv3d_weight_vjp, Conv3dWeightVjpParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

Pair pair(int64_t h, int64_t w) { return {h, w, 2}; }

struct ConvCase {
  Shape x;
  int64_t outputs, kh, kw, groups;
  Pair stride, padding, dilation;
};

// y = act(sum + residual), given the sums.
void test_epilogues(int isa, Conv2dForwardParams p, const std::vector<Input>& in,
                    const Array& residual, const std::vector<double>& sums,
                    const std::string& what) {
  for (const auto activation : {Activation::none, Activation::relu, Activation::tanh,
                                Activation::sigmoid, Activation::silu, Activation::gelu}) {
    p.activation = activation;
    std::vector<double> y(sums.size());
    double widest = 1;  // a bounded activation has the error of the sum before it
    for (size_t i = 0; i < y.size(); ++i) {
      const double x = sums[i] + residual.v[i];
      widest = std::max(widest, std::abs(x));
      y[i] = activated(activation, x);
    }
    near(run(conv2d, isa, p, in)[0], y, 64 * widest,
         what + " " + kActivationNames[static_cast<int>(activation)]);
  }
}

// The same as a volume whose depth is the height of the images: nothing moves in memory.
void test_volume(int isa, const Conv2dForwardParams& p, const std::vector<Array>& in,
                 const Array& g, const std::vector<double>& y, const std::vector<double>& gx,
                 const std::vector<double>& gw, const std::string& what) {
  const auto volume = [](Array a) {
    a.shape = {a.shape[0], a.shape[1], a.shape[2], 1, a.shape[3]};
    return a;
  };
  const auto triple = [](const Pair& q, int64_t middle) { return Triple{q.h, middle, q.w, 3}; };
  Conv3dForwardParams pf;
  pf.stride = triple(p.stride, 1), pf.padding = triple(p.padding, 0);
  pf.dilation = triple(p.dilation, 1), pf.groups = p.groups;
  const Array x = volume(in[0]), weight = volume(in[1]), cotangent = volume(g);
  Conv3dInputVjpParams pi;
  static_cast<Conv3dParams&>(pi) = pf;
  pi.inputShape = x.shape;
  Conv3dWeightVjpParams pw;
  static_cast<Conv3dParams&>(pw) = pf;
  pw.weightShape = weight.shape;
  near(run(conv3d, isa, pf, {x, weight, in[2]})[0], y, 64, what + " volume y");
  near(run(conv3d_input_vjp, isa, pi, {cotangent, weight})[0], gx, 64, what + " volume gx");
  near(run(conv3d_weight_vjp, isa, pw, {cotangent, x})[0], gw, 128, what + " volume gw");
}

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
  Conv2dForwardParams pf;
  static_cast<Conv2dParams&>(pf) = pi;
  near(run(conv2d, isa, pf, {in, weight, bias})[0], y, 64, what + " y");
  const Array residual = noise(g.shape, t);
  test_epilogues(isa, pf, {in, weight, bias, residual}, residual, y, what);
  near(run(conv2d_input_vjp, isa, pi, {g, weight})[0], gx, 64, what + " gx");
  near(run(conv2d_weight_vjp, isa, pw, {g, in})[0], gw, 128, what + " gw");
  if (c.groups > 1 && w[1] == 1 && w[0] <= 4 * c.groups) {
    const auto both = run<Conv2dParams>(depthwise_conv2d_vjp, isa, pi, {g, in, weight});
    near(both[0], gx, 64, what + " both gx");
    near(both[1], gw, 128, what + " both gw");
  }
  test_volume(isa, pf, {in, weight, bias}, g, y, gx, gw, what);
  const Array channels = noise({x[1]}, t);
  for (size_t i = 0; i < gx.size(); ++i)
    gx[i] += channels[static_cast<int64_t>(i) / (x[2] * x[3]) % x[1]];
  near(run(conv2d_input_vjp, isa, pi, {g, weight, channels})[0], gx, 64, what + " gx + bias");
}

void test_convolutions(int isa, DType t) {
  const Pair one = pair(1, 1), none = pair(0, 0);
  for (const ConvCase& c : std::vector<ConvCase>{
           {{2, 3, 9, 11}, 5, 3, 3, 1, one, one, one},
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
           // Pointwise: several blocks of channels, of pixels, of images; a part of a vector.
           {{1, 150, 3, 7}, 270, 1, 1, 1, one, none, one},
           {{2, 6, 40, 50}, 9, 1, 1, 1, one, none, one},
           {{70, 12, 4, 5}, 6, 1, 1, 3, one, none, one},
           {{2, 5, 3, 3}, 7, 1, 1, 1, one, none, one},
           {{2, 64, 15, 19}, 20, 1, 1, 1, one, none, one},
           {{2, 3, 20, 70}, 6, 5, 5, 3, one, pair(2, 2), one},
           {{3, 2, 9, 33}, 2, 7, 7, 2, one, pair(3, 3), one},
           {{20, 3, 7, 7}, 9, 3, 3, 1, one, one, one},
           {{1, 2, 40, 41}, 3, 3, 3, 1, one, pair(7, 7), pair(7, 9)},
           {{0, 3, 8, 8}, 4, 3, 3, 1, one, one, one}}) {
    test_conv(isa, t, c);
  }
}

// By Winograd's algorithm in float32 wherever there are channels enough: planes that no tile divides, blocks
// that begin and end anywhere in a row of tiles, parts of panels, several blocks of channels.
void test_winograd(int isa, DType t) {
  const Pair none = pair(0, 0), one = pair(1, 1), two = pair(2, 2), unit = pair(1, 1);
  for (const ConvCase& c :
       std::vector<ConvCase>{{{2, 16, 1, 1}, 16, 3, 3, 1, unit, one, unit},
                             {{3, 16, 3, 3}, 16, 3, 3, 1, unit, one, unit},
                             {{2, 33, 17, 13}, 16, 3, 3, 1, unit, none, unit},
                             {{2, 16, 13, 17}, 33, 3, 3, 1, unit, two, unit},
                             {{13, 17, 7, 7}, 64, 3, 3, 1, unit, one, unit},
                             {{2, 64, 14, 14}, 16, 3, 3, 1, unit, one, unit},
                             {{1, 16, 3, 215}, 16, 3, 3, 1, unit, pair(0, 2), unit},
                             {{1, 20, 30, 64}, 24, 3, 3, 1, unit, pair(2, 1), unit},
                             {{1, 130, 9, 9}, 16, 3, 3, 1, unit, one, unit},
                             {{1, 16, 9, 9}, 150, 3, 3, 1, unit, one, unit},
                             {{5, 48, 8, 11}, 66, 3, 3, 3, unit, one, unit},
                             {{2, 7, 14, 14}, 16, 3, 3, 1, unit, one, unit},
                             {{2, 1, 28, 28}, 32, 3, 3, 1, unit, one, unit},
                             {{0, 16, 8, 8}, 16, 3, 3, 1, unit, one, unit}}) {
    test_conv(isa, t, c);
  }
}

void test_refusals() {
  Conv2dForwardParams p;
  p.stride = pair(1, 1), p.padding = pair(0, 0), p.dilation = pair(1, 1);
  CHECK(!refuses(conv2d, p, {{1, 2, 5, 5}, {3, 2, 3, 3}}));
  CHECK(refuses(conv2d, p, {{1, 2, 5, 5}, {3, 1, 3, 3}}));
  CHECK(refuses(conv2d, p, {{1, 2, 2, 2}, {3, 2, 3, 3}}));
  p.stride = pair(0, 1);
  CHECK(refuses(conv2d, p, {{1, 2, 5, 5}, {3, 2, 3, 3}}));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_convolutions(isa, t);
      test_winograd(isa, t);
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
