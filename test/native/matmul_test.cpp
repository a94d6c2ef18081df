// The matrix product kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include <array>

#include "activated.h"
#include "kernel_ops.h"
#include "ops/matmul.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)        \
  X(matmul, NoParams) \
  X(linear, LinearParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

void test_matmul(int isa, DType t) {
  for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                   {3, 5, 7},
                                                                   {8, 48, 16},
                                                                   {9, 49, 17},
                                                                   {13, 31, 300},
                                                                   {70, 130, 33},
                                                                   {1, 100, 40},
                                                                   {100, 1, 40},
                                                                   {5, 2, 0},
                                                                   {0, 3, 4},
                                                                   {1, 70, 300},
                                                                   {70, 1, 300},
                                                                   {20, 64, 260},
                                                                   {300, 520, 20}}) {
    for (int variant = 0; variant < 4; ++variant) {
      const bool at = variant & 1, bt = variant & 2;
      const Array a = noise(at ? Shape{k, m} : Shape{m, k}, t),
                  b = noise(bt ? Shape{n, k} : Shape{k, n}, t);
      std::vector<double> expected(static_cast<size_t>(m * n));
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j)
          for (int64_t l = 0; l < k; ++l)
            expected[static_cast<size_t>(i * n + j)] +=
                a[at ? l * m + i : i * k + l] * b[bt ? j * k + l : l * n + j];
      const auto y = run(matmul, isa, NoParams{},
                         {Input(a, {m, k}, at ? Shape{1, m} : Shape{k, 1}),
                          Input(b, {k, n}, bt ? Shape{1, k} : Shape{n, 1})});
      near(y[0], expected, 8 + static_cast<double>(k) / 8, "matmul " + describe({m, n, k}));
    }
  }
  // Batches that broadcast on both sides, one of them an expanded view: [2, 1, 3, 4] x [5, 4, 6].
  const Array a = noise({2, 1, 3, 4}, t), b = noise({4, 6}, t);
  std::vector<double> expected;
  for (int p = 0; p < 10; ++p)
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 6; ++j) {
        double sum = 0;
        for (int l = 0; l < 4; ++l) sum += a[p / 5 * 12 + i * 4 + l] * b[l * 6 + j];
        expected.push_back(sum);
      }
  near(run(matmul, isa, NoParams{}, {a, Input(b, {5, 4, 6}, {0, 6, 1})})[0], expected, 8,
       "matmul batches");
}

// Bias of the columns, residual and activation; two steps of the depth, whole tiles and edges, one row, one
// column, no depth.
void test_linear(int isa, DType t) {
  for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{
           {16, 96, 300}, {9, 50, 17}, {3, 5, 7}, {1, 40, 33}, {40, 1, 33}, {1, 1, 3}, {4, 6, 0}}) {
    const Array x = noise({m, k}, t), w = noise({n, k}, t), bias = noise({n}, t),
                residual = noise({m, n}, t);
    for (const auto activation : {Activation::none, Activation::relu, Activation::tanh}) {
      LinearParams p;
      p.activation = activation;
      std::vector<double> y(static_cast<size_t>(m * n));
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum = bias[j] + residual[i * n + j];
          for (int64_t l = 0; l < k; ++l) sum += x[i * k + l] * w[j * k + l];
          y[static_cast<size_t>(i * n + j)] = activated(activation, sum);
        }
      near(run(linear, isa, p, {x, w, bias, residual})[0], y, 8 + static_cast<double>(k) / 8,
           "linear " + describe({m, n, k}));
    }
  }
}

void test_refusals() {
  CHECK(refuses(matmul, NoParams{}, {{2, 3}, {2, 3}}));
  CHECK(refuses(matmul, NoParams{}, {{2, 2, 3}, {3, 3, 3}}));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_matmul(isa, t);
      test_linear(isa, t);
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
