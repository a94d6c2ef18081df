// The maximum of a line and the sum of exponentials of what its elements lie below it.
#pragma once

#include <cmath>
#include <limits>

#include "line.cuh"
#include "moments.cuh"

namespace fluxion::cuda {

template <class T>
struct ExpSum {
  double sum;  // of e^(x - top)
  T top;
};

// Sums of two parts of a line, brought to the larger maximum. An equal maximum needs no factor, so that
// infinite ones keep their counts.
struct MergeExpSums {
  template <class T>
  __device__ __forceinline__ ExpSum<T> operator()(const ExpSum<T>& a, const ExpSum<T>& b) const {
    if (a.top == b.top) return {a.sum + b.sum, a.top};
    const bool first = a.top > b.top;
    const ExpSum<T> high = first ? a : b, low = first ? b : a;
    return {high.sum + low.sum * static_cast<double>(std::exp(low.top - high.top)), high.top};
  }
};

template <class T>
struct ExpSumMemory {
  Shared<T> tops;
  Shared<double> sums;
};

// Of a near line; v becomes the exponentials. With kCounts, elements that equal an infinite maximum count one
// each; without, they make the sum NaN. A NaN always does.
template <bool kCounts, int kCount, class T>
__device__ __forceinline__ ExpSum<T> near_exp_sum(T (&v)[kCount], const LineSpace& s,
                                                  const ExpSumMemory<T>& memory) {
  T top = -std::numeric_limits<T>::infinity();
#pragma unroll
  for (int e = 0; e < kCount; ++e) top = v[e] > top ? v[e] : top;
  top = line_reduce(top, s, Largest{}, memory.tops);
#pragma unroll
  for (int e = 0; e < kCount; ++e) {
    v[e] = kCounts && v[e] == top ? T(1) : std::exp(v[e] - top);
  }
  return {line_reduce(static_cast<double>(tree_sum(v)), s, Sum{}, memory.sums), top};
}

// Of a far line in one pass.
template <bool kCounts, class T>
__device__ __forceinline__ ExpSum<T> far_exp_sum(const T* x, const LineSpace& s,
                                                 const LineThread& t,
                                                 const Shared<ExpSum<T>>& shared) {
  ExpSum<T> own{0, -std::numeric_limits<T>::infinity()};
  if (t.active) {
#pragma unroll 4
    for (int64_t i = t.member; i < s.n; i += s.team) {
      const T v = x[t.first + i * s.inner];
      if (v > own.top) {
        own.sum = own.sum * static_cast<double>(std::exp(own.top - v)) + 1.0;
        own.top = v;
      } else {
        own.sum += v == own.top ? 1.0 : static_cast<double>(std::exp(v - own.top));
      }
    }
  }
  own = line_reduce(own, s, MergeExpSums{}, shared);
  if (!kCounts && std::fabs(own.top) > std::numeric_limits<T>::max()) {
    own.sum = std::numeric_limits<double>::quiet_NaN();
  }
  return own;
}

}  // namespace fluxion::cuda
