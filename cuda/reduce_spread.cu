// The adjoints of reductions in one pass: out = f(x, a, b) with a and b of each result of the reduction, read
// through strided views that repeat them.
//
// Decomposition: device/map.cuh. Bytes: 8 a float32 element; what a and b repeat comes from the caches.
#include "map.h"
#include "ops/reduce.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct Spread {
  SpreadKind kind;
  __device__ T operator()(T x, T a, T b) const {
    switch (kind) {
      case SpreadKind::centred:
        return a * (x - b);
      case SpreadKind::exponential:
        return a * std::exp(x - b);
      default:
        return x == b ? a : T(0);
    }
  }
};

}  // namespace

void k_spread(const SpreadParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    map<T, T, T, T>(call, Spread<T>{p.kind});
  });
}

}  // namespace fluxion::cuda
