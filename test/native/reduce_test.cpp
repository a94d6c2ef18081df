// Reductions, extrema and softmax against naive references over layouts, sizes and instruction sets.
#include "op_call.h"
#include "ops/reduce.h"

using namespace fluxion;
using namespace fluxion::test;

namespace {

const double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();
enum class Kind { sum, mean, max, min };

std::vector<double> reference(const Array& x, uint32_t dims, Kind kind) {
  const std::vector<double> v = x.values();
  int64_t outputs = 1;
  for (int d = 0; d < x.shape.ndim; ++d) outputs *= (dims >> d) & 1u ? 1 : x.shape[d];
  const double start = kind == Kind::max ? -kInfinity : kind == Kind::min ? kInfinity : 0;
  std::vector<double> out(static_cast<size_t>(outputs), start);
  for (size_t i = 0; i < v.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), to = 0, step = 1;
    for (int d = x.shape.ndim - 1; d >= 0; --d) {
      if (!((dims >> d) & 1u)) {
        to += rest % x.shape[d] * step;
        step *= x.shape[d];
      }
      rest /= x.shape[d];
    }
    double& o = out[static_cast<size_t>(to)];
    o = kind == Kind::max ? std::max(o, v[i]) : kind == Kind::min ? std::min(o, v[i]) : o + v[i];
  }
  if (kind == Kind::mean)
    for (double& o : out) o /= static_cast<double>(v.size()) / static_cast<double>(outputs);
  return out;
}

Array random_array(DType dtype, const Shape& shape, unsigned seed) {
  const bool floating = is_floating(dtype);
  return Array::of(dtype, shape, noise(shape.size(), floating ? -1 : 0, floating ? 2 : 200, seed));
}

void test_dims(const Array& x) {
  for (uint32_t dims = 1; dims < (1u << x.shape.ndim); ++dims) {
    ReduceParams p;
    for (int d = 0; d < x.shape.ndim; ++d)
      if ((dims >> d) & 1u) p.dims.push(d);
    const double eps = x.dtype == DType::f32 ? 1e-7 : 1e-12;  // the reference adds naively
    expect(OpId::sum, &p, {x}, reference(x, dims, Kind::sum), eps, eps);
    p.keepdim = true;
    expect(OpId::max, &p, {x}, reference(x, dims, Kind::max));
    expect(OpId::min, &p, {x}, reference(x, dims, Kind::min));
    if (is_floating(x.dtype)) expect(OpId::mean, &p, {x}, reference(x, dims, Kind::mean), eps, eps);
  }
}

void test_layouts(DType dtype) {
  for (const int64_t n : {1, 2, 15, 16, 17, 63, 64, 65, 1000, 70001})
    test_dims(random_array(dtype, {n}, 1));
  for (const Shape& shape :
       {Shape{1, 1}, Shape{3, 700}, Shape{700, 3}, Shape{33, 65}, Shape{1, 5000}, Shape{40000, 2}})
    test_dims(random_array(dtype, shape, 2));
  const Array image = random_array(dtype, {4, 6, 13, 17}, 3);
  test_dims(image);
  test_dims(image.permuted({0, 2, 3, 1}));
  test_dims(image.permuted({3, 1, 0, 2}));
  test_dims(image.sliced(3, 1, 3).sliced(1, 1, 2));
  test_dims(random_array(dtype, {3, 2, 600, 70}, 4));
  Array repeated = random_array(dtype, {5, 1, 7}, 5);
  repeated.shape[1] = 9;
  repeated.strides[1] = 0;
  test_dims(repeated);
}

void test_special() {
  const ReduceParams all;
  const Array empty = Array::empty(DType::f32, {3, 0});
  const ReduceParams last{Shape{1}, false}, first{Shape{0}, false};
  expect(OpId::sum, &all, {empty}, {0});
  expect(OpId::sum, &last, {empty}, {0, 0, 0});
  expect(OpId::mean, &last, {empty}, {kNan, kNan, kNan});
  expect(OpId::max, &first, {empty}, {});
  expect_error(ErrorCode::InvalidArgument, OpId::max, &last, {empty});
  expect(OpId::sum, &all, {Array::of(DType::f64, {}, {3})}, {3});
  const ReduceParams twice{Shape{0, 0}, false}, outside{Shape{2}, false};
  expect_error(ErrorCode::InvalidArgument, OpId::sum, &twice, {empty});
  expect_error(ErrorCode::InvalidArgument, OpId::sum, &outside, {empty});
  for (const int64_t n : {5, 100, 3000}) {
    std::vector<double> v = noise(n, -1, 1, 6);
    v[static_cast<size_t>(n / 2)] = kNan;
    expect(OpId::max, &all, {Array::of(DType::f32, {n}, v)}, {kNan});
    expect(OpId::min, &first, {Array::of(DType::f64, {n, 1}, v)}, {kNan});
  }
  expect(OpId::max, &all, {Array::of(DType::f32, {2}, {-kInfinity, -kInfinity})}, {-kInfinity});
  // int32 sums wrap; uint8 sums are int32; a long float sum does not drift.
  expect(OpId::sum, &all, {Array::of(DType::i32, {2}, {2147483647, 1})}, {-2147483648.0});
  expect(OpId::sum, &all, {Array::of(DType::u8, {1000}, std::vector<double>(1000, 255))}, {255000});
  const int64_t many = 1 << 21;
  const Array tenth =
      Array::of(DType::f32, {many}, std::vector<double>(static_cast<size_t>(many), 0.1));
  expect(OpId::sum, &all, {tenth}, {static_cast<double>(0.1f) * static_cast<double>(many)}, 6e-8);
}

void test_arg(const Array& x, int dim) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < dim; ++i) outer *= x.shape[i];
  for (int i = dim + 1; i < x.shape.ndim; ++i) inner *= x.shape[i];
  const int64_t size = x.shape[dim];
  const std::vector<double> v = x.values();
  for (const bool largest : {true, false}) {
    std::vector<double> want;
    for (int64_t i = 0; i < outer * inner; ++i) {
      int64_t best = 0;
      const auto at = [&](int64_t r) {
        return v[static_cast<size_t>((i / inner * size + r) * inner + i % inner)];
      };
      for (int64_t r = 1; r < size; ++r) {
        const double a = at(best), b = at(r);
        if (!std::isnan(a) && (std::isnan(b) || (largest ? b > a : b < a))) best = r;
      }
      want.push_back(static_cast<double>(best));
    }
    const ArgReduceParams p{dim, false};
    expect(largest ? OpId::argmax : OpId::argmin, &p, {x}, want);
  }
}

void test_args() {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::u8}) {
    const Array x = random_array(dtype, {7, 41, 9}, 7);
    for (int dim = 0; dim < 3; ++dim) test_arg(x, dim);
    test_arg(x.permuted({2, 0, 1}), 2);
    test_arg(random_array(dtype, {300, 700}, 8), 0);
    test_arg(random_array(dtype, {3, 3000}, 8), 1);
  }
  const Array x =
      Array::of(DType::f32, {2, 5}, {1, 3, 3, kNan, kNan, -kInfinity, -kInfinity, 0, 0, -1});
  test_arg(x, 1);
  test_arg(x.permuted({1, 0}).contiguous(), 0);
}

// softmax, log_softmax and their adjoints along dim, from the definition.
void test_softmax(const Array& x, const Array& g, int dim) {
  int64_t inner = 1;
  for (int i = dim + 1; i < x.shape.ndim; ++i) inner *= x.shape[i];
  const int64_t size = x.shape[dim], lines = x.shape.size() / std::max<int64_t>(1, size);
  const std::vector<double> v = x.values(), gv = g.values();
  std::vector<double> soft(v.size()), logs(v.size()), soft_vjp(v.size()), log_vjp(v.size());
  for (int64_t i = 0; i < lines; ++i) {
    const auto at = [&](int64_t r) {
      return static_cast<size_t>((i / inner * size + r) * inner + i % inner);
    };
    double top = -kInfinity, sum = 0, dot = 0, total = 0;
    for (int64_t r = 0; r < size; ++r) top = std::max(top, v[at(r)]);
    for (int64_t r = 0; r < size; ++r) sum += std::exp(v[at(r)] - top);
    for (int64_t r = 0; r < size; ++r) {
      logs[at(r)] = v[at(r)] - top - std::log(sum);
      soft[at(r)] = std::exp(logs[at(r)]);
      dot += gv[at(r)] * soft[at(r)];
      total += gv[at(r)];
    }
    for (int64_t r = 0; r < size; ++r) {
      soft_vjp[at(r)] = soft[at(r)] * (gv[at(r)] - dot);
      log_vjp[at(r)] = gv[at(r)] - soft[at(r)] * total;
    }
  }
  const AxisParams p{dim};
  const double eps = x.dtype == DType::f32 ? 2e-6 : 1e-13;
  expect(OpId::softmax, &p, {x}, soft, eps, eps);
  expect(OpId::log_softmax, &p, {x}, logs, eps, eps);
  expect(OpId::softmax_vjp, &p, {g, Array::of(x.dtype, x.shape, soft)}, soft_vjp, eps, eps);
  expect(OpId::log_softmax_vjp, &p, {g, Array::of(x.dtype, x.shape, logs)}, log_vjp, 10 * eps,
         10 * eps);
}

void test_softmaxes() {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Shape& shape : {Shape{5, 10}, Shape{1, 1}, Shape{3, 0}, Shape{40, 17},
                               Shape{100, 64}, Shape{2, 3000}, Shape{11, 9, 301}}) {
      const Array x = Array::of(dtype, shape, noise(shape.size(), -6, 6, 9));
      const Array g = Array::of(dtype, shape, noise(shape.size(), -1, 1, 10));
      for (int dim = 0; dim < shape.ndim; ++dim) test_softmax(x, g, dim);
    }
    const AxisParams p{0};
    expect(OpId::softmax, &p, {Array::of(dtype, {3}, {1, kNan, 2})}, {kNan, kNan, kNan});
    expect(OpId::softmax, &p, {Array::of(dtype, {2}, {1000, -kInfinity})}, {1, 0});
  }
}

}  // namespace

int main() {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::u8}) test_layouts(dtype);
  test_special();
  test_args();
  test_softmaxes();
  return finish();
}
