// One step of Adam, AdamW or SGD on one parameter tensor, with PyTorch's formulas, in a single pass:
//   Adam   g += wd p (or p *= 1 - lr wd, decoupled);  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//          p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   SGD    g += wd p;  buffer = mu buffer + (1 - dampening) g (g at first);  p -= lr (buffer, or g + mu buffer)
// All arrays contiguous; blocks of kElementsPerBlock. References: Kingma & Ba 2015; Loshchilov & Hutter
// 2019; Sutskever et al. 2013.
#include <cstdint>

#include "cpu/kernel.h"
#include "ops/elementwise.h"

#define FLUXION_KERNELS "cpu/optimizer_step.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
struct Adam {
  T keep, coupled, beta1, rest1, beta2, rest2, step_size, correction2, eps;

  explicit Adam(const AdamStepParams& p) {
    const double t = static_cast<double>(p.step);
    keep = static_cast<T>(p.decoupled ? 1 - p.learning_rate * p.weight_decay : 1);
    coupled = static_cast<T>(p.decoupled ? 0 : p.weight_decay);
    beta1 = static_cast<T>(p.beta1);
    rest1 = static_cast<T>(1 - p.beta1);
    beta2 = static_cast<T>(p.beta2);
    rest2 = static_cast<T>(1 - p.beta2);
    step_size = static_cast<T>(p.learning_rate / (1 - std::pow(p.beta1, t)));
    correction2 = static_cast<T>(1 / std::sqrt(1 - std::pow(p.beta2, t)));
    eps = static_cast<T>(p.eps);
  }

  void run(const Kernel& k, int64_t begin, int64_t end) const {
    const T* __restrict param = k.in(0).as<T>(), * __restrict grad = k.in(1).as<T>();
    const T* __restrict m = k.in(2).as<T>(), * __restrict v = k.in(3).as<T>();
    T *__restrict new_param = k.out(0).as<T>(), *__restrict new_m = k.out(1).as<T>(),
      *__restrict new_v = k.out(2).as<T>();
    for (int64_t i = begin; i < end; ++i) {
      const T g = grad[i] + coupled * param[i];
      const T mi = beta1 * m[i] + rest1 * g;
      const T vi = beta2 * v[i] + rest2 * g * g;
      new_m[i] = mi;
      new_v[i] = vi;
      new_param[i] = keep * param[i] - step_size * mi / (std::sqrt(vi) * correction2 + eps);
    }
  }
};

template <class T>
struct Sgd {
  T rate, momentum, undamped, decay, look_ahead;  // the update is look_ahead g + follow buffer
  T follow;
  bool first, has_buffer;

  explicit Sgd(const SgdStepParams& p) {
    rate = static_cast<T>(p.learning_rate);
    momentum = static_cast<T>(p.momentum);
    undamped = static_cast<T>(1 - p.dampening);
    decay = static_cast<T>(p.weight_decay);
    has_buffer = p.momentum > 0;
    first = p.first;
    look_ahead = static_cast<T>(p.nesterov || !has_buffer ? 1 : 0);
    follow = static_cast<T>(!has_buffer ? 0 : p.nesterov ? p.momentum : 1);
  }

  void run(const Kernel& k, int64_t begin, int64_t end) const {
    const T* __restrict param = k.in(0).as<T>(), * __restrict grad = k.in(1).as<T>();
    T* __restrict new_param = k.out(0).as<T>();
    T* __restrict new_buffer = k.out(1).as<T>();
    if (!has_buffer) {
      for (int64_t i = begin; i < end; ++i)
        new_param[i] = param[i] - rate * (grad[i] + decay * param[i]);
      if (new_buffer) std::fill(new_buffer + begin, new_buffer + end, T(0));
      return;
    }
    const T* __restrict buffer = first ? grad : k.in(2).as<T>();
    // At the first step the buffer becomes g: momentum is not applied and nothing is damped.
    const T kept = first ? T(0) : momentum, added = first ? T(1) : undamped;
    for (int64_t i = begin; i < end; ++i) {
      const T g = grad[i] + decay * param[i];
      const T b = kept * buffer[i] + added * g;
      if (new_buffer) new_buffer[i] = b;
      new_param[i] = param[i] - rate * (look_ahead * g + follow * b);
    }
  }
};

template <template <class> class Step, class Params>
void run_steps(const Params& p, const Kernel& k) {
  const int64_t n = k.in(0).size();
  dispatch_floating(k.in(0).dtype, [&](auto tag) {
    const Step<typename decltype(tag)::type> step(p);
    k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
      step.run(k, block * kElementsPerBlock, std::min(n, (block + 1) * kElementsPerBlock));
    });
  });
}

}  // namespace

void k_adam_step(const AdamStepParams& p, const Kernel& k) { run_steps<Adam>(p, k); }
void k_sgd_step(const SgdStepParams& p, const Kernel& k) { run_steps<Sgd>(p, k); }

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
