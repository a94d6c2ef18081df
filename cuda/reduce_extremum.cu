// Extrema over any axes of strided views, of elements or of their magnitudes. A NaN on the way is the result.
//
// Decomposition and bytes: device/fold.cuh; 4 bytes read a float32 element, the floor.
#include "reduce_extremum.h"

#include "fold.h"

namespace fluxion::cuda {
namespace {

struct NoContext {};

// The largest or smallest x or |x|.
template <class T>
struct Extremum : FoldedArray<T> {
  using Acc = T;
  using Context = NoContext;
  T* out;
  bool smallest, magnitude;

  __device__ T start() const {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) {
      return smallest ? Limits::infinity() : -Limits::infinity();
    } else {
      return smallest ? Limits::max() : Limits::min();
    }
  }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ T add(T acc, Context, T x, int64_t) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (magnitude) x = std::fabs(x);
    }
    return merge(acc, x);
  }
  __device__ T merge(T a, T b) const {
    return smallest ? Smallest{}(a, b) : Largest{}(a, b);
  }
  __device__ void finish(int64_t o, Context, T acc) const { out[o] = acc; }
};

template <class T>
void extremum(const ReduceParams& p, const Kernel& call, bool smallest, bool magnitude) {
  Extremum<T> fold{};
  fold.x = call.in(0).as<const T>();
  fold.out = call.out(0).as<T>();
  fold.smallest = smallest;
  fold.magnitude = magnitude;
  fold_view(call, call.in(0), reduced_dims(p, call.in(0).ndim()), fold);
}

}  // namespace

void extreme_magnitude(const ReduceParams& p, const Kernel& call, bool smallest) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    extremum<typename decltype(tag)::type>(p, call, smallest, true);
  });
}

void k_max(const ReduceParams& p, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    extremum<typename decltype(tag)::type>(p, call, false, false);
  });
}
void k_min(const ReduceParams& p, const Kernel& call) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    extremum<typename decltype(tag)::type>(p, call, true, false);
  });
}

}  // namespace fluxion::cuda
