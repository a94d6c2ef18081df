// The common p-norm of many gradients, and the gradients scaled so that it is at most maxNorm:
//   norm = (sum |g|^p)^(1/p),   g *= min(1, maxNorm / (norm + 1e-6))
// Layout: contiguous tensors; destinations as in ops/optimizer.h. Parallel: blocks of the row of all tensors
// (tensor_row.h), a partial sum in float64 each, added in their order. The pass that scales is left out where
// the factor is 1. Source of the formula: torch.nn.utils.clip_grad_norm_.
#include <cstdint>

#include "cpu/kernel.h"
#include "ops/optimizer.h"

#define FLUXION_KERNELS "cpu/gradient_norm.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/tensor_row.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

enum class Power { one, two, largest, any };

Power power_of(double p) {
  return p == 1 ? Power::one : p == 2 ? Power::two : std::isinf(p) ? Power::largest : Power::any;
}

// A NaN stays.
inline double larger(double a, double b) { return a > b || a != a ? a : b; }

template <Power kPower>
inline __attribute__((always_inline)) double step_of(double sum, double magnitude, double p) {
  if constexpr (kPower == Power::one) return sum + magnitude;
  if constexpr (kPower == Power::two) return sum + magnitude * magnitude;
  if constexpr (kPower == Power::largest) return larger(sum, magnitude);
  return sum + std::pow(magnitude, p);
}

// Independent chains of additions, so that their latency does not bound the pass.
constexpr int kChains = 32;

template <Power kPower, class T>
double power_sum(const T* x, int64_t n, double p) {
  double chains[kChains] = {};
  int64_t i = 0;
  for (; i + kChains <= n; i += kChains)
    for (int j = 0; j < kChains; ++j)
      chains[j] = step_of<kPower>(chains[j], std::fabs(static_cast<double>(x[i + j])), p);
  for (int j = 0; i + j < n; ++j)
    chains[j] = step_of<kPower>(chains[j], std::fabs(static_cast<double>(x[i + j])), p);
  double total = 0;
  for (int j = 0; j < kChains; ++j)
    total = kPower == Power::largest ? larger(total, chains[j]) : total + chains[j];
  return total;
}

template <Power kPower>
struct NormPass {
  const Kernel& k;
  double p;
  double sum = 0;

  void piece(int64_t item, int64_t begin, int64_t end) {
    const TensorView& grad = k.in(static_cast<int>(item));
    const double part = grad.dtype == DType::f64
                            ? power_sum<kPower>(grad.as<double>() + begin, end - begin, p)
                            : power_sum<kPower>(grad.as<float>() + begin, end - begin, p);
    sum = kPower == Power::largest ? larger(sum, part) : sum + part;
  }
};

template <Power kPower>
double norm_of(const Kernel& k, const TensorRow& row, double p, double* partial) {
  k.parallel_for(row.blocks(), [&](int64_t block, int) {
    NormPass<kPower> pass{k, p};
    row.visit(block, pass);
    partial[block] = pass.sum;
  });
  double sum = 0;
  for (int64_t block = 0; block < row.blocks(); ++block)
    sum = kPower == Power::largest ? larger(sum, partial[block]) : sum + partial[block];
  return kPower == Power::two ? std::sqrt(sum) : kPower == Power::any ? std::pow(sum, 1 / p) : sum;
}

template <class T>
void scale_loop(const T* from, T* to, T factor, int64_t n) {
  FLUXION_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) to[i] = from[i] * factor;
}

struct ScalePass {
  const Kernel& k;
  int items;
  double factor;

  void piece(int64_t item, int64_t begin, int64_t end) const {
    const TensorView &from = k.in(static_cast<int>(item)),
                     &to = k.in(items + static_cast<int>(item));
    if (factor == 1 && from.data == to.data) return;
    if (from.dtype == DType::f64) {
      scale_loop(from.as<double>() + begin, to.as<double>() + begin, factor, end - begin);
    } else {
      scale_loop(from.as<float>() + begin, to.as<float>() + begin, static_cast<float>(factor),
                 end - begin);
    }
  }
};

double norm_of(const ClipGradNormParams& p, const Kernel& k, const TensorRow& row,
               double* partial) {
  switch (power_of(p.norm_type)) {
    case Power::one:
      return norm_of<Power::one>(k, row, 1, partial);
    case Power::two:
      return norm_of<Power::two>(k, row, 2, partial);
    case Power::largest:
      return norm_of<Power::largest>(k, row, 0, partial);
    default:
      return norm_of<Power::any>(k, row, p.norm_type, partial);
  }
}

}  // namespace

void k_clip_grad_norm(const ClipGradNormParams& p, const Kernel& k) {
  const int items = k.n_inputs / 2;
  int64_t* ends = k.workspace<int64_t>();
  const TensorRow row(k, items, 1, ends);
  const double norm = norm_of(p, k, row, reinterpret_cast<double*>(ends + items));
  if (k.out(0).data) {
    if (k.out(0).dtype == DType::f64) {
      *k.out(0).as<double>() = norm;
    } else {
      *k.out(0).as<float>() = static_cast<float>(norm);
    }
  }
  double factor = p.max_norm / (norm + 1e-6);
  if (factor > 1) factor = 1;  // a NaN passes
  if (p.error_if_nonfinite && !std::isfinite(norm)) {
    k.fault(ErrorCode::InvalidArgument, "gradients must have a finite norm, got %g", norm);
    factor = 1;
  }
  // Backwards through what the first pass has left in the caches.
  const ScalePass pass{k, items, factor};
  k.parallel_for_turning(row.blocks(), [&](int64_t block, int) { row.visit(block, pass); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
