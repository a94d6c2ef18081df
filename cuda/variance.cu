// Variance and standard deviation in one pass, with the mean that the adjoint needs (device/moments.cuh):
//
//   variance = (sum(d^2) - sum(d)^2 / n) / (n - correction)
//
// Decomposition and bytes: device/fold.cuh; 4 bytes read a float32 element, the floor.
#include "device/moments.cuh"
#include "fold.h"
#include "ops/reduce.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct Variance : FoldMoments<T> {
  T *variance, *mean;
  double count, correction;
  bool root;

  __device__ void finish(int64_t o, T shift, const SumPair& sums) const {
    const double left = count - correction, divisor = left > 0 ? left : 0.0;
    const double squares = sums.b - sums.a * sums.a / count;
    const double v = (squares < 0 ? 0.0 : squares) / divisor;
    if (variance != nullptr) variance[o] = static_cast<T>(root ? std::sqrt(v) : v);
    if (mean != nullptr) {
      mean[o] = static_cast<T>(static_cast<double>(shift) + sums.a / count);
    }
  }
};

}  // namespace

void k_variance(const VarianceParams& p, const Kernel& call) {
  const TensorView& x = call.in(0);
  const TensorView& any = call.out(0).data ? call.out(0) : call.out(1);
  const int64_t outputs = any.data ? any.size() : 0;
  if (outputs == 0) return;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Variance<T> fold{};
    fold.x = x.as<const T>();
    fold.variance = call.out(0).as<T>();
    fold.mean = call.out(1).as<T>();
    fold.count = static_cast<double>(x.size() / outputs);
    fold.correction = p.correction;
    fold.root = p.root;
    fold_view(call, x, reduced_dims(p, x.ndim()), fold);
  });
}

}  // namespace fluxion::cuda
