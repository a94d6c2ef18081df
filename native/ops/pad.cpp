// Validation and output shapes of padding. How far a mode can reach is a condition on the sizes.
#include "ops/pad.h"

#include "ops/shape.h"

namespace fluxion {

namespace {

Shape padded_shape(const Infer& infer, const Shape& x, const Shape& before, const Shape& after,
                   PadMode mode) {
  require_list(infer, "before", before, x.ndim);
  require_list(infer, "after", after, x.ndim);
  Shape out;
  for (int i = 0; i < x.ndim; ++i) {
    const int64_t n = x[i], reach = std::max(before[i], after[i]);
    out.push(before[i] + n + after[i]);
    const auto at_dim = [&](const char* requirement) {
      return format("padding must %s of dim %d of shape %s, got [%lld, %lld]", requirement, i,
                    describe(x).c_str(), static_cast<long long>(before[i]),
                    static_cast<long long>(after[i]));
    };
    infer.require_argument(out[i] >= 0, at_dim("not take away more than the size"));
    if (reach <= 0 || mode == PadMode::Constant) continue;
    infer.require_argument(n > 0, at_dim("have elements to repeat, more than the size 0"));
    infer.require_argument(mode != PadMode::Reflect || reach < n, at_dim("be less than the size"));
    infer.require_argument(mode != PadMode::Circular || reach <= n, at_dim("be at most the size"));
  }
  return out;
}

}  // namespace

void infer_pad(const PadParams& p, Infer& infer) {
  infer.allow_complex();
  infer.need_contiguous();
  infer.output(infer.dtype(0), padded_shape(infer, infer.shape(0), p.before, p.after, p.mode));
}

void infer_pad_vjp(const PadVjpParams& p, Infer& infer) {
  infer.allow_complex();
  require_sizes(infer, "inputShape", p.input_shape);
  infer.require_argument(p.mode != PadMode::Constant,
                         "mode must be one that copies elements, got constant");
  infer.require_shape(0, "g", padded_shape(infer, p.input_shape, p.before, p.after, p.mode));
  infer.need_contiguous();
  infer.output(infer.dtype(0), p.input_shape);
  infer.work += infer.in(0).size();
}

}  // namespace fluxion
