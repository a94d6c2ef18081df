// Upwind advection on every instruction set, called without the engine: sums and constants are kept, adjoints are
// transposes, the step depends on dt a alone, the outflow rate is what a step takes from a cell.
#include "kernel_ops.h"
#include "ops/upwind.h"

using namespace fluxion;
using namespace fluxion::test;

#define UPWIND_OPS(X)                      \
  X(advect_upwind, AdvectUpwindParams)     \
  X(advect_upwind_vjp, AdvectUpwindParams) \
  X(outflow_rate, OutflowRateParams)
FLUXION_TEST_DECLARE(UPWIND_OPS)

namespace {

FLUXION_TEST_DEFINE(UPWIND_OPS)

Array upwind(int isa, const AdvectUpwindParams& p, const Array& u, const Array& a) {
  return run(advect_upwind, isa, p, {u, a})[0];
}

void test_upwind(int isa, DType t, const Shape& shape, const Shape& field, AdvectUpwindParams p) {
  const bool exact = t == DType::f64;
  const Array u = noise(shape, t), g = noise(shape, t), a = noise(field, t);
  const Array v = upwind(isa, p, u, a);
  const auto both = run(advect_upwind_vjp, isa, p, {g, u, a});
  const double scale = std::sqrt(dot(g, g) * dot(u, u)) + std::sqrt(dot(g, g) * dot(v, v));
  near(run(advect_upwind_vjp, isa, p, {g, u, a}, 1)[0], both[0].v, 20, "gradient in u alone");
  near(run(advect_upwind_vjp, isa, p, {g, u, a}, 2)[1], both[1].v, 20, "gradient in a alone");

  // All schemes are homogeneous of degree 1 in u, so that <g, A(u)> = <g, A'(u) u>.
  CHECK(same(dot(g, v), dot(both[0], u), exact ? 1e-12 : 1e-4, scale));
  const Array ones{std::vector<double>(u.v.size(), 1), shape, t};
  if (p.form == UpwindForm::advective && p.boundary != Boundary::dirichlet)
    near(upwind(isa, p, ones, a), ones.v, 10, "constants");
  if (p.form == UpwindForm::conservative)
    CHECK(same(dot(v, ones), dot(u, ones), exact ? 1e-12 : 1e-4,
               std::sqrt(dot(v, v) * dot(ones, ones))));
  if (exact) {  // the step depends on dt a alone; a small h meets few switches of a limiter
    const double h = 1e-8;
    AdvectUpwindParams more = p, less = p;
    more.dt *= 1 + h, less.dt *= 1 - h;
    const double slope =
        (dot(g, upwind(isa, more, u, a)) - dot(g, upwind(isa, less, u, a))) / (2 * h);
    CHECK(same(dot(both[1], a), slope, 1e-6, scale));
  }
  const Array far = with_extremes(a);
  upwind(isa, p, u, far);
  run(advect_upwind_vjp, isa, p, {g, u, far});
}

void test_upwinds(int isa, DType t, const AdvectUpwindParams& p) {
  for (const int64_t n : {1, 2, 3, 7, 15, 16, 17, 33})
    test_upwind(isa, t, {2, 3, n}, {n % 2 ? 2 : 1, n % 3 ? 1 : 3, 1, n}, p);
  test_upwind(isa, t, {2, 3, 3, 17}, {1, 1, 2, 3, 17}, p);
  test_upwind(isa, t, {2, 3, 3, 17}, {2, 3, 2, 3, 17}, p);
  test_upwind(isa, t, {2, 3, 7, 16}, {1, 3, 2, 1, 1}, p);
  test_upwind(isa, t, {1, 2, 33, 2}, {1, 1, 2, 33, 2}, p);
  test_upwind(isa, t, {1, 1, 1, 1}, {1, 1, 2, 1, 1}, p);
  test_upwind(isa, t, {17, 2, 2, 3}, {17, 1, 2, 2, 3}, p);
  test_upwind(isa, t, {1, 2, 2, 3, 15}, {1, 1, 3, 2, 3, 15}, p);
  test_upwind(isa, t, {2, 1, 3, 1, 2}, {2, 1, 3, 1, 1, 1}, p);
}

// What the conservative step of first order takes from a cell that alone is not empty.
void test_outflow(int isa, DType t, const Shape& cells, Boundary boundary) {
  Shape field{1, 1, cells.ndim}, all{cells.size(), 1};
  for (int i = 0; i < cells.ndim; ++i) field.push(cells[i]), all.push(cells[i]);
  const Array a = noise(field, t);
  Array u{std::vector<double>(static_cast<size_t>(all.size()), 0), all, t};
  for (int64_t i = 0; i < cells.size(); ++i) u.v[static_cast<size_t>(i * cells.size() + i)] = 1;
  const AdvectUpwindParams step{
      0.25, 1.1, 0.9, 1.2, 1, boundary, UpwindScheme::first_order, UpwindForm::conservative};
  const Array v = upwind(isa, step, u, a);
  double most = 0, sum_most = 0;
  for (int64_t i = 0; i < cells.size(); ++i) {
    most = std::max(most, (1 - v[i * cells.size() + i]) / 0.25);
    double sum = 0;
    const double spacing[] = {1.1, 0.9, 1.2};
    for (int k = 0; k < cells.ndim; ++k) sum += std::abs(a[k * cells.size() + i]) / spacing[k];
    sum_most = std::max(sum_most, sum);
  }
  OutflowRateParams p{1.1, 0.9, 1.2, boundary, UpwindForm::conservative};
  CHECK(same(run(outflow_rate, isa, p, {a})[0][0], most, t == DType::f64 ? 1e-13 : 1e-5, most));
  p.form = UpwindForm::advective;
  CHECK(same(run(outflow_rate, isa, p, {a})[0][0], sum_most, 1e-13, sum_most));
  CHECK(std::isnan(run(outflow_rate, isa, p, {with_extremes(a)})[0][0]));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (int choice = 0; choice < 30; ++choice) {
        AdvectUpwindParams p{0.3,
                             1.1,
                             0.9,
                             1.2,
                             1,
                             static_cast<Boundary>(choice % 3),
                             static_cast<UpwindScheme>(choice / 6),
                             static_cast<UpwindForm>(choice / 3 % 2)};
        test_upwinds(isa, t, p);
        p.steps = 3;
        test_upwind(isa, t, {2, 3, 5, 17}, {1, 1, 2, 5, 17}, p);
        test_upwind(isa, t, {2, 3, 16}, {1, 1, 1, 1}, p);
        p.steps = 1;  // bands of rows
        test_upwind(isa, t, {1, 3, 130, 19}, {1, 1, 2, 130, 19}, p);
      }
      for (const Boundary b : {Boundary::neumann, Boundary::dirichlet, Boundary::periodic}) {
        for (const int64_t n : {2, 3, 7, 16, 33}) test_outflow(isa, t, {n}, b);
        test_outflow(isa, t, {3, 17}, b);
        test_outflow(isa, t, {2, 3, 5}, b);
      }
    }
  }
  return finish();
}
