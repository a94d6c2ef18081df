// Dense solvers on every instruction set, called without the engine: residuals, transposed systems, factors,
// matrices that have no solution.
#include "kernel_ops.h"
#include "ops/dense_solve.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)               \
  X(solve, NoParams)         \
  X(lu_solve, LuSolveParams) \
  X(inv, NoParams)           \
  X(cholesky, NoParams)      \
  X(solve_triangular, SolveTriangularParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

// sum_k op(a)[i, k] x[k, j] of one item of a batch.
std::vector<double> product(const Array& a, const Array& x, int64_t n, int64_t sides,
                            bool transposed) {
  std::vector<double> y(x.v.size());
  for (int64_t item = 0; item < x.shape.size() / (n * sides); ++item)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < sides; ++j)
        for (int64_t k = 0; k < n; ++k)
          y[static_cast<size_t>((item * n + i) * sides + j)] +=
              a[item * n * n + (transposed ? k * n + i : i * n + k)] *
              x[(item * n + k) * sides + j];
  return y;
}

// A random matrix with a diagonal that keeps it away from singular ones; symmetric on request.
Array matrices(int64_t batch, int64_t n, DType t, bool symmetric) {
  Array a = noise({batch, n, n}, t);
  for (int64_t item = 0; item < batch; ++item)
    for (int64_t i = 0; i < n; ++i) {
      const auto at = [&](int64_t r, int64_t c) -> double& {
        return a.v[static_cast<size_t>((item * n + r) * n + c)];
      };
      for (int64_t j = 0; symmetric && j < i; ++j) at(i, j) = at(j, i);
      at(i, i) += symmetric ? 2.0 * static_cast<double>(n) : 3;
    }
  return a;
}

void test_systems(int isa, DType t, int64_t batch, int64_t n, int64_t sides) {
  const std::string what = "of " + describe({batch, n, sides});
  const double slack = 400 * static_cast<double>(n + 1);
  const Array a = matrices(batch, n, t, false), b = noise({batch, n, sides}, t);
  const auto x = run(solve, isa, NoParams{}, {a, b});
  near({product(a, x[0], n, sides, false), b.shape, t}, b.v, slack, "solve " + what);
  const auto adjoint = run(lu_solve, isa, LuSolveParams{true}, {a, x[1], x[2], b});
  near({product(a, adjoint[0], n, sides, true), b.shape, t}, b.v, slack,
       "transposed solve " + what);
  const Array inverse = run(inv, isa, NoParams{}, {a})[0];
  std::vector<double> identity(a.v.size());
  for (size_t i = 0; i < identity.size(); ++i)
    identity[i] = static_cast<int64_t>(i) % (n * n) % (n + 1) == 0;
  near({product(a, inverse, n, n, false), a.shape, t}, identity, slack, "inv " + what);

  const Array s = matrices(batch, n, t, true);
  const Array l = run(cholesky, isa, NoParams{}, {s})[0];
  std::vector<double> squared(s.v.size());
  for (int64_t item = 0; item < batch; ++item)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t k = 0; k < n; ++k)
          squared[static_cast<size_t>((item * n + i) * n + j)] +=
              l[(item * n + i) * n + k] * l[(item * n + j) * n + k];
  near({squared, s.shape, t}, s.v, slack, "cholesky " + what);
  const Array y = run(solve_triangular, isa, SolveTriangularParams{}, {l, b})[0];
  near({product(l, y, n, sides, false), b.shape, t}, b.v, slack, "solve_triangular " + what);
}

void test_faults(int isa, DType t) {
  const Array singular{{1, 2, 2, 4, 1, 0, 0, 1}, {2, 2, 2}, t}, b = noise({2, 2, 1}, t);
  faults = 0;
  const Array x = run(solve, isa, NoParams{}, {singular, b})[0];
  CHECK(faults == 2 && std::isnan(x[0]) && std::isnan(x[1]));
  CHECK(x[2] == b[2] && x[3] == b[3]);
  const Array indefinite{{1, 2, 2, 1}, {1, 2, 2}, t};
  faults = 0;
  CHECK(std::isnan(run(cholesky, isa, NoParams{}, {indefinite})[0][0]) && faults == 2);
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_systems(isa, t, 2, 1, 1);
      test_systems(isa, t, 3, 5, 2);
      test_systems(isa, t, 2, 17, 16);
      test_systems(isa, t, 2, 33, 3);
      test_systems(isa, t, 1, 70, 9);
      test_systems(isa, t, 1, 140, 50);
      test_faults(isa, t);
    }
  }
  CHECK(refuses(solve, NoParams{}, {{2, 3}, {2, 1}}));
  CHECK(refuses(cholesky, NoParams{}, {{3}}));
  return fluxion::test::finish();
}
