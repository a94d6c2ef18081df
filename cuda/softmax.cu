// Softmax, log-softmax and log-sum-exp along one axis, and the adjoints of the first two:
//   y = e^(x - m) / s,  y = x - m - log s   with m = max x, s = sum e^(x - m)
//   y (g - sum g y),    g - e^y sum g
//
// Decomposition: device/line.cuh. Lines up to 8192 elements (columns: 256) are in registers: 8 bytes a float32
// element forward, 12 backward, the floor. Longer ones are read twice, 12 and 20: maximum and sum come from one
// pass, in which a new maximum scales the sum. A thread's terms add as a tree, then in double.
#include "device/line_exp.cuh"
#include "lines.h"
#include "ops/reduce.h"

namespace fluxion::cuda {
namespace {

template <bool kLog, class T>
__global__ void __launch_bounds__(kLineBlock)
    softmax_near(LineSpace s, const T* __restrict__ x, T* __restrict__ y) {
  SharedMemory memory;
  const ExpSumMemory<T> shared{memory.take<T>(line_shared(s)), memory.take<double>(line_shared(s))};
  const LineThread t = line_thread(s);
  T v[kLineElements], terms[kLineElements];
  load_line(x, s, t, -std::numeric_limits<T>::infinity(), v);
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) terms[e] = v[e];
  const ExpSum<T> sum = near_exp_sum<false>(terms, s, shared);
  const T scale = kLog ? std::log(static_cast<T>(sum.sum)) : static_cast<T>(1 / sum.sum);
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) {
    v[e] = kLog ? (v[e] - sum.top) - scale : terms[e] * scale;
  }
  store_line(y, s, t, v);
}

template <bool kLog, class T>
__global__ void __launch_bounds__(kLongLineThreads)
    softmax_far(LineSpace s, const T* __restrict__ x, T* __restrict__ y) {
  SharedMemory memory;
  const auto shared = memory.take<ExpSum<T>>(line_shared(s));
  const LineThread t = line_thread(s);
  const ExpSum<T> sum = far_exp_sum<false>(x, s, t, shared);
  const T scale = kLog ? std::log(static_cast<T>(sum.sum)) : static_cast<T>(1 / sum.sum);
  if (!t.active) return;
#pragma unroll 4
  for (int64_t i = t.member; i < s.n; i += s.team) {
    const T below = x[t.first + i * s.inner] - sum.top;
    y[t.first + i * s.inner] = kLog ? below - scale : std::exp(below) * scale;
  }
}

template <bool kLog, class T>
__device__ __forceinline__ T adjoint_term(T g, T y) {
  return kLog ? g : g * y;
}
template <bool kLog, class T>
__device__ __forceinline__ T adjoint_result(T g, T y, T sum) {
  return kLog ? g - std::exp(y) * sum : y * (g - sum);
}

template <bool kLog, class T>
__global__ void __launch_bounds__(kLineBlock)
    softmax_vjp_near(LineSpace s, const T* __restrict__ g, const T* __restrict__ y,
                     T* __restrict__ gx) {
  SharedMemory memory;
  const auto shared = memory.take<double>(line_shared(s));
  const LineThread t = line_thread(s);
  T gv[kLineElements], yv[kLineElements], terms[kLineElements];
  load_line(g, s, t, T(0), gv);
  load_line(y, s, t, T(0), yv);
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) terms[e] = adjoint_term<kLog>(gv[e], yv[e]);
  const T sum =
      static_cast<T>(line_reduce(static_cast<double>(tree_sum(terms)), s, Sum{}, shared));
#pragma unroll
  for (int e = 0; e < kLineElements; ++e) gv[e] = adjoint_result<kLog>(gv[e], yv[e], sum);
  store_line(gx, s, t, gv);
}

template <bool kLog, class T>
__global__ void __launch_bounds__(kLongLineThreads)
    softmax_vjp_far(LineSpace s, const T* __restrict__ g, const T* __restrict__ y,
                    T* __restrict__ gx) {
  SharedMemory memory;
  const auto shared = memory.take<double>(line_shared(s));
  const LineThread t = line_thread(s);
  double own = 0;
  if (t.active) {
#pragma unroll 4
    for (int64_t i = t.member; i < s.n; i += s.team) {
      const int64_t at = t.first + i * s.inner;
      own += static_cast<double>(adjoint_term<kLog>(g[at], y[at]));
    }
  }
  const T sum = static_cast<T>(line_reduce(own, s, Sum{}, shared));
  if (!t.active) return;
#pragma unroll 4
  for (int64_t i = t.member; i < s.n; i += s.team) {
    const int64_t at = t.first + i * s.inner;
    gx[at] = adjoint_result<kLog>(g[at], y[at], sum);
  }
}

// Where the results of a line go: log sum e^x, and for the adjoint the maximum and the sum of e^(x - maximum).
template <class T>
struct LogSums {
  T *log_sum, *top, *sum;

  __device__ void put(int64_t line, const ExpSum<T>& of) const {
    T result = of.top + std::log(static_cast<T>(of.sum)), largest = of.top,
      total = static_cast<T>(of.sum);
    if (of.sum != of.sum) {
      result = largest = static_cast<T>(of.sum);
      total = T(1);
    } else if (std::fabs(of.top) > std::numeric_limits<T>::max()) {
      result = of.top;  // an infinite maximum is the result
      total = T(1);
    }
    if (log_sum != nullptr) log_sum[line] = result;
    if (top != nullptr) top[line] = largest;
    if (sum != nullptr) sum[line] = total;
  }
};

template <class T>
__global__ void __launch_bounds__(kLineBlock)
    log_sum_near(LineSpace s, const T* __restrict__ x, LogSums<T> out) {
  SharedMemory memory;
  const ExpSumMemory<T> shared{memory.take<T>(line_shared(s)), memory.take<double>(line_shared(s))};
  const LineThread t = line_thread(s);
  T v[kLineElements];
  load_line(x, s, t, -std::numeric_limits<T>::infinity(), v);
  const ExpSum<T> sum = near_exp_sum<true>(v, s, shared);
  if (t.active && t.member == 0) out.put(t.line, sum);
}

template <class T>
__global__ void __launch_bounds__(kLongLineThreads)
    log_sum_far(LineSpace s, const T* __restrict__ x, LogSums<T> out) {
  SharedMemory memory;
  const auto shared = memory.take<ExpSum<T>>(line_shared(s));
  const LineThread t = line_thread(s);
  const ExpSum<T> sum = far_exp_sum<true>(x, s, t, shared);
  if (t.active && t.member == 0) out.put(t.line, sum);
}

template <bool kLog>
void softmax(const AxisParams& p, const Kernel& call) {
  const LineShape shape(call.in(0).shape, p.dim);
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const x = call.in(0).as<const T>();
    T* const y = call.out(0).as<T>();
    const LinePlan plan(shape.outer, shape.n, shape.inner, kLinePack<T>, aligned_packs(x, y));
    if (call.out(0).size() == 0) return;
    if (plan.near) {
      call.launch(softmax_near<kLog, T>, plan.with_shared<T, double>(), plan.space, x, y);
    } else {
      call.launch(softmax_far<kLog, T>, plan.with_shared<ExpSum<T>>(), plan.space, x, y);
    }
  });
}

template <bool kLog>
void softmax_vjp(const AxisParams& p, const Kernel& call) {
  const LineShape shape(call.in(1).shape, p.dim);
  dispatch_floating(call.in(1).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T *const g = call.in(0).as<const T>(), *const y = call.in(1).as<const T>();
    T* const gx = call.out(0).as<T>();
    const LinePlan plan(shape.outer, shape.n, shape.inner, kLinePack<T>, aligned_packs(g, y, gx));
    if (call.out(0).size() == 0) return;
    call.launch(plan.near ? softmax_vjp_near<kLog, T> : softmax_vjp_far<kLog, T>,
                plan.with_shared<double>(), plan.space, g, y, gx);
  });
}

}  // namespace

void k_softmax(const AxisParams& p, const Kernel& call) { softmax<false>(p, call); }
void k_log_softmax(const AxisParams& p, const Kernel& call) { softmax<true>(p, call); }
void k_softmax_vjp(const AxisParams& p, const Kernel& call) { softmax_vjp<false>(p, call); }
void k_log_softmax_vjp(const AxisParams& p, const Kernel& call) { softmax_vjp<true>(p, call); }

void k_log_sum_exp(const AxisParams& p, const Kernel& call) {
  const LineShape shape(call.in(0).shape, p.dim);
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const x = call.in(0).as<const T>();
    const LogSums<T> out{call.out(0).as<T>(), call.out(1).as<T>(), call.out(2).as<T>()};
    const LinePlan plan(shape.outer, shape.n, shape.inner, kLinePack<T>, aligned_packs(x));
    if (plan.near) {
      call.launch(log_sum_near<T>, plan.with_shared<T, double>(), plan.space, x, out);
    } else {
      call.launch(log_sum_far<T>, plan.with_shared<ExpSum<T>>(), plan.space, x, out);
    }
  });
}

}  // namespace fluxion::cuda
