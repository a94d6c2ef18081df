// Sums, means, products and norms over any axes of strided views.
//
// Decomposition and bytes: device/fold.cuh; 4 bytes read a float32 element, the floor. Floats add and multiply in
// double as on the CPU: one conversion and one addition an element, 1/4 of what an H200 can while 4.3 TB/s come
// in. Integers add in 64 bits and wrap to 32.
#include "reduce_extremum.h"

#include "fold.h"

namespace fluxion::cuda {
namespace {

struct NoContext {};

template <class T>
struct WideOf {
  using type = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
};
template <class T>
struct WideOf<Complex<T>> {
  using type = Complex<double>;
};

template <class T>
using ResultOf = std::conditional_t<std::is_integral_v<T>, int32_t, T>;

// sum x / divisor
template <class T>
struct Add : FoldedArray<T> {
  using Acc = typename WideOf<T>::type;
  using Context = NoContext;
  ResultOf<T>* out;
  double divisor;

  __device__ Acc start() const { return Acc(); }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ Acc add(Acc acc, Context, T x, int64_t) const { return merge(acc, static_cast<Acc>(x)); }
  __device__ Acc merge(Acc a, Acc b) const { return Sum{}(a, b); }
  __device__ void finish(int64_t o, Context, Acc acc) const {
    if constexpr (std::is_integral_v<T>) {
      out[o] = static_cast<int32_t>(acc);
    } else if constexpr (std::is_floating_point_v<T>) {
      out[o] = static_cast<T>(acc / divisor);
    } else {
      out[o] = T(Acc(acc.re / divisor, acc.im / divisor));
    }
  }
};

template <class T>
struct Multiply : FoldedArray<T> {
  using Acc = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;
  using Context = NoContext;
  ResultOf<T>* out;

  __device__ Acc start() const { return 1; }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ Acc add(Acc acc, Context, T x, int64_t) const { return acc * static_cast<Acc>(x); }
  __device__ Acc merge(Acc a, Acc b) const { return a * b; }
  __device__ void finish(int64_t o, Context, Acc acc) const {
    if constexpr (std::is_integral_v<T>) {
      out[o] = static_cast<int32_t>(static_cast<uint32_t>(acc));
    } else {
      out[o] = static_cast<T>(acc);
    }
  }
};

// sum [x != 0], sum |x|, sqrt(sum x^2)
template <class T>
struct AddNorm : FoldedArray<T> {
  using Acc = double;
  using Context = NoContext;
  T* out;
  NormOrder order;

  __device__ double start() const { return 0; }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ double add(double acc, Context, T x, int64_t) const {
    const double v = static_cast<double>(x);
    switch (order) {
      case NormOrder::zero:
        return acc + (v != 0 ? 1.0 : 0.0);
      case NormOrder::one:
        return acc + std::fabs(v);
      default:
        return acc + v * v;
    }
  }
  __device__ double merge(double a, double b) const { return a + b; }
  __device__ void finish(int64_t o, Context, double acc) const {
    out[o] = static_cast<T>(order == NormOrder::two ? std::sqrt(acc) : acc);
  }
};

template <class Op, class T>
Op fold_of(const Kernel& call) {
  Op op{};
  op.x = call.in(0).as<const T>();
  return op;
}

void add(const ReduceParams& p, const Kernel& call, double divisor) {
  dispatch_any(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto op = fold_of<Add<T>, T>(call);
    op.out = call.out(0).as<ResultOf<T>>();
    op.divisor = divisor;
    fold_view(call, call.in(0), reduced_dims(p, call.in(0).ndim()), op);
  });
}

}  // namespace

void k_sum(const ReduceParams& p, const Kernel& call) { add(p, call, 1); }

void k_mean(const ReduceParams& p, const Kernel& call) {
  const int64_t outputs = call.out(0).size();
  // An empty mean is 0 / 0.
  add(p, call, outputs == 0 ? 1.0 : static_cast<double>(call.in(0).size() / outputs));
}

void k_prod(const ReduceParams& p, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto op = fold_of<Multiply<T>, T>(call);
    op.out = call.out(0).as<ResultOf<T>>();
    fold_view(call, call.in(0), reduced_dims(p, call.in(0).ndim()), op);
  });
}

void k_norm(const NormParams& p, const Kernel& call) {
  if (p.order == NormOrder::largest || p.order == NormOrder::smallest) {
    return extreme_magnitude(p, call, p.order == NormOrder::smallest);
  }
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto op = fold_of<AddNorm<T>, T>(call);
    op.out = call.out(0).as<T>();
    op.order = p.order;
    fold_view(call, call.in(0), reduced_dims(p, call.in(0).ndim()), op);
  });
}

}  // namespace fluxion::cuda
