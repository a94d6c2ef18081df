// Validation and output shapes of the elementwise ops.
#include "ops/elementwise.h"

#include <algorithm>
#include <cmath>

namespace fluxion {

Shape broadcast_shape(const Infer& infer, int count, const char* const* arguments) {
  Shape out = infer.shape(0);
  for (int i = 1; i < count; ++i) {
    const Shape& next = infer.shape(i);
    Shape merged;
    merged.ndim = std::max(out.ndim, next.ndim);
    for (int back = 1; back <= merged.ndim; ++back) {
      const int64_t a = back <= out.ndim ? out[out.ndim - back] : 1;
      const int64_t b = back <= next.ndim ? next[next.ndim - back] : 1;
      if (a != b && a != 1 && b != 1)
        fail(ErrorCode::ShapeMismatch, infer.op(),
             format("%s must have a shape that broadcasts with %s, got %s", arguments[i],
                    describe(out).c_str(), describe(next).c_str()));
      merged[merged.ndim - back] = a == 1 ? b : a;
    }
    out = merged;
  }
  return out;
}

namespace {

// Work of one element relative to an addition, for the choice between the caller's thread and the queue.
constexpr int64_t kTranscendentalWork = 8;

constexpr const char* kBinaryArguments[] = {"x", "other"};

void infer_binary(Infer& infer, bool floating_only, bool boolean) {
  infer.require_dtype(1, "other", infer.dtype(0));
  if (floating_only) infer.require_floating(0, "x");
  infer.output(boolean ? DType::u8 : infer.dtype(0), broadcast_shape(infer, 2, kBinaryArguments));
}

void infer_arithmetic(Infer& infer) {
  infer.allow_complex();
  infer_binary(infer, false, false);
}

// A complex number times or by a real one of its precision needs no conversion.
void infer_scaling(Infer& infer) {
  const DType dtype = infer.dtype(0);
  if (!is_complex(dtype) || infer.dtype(1) != real_of(dtype)) return infer_arithmetic(infer);
  infer.allow_complex();
  infer.output(dtype, broadcast_shape(infer, 2, kBinaryArguments));
}

void infer_unary(Infer& infer) { infer.output(infer.dtype(0), infer.shape(0)); }

void infer_floating(Infer& infer, int64_t work = kTranscendentalWork) {
  infer.require_floating(0, "x");
  infer_unary(infer);
  infer.work *= work;
}

// vjp(g, saved): the cotangent and what the forward op saved have one shape and one dtype.
void infer_vjp(Infer& infer, bool floating_only = true, int64_t work = 1) {
  if (floating_only) infer.require_floating(1, "x");
  infer.require_dtype(0, "g", infer.dtype(1));
  infer.require_shape(0, "g", infer.shape(1));
  infer.output(infer.dtype(1), infer.shape(1));
  infer.work *= work;
}

void require_number(const Infer& infer, const char* argument, double value) {
  if (std::isnan(value))
    fail(ErrorCode::InvalidArgument, infer.op(), format("%s must be a number, got nan", argument));
}

}  // namespace

void infer_add(const NoParams&, Infer& infer) { infer_arithmetic(infer); }
void infer_sub(const NoParams&, Infer& infer) { infer_arithmetic(infer); }
void infer_mul(const NoParams&, Infer& infer) { infer_scaling(infer); }
void infer_div(const NoParams&, Infer& infer) { infer_scaling(infer); }
void infer_maximum(const NoParams&, Infer& infer) { infer_binary(infer, false, false); }
void infer_minimum(const NoParams&, Infer& infer) { infer_binary(infer, false, false); }
void infer_pow(const NoParams&, Infer& infer) {
  infer_binary(infer, true, false);
  infer.work *= kTranscendentalWork;
}

void infer_eq(const NoParams&, Infer& infer) { infer_binary(infer, false, true); }
void infer_ne(const NoParams&, Infer& infer) { infer_binary(infer, false, true); }
void infer_lt(const NoParams&, Infer& infer) { infer_binary(infer, false, true); }
void infer_le(const NoParams&, Infer& infer) { infer_binary(infer, false, true); }
void infer_gt(const NoParams&, Infer& infer) { infer_binary(infer, false, true); }
void infer_ge(const NoParams&, Infer& infer) { infer_binary(infer, false, true); }

void infer_neg(const NoParams&, Infer& infer) {
  infer.allow_complex();
  infer_unary(infer);
}
void infer_abs(const NoParams&, Infer& infer) {
  infer.allow_complex();
  infer.output(real_of(infer.dtype(0)), infer.shape(0));
}
void infer_sign(const NoParams&, Infer& infer) { infer_unary(infer); }
void infer_relu(const NoParams&, Infer& infer) { infer_unary(infer); }
void infer_exp(const NoParams&, Infer& infer) {
  if (!is_complex(infer.dtype(0))) return infer_floating(infer);
  infer.allow_complex();
  infer_unary(infer);
  infer.work *= 3 * kTranscendentalWork;
}
void infer_log(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_log1p(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_sqrt(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_sin(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_cos(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_tanh(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_sigmoid(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_erf(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_rsqrt(const NoParams&, Infer& infer) { infer_floating(infer); }
void infer_reciprocal(const NoParams&, Infer& infer) { infer_floating(infer, 1); }
void infer_gelu(const GeluParams&, Infer& infer) { infer_floating(infer); }
void infer_silu(const NoParams&, Infer& infer) { infer_floating(infer); }

namespace {
void check_softplus(const SoftplusParams& p, const Infer& infer) {
  infer.require_positive("beta", p.beta);
  require_number(infer, "threshold", p.threshold);
}
}  // namespace

void infer_softplus(const SoftplusParams& p, Infer& infer) {
  check_softplus(p, infer);
  infer_floating(infer);
}
void infer_softplus_vjp(const SoftplusParams& p, Infer& infer) {
  check_softplus(p, infer);
  infer_vjp(infer, true, kTranscendentalWork);
}

void infer_tanh_vjp(const NoParams&, Infer& infer) { infer_vjp(infer); }
void infer_sigmoid_vjp(const NoParams&, Infer& infer) { infer_vjp(infer); }
void infer_relu_vjp(const NoParams&, Infer& infer) { infer_vjp(infer, false); }
void infer_gelu_vjp(const GeluParams&, Infer& infer) {
  infer_vjp(infer, true, kTranscendentalWork);
}
void infer_silu_vjp(const NoParams&, Infer& infer) { infer_vjp(infer, true, kTranscendentalWork); }

void infer_leaky_relu(const SlopeParams& p, Infer& infer) {
  infer.require_finite("negativeSlope", p.negative_slope);
  infer_floating(infer, 1);
}
void infer_leaky_relu_vjp(const SlopeParams& p, Infer& infer) {
  infer.require_finite("negativeSlope", p.negative_slope);
  infer_vjp(infer);
}

void infer_elu(const AlphaParams& p, Infer& infer) {
  infer.require_finite("alpha", p.alpha);
  infer_floating(infer);
}
void infer_elu_vjp(const AlphaParams& p, Infer& infer) {
  infer.require_finite("alpha", p.alpha);
  infer_vjp(infer, true, kTranscendentalWork);
}

void infer_clamp(const ClampParams& p, Infer& infer) {
  require_number(infer, "min", p.min);
  require_number(infer, "max", p.max);
  infer_unary(infer);
}
void infer_clamp_vjp(const ClampParams& p, Infer& infer) {
  require_number(infer, "min", p.min);
  require_number(infer, "max", p.max);
  infer_vjp(infer, false);
}

void infer_where(const NoParams&, Infer& infer) {
  static constexpr const char* kArguments[] = {"condition", "x", "other"};
  infer.allow_complex();
  infer.require_dtype(0, "condition", DType::u8);
  infer.require_dtype(2, "other", infer.dtype(1));
  infer.output(infer.dtype(1), broadcast_shape(infer, 3, kArguments));
}

void infer_cast(const CastParams& p, Infer& infer) {
  infer.allow_complex();
  if (is_complex(infer.dtype(0)) && !is_complex(p.dtype))
    fail(ErrorCode::DTypeMismatch, infer.op(),
         format("dtype must be complex for a complex tensor, got %s; take real(), imag() or "
                "abs() of it",
                name_of(p.dtype)));
  infer.output(p.dtype, infer.shape(0));
}

}  // namespace fluxion
