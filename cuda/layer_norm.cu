// Layer normalisation over the trailing dimensions, y = (x - mean) rstd weight + bias (Ba et al.,
// arXiv:1607.06450).
//
// Decomposition: a row is a line (device/line.cuh) of a part of a warp or a block. Rows up to 8192 elements are
// in registers: 8 bytes a float32 element, the floor; longer ones are read twice, 12. Weight and bias come from
// the caches. Statistics: device/moments.cuh.
#include "device/line.cuh"
#include "device/moments.cuh"
#include "lines.h"
#include "ops/normalization.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct LayerOut {
  T *y, *mean, *rstd;
};

template <class T>
struct LayerRow {
  T mean, rstd;

  __device__ LayerRow(const SumPair& sums, T shift, int64_t n, double eps) {
    const Moments m = moments_of(sums, static_cast<double>(shift), static_cast<double>(n > 0 ? n : 1));
    mean = static_cast<T>(m.mean);
    rstd = static_cast<T>(1.0 / std::sqrt(m.variance + eps));
  }
  __device__ void put(const LayerOut<T>& out, int64_t row) const {
    if (out.mean != nullptr) out.mean[row] = mean;
    if (out.rstd != nullptr) out.rstd[row] = rstd;
  }
};

template <class T>
__global__ void __launch_bounds__(kLineBlock)
    layer_norm_near(LineSpace s, double eps, const T* __restrict__ x, const T* __restrict__ weight,
                    const T* __restrict__ bias, LayerOut<T> out) {
  SharedMemory memory;
  const auto shared = memory.take<SumPair>(line_shared(s));
  const LineThread t = line_thread(s);
  const T shift = t.active && s.n > 0 ? x[t.first] : T(0);
  T v[kLineElements], d[kLineElements], squares[kLineElements];
  load_line(x, s, t, shift, v);
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) {
    d[e] = v[e] - shift;
    squares[e] = d[e] * d[e];
  }
  const SumPair own{static_cast<double>(tree_sum(d)), static_cast<double>(tree_sum(squares))};
  const LayerRow<T> row(line_reduce(own, s, AddPairs{}, shared), shift, s.n, eps);
  if (t.active && t.member == 0) row.put(out, t.line);
  if (out.y == nullptr) return;
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) v[e] = (v[e] - row.mean) * row.rstd;
  const LineThread parameters{t.member, true, 0, 0};
  if (weight != nullptr) {
    load_line(weight, s, parameters, T(0), d);
#pragma unroll
    for (int e = 0; e < kLineElements; ++e) v[e] *= d[e];
  }
  if (bias != nullptr) {
    load_line(bias, s, parameters, T(0), d);
#pragma unroll
    for (int e = 0; e < kLineElements; ++e) v[e] += d[e];
  }
  store_line(out.y, s, t, v);
}

template <class T>
__global__ void __launch_bounds__(kLongLineThreads)
    layer_norm_far(LineSpace s, double eps, const T* __restrict__ x, const T* __restrict__ weight,
                   const T* __restrict__ bias, LayerOut<T> out) {
  SharedMemory memory;
  const auto shared = memory.take<SumPair>(line_shared(s));
  const LineThread t = line_thread(s);
  const T shift = t.active ? x[t.first] : T(0);
  SumPair own{0, 0};
#pragma unroll 4
  for (int64_t i = t.member; t.active && i < s.n; i += s.team) {
    const T d = x[t.first + i] - shift;
    own = AddPairs{}(own, SumPair{static_cast<double>(d), static_cast<double>(d * d)});
  }
  const LayerRow<T> row(line_reduce(own, s, AddPairs{}, shared), shift, s.n, eps);
  if (t.active && t.member == 0) row.put(out, t.line);
  T* __restrict__ const y = out.y;
#pragma unroll 4
  for (int64_t i = t.member; t.active && y != nullptr && i < s.n; i += s.team) {
    T v = (x[t.first + i] - row.mean) * row.rstd;
    if (weight != nullptr) v *= weight[i];
    if (bias != nullptr) v += bias[i];
    y[t.first + i] = v;
  }
}

}  // namespace

void k_layer_norm(const LayerNormParams& p, const Kernel& call) {
  const TensorView &x = call.in(0), &weight = call.in(1), &bias = call.in(2);
  int64_t rows = 1, n = 1;
  for (int i = 0; i < x.ndim(); ++i) (i < x.ndim() - p.normalizedDims ? rows : n) *= x.shape[i];
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const w = weight.present ? weight.as<const T>() : nullptr;
    const T* const b = bias.present ? bias.as<const T>() : nullptr;
    const LayerOut<T> out{call.out(0).as<T>(), call.out(1).as<T>(), call.out(2).as<T>()};
    const LinePlan plan(rows, n, 1, kLinePack<T>, aligned_packs(x.as<const T>(), w, b, out.y));
    call.launch(plan.near ? layer_norm_near<T> : layer_norm_far<T>, plan.with_shared<SumPair>(),
                plan.space, p.eps, x.as<const T>(), w, b, out);
  });
}

}  // namespace fluxion::cuda
