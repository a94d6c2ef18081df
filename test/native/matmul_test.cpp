// The matrix product kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include <array>

#include "kernel_ops.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X) X(matmul, NoParams)
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

void test_refusals() {
  CHECK(refuses(matmul, NoParams{}, {{2, 3}, {2, 3}}));
  CHECK(refuses(matmul, NoParams{}, {{2, 2, 3}, {3, 3, 3}}));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      test_matmul(isa, t);
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
