// Mesh-free convolutions on every instruction set, called without the engine: single modes get the symbol's
// factor, adjoints are transposes, gradients are those of differences, and absent operands are not touched.
#include "kernel_ops.h"
#include "ops/mesh_free.h"

using namespace fluxion;
using namespace fluxion::test;

#define MESH_FREE_OPS(X)                        \
  X(mesh_free_conv1d, MeshFreeConv1dParams)     \
  X(mesh_free_conv1d_vjp, MeshFreeConv1dParams) \
  X(mesh_free_conv2d, MeshFreeConv2dParams)     \
  X(mesh_free_conv2d_vjp, MeshFreeConv2dParams)
FLUXION_TEST_DECLARE(MESH_FREE_OPS)

namespace {

FLUXION_TEST_DEFINE(MESH_FREE_OPS)

// One convolution, of lines or planes.
struct Convolution {
  bool line;
  int isa;
  Array u, weight, bias, gaussian;  // gaussian: no shape where each pair has its own
  bool with_bias;

  Input shared() const { return gaussian.v.empty() ? Input(nullptr) : Input(gaussian); }
  Array forward(const Array& input) const {
    const Input b = with_bias ? Input(bias) : Input(nullptr);
    if (line)
      return run(mesh_free_conv1d, isa, MeshFreeConv1dParams{1.3}, {input, weight, b, shared()})[0];
    return run(mesh_free_conv2d, isa, MeshFreeConv2dParams{1.3, 0.9},
               {input, weight, b, shared()})[0];
  }
  std::vector<Array> backward(const Array& g, bool with_input, uint32_t wanted) const {
    const Input input = with_input ? Input(u) : Input(nullptr);
    if (line)
      return run(mesh_free_conv1d_vjp, isa, MeshFreeConv1dParams{1.3}, {g, input, weight, shared()},
                 wanted);
    return run(mesh_free_conv2d_vjp, isa, MeshFreeConv2dParams{1.3, 0.9},
               {g, input, weight, shared()}, wanted);
  }
};

// d<g, forward>/ds of one of the parameters along `direction`, by differences.
double slope(const Convolution& c, Array Convolution::*part, const Array& direction,
             const Array& g) {
  const double h = 1e-6;
  double sum = 0;
  for (const double side : {h, -h}) {
    Convolution moved = c;
    for (size_t i = 0; i < direction.v.size(); ++i) (moved.*part).v[i] += side * direction.v[i];
    sum += dot(g, moved.forward(c.u)) / (2 * side);
  }
  return sum;
}

void test_gradients(const Convolution& c, bool exact) {
  const Array v = c.forward(c.u), g = noise(v.shape, v.dtype);
  const bool own = c.gaussian.v.empty();
  const std::vector<Array> all = c.backward(g, true, own ? 7u : 15u);
  const Array zero{std::vector<double>(c.u.v.size(), 0), c.u.shape, c.u.dtype};
  const Array constant = c.forward(zero);  // the bias alone
  const double left = dot(g, v) - dot(g, constant), scale = std::sqrt(dot(g, g) * dot(v, v));
  CHECK(same(left, dot(all[0], c.u), exact ? 1e-12 : 1e-4, scale));
  // Some of the gradients are the same; without those of the symbol the input is not read.
  near(c.backward(g, false, 1)[0], all[0].v, 20, "gradient in u alone");
  const auto flat = c.backward(g, false, 5);
  near(flat[0], all[0].v, 20, "gradient in u and bias");
  near(flat[2], all[2].v, 20, "gradient in bias");
  near(c.backward(g, true, 2)[1], all[1].v, 20, "gradient in the weight alone");
  if (!own) near(c.backward(g, true, 8)[3], all[3].v, 20, "gradient in the Gaussian alone");

  const int64_t outputs = v.shape[1], cells = v.shape.size() / (v.shape[0] * outputs);
  std::vector<double> sums(static_cast<size_t>(outputs));
  for (int64_t i = 0; i < v.shape.size(); ++i)
    sums[static_cast<size_t>(i / cells % outputs)] += g[i];
  near(all[2], sums, 500, "sums of the cotangent");
  if (!exact) return;
  const Array dw = noise(c.weight.shape, v.dtype);
  const double along = slope(c, &Convolution::weight, dw, g);
  CHECK(same(dot(all[1], dw), along, 1e-7, scale + std::abs(along)));
  if (own) return;
  const Array dp = noise(c.gaussian.shape, v.dtype);
  const double wide = slope(c, &Convolution::gaussian, dp, g);
  CHECK(same(dot(all[3], dp), wide, 1e-7, scale + std::abs(wide)));
}

// Constants are multiplied by a0; sin(2 pi x / length) becomes
// ((a0 - second w^2) sin + a1 w cos) exp(-(p1 w)^2), second being a2 on lines and a3 on planes.
void test_modes(Convolution c, int64_t inputs, int64_t outputs, bool second) {
  const Shape& shape = c.u.shape;
  const int64_t n = shape[shape.ndim - 1], cells = shape.size() / (shape[0] * inputs);
  const double w = 2 * M_PI / 1.3;
  Array expected = c.forward(c.u);
  const int64_t terms = c.weight.shape[2];
  const bool own = c.gaussian.v.empty();
  for (int64_t at = 0; at < shape.size(); ++at)
    c.u.v[static_cast<size_t>(at)] =
        0.5 +
        (n > 2 ? std::sin(w * 1.3 * static_cast<double>(at % n) / static_cast<double>(n)) : 0);
  for (int64_t at = 0; at < expected.shape.size(); ++at) {
    const int64_t o = at / cells % outputs;
    const double x = w * 1.3 * static_cast<double>(at % n) / static_cast<double>(n);
    double sum = c.with_bias ? c.bias[o] : 0;
    for (int64_t i = 0; i < inputs; ++i) {
      const double* a = c.weight.v.data() + (o * inputs + i) * terms;
      const double p = own ? a[terms - (c.line ? 1 : 3)] : c.gaussian[i * (c.line ? 1 : 3)];
      const double a2 = second ? a[c.line ? 2 : 3] : 0;
      sum += 0.5 * a[0];
      if (n > 2)
        sum +=
            ((a[0] - a2 * w * w) * std::sin(x) + a[1] * w * std::cos(x)) * std::exp(-p * p * w * w);
    }
    expected.v[static_cast<size_t>(at)] = sum;
  }
  near(c.forward(c.u), expected.v, 2000, "one mode");
}

void test_convolution(int isa, DType t, const Shape& shape, int64_t outputs, bool shared,
                      bool second, bool with_bias) {
  const bool line = shape.ndim == 3;
  const int64_t inputs = shape[1], widths = line ? 1 : 3;
  const int64_t moments = (line ? 2 : 3) + (second ? (line ? 1 : 3) : 0);
  Convolution c{line, isa, noise(shape, t), {}, noise({outputs}, t), {{}, {}, t}, with_bias};
  c.weight = noise({outputs, inputs, moments + (shared ? 0 : widths)}, t, -0.2, 0.2);
  if (shared) c.gaussian = noise({inputs, widths}, t, 0.02, 0.2);
  test_gradients(c, t == DType::f64);
  test_modes(c, inputs, outputs, second);

  const double extremes[] = {std::numeric_limits<double>::quiet_NaN(), 1e30, -1e30,
                             std::numeric_limits<double>::infinity()};
  Array& widest = shared ? c.gaussian : c.weight;
  for (size_t i = 0; i < widest.v.size(); ++i) widest.v[i] = extremes[i % 4];
  const Array v = c.forward(c.u);
  c.backward(v, true, shared ? 15u : 7u);
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (int choice = 0; choice < 8; ++choice) {
        const bool shared = choice & 1, second = choice & 2, bias = choice & 4;
        for (const int64_t n : {1, 2, 3, 7, 15, 16, 17, 33})
          test_convolution(isa, t, {2, 3, n}, 2, shared, second, bias);
        test_convolution(isa, t, {19, 1, 6}, 5, shared, second, bias);
        test_convolution(isa, t, {1, 1, 1, 1}, 1, shared, second, bias);
        test_convolution(isa, t, {2, 3, 2, 7}, 2, shared, second, bias);
        test_convolution(isa, t, {3, 2, 15, 16}, 5, shared, second, bias);
        test_convolution(isa, t, {1, 2, 16, 3}, 3, shared, second, bias);
        test_convolution(isa, t, {1, 1, 33, 2}, 2, shared, second, bias);
        test_convolution(isa, t, {1, 35, 3, 17}, 9, shared, second, bias);
      }
    }
  }
  return finish();
}
