// A step of Adam, AdamW or SGD on many parameter tensors, with PyTorch's formulas, in a single pass:
//   Adam   g += wd p (or p *= 1 - lr wd, decoupled);  m += (1 - b1) (g - m);  v = b2 v + (1 - b2) g^2
//          p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)      (amsgrad: the largest v so far)
//   SGD    g += wd p;  buffer = mu buffer + (1 - dampening) g (g at first);  p -= lr (buffer, or g + mu buffer)
// Decomposition: device/tensor_list.cuh, one launch for all tensors of a dtype. Bytes of float32 an element: Adam
// 28, with amsgrad 36, SGD 12, with momentum 20. References: Kingma & Ba 2015; Reddi et al. 2018;
// Loshchilov & Hutter 2019; Sutskever et al. 2013.
#include <cmath>

#include "ops/optimizer.h"
#include "tensor_list.h"

namespace fluxion::cuda {
namespace {

// from: param, grad, m, v, the largest v; to: param, m, v, the largest v.
template <class T, bool kAmsgrad>
struct Adam {
  static constexpr int kFrom = kAmsgrad ? 5 : 4, kTo = kAmsgrad ? 4 : 3;
  T sign, keep, coupled, rest1, beta2, rest2, step_size, correction2, eps;

  explicit Adam(const AdamStepParams& p) {
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
  __device__ bool idle(const ListedTensors&) const { return false; }
  __device__ void operator()(const T (&from)[kFrom], T (&to)[kTo]) const {
    const T p = from[0] * keep;
    const T g = sign * from[1] + coupled * p;
    const T m = from[2] + rest1 * (g - from[2]);
    const T v = beta2 * from[3] + rest2 * g * g;
    T second = v;
    if constexpr (kAmsgrad) {
      const T before = from[4];
      second = before > v || before != before ? before : v;
      to[3] = second;
    }
    to[0] = p - step_size * m / (std::sqrt(second) * correction2 + eps);
    to[1] = m;
    to[2] = v;
  }
};

enum class Momentum { none, begins, goes_on };

// from: param, grad, buffer; to: param, buffer. The update is look_ahead g + follow buffer; the buffer becomes
// kept buffer + added g, at the beginning g.
template <class T, Momentum kMomentum>
struct Sgd {
  static constexpr int kFrom = kMomentum == Momentum::goes_on ? 3 : 2;
  static constexpr int kTo = kMomentum == Momentum::none ? 1 : 2;
  T sign, rate, decay, kept, added, look_ahead, follow;

  explicit Sgd(const SgdStepParams& p) {
    sign = static_cast<T>(p.maximize ? -1 : 1);
    rate = static_cast<T>(p.learning_rate);
    decay = static_cast<T>(p.weight_decay);
    kept = static_cast<T>(p.momentum);
    added = static_cast<T>(1 - p.dampening);
    look_ahead = static_cast<T>(p.nesterov ? 1 : 0);
    follow = static_cast<T>(p.nesterov ? p.momentum : 1);
  }
  __device__ bool idle(const ListedTensors&) const { return false; }
  __device__ void operator()(const T (&from)[kFrom], T (&to)[kTo]) const {
    const T p = from[0], g = sign * from[1] + decay * p;
    if constexpr (kMomentum == Momentum::none) {
      to[0] = p - rate * g;
    } else {
      T buffer = g;
      if constexpr (kMomentum == Momentum::goes_on) buffer = kept * from[2] + added * g;
      to[0] = p - rate * (look_ahead * g + follow * buffer);
      to[1] = buffer;
    }
  }
};

template <class T, class Op>
void launch_update(const Kernel& call, const Op& op, const ListedTensors* list, int count,
                   int64_t blocks) {
  call.launch(update_tensors<T, Op>, {blocks, kStepThreads}, op, list, count, kStepElements);
}

}  // namespace

void k_adam_step(const AdamStepParams& p, const Kernel& call) {
  for_groups(UpdatedItems(call, p.item(), p.item() - 1),
             [&](auto tag, const ListedTensors* list, int count, int64_t blocks) {
               using T = typename decltype(tag)::type;
               if (p.amsgrad) return launch_update<T>(call, Adam<T, true>(p), list, count, blocks);
               launch_update<T>(call, Adam<T, false>(p), list, count, blocks);
             });
}

void k_sgd_step(const SgdStepParams& p, const Kernel& call) {
  for_groups(UpdatedItems(call, p.item(), p.item() - 1),
             [&](auto tag, const ListedTensors* list, int count, int64_t blocks) {
               using T = typename decltype(tag)::type;
               if (p.item() == 2)
                 return launch_update<T>(call, Sgd<T, Momentum::none>(p), list, count, blocks);
               if (p.first)
                 return launch_update<T>(call, Sgd<T, Momentum::begins>(p), list, count, blocks);
               launch_update<T>(call, Sgd<T, Momentum::goes_on>(p), list, count, blocks);
             });
}

}  // namespace fluxion::cuda
