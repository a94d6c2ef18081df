// Cross entropy of logits z[N, C, S] with labels t[N, S], class weights w and label smoothing e, reduced over
// the positions in the same pass:
//
//   loss_i = (1 - e) w_t (lse - z_t) + e/C sum_c w_c (lse - z_c),   lse = log sum_c exp(z_c)
//   gz_c = g_i (softmax(z)_c ((1 - e) w_t + e/C sum w) - (1 - e) w_t [c = t] - e/C w_c)
//
// and the negative log likelihood -w_t z_t of log probabilities. The mean is over the weights w_t. Forward
// keeps the largest logit and the sum of exponentials of each position, so that backward is one pass.
// Parallel over blocks of positions (ops/classification.h): where positions are contiguous (S > 1) they are
// the vector axis, otherwise (S = 1) the classes are. Sums of losses are in double, block by block. A label
// outside of [0, C) gives NaN and a fault; nothing is read through it. (Szegedy et al., arXiv:1512.00567.)
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/classification.h"

#define FLUXION_KERNELS "cpu/classification.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/vector_math.h"
#include "cpu/wide_sum.h"
#include "cpu/write_out.h"
#include "cpu/softmax_row.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kPositions = kEntropyPositions;
constexpr int64_t kNearClasses = 4096;  // of a row that is finished in L1 before it goes to memory

enum class Label { valid, ignored, wrong };

template <class T>
struct Entropy {
  const Kernel& kernel;
  const CrossEntropyParams& params;
  EntropyBlocks blocks;
  const T *z, *weight;
  const TensorView& target;
  double all_weights;  // sum of the class weights

  Entropy(const Kernel& k, const CrossEntropyParams& p, int first)
      : kernel(k),
        params(p),
        blocks(k.in(first).shape),
        z(k.in(first).as<T>()),
        weight(k.in(first + 2).present ? k.in(first + 2).as<T>() : nullptr),
        target(k.in(first + 1)),
        all_weights(static_cast<double>(blocks.classes)) {
    if (!weight) return;
    all_weights = 0;
    for (int64_t c = 0; c < blocks.classes; ++c) all_weights += static_cast<double>(weight[c]);
  }

  int64_t positions() const { return blocks.images * blocks.size; }
  int64_t label_at(int64_t i) const {
    return target.dtype == DType::u8 ? target.as<uint8_t>()[i] : target.as<int32_t>()[i];
  }
  Label check(int64_t label) const {
    if (label == params.ignoreIndex) return Label::ignored;
    if (label >= 0 && label < blocks.classes) return Label::valid;
    kernel.fault(ErrorCode::InvalidArgument, "target must be in [0, %lld), got %lld",
                 static_cast<long long>(blocks.classes), static_cast<long long>(label));
    return Label::wrong;
  }
  double weight_of(int64_t label) const {
    return weight ? static_cast<double>(weight[label]) : 1.0;
  }
};

// The positions of a block: logit (class, i) = z[class * class_stride + i * stride].
struct Positions {
  int64_t first, offset, class_stride, stride;
  int count;

  Positions(const EntropyBlocks& b, int64_t block) {
    if (b.size == 1) {
      first = block * b.rows;
      offset = first * b.classes;
      class_stride = 1, stride = b.classes;
      count = static_cast<int>(std::min(b.rows, b.images - first));
    } else {
      const int64_t image = block / b.per_image, begin = block % b.per_image * kPositions;
      first = image * b.size + begin;
      offset = image * b.classes * b.size + begin;
      class_stride = b.size, stride = 1;
      count = static_cast<int>(std::min<int64_t>(kPositions, b.size - begin));
    }
  }
};

template <class T>
struct Statistics {
  T largest[kPositions], sum[kPositions];  // sum of exp(z - largest)
  double total[kPositions];                // of w (z - largest); with smoothing only
};

template <class T>
void sums_of_columns(const T* z, int64_t classes, int64_t stride, int count, T* __restrict largest,
                     T* __restrict sum) {
  for (int i = 0; i < count; ++i) {
    largest[i] = -std::numeric_limits<T>::infinity();
    sum[i] = T{};
  }
  for (int64_t c = 0; c < classes; ++c) {
    const T* __restrict row = z + c * stride;
    for (int i = 0; i < count; ++i) largest[i] = row[i] > largest[i] ? row[i] : largest[i];
  }
  for (int64_t c = 0; c < classes; ++c) {
    const T* __restrict row = z + c * stride;
    for (int i = 0; i < count; ++i) sum[i] += vexp_down(row[i] - largest[i]);
  }
}

template <class T>
void prefetch_row(const T* row, int64_t n) {
  for (int64_t c = 0; c < n; c += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + c);
}

template <class T>
void statistics_of(const Entropy<T>& e, const Positions& p, Statistics<T>& s) {
  const T* z = e.z + p.offset;
  const int64_t classes = e.blocks.classes;
  if (p.stride == 1) {
    sums_of_columns(z, classes, p.class_stride, p.count, s.largest, s.sum);
  } else {
    for (int i = 0; i < p.count; ++i) {
      const T* const row = z + i * p.stride;
      s.largest[i] = max_of_row(row, classes);
      // The next row comes while the exponentials are summed.
      if (i + 1 < p.count) prefetch_row(row + p.stride, std::min(classes, kNearClasses));
      s.sum[i] = static_cast<T>(exp_sum_of_row<false, T>(row, classes, s.largest[i], nullptr));
    }
  }
  if (e.params.labelSmoothing == 0) return;
  for (int i = 0; i < p.count; ++i) {
    const T* at = z + i * p.stride;
    double total = 0;
    for (int64_t c = 0; c < classes; ++c)
      total += e.weight_of(c) * static_cast<double>(at[c * p.class_stride] - s.largest[i]);
    s.total[i] = total;
  }
}

// Losses of a block; a: their sum, b: their weight.
template <class T>
SumPair block_losses(const Entropy<T>& e, int64_t block, T* loss, T* statistics) {
  const Positions p(e.blocks, block);
  const double smoothing = e.params.labelSmoothing;
  const bool plain = e.params.logProbabilities;
  Statistics<T> s;
  if (!plain) statistics_of(e, p, s);
  SumPair sums;
  for (int i = 0; i < p.count; ++i) {
    const int64_t label = e.label_at(p.first + i);
    const Label kind = e.check(label);
    double value = 0, weight = 0;
    if (kind == Label::wrong) {
      value = std::numeric_limits<double>::quiet_NaN();
    } else if (kind == Label::valid) {
      weight = e.weight_of(label);
      const T z = e.z[p.offset + label * p.class_stride + i * p.stride];
      if (plain) {
        value = -weight * static_cast<double>(z);
      } else {
        const double log_sum = static_cast<double>(vlog(s.sum[i]));
        value = weight * (log_sum - static_cast<double>(z - s.largest[i]));
        if (smoothing != 0)  // without it, infinite logits of other classes must not count
          value = (1 - smoothing) * value + smoothing / static_cast<double>(e.blocks.classes) *
                                                (e.all_weights * log_sum - s.total[i]);
      }
    }
    if (loss) loss[p.first + i] = static_cast<T>(value);
    sums.a += value;
    sums.b += weight;
  }
  if (statistics && !plain) {
    std::copy(s.largest, s.largest + p.count, statistics + p.first);
    std::copy(s.sum, s.sum + p.count, statistics + e.positions() + p.first);
  }
  return sums;
}

template <class T>
void cross_entropy(const CrossEntropyParams& params, const Kernel& kernel) {
  const Entropy<T> e(kernel, params, 0);
  const bool reduced = params.reduction != LossReduction::none;
  T* const out = kernel.out(0).as<T>();
  T* const statistics = kernel.out(1).as<T>();
  SumPair* const partial = kernel.workspace<SumPair>();
  SumPair total;
  if (e.blocks.classes > 0 && e.blocks.size > 0) {
    kernel.parallel_for(e.blocks.count, [&](int64_t block, int) {
      partial[block] = block_losses(e, block, reduced ? nullptr : out, statistics);
    });
    for (int64_t b = 0; b < e.blocks.count; ++b) {
      total.a += partial[b].a;
      total.b += partial[b].b;
    }
  } else if (e.positions() > 0) {  // without classes no label is valid
    total.a = std::numeric_limits<double>::quiet_NaN();
    if (!reduced && out) std::fill_n(out, e.positions(), static_cast<T>(total.a));
  }
  if (reduced && out)
    *out = static_cast<T>(params.reduction == LossReduction::mean ? total.a / total.b : total.a);
  if (statistics) statistics[2 * e.positions()] = static_cast<T>(total.b);
}

// scale softmax(z)_c - share
template <class T>
struct EntropyGradient {
  const T* z;
  Vec<T> largest, scale, share;
  inline __attribute__((always_inline)) Vec<T> of(Vec<T> v) const {
    return scale * exp_down(v - largest) - share;
  }
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const { return of(load(z + i)); }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return of(load_partial(z + i, n));
  }
};

template <class T>
void gradients_of_columns(const T* z, int64_t classes, int64_t stride, int count,
                          const T* __restrict largest, const T* __restrict scale,
                          const T* __restrict share, T* gz) {
  for (int64_t c = 0; c < classes; ++c) {
    const T* __restrict row = z + c * stride;
    T* __restrict to = gz + c * stride;
    for (int i = 0; i < count; ++i) to[i] = scale[i] * vexp_down(row[i] - largest[i]) - share[i];
  }
}

template <class T>
void zero_block(const Entropy<T>& e, const Positions& p, T* to) {
  if (p.stride != 1) {
    std::fill_n(to, p.count * p.stride, T(0));
    return;
  }
  for (int64_t c = 0; c < e.blocks.classes; ++c)
    std::fill_n(to + c * p.class_stride, p.count, T(0));
}

template <class T>
void block_gradient(const Entropy<T>& e, int64_t block, const T* g, const T* statistics, T* gz,
                    bool streams) {
  const Positions p(e.blocks, block);
  const int64_t classes = e.blocks.classes;
  const double smoothing = e.params.labelSmoothing;
  const double spread = smoothing / static_cast<double>(classes);
  const bool plain = e.params.logProbabilities;
  const T *largest = statistics + p.first, *sum = largest + e.positions();
  const double mean = e.params.reduction == LossReduction::mean
                          ? static_cast<double>(statistics[2 * e.positions()])
                          : 1.0;
  T scale[kPositions], share[kPositions], at_label[kPositions];
  int64_t labels[kPositions];
  double factor[kPositions];
  for (int i = 0; i < p.count; ++i) {
    const int64_t label = e.label_at(p.first + i);
    const Label kind = e.check(label);
    labels[i] = kind == Label::valid ? label : -1;
    const double of_g =
        static_cast<double>(e.params.reduction == LossReduction::none ? g[p.first + i] : g[0]);
    factor[i] = kind == Label::valid     ? of_g / mean
                : kind == Label::ignored ? 0.0
                                         : std::numeric_limits<double>::quiet_NaN();
    const double own = kind == Label::valid ? (1 - smoothing) * e.weight_of(label) : 0.0;
    at_label[i] = static_cast<T>(factor[i] * own);
    share[i] = static_cast<T>(e.weight ? 0.0 : factor[i] * spread);
    if (!plain)
      scale[i] =
          static_cast<T>(factor[i] * (own + spread * e.all_weights) / static_cast<double>(sum[i]));
  }
  T* const to = gz + p.offset;
  const T* const z = e.z + p.offset;
  const auto finish = [&](T* row, int i, int64_t step) {
    // An ignored position has a zero gradient even where its logits are not finite.
    for (int64_t c = 0; factor[i] == 0 && !plain && c < classes; ++c) row[c * step] = T(0);
    for (int64_t c = 0; e.weight && smoothing != 0 && c < classes; ++c)
      row[c * step] -= static_cast<T>(factor[i] * spread * e.weight_of(c));
    if (labels[i] >= 0) row[labels[i] * step] -= at_label[i];
  };
  if (plain || p.stride == 1) {
    if (plain) {
      zero_block(e, p, to);
    } else {
      gradients_of_columns(z, classes, p.class_stride, p.count, largest, scale, share, to);
    }
    for (int i = 0; i < p.count; ++i) finish(to + i * p.stride, i, p.class_stride);
    return;
  }
  alignas(64) T near[kNearClasses];
  const bool around = streams && classes <= kNearClasses;
  for (int i = 0; i < p.count; ++i) {
    T* const row = around ? near : to + i * p.stride;
    write_out(row, classes, false,
              EntropyGradient<T>{z + i * p.stride, broadcast<T>(largest[i]), broadcast<T>(scale[i]),
                                 broadcast<T>(share[i])});
    finish(row, i, 1);
    if (around) write_out(to + i * p.stride, classes, true, Copied<T>{near});
  }
  if (around) stream_fence();
}

template <class T>
void cross_entropy_vjp(const CrossEntropyParams& params, const Kernel& kernel) {
  const Entropy<T> e(kernel, params, 1);
  if (kernel.out(0).size() == 0) return;
  const T *g = kernel.in(0).as<T>(), *statistics = kernel.in(4).as<T>();
  T* const gz = kernel.out(0).as<T>();
  const bool streams = streams_to(gz, kernel.out(0).size());
  kernel.parallel_for(e.blocks.count, [&](int64_t block, int) {
    block_gradient(e, block, g, statistics, gz, streams);
  });
}

}  // namespace

void k_cross_entropy(const CrossEntropyParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { cross_entropy<typename decltype(tag)::type>(params, kernel); });
}

void k_cross_entropy_vjp(const CrossEntropyParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(1).dtype, [&](auto tag) {
    cross_entropy_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

// Ops of their own, so that errors name them.
void k_nll_loss(const CrossEntropyParams& params, const Kernel& kernel) {
  k_cross_entropy(params, kernel);
}
void k_nll_loss_vjp(const CrossEntropyParams& params, const Kernel& kernel) {
  k_cross_entropy_vjp(params, kernel);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
