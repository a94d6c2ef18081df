// Sums of shifted values, of which mean and variance follow in one pass: with d = x - s,
//
//   mean = s + sum(d) / n,  variance = (sum(d^2) - sum(d)^2 / n) / n
//
// The shift is one of the values, so sum(d)^2 / n is at most n times the variance and little is lost to
// cancellation whatever the mean is (Chan, Golub & LeVeque, Am. Stat. 37, 1983). Packs add in their own type,
// packs in double.
#pragma once

#include "fold.cuh"

namespace fluxion::cuda {

struct SumPair {
  double a, b;
};

struct AddPairs {
  __device__ __forceinline__ SumPair operator()(const SumPair& x, const SumPair& y) const {
    return {x.a + y.a, x.b + y.b};
  }
};

// The sum of the first kCount numbers as a tree.
template <int kCount, class T>
__device__ __forceinline__ T tree_sum(const T (&x)[kCount]) {
  T sums[kCount];
#pragma unroll
  for (int j = 0; j < kCount; ++j) sums[j] = x[j];
#pragma unroll
  for (int half = kCount / 2; half > 0; half /= 2) {
#pragma unroll
    for (int j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

// A fold of sum(d) and sum(d^2), shifted by the first element of the output.
template <class T>
struct FoldMoments : FoldedArray<T> {
  using Acc = SumPair;
  using Context = T;
  static constexpr int kPack = FoldedArray<T>::kPack;

  __device__ Acc start() const { return {0, 0}; }
  __device__ T context(int64_t in, int64_t) const { return this->x[in]; }
  __device__ Acc add(Acc acc, T shift, T x, int64_t) const {
    const double d = static_cast<double>(x) - static_cast<double>(shift);
    return {acc.a + d, acc.b + d * d};
  }
  __device__ Acc add_pack(Acc acc, T shift, const Pack<T, kPack>& pack) const {
    T d[kPack], squares[kPack];
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      d[j] = pack.at[j] - shift;
      squares[j] = d[j] * d[j];
    }
    return {acc.a + static_cast<double>(tree_sum(d)), acc.b + static_cast<double>(tree_sum(squares))};
  }
  __device__ Acc merge(Acc x, Acc y) const { return AddPairs{}(x, y); }
};

struct Moments {
  double mean, variance;
};
__device__ __forceinline__ Moments moments_of(const SumPair& sums, double shift, double count) {
  const double shifted = sums.a / count, raw = sums.b / count - shifted * shifted;
  return {shift + shifted, raw < 0 ? 0.0 : raw};
}

}  // namespace fluxion::cuda
