// Cross entropy of logits z[N, C, S] with labels t[N, S] and label smoothing e, as one fused kernel:
//
//   loss = log sum_c exp(z_c) - (1 - e) z_t - e/C sum_c z_c
//   gz_c = g (softmax(z)_c - (1 - e) [c = t] - e/C)
//
// The largest logit is subtracted before exp. Parallel over chunks of positions: where the positions are
// contiguous (S > 1) they are the vector axis, otherwise (S = 1) the classes are. A label outside of
// [0, C) gives NaN and a fault; nothing is read through it. (Szegedy et al., arXiv:1512.00567.)
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/rounding.h"
#include "cpu/kernel.h"
#include "ops/classification.h"

#define FLUXION_KERNELS "cpu/classification.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/vector_math.h"

namespace fluxion::cpu::FLUXION_TARGET {

constexpr int kPositions = 128;  // positions of a chunk: their maxima and sums stay in L1

// The classes of `count` positions: logit (class, position) = z[class * class_stride + position * stride].
template <class T>
struct Positions {
  const T* z;
  int64_t classes, class_stride, stride;
  int count;
};

template <class T>
struct Softmax {
  T largest[kPositions], sum[kPositions],
      total[kPositions];  // sum of exp(z - largest), of z - largest
};

template <class T>
static void contiguous_positions(const Positions<T>& p, Softmax<T>& s) {
  for (int i = 0; i < p.count; ++i) {
    s.largest[i] = -std::numeric_limits<T>::infinity();
    s.sum[i] = s.total[i] = T{};
  }
  for (int64_t c = 0; c < p.classes; ++c) {
    const T* z = p.z + c * p.class_stride;
    for (int i = 0; i < p.count; ++i) s.largest[i] = z[i] > s.largest[i] ? z[i] : s.largest[i];
  }
  for (int64_t c = 0; c < p.classes; ++c) {
    const T* z = p.z + c * p.class_stride;
    for (int i = 0; i < p.count; ++i) {
      s.sum[i] += vexp(z[i] - s.largest[i]);
      s.total[i] += z[i] - s.largest[i];
    }
  }
}

template <class T>
static void contiguous_classes(const Positions<T>& p, Softmax<T>& s) {
  constexpr int w = 32;  // partial sums, added in a fixed order
  for (int i = 0; i < p.count; ++i) {
    const T* z = p.z + i * p.stride;
    T largest = -std::numeric_limits<T>::infinity();
    T sum[w] = {}, total[w] = {};
    for (int64_t c = 0; c < p.classes; ++c) largest = z[c] > largest ? z[c] : largest;
    for (int64_t c = 0; c < p.classes; c += w) {
      const int n = static_cast<int>(std::min<int64_t>(w, p.classes - c));
      for (int l = 0; l < n; ++l) {
        sum[l] += vexp(z[c + l] - largest);
        total[l] += z[c + l] - largest;
      }
    }
    for (int half = w / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) {
        sum[l] += sum[l + half];
        total[l] += total[l + half];
      }
    }
    s.largest[i] = largest, s.sum[i] = sum[0], s.total[i] = total[0];
  }
}

// Calls f(positions, softmax, first position) for every chunk.
template <class T, class F>
static void for_positions(const Kernel& kernel, const TensorView& logits, const F& f) {
  const Shape& shape = logits.shape;
  const int64_t classes = shape[1];
  int64_t size = 1;
  for (int i = 2; i < shape.ndim; ++i) size *= shape[i];
  const int64_t per_image = size == 1 ? 1 : ceil_div(size, kPositions);
  const int64_t blocks = size == 1 ? ceil_div(shape[0], kPositions) : shape[0] * per_image;
  if (size == 0 || classes == 0) return;
  kernel.parallel_for(blocks, [&](int64_t block, int) {
    Softmax<T> softmax;
    Positions<T> p{logits.as<T>(), classes, size, 1, 0};
    int64_t first;
    if (size == 1) {
      first = block * kPositions;
      p.z += first * classes;
      p.class_stride = 1, p.stride = classes;
      p.count = static_cast<int>(std::min<int64_t>(kPositions, shape[0] - first));
      contiguous_classes(p, softmax);
    } else {
      const int64_t image = block / per_image, begin = block % per_image * kPositions;
      first = image * size + begin;
      p.z += image * classes * size + begin;
      p.count = static_cast<int>(std::min<int64_t>(kPositions, size - begin));
      contiguous_positions(p, softmax);
    }
    f(p, softmax, first);
  });
}

static int64_t label_at(const TensorView& target, int64_t i) {
  return target.dtype == DType::u8 ? target.as<uint8_t>()[i] : target.as<int32_t>()[i];
}

static bool valid_label(const Kernel& kernel, int64_t label, int64_t classes) {
  if (label >= 0 && label < classes) return true;
  kernel.fault(ErrorCode::InvalidArgument, "target must be in [0, %lld), got %lld",
               static_cast<long long>(classes), static_cast<long long>(label));
  return false;
}

template <class T>
static void cross_entropy(const CrossEntropyParams& params, const Kernel& kernel) {
  T* loss = kernel.out(0).as<T>();
  const T smoothing = static_cast<T>(params.labelSmoothing);
  // Without classes no label is valid.
  if (kernel.in(0).shape[1] == 0)
    std::fill_n(loss, kernel.out(0).size(), std::numeric_limits<T>::quiet_NaN());
  for_positions<T>(
      kernel, kernel.in(0), [&](const Positions<T>& p, const Softmax<T>& s, int64_t first) {
        for (int i = 0; i < p.count; ++i) {
          const int64_t label = label_at(kernel.in(1), first + i);
          if (!valid_label(kernel, label, p.classes)) {
            loss[first + i] = std::numeric_limits<T>::quiet_NaN();
            continue;
          }
          const T log_sum = std::log(s.sum[i]),
                  z = p.z[label * p.class_stride + i * p.stride] - s.largest[i];
          T value = log_sum - z;
          if (smoothing != 0) {  // without it, infinite logits of other classes must not count
            const T mean = s.total[i] / static_cast<T>(p.classes);
            value = (T(1) - smoothing) * value + smoothing * (log_sum - mean);
          }
          loss[first + i] = value;
        }
      });
}

template <class T>
static void cross_entropy_vjp(const CrossEntropyParams& params, const Kernel& kernel) {
  const T* g = kernel.in(0).as<T>();
  const TensorView& logits = kernel.in(1);
  T* gz = kernel.out(0).as<T>();
  const T smoothing = static_cast<T>(params.labelSmoothing);
  for_positions<T>(kernel, logits, [&](const Positions<T>& p, Softmax<T>& s, int64_t first) {
    T* to = gz + (p.z - logits.as<T>());
    const T share = smoothing / static_cast<T>(p.classes);
    T scale[kPositions];
    int64_t labels[kPositions];
    for (int i = 0; i < p.count; ++i) {
      labels[i] = label_at(kernel.in(2), first + i);
      const bool valid = valid_label(kernel, labels[i], p.classes);
      scale[i] = valid ? g[first + i] : std::numeric_limits<T>::quiet_NaN();
      s.sum[i] = T(1) / s.sum[i];
    }
    if (p.stride == 1) {
      for (int64_t c = 0; c < p.classes; ++c) {
        const T* z = p.z + c * p.class_stride;
        T* row = to + c * p.class_stride;
        for (int i = 0; i < p.count; ++i)
          row[i] = scale[i] * (vexp(z[i] - s.largest[i]) * s.sum[i] - share);
      }
    } else {
      for (int i = 0; i < p.count; ++i) {
        const T *z = p.z + i * p.stride, factor = scale[i], largest = s.largest[i],
                inverse = s.sum[i];
        T* row = to + i * p.stride;
        for (int64_t c = 0; c < p.classes; ++c)
          row[c] = factor * (vexp(z[c] - largest) * inverse - share);
      }
    }
    for (int i = 0; i < p.count; ++i) {
      if (labels[i] < 0 || labels[i] >= p.classes) continue;
      to[labels[i] * p.class_stride + i * p.stride] -= scale[i] * (T(1) - smoothing);
    }
  });
}

void k_cross_entropy(const CrossEntropyParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(0).dtype,
                    [&](auto tag) { cross_entropy<typename decltype(tag)::type>(params, kernel); });
}

void k_cross_entropy_vjp(const CrossEntropyParams& params, const Kernel& kernel) {
  dispatch_floating(kernel.in(1).dtype, [&](auto tag) {
    cross_entropy_vjp<typename decltype(tag)::type>(params, kernel);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
