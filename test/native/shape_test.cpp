// Views, copies, concatenation, padding, selection and their adjoints against index-by-index references.
#include "op_call.h"
#include "ops/pad.h"
#include "ops/shape.h"
#include "ops/shape_index.h"

using namespace fluxion;
using namespace fluxion::test;

namespace {

const NoParams none;
const double kNan = std::numeric_limits<double>::quiet_NaN();

Array counted(DType dtype, const Shape& shape) {
  std::vector<double> v;
  for (int64_t i = 0; i < shape.size(); ++i) v.push_back(static_cast<double>(i % 251));
  return Array::of(dtype, shape, v);
}

Shape indices(const Shape& shape, int64_t i) {
  Shape at = shape;
  for (int d = shape.ndim - 1; d >= 0; --d) {
    at[d] = i % shape[d];
    i /= shape[d];
  }
  return at;
}

size_t position(const Shape& shape, const Shape& at) {
  int64_t p = 0;
  for (int d = 0; d < shape.ndim; ++d) p = p * shape[d] + at[d];
  return static_cast<size_t>(p);
}

void test_copy(DType dtype) {
  const auto copy = [](const Array& x) { expect(OpId::copy, &none, {x}, x.values()); };
  copy(counted(dtype, {}));
  copy(counted(dtype, {0, 3}));
  for (const Shape& shape :
       {Shape{16, 16}, Shape{17, 64}, Shape{63, 65}, Shape{300, 5}, Shape{3, 1000}}) {
    copy(counted(dtype, shape));
    copy(counted(dtype, shape).permuted({1, 0}));
    copy(counted(dtype, shape).sliced(0, 1, 1));
    copy(counted(dtype, shape).sliced(1, 1, 3));
  }
  const Array image = counted(dtype, {3, 5, 21, 40});
  copy(image.permuted({0, 2, 3, 1}));
  copy(image.permuted({3, 2, 1, 0}));
  copy(image.permuted({1, 0, 3, 2}).sliced(2, 1, 2));
  Array repeated = counted(dtype, {7, 1, 3});
  repeated.shape[1] = 11;
  repeated.strides[1] = 0;
  copy(repeated);
}

// A view keeps the values in row-major order (reshape) or moves them as the reference says.
void test_views() {
  const Array x = counted(DType::f32, {4, 6, 5});
  const auto reshape = [](const Array& a, const Shape& shape) {
    const ReshapeParams p{shape};
    expect(OpId::reshape, &p, {a}, a.values());
  };
  for (const Shape& shape :
       {Shape{120}, Shape{2, 2, 3, 2, 5}, Shape{4, 1, 30}, Shape{1, 24, 5, 1}}) {
    reshape(x, shape);
    reshape(x.permuted({2, 0, 1}), shape);
    reshape(x.permuted({1, 2, 0}), shape);
  }
  reshape(x.sliced(0, 1, 2), {2, 3, 10});
  reshape(x.sliced(2, 0, 2), {4, 2, 3, 3});
  reshape(x.sliced(2, 0, 2), {24, 3});
  reshape(counted(DType::f32, {}), {1, 1});
  reshape(counted(DType::f32, {1, 1}), {});
  reshape(counted(DType::f32, {0, 3}), {3, 0, 5});
  Shape strides;
  CHECK(reshaped_strides(x.permuted({2, 0, 1}).view(), {5, 24}, &strides) &&
        strides == Shape({1, 5}));
  CHECK(reshaped_strides(x.sliced(2, 0, 2).view(), {2, 12, 3}, &strides) &&
        strides == Shape({60, 5, 2}));
  CHECK(!reshaped_strides(x.permuted({2, 0, 1}).view(), {120}, &strides));
  const ReshapeParams wrong{Shape{7}};
  expect_error(ErrorCode::ShapeMismatch, OpId::reshape, &wrong, {x});

  const PermuteParams permute{Shape{2, 0, 1}}, twice{Shape{0, 0, 1}};
  expect(OpId::permute, &permute, {x}, x.permuted({2, 0, 1}).values());
  expect_error(ErrorCode::InvalidArgument, OpId::permute, &twice, {x});
  const ExpandParams expand{Shape{2, 3}}, narrow{Shape{2, 2}};
  expect(OpId::expand, &expand, {counted(DType::f32, {3})}, {0, 1, 2, 0, 1, 2});
  expect_error(ErrorCode::ShapeMismatch, OpId::expand, &narrow, {counted(DType::f32, {3})});
  const SliceParams slice{Shape{1, 0, 4}, Shape{4, 6, 5}, Shape{2, 1, 1}};
  const SliceParams past{Shape{0, 0, 0}, Shape{5, 6, 5}, Shape{1, 1, 1}};
  expect(OpId::slice, &slice, {x}, x.sliced(0, 1, 2).sliced(2, 4, 1).values());
  expect_error(ErrorCode::InvalidArgument, OpId::slice, &past, {x});
}

void test_placed(DType dtype) {
  const Array g = counted(dtype, {3, 4, 5});
  const SliceVjpParams p{Shape{1, 0, 2}, Shape{2, 1, 3}, Shape{7, 4, 16}};
  std::vector<double> want(7 * 4 * 16, 0.0);
  for (int64_t i = 0; i < g.shape.size(); ++i) {
    const Shape at = indices(g.shape, i);
    want[position(p.input_shape, {1 + 2 * at[0], at[1], 2 + 3 * at[2]})] = g.raw(i);
  }
  expect(OpId::slice_vjp, &p, {g}, want);
  const PadParams pad{Shape{1, 0, 2}, Shape{0, 2, 1}, PadMode::Constant, 7};
  want.assign(4 * 6 * 8, 7.0);
  for (int64_t i = 0; i < g.shape.size(); ++i) {
    const Shape at = indices(g.shape, i);
    want[position({4, 6, 8}, {1 + at[0], at[1], 2 + at[2]})] = g.raw(i);
  }
  expect(OpId::pad, &pad, {g}, want);
  const FillParams fill{Shape{20001}, 3, dtype};
  expect(OpId::full, &fill, {}, std::vector<double>(20001, 3.0));

  const Array a = counted(dtype, {3, 2, 5}), b = counted(dtype, {5, 3, 7}).permuted({1, 2, 0});
  const Array c = counted(dtype, {3, 0, 5});
  const ConcatParams concat{1};
  want.assign(3 * 9 * 5, 0.0);
  const std::vector<double> vb = b.values();
  for (int64_t i = 0; i < 3 * 9 * 5; ++i) {
    const Shape at = indices({3, 9, 5}, i);
    want[static_cast<size_t>(i)] = at[1] < 2 ? a.raw(static_cast<int64_t>(position(a.shape, at)))
                                             : vb[position(b.shape, {at[0], at[1] - 2, at[2]})];
  }
  expect(OpId::cat, &concat, {a, c, b}, want);
  expect_error(ErrorCode::ShapeMismatch, OpId::cat, &concat, {a, counted(dtype, {2, 2, 5})});
}

void test_selection(DType dtype) {
  for (int dim = 0; dim < 3; ++dim) {
    const Array x = counted(dtype, {6, 7, 8});
    const std::vector<double> picks = {5, 0, 3, 3, 1};
    const Array index = Array::of(DType::i32, {5}, picks);
    Shape shape = x.shape;
    shape[dim] = 5;
    const Array g =
        Array::of(dtype, shape, std::vector<double>(static_cast<size_t>(shape.size()), 2));
    std::vector<double> want, want_vjp(6 * 7 * 8, 0.0);
    for (int64_t i = 0; i < shape.size(); ++i) {
      Shape at = indices(shape, i);
      at[dim] = static_cast<int64_t>(picks[static_cast<size_t>(at[dim])]);
      want.push_back(x.raw(static_cast<int64_t>(position(x.shape, at))));
      want_vjp[position(x.shape, at)] += 2;
    }
    const IndexSelectParams p{dim};
    const IndexSelectVjpParams q{dim, x.shape[dim]};
    expect(OpId::index_select, &p, {x, index}, want);
    expect(OpId::index_select_vjp, &q, {g, index}, want_vjp);

    // gather with an index that is smaller than x elsewhere and longer along dim
    Shape small{4, 5, 6};
    small[dim] = 9;
    std::vector<double> at_values;
    for (int64_t i = 0; i < small.size(); ++i)
      at_values.push_back(static_cast<double>(i * 7 % x.shape[dim]));
    const Array gather_index = Array::of(DType::i32, small, at_values);
    const Array cotangent =
        Array::of(dtype, small, std::vector<double>(static_cast<size_t>(small.size()), 3));
    want.clear();
    want_vjp.assign(6 * 7 * 8, 0.0);
    for (int64_t i = 0; i < small.size(); ++i) {
      Shape at = indices(small, i);
      at[dim] = static_cast<int64_t>(at_values[static_cast<size_t>(i)]);
      want.push_back(x.raw(static_cast<int64_t>(position(x.shape, at))));
      want_vjp[position(x.shape, at)] += 3;
    }
    const GatherParams r{dim};
    const GatherVjpParams s{dim, x.shape};
    expect(OpId::gather, &r, {x, gather_index}, want);
    expect(OpId::gather_vjp, &s, {cotangent, gather_index}, want_vjp);
  }
}

// A long index into few rows: the sums are cut into ranges of rows.
void test_embedding_gradient() {
  const int64_t n = 5000, rows = 37, width = 24;
  const Array g = Array::of(DType::f32, {n, width}, noise(n * width, -1, 1, 3));
  std::vector<double> picks, want(static_cast<size_t>(rows * width), 0.0);
  for (int64_t i = 0; i < n; ++i) picks.push_back(static_cast<double>(i * i % rows));
  for (int64_t i = 0; i < n * width; ++i)
    want[static_cast<size_t>(picks[static_cast<size_t>(i / width)]) * width +
         static_cast<size_t>(i % width)] += g.raw(i);
  const IndexSelectVjpParams p{0, rows};
  expect(OpId::index_select_vjp, &p, {g, Array::of(DType::i32, {n}, picks)}, want, 1e-5, 1e-4);
}

void test_faults() {
  const Array x = Array::of(DType::f32, {3}, {1, 2, 3}),
              index = Array::of(DType::i32, {3}, {2, -1, 3});
  const auto faulty = [](OpId op, const void* params, const std::vector<Array>& inputs,
                         const std::vector<double>& want) {
    expect(op, params, inputs, want);
    call(op, params, inputs, [](const Result& r) { CHECK(r.faulted); });
  };
  const IndexSelectParams select{0};
  const IndexSelectVjpParams select_vjp{0, 3};
  const GatherParams gather{0};
  const GatherVjpParams gather_vjp{0, Shape{3}};
  faulty(OpId::index_select, &select, {x, index}, {3, kNan, kNan});
  faulty(OpId::gather, &gather, {x, index}, {3, kNan, kNan});
  faulty(OpId::index_select_vjp, &select_vjp, {x, index}, {kNan, kNan, kNan});
  faulty(OpId::gather_vjp, &gather_vjp, {x, index}, {kNan, kNan, kNan});
  faulty(OpId::index_select, &select, {Array::of(DType::i32, {3}, {1, 2, 3}), index}, {3, 0, 0});
  const Array nothing = Array::empty(DType::f32, {0}), zero = Array::of(DType::i32, {1}, {0});
  faulty(OpId::index_select, &select, {nothing, zero}, {kNan});
}

}  // namespace

int main() {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::u8}) {
    test_copy(dtype);
    test_placed(dtype);
    test_selection(dtype);
  }
  test_views();
  test_embedding_gradient();
  test_faults();
  return finish();
}
