// Variable diffusion on every instruction set, called without the engine: solutions are put back into the
// equations, the adjoint operator is the transpose, and the step depends on dt k alone.
#include "kernel_ops.h"
#include "ops/variable_diffusion.h"

using namespace fluxion;
using namespace fluxion::test;

#define VARIABLE_OPS(X)                          \
  X(variable_diffusion, VariableDiffusionParams) \
  X(variable_diffusion_vjp, VariableDiffusionParams)
FLUXION_TEST_DECLARE(VARIABLE_OPS)

namespace {

FLUXION_TEST_DEFINE(VARIABLE_OPS)

// The face between cell q and the next one along an axis of n cells; `next` is the other cell's k.
double face(FaceMean mean, double a, double b) {
  if (mean == FaceMean::arithmetic) return (a + b) / 2;
  return a + b == 0 ? 0 : 2 * a * b / (a + b);
}

// v - r d/dx(k dv/dx) along an axis (0: the last one).
Array equation(const Array& v, const std::vector<double>& k, int axis, double r, Boundary boundary,
               FaceMean mean) {
  Array out = v;
  int64_t stride = 1;
  for (int a = 0; a < axis; ++a) stride *= v.shape[v.shape.ndim - 1 - a];
  const int64_t n = v.shape[v.shape.ndim - 1 - axis];
  for (int64_t p = 0; p < v.shape.size(); ++p) {
    const int64_t q = p / stride % n;
    const double own = k[static_cast<size_t>(p)];
    for (const int64_t to : {q - 1, q + 1}) {
      const bool inside = to >= 0 && to < n;
      if (!inside && boundary == Boundary::neumann) continue;
      if (!inside && boundary == Boundary::dirichlet) {
        out.v[static_cast<size_t>(p)] += r * own * v[p];
        continue;
      }
      const int64_t other = p + ((to + n) % n - q) * stride;
      out.v[static_cast<size_t>(p)] -=
          r * face(mean, own, k[static_cast<size_t>(other)]) * (v[other] - v[p]);
    }
  }
  return out;
}

// k [N or 1, C or 1, ...] as large as u.
std::vector<double> spread(const Array& k, const Shape& u) {
  const int64_t cells = u.size() / (u[0] * u[1]);
  std::vector<double> all;
  for (int64_t p = 0; p < u.size(); ++p) {
    const int64_t n = p / cells / u[1], c = p / cells % u[1];
    all.push_back(k[((k.shape[0] == 1 ? 0 : n) * k.shape[1] + (k.shape[1] == 1 ? 0 : c)) * cells +
                    p % cells]);
  }
  return all;
}

void test_variable(int isa, DType t, const Shape& shape, const Shape& k_shape,
                   VariableDiffusionParams p) {
  const bool exact = t == DType::f64;
  const double tolerance = exact ? 1e-12 : 3e-5;
  const Array u = noise(shape, t), g = noise(shape, t);
  Array k = noise(k_shape, t, 0, 2);
  for (size_t i = 0; i < k.v.size(); i += 5) k.v[i] = 0;  // some cells insulate
  const Array v = run(variable_diffusion, isa, p, {u, k})[0];

  // The adjoint operator is the transpose, and what the backward pass returns.
  VariableDiffusionParams transposed = p;
  transposed.adjoint = true;
  const Array gu = run(variable_diffusion, isa, transposed, {g, k})[0];
  CHECK(same(dot(g, v), dot(gu, u), tolerance, std::sqrt(dot(g, g) * dot(u, u))));
  const auto both = run(variable_diffusion_vjp, isa, p, {g, k, u});
  const auto one = run(variable_diffusion_vjp, isa, p, {g, k, u}, 2);
  near(both[0], gu.v, 100, "gradient in u");
  near(one[1], both[1].v, 20, "gradient in k alone");

  // Without a flow through the walls constants stay, and the sum.
  if (p.boundary != Boundary::dirichlet) {
    const Array ones{std::vector<double>(u.v.size(), 1), shape, t};
    near(run(variable_diffusion, isa, p, {ones, k})[0], ones.v, 100, "constants");
    CHECK(same(dot(v, ones), dot(u, ones), tolerance, std::sqrt(dot(u, u) * dot(ones, ones))));
  }
  // The step depends on dt k alone.
  if (exact) {
    const double h = 1e-5;
    VariableDiffusionParams more = p, less = p;
    more.dt *= 1 + h, less.dt *= 1 - h;
    const double slope = (dot(g, run(variable_diffusion, isa, more, {u, k})[0]) -
                          dot(g, run(variable_diffusion, isa, less, {u, k})[0])) /
                         (2 * h);
    CHECK(same(dot(both[1], k), slope, 1e-7, std::sqrt(dot(g, g) * dot(u, u))));
  }
  // Put back into the equations, last sweep first.
  if (p.scheme == DiffusionScheme::backward_euler && p.splitting != Splitting::douglas) {
    const SweepList sweeps = sweeps_of(p.splitting, shape.ndim - 2);
    const double spacing[] = {p.dx, p.dy, p.dz};
    const std::vector<double> all = spread(k, shape);
    Array back = v;
    for (int s = sweeps.count - 1; s >= 0; --s) {
      const int axis = sweeps.at[s].axis;
      const double r = p.dt * sweeps.at[s].fraction / (spacing[axis] * spacing[axis]);
      back = equation(back, all, axis, r, p.boundary, p.face_mean);
    }
    near(back, u.v, 2000, "residual");
  }
}

void test_variables(int isa, DType t, const VariableDiffusionParams& p) {
  for (const int64_t n : {1, 2, 3, 7, 15, 16, 17, 33})
    test_variable(isa, t, {2, 3, n}, {2, 3, n}, p);
  test_variable(isa, t, {1, 69, 5}, {1, 69, 5}, p);  // more lines than a band has
  for (const Shape& k : {Shape{1, 1, 3, 17}, Shape{3, 1, 3, 17}, Shape{1, 2, 3, 17}})
    test_variable(isa, t, {3, 2, 3, 17}, k, p);
  test_variable(isa, t, {1, 2, 1, 1}, {1, 1, 1, 1}, p);
  test_variable(isa, t, {1, 1, 33, 2}, {1, 1, 33, 2}, p);
  test_variable(isa, t, {1, 1, 7, 16}, {1, 1, 7, 16}, p);
  test_variable(isa, t, {1, 2, 2, 3, 15}, {1, 1, 2, 3, 15}, p);
  test_variable(isa, t, {1, 2, 3, 2, 1}, {1, 2, 3, 2, 1}, p);
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (int choice = 0; choice < 36; ++choice) {
        const VariableDiffusionParams p{0.7,
                                        1.1,
                                        0.9,
                                        1.2,
                                        static_cast<Boundary>(choice % 3),
                                        static_cast<DiffusionScheme>(choice / 3 % 2),
                                        static_cast<Splitting>(choice / 12),
                                        static_cast<FaceMean>(choice / 6 % 2),
                                        false};
        test_variables(isa, t, p);
        if (choice % 5 == 0)  // beyond the cache: swept axis by axis, by lines
          test_variable(isa, t, {1, 1, 127, 131}, {1, 1, 127, 131}, p);
      }
    }
  }
  return finish();
}
