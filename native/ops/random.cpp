// Validation and output shapes of the random ops.
#include "ops/random.h"

#include <cmath>

namespace fluxion {

namespace {

template <class Params>
void infer_draw(const Params& p, Infer& infer, bool floating_only) {
  for (int i = 0; i < p.shape.ndim; ++i)
    infer.require_argument(p.shape[i] >= 0, "shape must not be negative, got " + describe(p.shape));
  infer.require(!floating_only || is_floating(p.dtype), ErrorCode::DTypeMismatch,
                format("dtype must be float32 or float64, got %s", name_of(p.dtype)));
  infer.require_argument(p.offset >= 0, "offset must be >= 0, got " + std::to_string(p.offset));
  infer.output(p.dtype, p.shape);
  infer.work *= 8;
}

}  // namespace

void infer_rand(const RandomUniformParams& p, Infer& infer) {
  infer.require_finite("low", p.low);
  infer.require_finite("high", p.high);
  infer.require_argument(p.low < p.high, format("high must be > low = %g, got %g", p.low, p.high));
  infer_draw(p, infer, true);
}

void infer_randn(const RandomNormalParams& p, Infer& infer) {
  infer.require_finite("mean", p.mean);
  infer.require_argument(std::isfinite(p.std) && p.std >= 0,
                         format("std must be a finite number >= 0, got %g", p.std));
  infer_draw(p, infer, true);
}

void infer_randint(const RandomIntegerParams& p, Infer& infer) {
  infer.require_argument(
      p.low < p.high, format("high must be > low = %lld, got %lld", static_cast<long long>(p.low),
                             static_cast<long long>(p.high)));
  // The largest range whose integers the dtype holds exactly.
  int64_t least = -(int64_t{1} << 53), most = int64_t{1} << 53;
  if (p.dtype == DType::f32) least = -(1 << 24), most = 1 << 24;
  if (p.dtype == DType::i32) least = INT32_MIN, most = INT32_MAX;
  if (p.dtype == DType::u8) least = 0, most = 255;
  infer.require_argument(
      p.low >= least && p.high - 1 <= most,
      format("low and high must be in the range of %s, got %lld and %lld", name_of(p.dtype),
             static_cast<long long>(p.low), static_cast<long long>(p.high)));
  infer_draw(p, infer, false);
}

void infer_bernoulli(const RandomBernoulliParams& p, Infer& infer) {
  infer.require_argument(p.p >= 0 && p.p <= 1, format("p must be in [0, 1], got %g", p.p));
  infer_draw(p, infer, false);
}

void infer_permutation(const RandomPermutationParams& p, Infer& infer) {
  infer.require_argument(p.n >= 0 && p.n <= INT32_MAX,
                         "n must be in [0, 2147483647], got " + std::to_string(p.n));
  infer.require_argument(p.offset >= 0, "offset must be >= 0, got " + std::to_string(p.offset));
  infer.output(DType::i32, Shape{p.n});
  infer.work *= 16;
}

}  // namespace fluxion
