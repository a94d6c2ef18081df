// Losses of one element each, reduced in the same pass, and their adjoints. With d = x - t:
//
//   squared d^2;  absolute |d|;  smoothL1 d^2 / (2 b) below b, |d| - b/2 above;
//   huber d^2 / 2 up to h, h (|d| - h/2) above;
//   bceWithLogits w ((1 - t) x + (1 + (p - 1) t) log(1 + e^-x))
//
// Layout: inputs are any strided views that broadcast (strided.h), read in chunks that stay in L1. Parallel:
// blocks of elements; a sum of a block is in double, of which four terms are added as floats first, and the
// blocks are added in order.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "cpu/kernel.h"
#include "ops/loss.h"

#define FLUXION_KERNELS "cpu/loss.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/strided.h"
#include "cpu/vector_math.h"
#include "cpu/wide_sum.h"
#include "cpu/write_out.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kChunk = 1024;

template <class T>
T sign_of(T d) {
  return d > T(0) ? T(1) : d < T(0) ? T(-1) : d;
}

// A loss of a difference and its derivative.
template <class T>
struct Squared {
  T value(T d) const { return d * d; }
  T slope(T d) const { return d + d; }
};
template <class T>
struct Absolute {
  T value(T d) const { return std::fabs(d); }
  T slope(T d) const { return sign_of(d); }
};
template <class T>
struct SmoothL1 {
  T width, half_inverse, inverse;
  T value(T d) const {
    const T a = std::fabs(d);
    return a < width ? d * d * half_inverse : a - T(0.5) * width;
  }
  T slope(T d) const { return std::fabs(d) < width ? d * inverse : sign_of(d); }
};
template <class T>
struct Huber {
  T width;
  T value(T d) const {
    const T a = std::fabs(d);
    return a <= width ? T(0.5) * d * d : width * (a - T(0.5) * width);
  }
  T slope(T d) const { return std::fabs(d) <= width ? d : width * sign_of(d); }
};

template <class F, class T>
void values(const F f, const T* __restrict x, const T* __restrict t, T* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = f.value(x[i] - t[i]);
}
template <class F, class T>
void slopes(const F f, const T* __restrict x, const T* __restrict t, T* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = f.slope(x[i] - t[i]);
}

// posWeight is 1 where it is not given.
template <class T>
void bce_values(const T* __restrict x, const T* __restrict t, const T* __restrict p,
                T* __restrict out, int64_t n) {
  if (p) {
    for (int64_t i = 0; i < n; ++i)
      out[i] = (T(1) - t[i]) * x[i] + (T(1) + (p[i] - T(1)) * t[i]) * vsoftplus(-x[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = (T(1) - t[i]) * x[i] + vsoftplus(-x[i]);
  }
}
template <class T>
void bce_slopes(const T* __restrict x, const T* __restrict t, const T* __restrict p,
                T* __restrict out, int64_t n) {
  if (p) {
    for (int64_t i = 0; i < n; ++i)
      out[i] = (T(1) - t[i]) - (T(1) + (p[i] - T(1)) * t[i]) * vsigmoid(-x[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = vsigmoid(x[i]) - t[i];
  }
}
template <class T>
void bce_target_slopes(const T* __restrict x, const T* __restrict p, T* __restrict out, int64_t n) {
  if (p) {
    for (int64_t i = 0; i < n; ++i) out[i] = (p[i] - T(1)) * vsoftplus(-x[i]) - x[i];
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = -x[i];
  }
}

template <class T>
void multiply(T* __restrict out, const T* __restrict by, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] *= by[i];
}
template <class T>
void scale_by(T* __restrict out, T by, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] *= by;
}

template <class T>
double sum_of(const T* x, int64_t n) {
  constexpr int w = kLanes<T>;
  WideSum<T> sum;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w)
    sum.add((load(x + i) + load(x + i + w)) + (load(x + i + 2 * w) + load(x + i + 3 * w)));
  for (; i < n; i += w) sum.add(load_partial(x + i, static_cast<int>(std::min<int64_t>(w, n - i))));
  return sum.total();
}

// One chunk of the inputs x, target, weight, posWeight.
template <class T>
struct LossChunk {
  const T* in[4];
  int64_t n;

  template <class F>
  void apply(const F& f, bool slope, T* out) const {
    slope ? slopes(f, in[0], in[1], out, n) : values(f, in[0], in[1], out, n);
  }
  void run(const ElementLossParams& p, bool slope, T* out) const {
    const T width = static_cast<T>(p.width);
    switch (p.kind) {
      case LossKind::squared:
        apply(Squared<T>{}, slope, out);
        break;
      case LossKind::absolute:
        apply(Absolute<T>{}, slope, out);
        break;
      case LossKind::smooth_l1:
        apply(SmoothL1<T>{width, T(0.5) / width, T(1) / width}, slope, out);
        break;
      case LossKind::huber:
        apply(Huber<T>{width}, slope, out);
        break;
      case LossKind::bce_with_logits:
        slope ? bce_slopes(in[0], in[1], in[3], out, n) : bce_values(in[0], in[1], in[3], out, n);
        break;
    }
    if (in[2]) multiply(out, in[2], n);
  }
};

template <class T>
struct LossInputs {
  Operand operands[4];
  bool present[4];

  LossInputs(const Kernel& k, int first, const Shape& shape) {
    for (int i = 0; i < 4; ++i) {
      present[i] = k.in(first + i).present;
      if (present[i]) operands[i] = Operand(k.in(first + i), shape);
    }
  }
  LossChunk<T> read(int64_t begin, int64_t n, T (&buffers)[4][kChunk]) const {
    LossChunk<T> chunk{{}, n};
    for (int i = 0; i < 4; ++i)
      if (present[i]) chunk.in[i] = static_cast<const T*>(operands[i].read(begin, n, buffers[i]));
    return chunk;
  }
};

Shape broadcast_shape(const Shape& a, const Shape& b) {
  const int ndim = std::max(a.ndim, b.ndim);
  Shape shape;
  for (int d = 0; d < ndim; ++d) {
    const int i = d - ndim + a.ndim, j = d - ndim + b.ndim;
    const int64_t m = i < 0 ? 1 : a[i], n = j < 0 ? 1 : b[j];
    shape.push(m == 1 ? n : m);
  }
  return shape;
}

template <class T>
double block_loss(const ElementLossParams& params, const LossInputs<T>& inputs, int64_t begin,
                  int64_t end, T* out, bool streams) {
  alignas(64) T buffers[4][kChunk];
  alignas(64) T result[kChunk];
  double sum = 0;
  for (int64_t at = begin; at < end; at += kChunk) {
    const LossChunk<T> chunk = inputs.read(at, std::min(kChunk, end - at), buffers);
    chunk.run(params, false, result);
    if (out) {
      write_out(out + at, chunk.n, streams, Copied<T>{result});
    } else {
      sum += sum_of(result, chunk.n);
    }
  }
  if (streams) stream_fence();
  return sum;
}

template <class T>
void element_loss(const ElementLossParams& params, const Kernel& k) {
  const Shape shape = broadcast_shape(k.in(0).shape, k.in(1).shape);
  const int64_t n = shape.size();
  const LossInputs<T> inputs(k, 0, shape);
  T* const out = k.out(0).as<T>();
  const bool reduced = params.reduction != LossReduction::none;
  const bool streams = !reduced && streams_to(out, n);
  double* const partial = k.workspace<double>();
  k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
    const int64_t begin = block * kElementsPerBlock;
    partial[block] = block_loss(params, inputs, begin, std::min(n, begin + kElementsPerBlock),
                                reduced ? nullptr : out, streams);
  });
  if (!reduced) return;
  double sum = 0;
  for (int64_t b = 0; b < blocks_of(n, kElementsPerBlock); ++b) sum += partial[b];
  *out =
      static_cast<T>(params.reduction == LossReduction::mean ? sum / static_cast<double>(n) : sum);
}

template <class T>
struct LossGradient {
  const ElementLossParams& params;
  LossInputs<T> inputs;
  Operand cotangent;
  bool each;  // a cotangent for each element
  T scale;    // else one for all
  T *gx, *gt;
  bool streams;

  void operator()(int64_t begin, int64_t end) const {
    alignas(64) T buffers[4][kChunk];
    alignas(64) T slope[kChunk], other[kChunk];
    for (int64_t at = begin; at < end; at += kChunk) {
      const LossChunk<T> chunk = inputs.read(at, std::min(kChunk, end - at), buffers);
      const int64_t n = chunk.n;
      const T* g = each ? static_cast<const T*>(cotangent.read(at, n, other)) : nullptr;
      if (gx || params.kind != LossKind::bce_with_logits) {
        chunk.run(params, true, slope);
        finish(slope, g, n);
        if (gx) write_out(gx + at, n, streams, Copied<T>{slope});
      }
      if (!gt) continue;
      if (params.kind == LossKind::bce_with_logits) {
        bce_target_slopes(chunk.in[0], chunk.in[3], slope, n);
        if (chunk.in[2]) multiply(slope, chunk.in[2], n);
        finish(slope, g, n);
      } else {
        scale_by(slope, T(-1), n);
      }
      write_out(gt + at, n, streams, Copied<T>{slope});
    }
    if (streams) stream_fence();
  }
  void finish(T* values, const T* g, int64_t n) const {
    g ? multiply(values, g, n) : scale_by(values, scale, n);
  }
};

template <class T>
void element_loss_vjp(const ElementLossParams& params, const Kernel& k) {
  const Shape shape = broadcast_shape(k.in(1).shape, k.in(2).shape);
  const int64_t n = shape.size();
  if (n == 0) return;
  const bool each = params.reduction == LossReduction::none;
  T *gx = k.out(0).as<T>(), *gt = k.out(1).as<T>();
  const double g = each ? 1.0 : static_cast<double>(*k.in(0).as<T>());
  const double count = params.reduction == LossReduction::mean ? static_cast<double>(n) : 1.0;
  const LossGradient<T> gradient{
      params, LossInputs<T>(k, 1, shape), each ? Operand(k.in(0), shape) : Operand(),
      each,   static_cast<T>(g / count),  gx,
      gt,     streams_to(gx ? gx : gt, n)};
  k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
    const int64_t begin = block * kElementsPerBlock;
    gradient(begin, std::min(n, begin + kElementsPerBlock));
  });
}

}  // namespace

void k_element_loss(const ElementLossParams& params, const Kernel& k) {
  dispatch_floating(k.in(0).dtype,
                    [&](auto tag) { element_loss<typename decltype(tag)::type>(params, k); });
}

void k_element_loss_vjp(const ElementLossParams& params, const Kernel& k) {
  dispatch_floating(k.in(1).dtype,
                    [&](auto tag) { element_loss_vjp<typename decltype(tag)::type>(params, k); });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
