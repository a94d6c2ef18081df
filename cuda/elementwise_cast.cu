// Conversion between dtypes: real numbers towards zero and saturating (NaN gives 0), to complex numbers part by
// part. Decomposition and bytes: device/map.cuh.
#include "device/functions.cuh"
#include "map.h"
#include "ops/elementwise.h"

namespace fluxion::cuda {
namespace {

template <class To>
struct Cast {
  template <class From>
  __device__ To operator()(const From& x) const {
    if constexpr (std::is_arithmetic_v<To>) {
      return convert<To>(x);
    } else if constexpr (std::is_arithmetic_v<From>) {
      using Part = decltype(To::re);
      return To(static_cast<Part>(x), Part(0));
    } else {
      return To(x);
    }
  }
};

}  // namespace

void k_cast(const CastParams& params, const Kernel& call) {
  dispatch_any(params.dtype, [&](auto to) {
    using To = typename decltype(to)::type;
    dispatch_any(call.in(0).dtype, [&](auto from) {
      using From = typename decltype(from)::type;
      // A complex number has no cast to a real one: infer refuses it.
      if constexpr (std::is_arithmetic_v<From> || !std::is_arithmetic_v<To>) {
        map<To, From>(call, Cast<To>{});
      }
    });
  });
}

}  // namespace fluxion::cuda
