// The adjoint of layer normalisation, with z = (x - mean) rstd and h = g weight:
//
//   gx = rstd (h - mean(h) - z mean(h z)),  gweight = sum(g z),  gbias = sum(g)
//
// Decomposition: rows up to 3072 elements are lines in registers (device/line.cuh); a team takes every so many
// of them, so that each of its threads meets the same columns again and keeps their share of gweight and gbias,
// in double. Blocks leave these sums and a fold adds them: 12 bytes a float32 element and one visit, the floor,
// and 32 for each column of a block. Longer rows: gx by a block a row in two reads (20 bytes) and the sums by a
// fold over the rows (8). The order of additions follows from the shape.
#include "device/line.cuh"
#include "device/moments.cuh"
#include "lines.h"
#include "ops/normalization.h"

namespace fluxion::cuda {
namespace {

// Threads of the longest near row: more would leave each fewer registers than its sums take.
constexpr int kLayerRowThreads = 384;

template <class T>
struct LayerGradient {
  const T *g, *x, *weight, *mean, *rstd;
  T* gx;
};

// gx = rstd h + slope (x - mean) + constant
template <class T>
struct LayerFactors {
  T rstd, slope, constant;

  __device__ LayerFactors(const SumPair& sums, T scale, int64_t n) {
    const double count = static_cast<double>(n), q = static_cast<double>(scale);
    const bool alone = n == 1;  // one value is its own mean: exactly no gradient
    rstd = alone ? T(0) : scale;
    slope = alone ? T(0) : static_cast<T>(-q * q * q * sums.b / count);
    constant = alone ? T(0) : static_cast<T>(-q * sums.a / count);
  }
};

// Adds the columns of the teams of a block (`columns`: kLineThreads * kLineElements) and writes them.
__device__ inline void put_columns(const double (&own)[kLineElements], const LineSpace& s,
                                   int member, int slot, bool packs_of_four,
                                   const Shared<double>& columns, double* to) {
  if (s.width > 1) __syncthreads();
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) {
    const int64_t i = packs_of_four ? line_index<float>(s, member, e)
                                    : line_index<double>(s, member, e);
    if (i >= s.n) continue;
    if (s.width > 1) {
      columns[static_cast<int>(slot * s.n + i)] = own[e];
    } else {
      to[i] = own[e];
    }
  }
  if (s.width == 1) return;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < s.n; i += static_cast<int>(blockDim.x)) {
    double sum = 0;
    for (int k = 0; k < s.width; ++k) sum += columns[static_cast<int>(k * s.n) + i];
    to[i] = sum;
  }
}

// partial[block][2][n]: sums of g z and of g, or null.
template <class T>
__global__ void __launch_bounds__(kLayerRowThreads)
    layer_norm_vjp_near(LineSpace s, LayerGradient<T> v, double* partial) {
  SharedMemory memory;
  const auto shared = memory.take<SumPair>(kWarp);
  const int member = static_cast<int>(threadIdx.x) % s.team;
  const int slot = static_cast<int>(threadIdx.x) / s.team;
  const int64_t step = static_cast<int64_t>(gridDim.x) * s.width;
  double scaled[kLineElements], plain[kLineElements];
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) scaled[e] = plain[e] = 0;
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * s.width; base < s.lines; base += step) {
    const int64_t row = base + slot;
    const LineThread t{member, row < s.lines, row, row * s.n};
    const T mean = t.active ? v.mean[row] : T(0), rstd = t.active ? v.rstd[row] : T(0);
    T g[kLineElements], d[kLineElements], h[kLineElements], product[kLineElements];
    load_line(v.g, s, t, T(0), g);
    load_line(v.x, s, t, mean, d);
    if (v.weight != nullptr) load_line(v.weight, s, LineThread{member, true, 0, 0}, T(0), h);
#pragma unroll
    for (int e = 0; e < kLineElements; ++e) {
      d[e] -= mean;
      h[e] = v.weight != nullptr ? h[e] * g[e] : g[e];
      product[e] = h[e] * d[e];
    }
    if (v.gx != nullptr) {
      const SumPair own{static_cast<double>(tree_sum(h)), static_cast<double>(tree_sum(product))};
      const LayerFactors<T> f(team_reduce(own, s.team, AddPairs{}, shared), rstd, s.n);
#pragma unroll
      for (int e = 0; e < kLineElements; ++e) h[e] = f.rstd * h[e] + (f.slope * d[e] + f.constant);
      store_line(v.gx, s, t, h);
    }
    if (partial != nullptr) {
#pragma unroll
      for (int e = 0; e < kLineElements; ++e) {
        scaled[e] += static_cast<double>(g[e] * (d[e] * rstd));
        plain[e] += static_cast<double>(g[e]);
      }
    }
  }
  if (partial == nullptr) return;
  const auto columns = memory.take<double>(s.width > 1 ? kLineThreads * kLineElements : 0);
  double* const to = partial + static_cast<int64_t>(blockIdx.x) * 2 * s.n;
  put_columns(scaled, s, member, slot, sizeof(T) == 4, columns, to);
  put_columns(plain, s, member, slot, sizeof(T) == 4, columns, to + s.n);
}

// gx of a long row.
template <class T>
__global__ void __launch_bounds__(kLongLineThreads)
    layer_norm_vjp_far(LineSpace s, const T* __restrict__ g, const T* __restrict__ x,
                       const T* __restrict__ weight, const T* means, const T* rstds,
                       T* __restrict__ gx) {
  SharedMemory memory;
  const auto shared = memory.take<SumPair>(kWarp);
  const LineThread t = line_thread(s);
  const T mean = t.active ? means[t.line] : T(0), rstd = t.active ? rstds[t.line] : T(0);
  SumPair own{0, 0};
#pragma unroll 4
  for (int64_t i = t.member; t.active && i < s.n; i += s.team) {
    const T h = weight != nullptr ? g[t.first + i] * weight[i] : g[t.first + i];
    own = AddPairs{}(own, SumPair{static_cast<double>(h),
                                  static_cast<double>(h * (x[t.first + i] - mean))});
  }
  const LayerFactors<T> f(line_reduce(own, s, AddPairs{}, shared), rstd, s.n);
#pragma unroll 4
  for (int64_t i = t.member; t.active && i < s.n; i += s.team) {
    const T h = weight != nullptr ? g[t.first + i] * weight[i] : g[t.first + i];
    gx[t.first + i] = f.rstd * h + (f.slope * (x[t.first + i] - mean) + f.constant);
  }
}

struct NoContext {};

// Sums of g z and g over the rows, for long rows.
template <class T>
struct FoldRows {
  struct Value {
    T g, x;
  };
  using Values = Value;
  using Acc = SumPair;
  using Context = NoContext;
  static constexpr int kPack = 1;
  const T *g, *x, *mean, *rstd;
  T *gweight, *gbias;

  __device__ Value load(int64_t offset) const { return {g[offset], x[offset]}; }
  __device__ Values load_pack(int64_t offset) const { return load(offset); }
  static __device__ Value value(const Values& values, int) { return values; }
  __device__ int64_t head(int64_t) const { return 0; }
  __device__ Acc start() const { return {0, 0}; }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ Acc add(const Acc& acc, Context, const Value& v, int64_t row) const {
    return {acc.a + static_cast<double>(v.g),
            acc.b + static_cast<double>(v.g * ((v.x - mean[row]) * rstd[row]))};
  }
  __device__ Acc merge(const Acc& a, const Acc& b) const { return AddPairs{}(a, b); }
  __device__ void finish(int64_t o, Context, const Acc& acc) const {
    if (gweight != nullptr) gweight[o] = static_cast<T>(acc.b);
    if (gbias != nullptr) gbias[o] = static_cast<T>(acc.a);
  }
};

// Sums of the blocks' columns, [blocks, 2 n] with those of g z first.
template <class T>
struct FoldBlocks : FoldedArray<double> {
  using Acc = double;
  using Context = NoContext;
  int64_t n;
  T *gweight, *gbias;

  __device__ double start() const { return 0; }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ double add(double acc, Context, double x, int64_t) const { return acc + x; }
  __device__ double merge(double a, double b) const { return a + b; }
  __device__ void finish(int64_t o, Context, double acc) const {
    T* const to = o < n ? gweight : gbias;
    if (to != nullptr) to[o < n ? o : o - n] = static_cast<T>(acc);
  }
};

// A contiguous matrix for a fold over its rows.
TensorView matrix(DType dtype, int64_t rows, int64_t columns) {
  TensorView view;
  view.dtype = dtype;
  view.present = true;
  view.shape = {rows, columns};
  view.strides = contiguous_strides(view.shape);
  return view;
}

template <class T>
void near_rows(const Kernel& call, const LayerGradient<T>& v, int64_t rows, int64_t n) {
  T *const gweight = call.out(1).as<T>(), *const gbias = call.out(2).as<T>();
  const bool aligned = aligned_packs(v.g, v.x, v.weight, v.gx);
  LinePlan plan(std::max<int64_t>(rows, 1), n, 1, kLinePack<T>, aligned);
  plan.space.lines = rows;
  const int64_t blocks = std::clamp<int64_t>(rows * n / kFoldSliceElements, 1,
                                             std::min<int64_t>(kNormSlices, plan.grid.blocks));
  const bool sums = gweight || gbias;
  double* const partial = sums ? call.scratch<double>(blocks * 2 * n) : nullptr;
  if (sums && !partial) return;
  Grid grid{blocks, plan.grid.threads, shared_bytes<SumPair>(kWarp)};
  if (plan.space.width > 1) grid.shared += shared_bytes<double>(kLineThreads * kLineElements);
  call.launch(layer_norm_vjp_near<T>, grid, plan.space, v, partial);
  if (!sums) return;
  FoldBlocks<T> fold{};
  fold.x = partial;
  fold.n = n;
  fold.gweight = gweight;
  fold.gbias = gbias;
  fold_view(call, matrix(DType::f64, blocks, 2 * n), 1u, fold);
}

template <class T>
void layer_norm_vjp(const LayerNormVjpParams& p, const Kernel& call) {
  const TensorView& x = call.in(1);
  int64_t rows = 1, n = 1;
  for (int i = 0; i < x.ndim(); ++i) (i < x.ndim() - p.normalizedDims ? rows : n) *= x.shape[i];
  if (n == 0) return;
  const T* const weight = call.in(2).present ? call.in(2).as<const T>() : nullptr;
  const LayerGradient<T> v{call.in(0).as<const T>(), x.as<const T>(),           weight,
                           call.in(3).as<const T>(), call.in(4).as<const T>(), call.out(0).as<T>()};
  if (n <= kLineElements * kLayerRowThreads) return near_rows(call, v, rows, n);
  if (v.gx) {
    LinePlan plan(rows, n, 1, kLinePack<T>, false);
    plan.space.team = kLongLineThreads;
    plan.grid = {rows, kLongLineThreads, shared_bytes<SumPair>(kWarp)};
    call.launch(layer_norm_vjp_far<T>, plan.grid, plan.space, v.g, v.x, v.weight, v.mean, v.rstd,
                v.gx);
  }
  T *const gweight = call.out(1).as<T>(), *const gbias = call.out(2).as<T>();
  if (!gweight && !gbias) return;
  fold_view(call, matrix(x.dtype, rows, n), 1u,
            FoldRows<T>{v.g, v.x, v.mean, v.rstd, gweight, gbias});
}

}  // namespace

void k_layer_norm_vjp(const LayerNormVjpParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { layer_norm_vjp<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cuda
