// Complex kernels against std::complex, over layouts, sizes, precisions and instruction sets: arithmetic, parts,
// sums and the moves of 16-byte elements, which no real dtype has.
#include <complex>

#include "op_call.h"
#include "ops/elementwise.h"
#include "ops/pad.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace fluxion;
using namespace fluxion::test;

namespace {

using Number = std::complex<double>;
using Numbers = std::vector<Number>;
const NoParams none;

// The complex tensor on the memory of an array of pairs.
Array complex_view(const Array& pairs) {
  Array z = pairs;
  z.dtype = complex_of(pairs.dtype);
  --z.shape.ndim;
  --z.strides.ndim;
  for (int i = 0; i < z.strides.ndim; ++i) z.strides[i] /= 2;
  return z;
}

Array random_complex(DType dtype, Shape shape, unsigned seed) {
  shape.push(2);
  return complex_view(Array::of(real_of(dtype), shape, noise(shape.size(), -2, 2, seed)));
}

Numbers numbers(const Array& z) {
  Array pairs = z;
  pairs.dtype = real_of(z.dtype);
  pairs.offset *= 2;
  for (int i = 0; i < pairs.strides.ndim; ++i) pairs.strides[i] *= 2;
  pairs.shape.push(2);
  pairs.strides.push(1);
  const std::vector<double> values = pairs.values();
  Numbers out;
  for (size_t i = 0; i < values.size(); i += 2) out.emplace_back(values[i], values[i + 1]);
  return out;
}

void compare(const char* what, const Numbers& got, const Numbers& want, double tolerance) {
  CHECK(got.size() == want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::abs(got[i] - want[i]) <= tolerance * (1 + std::abs(want[i]))) continue;
    std::fprintf(stderr, "%s: element %zu must be (%g, %g), got (%g, %g)\n", what, i,
                 want[i].real(), want[i].imag(), got[i].real(), got[i].imag());
    CHECK(false);
    return;
  }
}

void expect_complex(OpId op, const void* params, const std::vector<Array>& inputs,
                    const Numbers& want, double tolerance) {
  call(op, params, inputs, [&](const Result& result) {
    compare(info_of(op).name, numbers(result.outputs[0]), want, tolerance);
  });
}

double epsilon_of(DType dtype) { return dtype == DType::c64 ? 2e-6 : 1e-14; }

template <class F>
Numbers combine(const Array& a, const Array& b, const F& f) {
  Numbers x = numbers(a), y = numbers(b);
  for (size_t i = 0; i < x.size(); ++i) x[i] = f(x[i], y[y.size() == 1 ? 0 : i]);
  return x;
}

void test_arithmetic(DType dtype, const Array& a, const Array& b) {
  const double eps = epsilon_of(dtype);
  const auto pair = [&](OpId op, auto f) {
    expect_complex(op, &none, {a, b}, combine(a, b, f), eps);
  };
  pair(OpId::add, [](Number x, Number y) { return x + y; });
  pair(OpId::sub, [](Number x, Number y) { return x - y; });
  pair(OpId::mul, [](Number x, Number y) { return x * y; });
  pair(OpId::mul_conj, [](Number x, Number y) { return x * std::conj(y); });
  call(OpId::div, &none, {a, b},
       [&](const Result& result) {  // checked as a product: y may be small
         const Numbers q = numbers(result.outputs[0]), y = numbers(b);
         Numbers back = q;
         for (size_t i = 0; i < q.size(); ++i) back[i] *= y[y.size() == 1 ? 0 : i];
         compare("div", back, numbers(a), 4 * eps);
       });
}

void test_layouts(DType dtype) {
  for (const int64_t n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 511, 512, 513, 1025, 20001}) {
    const Array a = random_complex(dtype, {n}, 1), b = random_complex(dtype, {n}, 2);
    test_arithmetic(dtype, a, b);
    test_arithmetic(dtype, a, random_complex(dtype, {1}, 3));
  }
  const Array square = random_complex(dtype, {37, 41}, 4);
  test_arithmetic(dtype, square.permuted({1, 0}), random_complex(dtype, {41, 37}, 5));
  test_arithmetic(dtype, square.sliced(1, 3, 4), square.sliced(1, 2, 4));
}

void test_parts(DType dtype) {
  const double eps = epsilon_of(dtype);
  for (const int64_t n : {1, 3, 17, 64, 700}) {
    const Array z = random_complex(dtype, {n, 2}, 6).permuted({1, 0});
    const Numbers given = numbers(z);
    const auto map = [&](auto f) {
      Numbers out;
      for (const Number x : given) out.push_back(f(x));
      return out;
    };
    const auto parts = [&](auto f) {
      std::vector<double> out;
      for (const Number x : given) out.push_back(f(x));
      return out;
    };
    expect_complex(OpId::neg, &none, {z}, map([](Number x) { return -x; }), 0);
    expect_complex(OpId::conj, &none, {z}, map([](Number x) { return std::conj(x); }), 0);
    expect_complex(OpId::exp, &none, {z}, map([](Number x) { return std::exp(x); }), eps);
    expect(OpId::abs, &none, {z}, parts([](Number x) { return std::abs(x); }), eps, eps);
    expect(OpId::angle, &none, {z}, parts([](Number x) { return std::arg(x); }), eps, eps);
    expect(OpId::real, &none, {z}, parts([](Number x) { return x.real(); }));
    expect(OpId::imag, &none, {z}, parts([](Number x) { return x.imag(); }));
    const Array x = Array::of(real_of(dtype), {2, n}, noise(2 * n, 0.5, 2, 7));
    const std::vector<double> factors = x.values();
    Numbers products = given, quotients = given;
    for (size_t i = 0; i < given.size(); ++i) {
      products[i] *= factors[i];
      quotients[i] /= factors[i];
    }
    expect_complex(OpId::mul, &none, {z, x}, products, eps);
    expect_complex(OpId::div, &none, {z, x}, quotients, eps);
    Numbers paired;
    for (size_t i = 0; i < factors.size(); ++i) paired.emplace_back(factors[i], factors[i]);
    expect_complex(OpId::complex, &none, {x, x}, paired, 0);
    CastParams cast;
    cast.dtype = dtype;
    for (Number& p : paired) p = p.real();
    expect_complex(OpId::cast, &cast, {x}, paired, 0);
  }
}

void test_sums(DType dtype) {
  const Array z = random_complex(dtype, {3, 300, 40}, 8);
  const Numbers given = numbers(z);
  for (int dim = 0; dim < 3; ++dim) {
    ReduceParams params;
    params.dims = {dim};
    Shape kept = z.shape;
    kept[dim] = 1;
    Numbers want(static_cast<size_t>(kept.size()));
    for (int64_t i = 0; i < z.shape.size(); ++i) {
      const int64_t at[] = {i / 12000, i / 40 % 300, i % 40};
      int64_t to = 0;
      for (int d = 0; d < 3; ++d) to = to * kept[d] + (d == dim ? 0 : at[d]);
      want[static_cast<size_t>(to)] += given[static_cast<size_t>(i)];
    }
    expect_complex(OpId::sum, &params, {z}, want, epsilon_of(dtype));
    for (Number& x : want) x /= static_cast<double>(z.shape[dim]);
    expect_complex(OpId::mean, &params, {z}, want, epsilon_of(dtype));
  }
  const ReduceParams all;
  Number total = 0;
  for (const Number x : given) total += x;
  expect_complex(OpId::sum, &all, {z}, {total}, epsilon_of(dtype));
}

void test_moves(DType dtype) {
  for (const Shape& shape : {Shape{5, 7}, Shape{33, 70}, Shape{1, 9}, Shape{130, 16}}) {
    const Array z = random_complex(dtype, shape, 9), t = z.permuted({1, 0});
    expect_complex(OpId::copy, &none, {t}, numbers(t), 0);
  }
  const Array z = random_complex(dtype, {2, 3}, 10);
  PadParams pad;
  pad.before = {1, 0};
  pad.after = {0, 1};
  pad.value = 4;
  const Numbers v = numbers(z);
  expect_complex(OpId::pad, &pad, {z}, {4, 4, 4, 4, v[0], v[1], v[2], 4, v[3], v[4], v[5], 4}, 0);
  const Array mask = Array::of(DType::u8, {2, 3}, {1, 0, 1, 0, 0, 1});
  const Array other = random_complex(dtype, {3}, 11);
  const Numbers o = numbers(other);
  expect_complex(OpId::where, &none, {mask, z, other}, {v[0], o[1], v[2], o[0], o[1], v[5]}, 0);
}

}  // namespace

int main() {
  for (const DType dtype : {DType::c64, DType::c128}) {
    test_layouts(dtype);
    test_parts(dtype);
    test_sums(dtype);
    test_moves(dtype);
  }
  const Array z = random_complex(DType::c64, {3}, 1);
  CastParams real;
  expect_error(ErrorCode::DTypeMismatch, OpId::cast, &real, {z});
  expect_error(ErrorCode::DTypeMismatch, OpId::sqrt, &none, {z});
  expect_error(ErrorCode::DTypeMismatch, OpId::add, &none,
               {z, random_complex(DType::c128, {3}, 1)});
  return finish();
}
