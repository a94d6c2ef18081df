// Places of extrema along one axis, the first of equal ones; a NaN is an extremum, as in PyTorch.
//
// A fold (device/fold.cuh) of values with their places; the order in which they meet does not matter. Bytes: 4
// read a float32 element, 4 written an output: the floor.
#include "fold.h"
#include "ops/reduce.h"

namespace fluxion::cuda {
namespace {

struct NoContext {};

template <class T>
struct ArgExtremum : FoldedArray<T> {
  using Acc = Placed<T, int32_t>;
  using Context = NoContext;
  int32_t* out;
  bool smallest;

  // Behind every element, the least of which has the same value.
  __device__ Acc start() const {
    using Limits = std::numeric_limits<T>;
    constexpr int32_t kBehind = std::numeric_limits<int32_t>::max();
    if constexpr (std::is_floating_point_v<T>) {
      return {smallest ? Limits::infinity() : -Limits::infinity(), kBehind};
    } else {
      return {smallest ? Limits::max() : Limits::min(), kBehind};
    }
  }
  __device__ Context context(int64_t, int64_t) const { return {}; }
  __device__ Acc add(const Acc& acc, Context, T x, int64_t r) const {
    return merge(acc, Acc{x, static_cast<int32_t>(r)});
  }
  __device__ Acc merge(const Acc& a, const Acc& b) const {
    return smallest ? SmallestPlaced{}(a, b) : LargestPlaced{}(a, b);
  }
  __device__ void finish(int64_t o, Context, const Acc& acc) const { out[o] = acc.index; }
};

void find(const ArgReduceParams& p, const Kernel& call, bool smallest) {
  dispatch_all(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    ArgExtremum<T> fold{};
    fold.x = call.in(0).as<const T>();
    fold.out = call.out(0).as<int32_t>();
    fold.smallest = smallest;
    fold_view(call, call.in(0), 1u << p.dim, fold);
  });
}

}  // namespace

void k_argmax(const ArgReduceParams& p, const Kernel& call) { find(p, call, false); }
void k_argmin(const ArgReduceParams& p, const Kernel& call) { find(p, call, true); }

}  // namespace fluxion::cuda
