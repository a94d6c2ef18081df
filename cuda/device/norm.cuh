// The passes of batch and group normalisation over x [planes, S], a plane being a channel of an image:
//
//   forward    y = act(p), p = (x - mean) scale + bias
//   backward   h = g act'(p);  sums of h and h (x - mean);  gx = k h + (slope (x - mean) + constant)
//
// The coefficients of a plane come from tables. Backward makes p again from x, so that neither p nor y has to be
// saved. Decomposition of the passes that write: a thread takes two packs of 16 bytes (single elements where
// planes are not made of aligned packs) and looks the plane up once for each. Bytes: 8 a float32 element
// forward, 12 backward.
#pragma once

#include "functions.cuh"
#include "moments.cuh"

namespace fluxion::cuda {

// The numbers of fluxion::Activation.
enum class NormActivation : int { none, relu, leaky_relu, elu, gelu, silu, softplus, tanh, sigmoid };

// v = act(v)
template <int kCount, class T>
__device__ __forceinline__ void activate(NormActivation kind, T (&v)[kCount]) {
  const auto each = [&](const auto& f) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) v[j] = f(v[j]);
  };
  switch (kind) {
    case NormActivation::none:
      return;
    case NormActivation::relu:
      return each([](T p) { return p < T(0) ? T(0) : p; });
    case NormActivation::leaky_relu:
      return each([](T p) { return p > T(0) ? p : p * T(0.01); });
    case NormActivation::elu:
      return each([](T p) { return p > T(0) ? p : std::expm1(p); });
    case NormActivation::gelu:
      return each([](T p) { return gelu(p); });
    case NormActivation::silu:
      return each([](T p) { return silu(p); });
    case NormActivation::softplus:
      return each([](T p) { return softplus(p); });
    case NormActivation::tanh:
      return each([](T p) { return std::tanh(p); });
    case NormActivation::sigmoid:
      return each([](T p) { return sigmoid(p); });
  }
}

// p = g act'(p)
template <int kCount, class T>
__device__ __forceinline__ void activate_vjp(NormActivation kind, const T (&g)[kCount],
                                             T (&p)[kCount]) {
  const auto each = [&](const auto& f) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) p[j] = f(g[j], p[j]);
  };
  switch (kind) {
    case NormActivation::none:
      return each([](T h, T) { return h; });
    case NormActivation::relu:
      return each([](T h, T v) { return v > T(0) ? h : T(0); });
    case NormActivation::leaky_relu:
      return each([](T h, T v) { return v > T(0) ? h : h * T(0.01); });
    case NormActivation::elu:
      return each([](T h, T v) { return v > T(0) ? h : h * std::exp(v); });
    case NormActivation::gelu:
      return each([](T h, T v) { return h * gelu_slope(v); });
    case NormActivation::silu:
      return each([](T h, T v) { return h * silu_slope(v); });
    case NormActivation::softplus:
      return each([](T h, T v) { return h * sigmoid(v); });
    case NormActivation::tanh:
      return each([](T h, T v) {
        const T y = std::tanh(v);
        return h * (T(1) - y * y);
      });
    case NormActivation::sigmoid:
      return each([](T h, T v) {
        const T y = sigmoid(v);
        return h * (T(1) - y) * y;
      });
  }
}

// Tables are read 16 bytes (float64: 32) at a time.
template <class T>
struct alignas(16) NormAffine {
  T mean, scale, bias;
};
template <class T>
struct alignas(16) NormGradient {
  T k, slope, constant;
};

// Sums of h (a) and h (x - mean) (b) of planes of which the affine map is that of the output.
template <class T>
struct FoldCotangents {
  static constexpr int kPack = FoldedArray<T>::kPack;
  struct Value {
    T g, x;
  };
  struct Values {
    Pack<T, kPack> g, x;
  };
  using Acc = SumPair;
  using Context = NormAffine<T>;
  const T *g, *x;
  const NormAffine<T>* affine;
  NormActivation activation;
  bool aligned;  // packs of g and x begin at the same places

  __device__ Value load(int64_t offset) const { return {g[offset], x[offset]}; }
  __device__ Values load_pack(int64_t offset) const {
    return {*reinterpret_cast<const Pack<T, kPack>*>(g + offset),
            *reinterpret_cast<const Pack<T, kPack>*>(x + offset)};
  }
  static __device__ Value value(const Values& v, int j) { return {v.g.at[j], v.x.at[j]}; }
  __device__ int64_t head(int64_t offset) const {
    return aligned ? FoldedArray<T>{x}.head(offset) : std::numeric_limits<int64_t>::max();
  }
  __device__ Acc start() const { return {0, 0}; }
  __device__ Context context(int64_t, int64_t out) const { return affine[out]; }
  template <int kCount>
  __device__ __forceinline__ Acc add_all(const Acc& acc, const Context& c, const T (&gs)[kCount],
                                         const T (&xs)[kCount]) const {
    T h[kCount], d[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      d[j] = xs[j] - c.mean;
      h[j] = d[j] * c.scale + c.bias;
    }
    activate_vjp(activation, gs, h);
#pragma unroll
    for (int j = 0; j < kCount; ++j) d[j] *= h[j];
    return {acc.a + static_cast<double>(tree_sum(h)), acc.b + static_cast<double>(tree_sum(d))};
  }
  __device__ Acc add(const Acc& acc, const Context& c, const Value& v, int64_t) const {
    const T gs[1] = {v.g}, xs[1] = {v.x};
    return add_all(acc, c, gs, xs);
  }
  __device__ Acc add_pack(const Acc& acc, const Context& c, const Values& v) const {
    return add_all(acc, c, v.g.at, v.x.at);
  }
  __device__ Acc merge(const Acc& a, const Acc& b) const { return AddPairs{}(a, b); }
};

// Which table entry an element has: that of its plane modulo the tables.
struct NormPlanes {
  int64_t elements, size, tables;
  bool small;  // fewer than 2^31 elements
  Divisor by_size, by_tables;

  __device__ __forceinline__ int64_t table_of(int64_t i) const {
    if (!small) return i / size % tables;
    const uint32_t plane = by_size.quotient(static_cast<uint32_t>(i));
    return plane - by_tables.quotient(plane) * static_cast<uint32_t>(tables);
  }
};

inline constexpr int kNormUnits = 2;  // packs of a thread

template <int kPack, class T>
__global__ void normalize_planes(NormPlanes s, NormActivation activation,
                                 const NormAffine<T>* affine, const T* __restrict__ x,
                                 T* __restrict__ y) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kNormUnits * blockDim.x + threadIdx.x;
  Pack<T, kPack> packs[kNormUnits];
#pragma unroll
  for (int u = 0; u < kNormUnits; ++u) {
    const int64_t i = (first + u * static_cast<int64_t>(blockDim.x)) * kPack;
    if (i < s.elements) packs[u] = *reinterpret_cast<const Pack<T, kPack>*>(x + i);
  }
#pragma unroll
  for (int u = 0; u < kNormUnits; ++u) {
    const int64_t i = (first + u * static_cast<int64_t>(blockDim.x)) * kPack;
    if (i >= s.elements) return;
    const NormAffine<T> c = affine[s.table_of(i)];
#pragma unroll
    for (int j = 0; j < kPack; ++j) packs[u].at[j] = (packs[u].at[j] - c.mean) * c.scale + c.bias;
    activate(activation, packs[u].at);
    *reinterpret_cast<Pack<T, kPack>*>(y + i) = packs[u];
  }
}

template <int kPack, class T>
__global__ void differentiate_planes(NormPlanes s, NormActivation activation,
                                     const NormAffine<T>* affine, const NormGradient<T>* gradient,
                                     const T* __restrict__ g, const T* __restrict__ x,
                                     T* __restrict__ gx) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kNormUnits * blockDim.x + threadIdx.x;
  Pack<T, kPack> gs[kNormUnits], xs[kNormUnits];
#pragma unroll
  for (int u = 0; u < kNormUnits; ++u) {
    const int64_t i = (first + u * static_cast<int64_t>(blockDim.x)) * kPack;
    if (i >= s.elements) break;
    gs[u] = *reinterpret_cast<const Pack<T, kPack>*>(g + i);
    xs[u] = *reinterpret_cast<const Pack<T, kPack>*>(x + i);
  }
#pragma unroll
  for (int u = 0; u < kNormUnits; ++u) {
    const int64_t i = (first + u * static_cast<int64_t>(blockDim.x)) * kPack;
    if (i >= s.elements) return;
    const int64_t table = s.table_of(i);
    const NormAffine<T> c = affine[table];
    const NormGradient<T> f = gradient[table];
    Pack<T, kPack> h;
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      xs[u].at[j] -= c.mean;
      h.at[j] = xs[u].at[j] * c.scale + c.bias;
    }
    activate_vjp(activation, gs[u].at, h.at);
#pragma unroll
    for (int j = 0; j < kPack; ++j) h.at[j] = f.k * h.at[j] + (f.slope * xs[u].at[j] + f.constant);
    *reinterpret_cast<Pack<T, kPack>*>(gx + i) = h;
  }
}

}  // namespace fluxion::cuda
