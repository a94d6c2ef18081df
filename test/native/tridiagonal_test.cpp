// General tridiagonal systems, open and periodic, on every instruction set, called without the engine: solutions
// are put back into the equations and their transpose, and gradients are products of both solutions.
#include "kernel_ops.h"
#include "ops/diffusion.h"

using namespace fluxion;
using namespace fluxion::test;

#define TRIDIAGONAL_OPS(X)                \
  X(tridiagonal_solve, TridiagonalParams) \
  X(tridiagonal_solve_vjp, TridiagonalParams)
FLUXION_TEST_DECLARE(TRIDIAGONAL_OPS)

namespace {

FLUXION_TEST_DEFINE(TRIDIAGONAL_OPS)

// Rows of the matrix at x, with neighbours modulo n when periodic; transposed: of its transpose.
std::vector<double> rows(const Array& l, const Array& d, const Array& u, const Array& x,
                         bool periodic, bool transposed) {
  const int64_t n = x.shape[x.shape.ndim - 1];
  std::vector<double> out(x.v.size());
  for (int64_t at = 0; at < x.shape.size(); ++at) {
    const int64_t i = at % n, first = at - i;
    out[static_cast<size_t>(at)] += d[at] * x[at];
    const int64_t down = first + (i + n - 1) % n, up = first + (i + 1) % n;
    if (i > 0 || periodic) {
      out[static_cast<size_t>(transposed ? down : at)] += l[at] * x[transposed ? at : down];
    }
    if (i + 1 < n || periodic)
      out[static_cast<size_t>(transposed ? up : at)] += u[at] * x[transposed ? at : up];
  }
  return out;
}

void test_tridiagonal(int isa, DType t, int64_t systems, int64_t n, bool periodic) {
  const Shape shape{systems, n};
  const TridiagonalParams p{periodic};
  const Array l = noise(shape, t), d = noise(shape, t, 2.5, 4), u = noise(shape, t);
  const Array b = noise(shape, t), g = noise(shape, t);
  const Array x = run(tridiagonal_solve, isa, p, {l, d, u, b})[0];
  near(Array{rows(l, d, u, x, periodic, false), shape, t}, b.v, 100, "tridiagonal residual");
  const auto all = run(tridiagonal_solve_vjp, isa, p, {g, l, d, u, x});
  const Array& lambda = all[3];
  near(Array{rows(l, d, u, lambda, periodic, true), shape, t}, g.v, 100, "adjoint residual");
  std::vector<double> gl(x.v.size()), gd(x.v.size()), gu(x.v.size());
  for (int64_t at = 0; at < shape.size(); ++at) {
    const int64_t i = at % n, first = at - i;
    const size_t to = static_cast<size_t>(at);
    gd[to] = -lambda[at] * x[at];
    if (i > 0 || periodic) gl[to] = -lambda[at] * x[first + (i + n - 1) % n];
    if (i + 1 < n || periodic) gu[to] = -lambda[at] * x[first + (i + 1) % n];
  }
  near(all[0], gl, 10, "gradient in lower");
  near(all[1], gd, 10, "gradient in diag");
  near(all[2], gu, 10, "gradient in upper");
  for (const uint32_t wanted : {1u, 2u, 4u, 8u, 5u}) {
    const auto some = run(tridiagonal_solve_vjp, isa, p, {g, l, d, u, x}, wanted);
    for (size_t i = 0; i < 4; ++i)
      if (wanted >> i & 1) near(some[i], all[i].v, 20, "some of the gradients");
  }
  // Coefficients that the systems share, as views.
  const Array one = noise({n}, t), middle = noise({n}, t, 2.5, 4);
  const Input shared(one, shape, {0, 1}), diagonal(middle, shape, {0, 1});
  const Array y = run(tridiagonal_solve, isa, p, {shared, diagonal, shared, b})[0];
  Array wide{{}, shape, t}, wide_d{{}, shape, t};
  for (int64_t at = 0; at < shape.size(); ++at)
    wide.v.push_back(one[at % n]), wide_d.v.push_back(middle[at % n]);
  near(Array{rows(wide, wide_d, wide, y, periodic, false), shape, t}, b.v, 100, "shared rows");
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (const bool periodic : {false, true}) {
        for (const int64_t systems : {1, 3, 4, 15, 17, 33, 70})
          for (const int64_t n : {1, 2, 3, 7, 16, 33})
            test_tridiagonal(isa, t, systems, n, periodic);
        for (const int64_t n : {128, 129, 257}) test_tridiagonal(isa, t, 5, n, periodic);
      }
    }
  }
  return finish();
}
