// Elementwise kernels against double references, over layouts, sizes, dtypes and instruction sets; the
// largest errors of the float functions that vector_math.h states.
#include "op_call.h"
#include "ops/elementwise.h"

using namespace fluxion;
using namespace fluxion::test;

namespace {

const NoParams none;
const GeluParams kGelu;
const SoftplusParams kSoftplus;

// Default parameters of a function of one variable or its adjoint.
const void* defaults_of(OpId op) {
  if (op == OpId::gelu || op == OpId::gelu_vjp) return &kGelu;
  if (op == OpId::softplus) return &kSoftplus;
  return &none;
}

const double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();
using Binary = double (*)(double, double);
using Unary = double (*)(double);

// Reference of a broadcast binary op on the logical values.
std::vector<double> broadcast(const Array& a, const Array& b, const Shape& out, Binary f) {
  const auto expanded = [&](const Array& x) {
    Array e = x;
    e.shape = out;
    e.strides = Shape{};
    e.strides.ndim = out.ndim;
    for (int i = 1; i <= x.shape.ndim; ++i)
      e.strides[out.ndim - i] = x.shape[x.shape.ndim - i] == 1 ? 0 : x.strides[x.shape.ndim - i];
    return e.values();
  };
  std::vector<double> va = expanded(a), vb = expanded(b);
  for (size_t i = 0; i < va.size(); ++i) va[i] = f(va[i], vb[i]);
  return va;
}

double add(double a, double b) { return a + b; }
double sub(double a, double b) { return a - b; }
double mul(double a, double b) { return a * b; }
double less(double a, double b) { return a < b; }
double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }

Array random_array(DType dtype, const Shape& shape, unsigned seed) {
  std::vector<double> v =
      noise(shape.size(), is_floating(dtype) ? -3 : 0, is_floating(dtype) ? 3 : 9, seed);
  return Array::of(dtype, shape, v);
}

void test_layouts(DType dtype) {
  const double eps = dtype == DType::f32 ? 1e-6 : 1e-14;
  const auto pair = [&](const Array& a, const Array& b, const Shape& out) {
    expect(OpId::add, &none, {a, b}, broadcast(a, b, out, add), eps, eps);
    expect(OpId::mul, &none, {a, b}, broadcast(a, b, out, mul), eps, eps);
    expect(OpId::lt, &none, {a, b}, broadcast(a, b, out, less));
    expect(OpId::maximum, &none, {a, b}, broadcast(a, b, out, larger));
    if (is_floating(dtype)) expect(OpId::sub, &none, {b, a}, broadcast(b, a, out, sub), eps, eps);
  };
  for (const int64_t n : {0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 16384, 40001}) {
    const Array a = random_array(dtype, {n}, 1), b = random_array(dtype, {n}, 2),
                s = random_array(dtype, {}, 3);
    pair(a, b, {n});
    pair(a, s, {n});
    pair(s, b, {n});
  }
  pair(random_array(dtype, {}, 1), random_array(dtype, {}, 2), {});
  const Array image = random_array(dtype, {2, 5, 33, 35}, 4);
  pair(image, random_array(dtype, {1, 5, 1, 1}, 5), image.shape);
  pair(image, random_array(dtype, {35}, 5), image.shape);
  pair(image, random_array(dtype, {33, 1}, 5), image.shape);
  pair(random_array(dtype, {2000, 10}, 6), random_array(dtype, {10}, 7), {2000, 10});
  pair(random_array(dtype, {70, 1}, 6), random_array(dtype, {1, 50}, 7), {70, 50});
  const Array square = random_array(dtype, {130, 131}, 8);
  pair(square.permuted({1, 0}), random_array(dtype, {131, 130}, 9), {131, 130});
  pair(square.sliced(0, 1, 2), square.sliced(0, 0, 2), {65, 131});
  pair(square.sliced(1, 3, 4), random_array(dtype, {130, 1}, 9), {130, 32});
}

void test_large() {  // outputs that are written around the caches
  const int64_t n = (3 << 20) + 5;
  const Array a = random_array(DType::f32, {n}, 1);
  expect(OpId::neg, &none, {a}, [&] {
    std::vector<double> v = a.values();
    for (double& x : v) x = -x;
    return v;
  }());
}

// Error of a float32 op in units of the last place of the exact result.
double worst_ulp(OpId op, const std::vector<double>& x, const std::function<double(double)>& exact,
                 const void* params = &none) {
  const Array in = Array::of(DType::f32, {static_cast<int64_t>(x.size())}, x);
  double worst = 0;
  call(op, params, {in}, [&](const Result& result) {
    for (int64_t i = 0; i < in.shape[0]; ++i) {
      const double want = exact(in.raw(i)), got = result.outputs[0].raw(i);
      const float rounded = static_cast<float>(want);
      if (std::isnan(want) || std::isinf(rounded)) {
        CHECK(std::isnan(want) ? std::isnan(got) : got == rounded || std::abs(got) > 3.4028e38);
        continue;
      }
      const double next = std::nextafter(std::abs(rounded), std::numeric_limits<float>::infinity());
      worst =
          std::max(worst, std::abs(got - want) / (next - std::abs(static_cast<double>(rounded))));
    }
  });
  std::printf("%-10s %.2f ulp\n", info_of(op).name, worst);
  return worst;
}

std::vector<double> range(double low, double high, int n = 200001) {
  std::vector<double> x;
  for (int i = 0; i < n; ++i) x.push_back(low + (high - low) * i / (n - 1));
  for (double tiny = 1e-30; tiny < 1; tiny *= 3) {
    if (tiny < high) x.push_back(tiny);
    if (-tiny > low) x.push_back(-tiny);
  }
  return x;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Bases over all magnitudes and signs, exponents up to overflow and underflow, and the special cases of C.
void test_pow_accuracy() {
  std::vector<double> bases = noise(60000, -80, 80, 12), exponents = noise(60000, -3, 3, 13);
  for (size_t i = 0; i < bases.size(); ++i)
    bases[i] = static_cast<float>(std::exp(bases[i])) * (i % 7 ? 1 : -1);
  for (size_t i = 0; i < exponents.size(); i += 5) exponents[i] = std::floor(exponents[i] * 20);
  for (const double a : {0.0, -0.0, 1.0, -1.0, -2.0, 1e-40, kInfinity, -kInfinity, kNan}) {
    for (const double b : {0.0, 1.0, -1.0, 0.5, 3.0, -3.0, 1e35, kInfinity, -kInfinity, kNan}) {
      bases.push_back(a);
      exponents.push_back(b);
    }
  }
  const int64_t n = static_cast<int64_t>(bases.size());
  const Array x = Array::of(DType::f32, {n}, bases), y = Array::of(DType::f32, {n}, exponents);
  call(OpId::pow, &none, {x, y}, [&](const Result& r) {
    bool good = true;
    for (int64_t i = 0; i < n; ++i) {
      const float want = static_cast<float>(std::pow(x.raw(i), y.raw(i)));
      // 2 ulp, or of the smallest normal number below it; near the end of the range either may overflow
      good = good &&
             (close(r.outputs[0].raw(i), want, 2.4e-7, 2.9e-45) || std::abs(want) > 3.4027e38f);
    }
    CHECK(good);
  });
}

void test_accuracy() {
  std::vector<double> wide = range(-110, 100);
  for (const double special :
       {kInfinity, -kInfinity, kNan, 0.0, -0.0, 88.72283, 88.7229, -87.4, -103.97, -104.5})
    wide.push_back(special);
  CHECK(worst_ulp(OpId::exp, wide, [](double x) { return std::exp(x); }) < 2);
  CHECK(worst_ulp(OpId::tanh, wide, [](double x) { return std::tanh(x); }) < 4);
  CHECK(worst_ulp(OpId::tanh, range(-1, 1), [](double x) { return std::tanh(x); }) < 4);
  CHECK(worst_ulp(OpId::sigmoid, range(-87, 100), sigmoid) < 3);
  CHECK(worst_ulp(OpId::silu, range(-80, 100), [](double x) { return x * sigmoid(x); }) < 4);
  const auto softplus = [](double x) {
    return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
  };
  CHECK(worst_ulp(OpId::softplus, range(-80, 100), softplus, &kSoftplus) < 4);
  const AlphaParams alpha;
  CHECK(worst_ulp(
            OpId::elu, wide, [](double x) { return x > 0 ? x : std::expm1(x); }, &alpha) < 3);
  std::vector<double> logs = range(1e-3, 1e4);
  for (double x = 1e-44; x < 3e38; x *= 1.7) logs.push_back(x);
  for (const double special : {kInfinity, kNan, 0.0, -1.0, 1.0}) logs.push_back(special);
  CHECK(worst_ulp(OpId::log, logs, [](double x) { return std::log(x); }) < 3);
  std::vector<double> angles = range(-50, 50);
  for (const double special : {1e5, 9.9e5, -1.1e6, 1e20, kInfinity, kNan})
    angles.push_back(special);
  CHECK(worst_ulp(OpId::sin, angles, [](double x) { return std::sin(x); }) < 2);
  CHECK(worst_ulp(OpId::cos, angles, [](double x) { return std::cos(x); }) < 2);
  test_pow_accuracy();
  const Array x = Array::of(DType::f32, {100001}, range(-20, 20, 100001));
  std::vector<double> want = x.values();
  for (double& v : want) v *= cdf(v);
  expect(OpId::gelu, &kGelu, {x}, want, 3e-7, 3e-7);
}

// Every unary and adjoint op in float64 against its formula, and float32 against float64.
void test_formulas() {
  struct Case {
    OpId op;
    Unary f;
    double low;
  };
  const Case unary[] = {{OpId::neg, [](double x) { return -x; }, -4},
                        {OpId::abs, [](double x) { return std::abs(x); }, -4},
                        {OpId::sign, [](double x) { return double((x > 0) - (x < 0)); }, -4},
                        {OpId::relu, [](double x) { return std::max(x, 0.0); }, -4},
                        {OpId::sqrt, [](double x) { return std::sqrt(x); }, 0},
                        {OpId::exp, [](double x) { return std::exp(x); }, -4},
                        {OpId::log, [](double x) { return std::log(x); }, 0.1},
                        {OpId::sin, [](double x) { return std::sin(x); }, -4},
                        {OpId::cos, [](double x) { return std::cos(x); }, -4},
                        {OpId::tanh, [](double x) { return std::tanh(x); }, -4},
                        {OpId::sigmoid, sigmoid, -4},
                        {OpId::silu, [](double x) { return x * sigmoid(x); }, -4},
                        {OpId::gelu, [](double x) { return x * cdf(x); }, -4},
                        {OpId::softplus, [](double x) { return std::log1p(std::exp(x)); }, -4}};
  for (const Case& c : unary) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Array x = Array::of(dtype, {3, 7, 101}, noise(2121, c.low, 4, 11)).permuted({2, 0, 1});
      std::vector<double> want = x.values();
      for (double& v : want) v = c.f(v);
      const double eps = dtype == DType::f32 ? 1e-6 : 1e-14;
      expect(c.op, defaults_of(c.op), {x}, want, eps, eps);
    }
  }
  struct Adjoint {
    OpId op;
    Binary f;
  };
  const Adjoint adjoints[] = {
      {OpId::tanh_vjp, [](double g, double y) { return g * (1 - y * y); }},
      {OpId::sigmoid_vjp, [](double g, double y) { return g * y * (1 - y); }},
      {OpId::relu_vjp, [](double g, double x) { return x > 0 ? g : 0; }},
      {OpId::gelu_vjp,
       [](double g, double x) {
         return g * (cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI));
       }},
      {OpId::silu_vjp,
       [](double g, double x) { return g * sigmoid(x) * (1 + x * (1 - sigmoid(x))); }},
      {OpId::pow, [](double g, double x) { return std::pow(g, x); }}};
  for (const Adjoint& c : adjoints) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Array g = Array::of(dtype, {1231}, noise(1231, c.op == OpId::pow ? 0.1 : -2, 2, 5));
      const Array x = Array::of(dtype, {1231}, noise(1231, -2, 2, 6));
      const double eps = dtype == DType::f32 ? 2e-6 : 1e-14;
      expect(c.op, defaults_of(c.op), {g, x}, broadcast(g, x, g.shape, c.f), eps, eps);
    }
  }
  const SlopeParams slope{0.2};
  const AlphaParams alpha{1.3};
  const ClampParams clamp{-1, kInfinity};
  const Array x = Array::of(DType::f64, {5}, {-2, -0.5, 0, 0.5, kNan}),
              g = Array::of(DType::f64, {5}, {1, 2, 3, 4, 5});
  expect(OpId::leaky_relu, &slope, {x}, {-0.4, -0.1, 0, 0.5, kNan}, 1e-15);
  expect(OpId::leaky_relu_vjp, &slope, {g, x}, {0.2, 0.4, 0.6, 4, 1}, 1e-15);
  expect(OpId::elu, &alpha, {x}, {1.3 * std::expm1(-2), 1.3 * std::expm1(-0.5), 0, 0.5, kNan},
         1e-15);
  expect(OpId::elu_vjp, &alpha, {g, x}, {1.3 * std::exp(-2), 2.6 * std::exp(-0.5), 3.9, 4, kNan},
         1e-15);
  expect(OpId::clamp, &clamp, {x}, {-1, -0.5, 0, 0.5, kNan});
  expect(OpId::clamp_vjp, &clamp, {g, x}, {0, 2, 3, 4, 0});
  expect(OpId::relu, &none, {x}, {0, 0, 0, 0.5, kNan});
  const Array two = Array::of(DType::f64, {}, {2});
  expect(OpId::pow, &none, {x, two}, {4, 0.25, 0, 0.25, kNan});
}

void test_integers_and_casts() {
  const double big = 2147483647;
  const Array a = Array::of(DType::i32, {4}, {big, -big - 1, 7, -7}),
              b = Array::of(DType::i32, {4}, {1, -1, 0, 2});
  expect(OpId::add, &none, {a, b}, {-big - 1, big, 7, -5});
  expect(OpId::div, &none, {a, b}, {big, -big - 1, 0, -3});
  expect(OpId::abs, &none, {a}, {big, -big - 1, 7, 7});
  const Array u = Array::of(DType::u8, {3}, {250, 3, 0}), v = Array::of(DType::u8, {3}, {10, 5, 0});
  expect(OpId::add, &none, {u, v}, {4, 8, 0});
  expect(OpId::sub, &none, {v, u}, {16, 2, 0});
  expect(OpId::mul, &none, {u, v}, {196, 15, 0});
  const Array f = Array::of(DType::f32, {7}, {1.9, -1.9, 3e9, -3e9, kNan, kInfinity, 300});
  const CastParams to_int{DType::i32}, to_byte{DType::u8}, to_double{DType::f64};
  expect(OpId::cast, &to_int, {f}, {1, -1, big, -big - 1, 0, big, 300});
  expect(OpId::cast, &to_byte, {f}, {1, 0, 255, 0, 0, 255, 255});
  expect(OpId::cast, &to_byte, {a}, {255, 0, 7, 0});
  expect(OpId::cast, &to_double, {a}, a.values());
  const Array c = Array::of(DType::u8, {4, 1}, {1, 0, 2, 0}),
              x = Array::of(DType::f32, {3}, {1, 2, 3});
  const Array s = Array::of(DType::f32, {}, {-1});
  expect(OpId::where, &none, {c, x, s}, {1, 2, 3, -1, -1, -1, 1, 2, 3, -1, -1, -1});
}

void test_errors() {
  const Array a = random_array(DType::f32, {2, 3}, 1), b = random_array(DType::f32, {2}, 1);
  expect_error(ErrorCode::ShapeMismatch, OpId::add, &none, {a, b});
  expect_error(ErrorCode::DTypeMismatch, OpId::add, &none, {a, random_array(DType::i32, {3}, 1)});
  expect_error(ErrorCode::DTypeMismatch, OpId::exp, &none, {random_array(DType::i32, {3}, 1)});
  expect_error(ErrorCode::ShapeMismatch, OpId::relu_vjp, &none, {b, a});
}

}  // namespace

int main() {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::u8}) test_layouts(dtype);
  test_large();
  test_accuracy();
  test_formulas();
  test_integers_and_casts();
  test_errors();
  return finish();
}
