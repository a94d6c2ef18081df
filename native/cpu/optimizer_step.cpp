// A step of Adam, AdamW or SGD on many parameter tensors, with PyTorch's formulas, in a single pass:
//   Adam   g += wd p (or p *= 1 - lr wd, decoupled);  m += (1 - b1) (g - m);  v = b2 v + (1 - b2) g^2
//          p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)      (amsgrad: the largest v so far)
//   SGD    g += wd p;  buffer = mu buffer + (1 - dampening) g (g at first);  p -= lr (buffer, or g + mu buffer)
// Layout: contiguous tensors, items and destinations as in ops/optimizer.h. An updated tensor is read and
// written in one place as a rule, so an Adam step moves 28 bytes a float32 parameter and no more.
// Parallel: blocks of the row of all tensors (tensor_row.h). References: Kingma & Ba 2015; Reddi et al. 2018;
// Loshchilov & Hutter 2019; Sutskever et al. 2013.
#include <cstdint>

#include "cpu/kernel.h"
#include "ops/optimizer.h"

#define FLUXION_KERNELS "cpu/optimizer_step.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/tensor_row.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Element `begin` of an input: the tensors of an item as the op got them.
template <class T>
const T* source(const Kernel& k, int64_t input, int64_t begin) {
  return k.in(static_cast<int>(input)).as<T>() + begin;
}

template <class T>
T* destination(const Kernel& k, int64_t input, int64_t begin) {
  return k.in(static_cast<int>(input)).as<T>() + begin;
}

template <class T>
struct AdamNumbers {
  T sign, keep, coupled, rest1, beta2, rest2, step_size, correction2, eps;

  explicit AdamNumbers(const AdamStepParams& p) {
    const double t = static_cast<double>(p.step);
    sign = static_cast<T>(p.maximize ? -1 : 1);
    keep = static_cast<T>(p.decoupled ? 1 - p.learning_rate * p.weight_decay : 1);
    coupled = static_cast<T>(p.decoupled ? 0 : p.weight_decay);
    rest1 = static_cast<T>(1 - p.beta1);
    beta2 = static_cast<T>(p.beta2);
    rest2 = static_cast<T>(1 - p.beta2);
    step_size = static_cast<T>(p.learning_rate / (1 - std::pow(p.beta1, t)));
    correction2 = static_cast<T>(1 / std::sqrt(1 - std::pow(p.beta2, t)));
    eps = static_cast<T>(p.eps);
  }
};

template <class T>
struct AdamArrays {
  const T *param, *grad, *m, *v, *largest;
  T *new_param, *new_m, *new_v, *new_largest;
};

template <class T, bool kAmsgrad>
void adam_loop(const AdamNumbers<T> c, const AdamArrays<T> a, int64_t n) {
  FLUXION_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const T p = a.param[i] * c.keep;
    const T g = c.sign * a.grad[i] + c.coupled * p;
    const T m = a.m[i] + c.rest1 * (g - a.m[i]);
    const T v = c.beta2 * a.v[i] + c.rest2 * g * g;
    T second = v;
    if constexpr (kAmsgrad) {
      const T before = a.largest[i];
      second = before > v || before != before ? before : v;
      a.new_largest[i] = second;
    }
    a.new_m[i] = m;
    a.new_v[i] = v;
    a.new_param[i] = p - c.step_size * m / (std::sqrt(second) * c.correction2 + c.eps);
  }
}

struct AdamStep {
  const Kernel& k;
  int64_t item, items;
  AdamNumbers<float> single;
  AdamNumbers<double> twice;

  AdamStep(const AdamStepParams& p, const Kernel& kernel)
      : k(kernel), item(p.item()), items(kernel.n_inputs / (2 * item - 1)), single(p), twice(p) {}

  int64_t count() const { return items; }
  int64_t stride() const { return item; }

  template <class T>
  void run(const AdamNumbers<T>& numbers, int64_t i, int64_t begin, int64_t n) const {
    const int64_t from = i * item, to = items * item + i * (item - 1);
    AdamArrays<T> a{source<T>(k, from, begin),
                    source<T>(k, from + 1, begin),
                    source<T>(k, from + 2, begin),
                    source<T>(k, from + 3, begin),
                    nullptr,
                    destination<T>(k, to, begin),
                    destination<T>(k, to + 1, begin),
                    destination<T>(k, to + 2, begin),
                    nullptr};
    if (item == 4) return adam_loop<T, false>(numbers, a, n);
    a.largest = source<T>(k, from + 4, begin);
    a.new_largest = destination<T>(k, to + 3, begin);
    adam_loop<T, true>(numbers, a, n);
  }

  void piece(int64_t i, int64_t begin, int64_t end) const {
    if (k.in(static_cast<int>(i * item)).dtype == DType::f64) {
      run(twice, i, begin, end - begin);
    } else {
      run(single, i, begin, end - begin);
    }
  }
};

// The update is look_ahead g + follow buffer; the buffer becomes kept buffer + added g.
template <class T>
struct SgdNumbers {
  T sign, rate, decay, kept, added, look_ahead, follow;

  explicit SgdNumbers(const SgdStepParams& p) {
    sign = static_cast<T>(p.maximize ? -1 : 1);
    rate = static_cast<T>(p.learning_rate);
    decay = static_cast<T>(p.weight_decay);
    kept = static_cast<T>(p.momentum);
    added = static_cast<T>(1 - p.dampening);
    look_ahead = static_cast<T>(p.nesterov ? 1 : 0);
    follow = static_cast<T>(p.nesterov ? p.momentum : 1);
  }
};

template <class T>
void descend(const SgdNumbers<T> c, const T* param, const T* grad, T* new_param, int64_t n) {
  FLUXION_INDEPENDENT
  for (int64_t i = 0; i < n; ++i)
    new_param[i] = param[i] - c.rate * (c.sign * grad[i] + c.decay * param[i]);
}

// kFirst: the buffer holds nothing yet and becomes g; momentum is not applied and nothing is damped.
template <class T, bool kFirst>
void descend_with(const SgdNumbers<T> c, const T* param, const T* grad, const T* buffer,
                  T* new_param, T* new_buffer, int64_t n) {
  FLUXION_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const T p = param[i], g = c.sign * grad[i] + c.decay * p;
    const T b = kFirst ? g : c.kept * buffer[i] + c.added * g;
    new_buffer[i] = b;
    new_param[i] = p - c.rate * (c.look_ahead * g + c.follow * b);
  }
}

struct SgdStep {
  const Kernel& k;
  int64_t item, items;
  bool first;
  SgdNumbers<float> single;
  SgdNumbers<double> twice;

  SgdStep(const SgdStepParams& p, const Kernel& kernel)
      : k(kernel),
        item(p.item()),
        items(kernel.n_inputs / (2 * item - 1)),
        first(p.first),
        single(p),
        twice(p) {}

  int64_t count() const { return items; }
  int64_t stride() const { return item; }

  template <class T>
  void run(const SgdNumbers<T>& numbers, int64_t i, int64_t begin, int64_t n) const {
    const int64_t from = i * item, to = items * item + i * (item - 1);
    const T *param = source<T>(k, from, begin), *grad = source<T>(k, from + 1, begin);
    T* new_param = destination<T>(k, to, begin);
    if (item == 2) return descend<T>(numbers, param, grad, new_param, n);
    const T* buffer = source<T>(k, from + 2, begin);
    T* new_buffer = destination<T>(k, to + 1, begin);
    if (first) return descend_with<T, true>(numbers, param, grad, buffer, new_param, new_buffer, n);
    descend_with<T, false>(numbers, param, grad, buffer, new_param, new_buffer, n);
  }

  void piece(int64_t i, int64_t begin, int64_t end) const {
    if (k.in(static_cast<int>(i * item)).dtype == DType::f64) {
      run(twice, i, begin, end - begin);
    } else {
      run(single, i, begin, end - begin);
    }
  }
};

template <class Step>
void run_step(const Step& step) {
  const TensorRow row(step.k, static_cast<int>(step.count()), static_cast<int>(step.stride()),
                      step.k.template workspace<int64_t>());
  step.k.parallel_for(row.blocks(), [&](int64_t block, int) { row.visit(block, step); });
}

}  // namespace

void k_adam_step(const AdamStepParams& p, const Kernel& k) { run_step(AdamStep(p, k)); }
void k_sgd_step(const SgdStepParams& p, const Kernel& k) { run_step(SgdStep(p, k)); }

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
