// Steps of optimizers and the norm of gradients on many tensors: formulas, tensors that share blocks, special
// values, the engine's choice between the tensor's own memory and fresh memory.
#include "backend/engine.h"
#include "cpu/cpu_backend.h"
#include "op_call.h"
#include "ops/optimizer.h"

using namespace fluxion;
using namespace fluxion::test;

namespace {

const double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

// Sizes that end inside, at and behind the end of a block; nothing, one element, several blocks.
const int64_t kSizes[] = {3, kRowBlock - 3, 1, 0, 17, 2 * kRowBlock + 5, 100};

struct Item {
  std::vector<double> p, g, m, v, largest;
};

std::vector<Item> make_items() {
  std::vector<Item> items;
  unsigned seed = 1;
  for (const int64_t n : kSizes) {
    items.push_back({noise(n, -2, 2, seed), noise(n, -1, 1, seed + 1), noise(n, -1, 1, seed + 2),
                     noise(n, 0, 1, seed + 3), noise(n, 0, 1, seed + 4)});
    seed += 10;
  }
  return items;
}

Array array(DType dtype, const std::vector<double>& values) {
  return Array::of(dtype, {static_cast<int64_t>(values.size())}, values);
}

void expect_all(const Array& got, const std::vector<double>& want, double eps) {
  const std::vector<double> values = got.values();
  bool good = values.size() == want.size();
  for (size_t i = 0; good && i < want.size(); ++i) good = close(values[i], want[i], eps, eps);
  CHECK(good);
}

void test_adam(DType dtype, bool decoupled, bool amsgrad, bool maximize) {
  const double eps = dtype == DType::f32 ? 1e-6 : 1e-13;
  AdamStepParams params{0.1, 0.9, 0.99, 1e-8, 0.05, decoupled, amsgrad, maximize, 3};
  std::vector<Item> items = make_items();
  std::vector<Array> inputs;
  for (const Item& item : items) {
    for (const auto* values : {&item.p, &item.g, &item.m, &item.v})
      inputs.push_back(array(dtype, *values));
    if (amsgrad) inputs.push_back(array(dtype, item.largest));
  }
  const double c1 = 1 - std::pow(0.9, 3), c2 = 1 - std::pow(0.99, 3);
  for (Item& item : items) {
    for (size_t i = 0; i < item.p.size(); ++i) {
      const double p = decoupled ? item.p[i] * (1 - 0.1 * 0.05) : item.p[i];
      const double g = (maximize ? -1 : 1) * item.g[i] + (decoupled ? 0 : 0.05 * p);
      item.m[i] = 0.9 * item.m[i] + 0.1 * g;
      item.v[i] = 0.99 * item.v[i] + 0.01 * g * g;
      item.largest[i] = std::max(item.largest[i], item.v[i]);
      const double second = amsgrad ? item.largest[i] : item.v[i];
      item.p[i] = p - 0.1 / c1 * item.m[i] / (std::sqrt(second) / std::sqrt(c2) + 1e-8);
    }
  }
  call(OpId::adam_step, &params, inputs, [&](const Result& result) {
    size_t at = 0;
    for (const Item& item : items) {
      expect_all(result.outputs[at++], item.p, eps);
      expect_all(result.outputs[at++], item.m, eps);
      expect_all(result.outputs[at++], item.v, eps);
      if (amsgrad) expect_all(result.outputs[at++], item.largest, eps);
    }
    CHECK(at == result.outputs.size());
  });
}

void test_sgd(DType dtype, double momentum, bool nesterov, bool first) {
  const double eps = dtype == DType::f32 ? 1e-6 : 1e-13;
  const SgdStepParams params{0.1, momentum, nesterov ? 0 : 0.25, 0.05, nesterov, true, first};
  std::vector<Item> items = make_items();
  std::vector<Array> inputs;
  for (const Item& item : items) {
    inputs.push_back(array(dtype, item.p));
    inputs.push_back(array(dtype, item.g));
    if (momentum > 0)
      inputs.push_back(array(dtype, first ? std::vector<double>(item.m.size(), kNan) : item.m));
  }
  for (Item& item : items) {
    for (size_t i = 0; i < item.p.size(); ++i) {
      const double g = -item.g[i] + 0.05 * item.p[i];
      double step = g;
      if (momentum > 0) {
        item.m[i] = first ? g : momentum * item.m[i] + (nesterov ? 1 : 0.75) * g;
        step = nesterov ? g + momentum * item.m[i] : item.m[i];
      }
      item.p[i] -= 0.1 * step;
    }
  }
  call(OpId::sgd_step, &params, inputs, [&](const Result& result) {
    size_t at = 0;
    for (const Item& item : items) {
      expect_all(result.outputs[at++], item.p, eps);
      if (momentum > 0) expect_all(result.outputs[at++], item.m, eps);
    }
  });
}

void test_clip(DType dtype, double norm_type) {
  const double eps = dtype == DType::f32 ? 1e-6 : 1e-13;
  const std::vector<Item> items = make_items();
  std::vector<Array> inputs;
  double norm = 0;
  for (const Item& item : items) {
    inputs.push_back(array(dtype, item.g));
    for (const double g : item.g)
      norm = std::isinf(norm_type) ? std::max(norm, std::abs(g))
                                   : norm + std::pow(std::abs(g), norm_type);
  }
  if (!std::isinf(norm_type)) norm = std::pow(norm, 1 / norm_type);
  for (const double share : {0.5, 2.0}) {
    const ClipGradNormParams params{share * norm, norm_type, false};
    call(OpId::clip_grad_norm, &params, inputs, [&](const Result& result) {
      CHECK(close(result.outputs[0].values()[0], norm, eps, eps));
      const double factor = std::min(1.0, share * norm / (norm + 1e-6));
      for (size_t k = 0; k < items.size(); ++k) {
        std::vector<double> want = items[k].g;
        for (double& g : want) g *= factor;
        expect_all(result.outputs[k + 1], want, eps);
      }
    });
  }
}

void test_special_norms() {
  for (const double norm_type : {1.0, 2.0, 3.0, kInfinity}) {
    const ClipGradNormParams params{1, norm_type, false}, strict{1, norm_type, true};
    const Array bad = array(DType::f32, {1, kNan, 2}), good = array(DType::f32, {3, 4});
    call(OpId::clip_grad_norm, &params, {good, bad, good}, [&](const Result& result) {
      CHECK(std::isnan(result.outputs[0].values()[0]));
      CHECK(std::isnan(result.outputs[1].values()[0]));
      CHECK(!result.faulted);
    });
    call(OpId::clip_grad_norm, &strict, {good, bad}, [&](const Result& result) {
      CHECK(result.faulted);
      expect_all(result.outputs[1], {3, 4}, 0);
    });
  }
}

// Memory with one owner is overwritten; a view keeps the old contents, and the tensor moves.
void test_ownership() {
  Device device(cpu::backend(), cpu::backend()->open(0, nullptr, 0), "cpu", uint64_t{1} << 30);
  Engine engine(device);
  Tensor p = engine.empty(DType::f32, {3}, "test"), g = engine.empty(DType::f32, {3}, "test");
  const float values[] = {1, 2, 3}, slope[] = {1, 1, 1};
  device.write(p.view().data, values, sizeof values);
  device.write(g.view().data, slope, sizeof slope);
  SgdStepParams params;
  params.learning_rate = 1;
  const auto step = [&] {
    const Operand inputs[] = {{&p, false, 0, &p}, {&g, false, 0, &g}};
    engine.run(OpId::sgd_step, &params, inputs, 0, nullptr);
    device.drain();
  };
  const auto element = [](const Tensor& t) { return t.view().as<float>()[1]; };
  void* const before = p.view().data;
  step();
  CHECK(p.view().data == before && element(p) == 1);
  {
    const Tensor view = p.share();
    step();
    CHECK(p.view().data != before && element(p) == 0 && element(view) == 1);
  }
  void* const after = p.view().data;
  step();
  CHECK(p.view().data == after && element(p) == -1);
}

void test_errors() {
  const Array a = array(DType::f32, {1, 2}), b = array(DType::f32, {1}),
              d = array(DType::f64, {1, 2});
  const AdamStepParams adam;
  const SgdStepParams sgd;
  expect_error(ErrorCode::ShapeMismatch, OpId::adam_step, &adam, {a, b, a, a});
  expect_error(ErrorCode::DTypeMismatch, OpId::adam_step, &adam, {a, d, a, a});
  expect_error(ErrorCode::InvalidArgument, OpId::adam_step, &adam, {a, a, a});
  expect_error(ErrorCode::InvalidArgument, OpId::sgd_step, &sgd, {});
  const ClipGradNormParams clip{1, 0, false};
  expect_error(ErrorCode::InvalidArgument, OpId::clip_grad_norm, &clip, {a});
}

}  // namespace

int main() {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const bool decoupled : {false, true})
      for (const bool amsgrad : {false, true}) test_adam(dtype, decoupled, amsgrad, !decoupled);
    test_sgd(dtype, 0, false, true);
    for (const bool nesterov : {false, true})
      for (const bool first : {false, true}) test_sgd(dtype, 0.9, nesterov, first);
    for (const double norm_type : {1.0, 2.0, 2.5, kInfinity}) test_clip(dtype, norm_type);
  }
  test_special_norms();
  test_ownership();
  test_errors();
  return finish();
}
