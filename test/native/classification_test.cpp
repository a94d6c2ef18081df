// The cross entropy kernels of every instruction set of this machine against naive double references, called
// without the engine: outputs start as NaN, everything is followed by guard bytes, and two threads must
// give the bits of one.
#include "kernel_ops.h"
#include "ops/classification.h"

using namespace fluxion;
using namespace fluxion::test;

#define OPS(X)                         \
  X(cross_entropy, CrossEntropyParams) \
  X(cross_entropy_vjp, CrossEntropyParams)
FLUXION_TEST_DECLARE(OPS)

namespace {

FLUXION_TEST_DEFINE(OPS)

void test_cross_entropy(int isa, DType t, const Shape& logits, double smoothing) {
  Shape positions{logits[0]};
  for (int i = 2; i < logits.ndim; ++i) positions.push(logits[i]);
  const Array z = noise(logits, t, -30, 30), g = noise(positions, t);
  Array target{std::vector<double>(g.v.size()), positions, DType::i32};
  const int64_t classes = logits[1], size = positions.size() / std::max<int64_t>(1, logits[0]);
  for (double& l : target.v) l = static_cast<double>(generator() % static_cast<unsigned>(classes));
  if (target.v.size() > 2) target.v[2] = static_cast<double>(classes);  // out of range
  std::vector<double> loss(g.v.size()), gz(z.v.size());
  for (int64_t i = 0; i < positions.size(); ++i) {
    const auto at = [&](int64_t c) { return (i / size * classes + c) * size + i % size; };
    const int64_t label = static_cast<int64_t>(target[i]);
    double largest = -INFINITY, sum = 0, total = 0;
    for (int64_t c = 0; c < classes; ++c) largest = std::max(largest, z[at(c)]), total += z[at(c)];
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(z[at(c)] - largest);
    const double k = static_cast<double>(classes), lse = largest + std::log(sum);
    const bool valid = label < classes;
    loss[static_cast<size_t>(i)] =
        valid ? lse - (1 - smoothing) * z[at(label)] - smoothing / k * total : NAN;
    for (int64_t c = 0; c < classes; ++c) {
      gz[static_cast<size_t>(at(c))] =
          valid ? g[i] * (std::exp(z[at(c)] - lse) - (1 - smoothing) * (c == label) - smoothing / k)
                : NAN;
    }
  }
  CrossEntropyParams p;
  p.labelSmoothing = smoothing;
  faults = 0;
  const auto y = run(cross_entropy, isa, p, {z, target, nullptr});
  near(y[0], loss, 32, "cross_entropy " + describe(logits));
  near(run(cross_entropy_vjp, isa, p, {g, z, target, nullptr, y[1]})[0], gz, 64,
       "cross_entropy vjp " + describe(logits));
  CHECK(faults == (target.v.size() > 2 ? 4 : 0));
}

void test_refusals() { CHECK(refuses(cross_entropy, CrossEntropyParams{}, {{3}, {3}, {3}})); }

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (const double smoothing : {0.0, 0.1}) {
        test_cross_entropy(isa, t, {5, 10}, smoothing);
        test_cross_entropy(isa, t, {300, 3}, smoothing);
        test_cross_entropy(isa, t, {2, 70, 9, 17}, smoothing);
        test_cross_entropy(isa, t, {2, 2, 2}, smoothing);
      }
    }
  }
  test_refusals();
  return fluxion::test::finish();
}
