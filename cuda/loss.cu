// Losses of one element each, summed in the same pass where that is asked for, and their adjoints. With d = x - t:
//
//   squared d^2;  absolute |d|;  smoothL1 d^2 / (2 b) below b, |d| - b/2 above;
//   huber d^2 / 2 up to h, h (|d| - h/2) above;
//   bceWithLogits w ((1 - t) x + (1 + (p - 1) t) log(1 + e^-x))
//
// Decomposition: device/map.cuh and device/map_sum.cuh; weights that are not given are ones that no memory holds.
// Bytes of float32 without weights: 8 an element for a sum, 12 for the losses, 12 for the gradient of x (16 with
// a cotangent for each element), and as much again for that of t, which has a pass of its own: it is seldom
// asked for.
#include "device/functions.cuh"
#include "device/map_sum.cuh"
#include "map.h"
#include "ops/loss.h"

namespace fluxion::cuda {
namespace {

template <class T>
__device__ __forceinline__ T sign_of(T d) {
  return d > T(0) ? T(1) : d < T(0) ? T(-1) : d;
}

template <class T>
struct Difference {
  LossKind kind;
  T width, half_inverse, inverse;

  explicit Difference(const ElementLossParams& p)
      : kind(p.kind),
        width(static_cast<T>(p.width)),
        half_inverse(T(0.5) / width),
        inverse(T(1) / width) {}

  __device__ T value(T d) const {
    const T a = std::fabs(d);
    switch (kind) {
      case LossKind::squared:
        return d * d;
      case LossKind::absolute:
        return a;
      case LossKind::smooth_l1:
        return a < width ? d * d * half_inverse : a - T(0.5) * width;
      default:
        return a <= width ? T(0.5) * d * d : width * (a - T(0.5) * width);
    }
  }
  __device__ T slope(T d) const {
    switch (kind) {
      case LossKind::squared:
        return d + d;
      case LossKind::absolute:
        return sign_of(d);
      case LossKind::smooth_l1:
        return std::fabs(d) < width ? d * inverse : sign_of(d);
      default:
        return std::fabs(d) <= width ? d : width * sign_of(d);
    }
  }
};

template <class T>
struct DifferenceLoss {
  Difference<T> loss;
  __device__ T operator()(T x, T t, T weight) const { return loss.value(x - t) * weight; }
};

// The cotangent of x, or with the scale negated that of t.
template <class T>
struct DifferenceSlope {
  Difference<T> loss;
  T scale;
  __device__ T operator()(T x, T t, T weight, T g) const {
    return loss.slope(x - t) * weight * (g * scale);
  }
};

template <class T>
struct LogitsLoss {
  __device__ T operator()(T x, T t, T weight, T positive) const {
    return ((T(1) - t) * x + (T(1) + (positive - T(1)) * t) * softplus(-x)) * weight;
  }
};

template <class T>
struct LogitsSlope {
  bool target;  // the cotangent of t
  bool
      weighted;  // posWeight was given; without it the slope has no difference of nearly equal numbers
  T scale;
  __device__ T operator()(T x, T t, T weight, T positive, T g) const {
    T slope;
    if (target) {
      slope = weighted ? (positive - T(1)) * softplus(-x) - x : -x;
    } else if (weighted) {
      slope = (T(1) - t) - (T(1) + (positive - T(1)) * t) * sigmoid(-x);
    } else {
      slope = sigmoid(x) - t;
    }
    return slope * weight * (g * scale);
  }
};

Shape broadcast_shape(const Shape& a, const Shape& b) {
  Shape shape;
  shape.ndim = a.ndim > b.ndim ? a.ndim : b.ndim;
  for (int back = 1; back <= shape.ndim; ++back) {
    const int64_t m = back <= a.ndim ? a[a.ndim - back] : 1;
    const int64_t n = back <= b.ndim ? b[b.ndim - back] : 1;
    shape[shape.ndim - back] = m == 1 ? n : m;
  }
  return shape;
}

template <class T>
Operand<T> weight_operand(const TensorView& view) {
  return view.present ? operand_of<T>(view) : constant_operand(T(1));
}

// *out = the sum of op over the shape divided by `divisor`.
template <class T, class Op, size_t... I, class... In>
void sum_operands(const Kernel& call, const Op& op, const Shape& shape, double divisor, T* out,
                  const TensorView* const (&views)[sizeof...(In)], std::index_sequence<I...>,
                  Operand<In>... operands) {
  constexpr int kTensors = static_cast<int>(sizeof...(In));
  constexpr int kCount = pack_of<T, In...>();
  static_assert(kLossElements % (kLossThreads * kCount) == 0);
  const StridedSpace<kTensors> space = strided_space<kTensors>(shape, views);
  (choose_access<kCount>(space, static_cast<int>(I), operands), ...);
  int64_t blocks = 0;
  for_pieces(space, [&](const StridedSpace<kTensors>& piece, int64_t, const int64_t*) {
    blocks += blocks_of(elements_of(piece), kLossElements);
  });
  double* const partial = call.scratch<double>(blocks > 0 ? blocks : 1);
  int64_t done = 0;
  for_pieces(space, [&](const StridedSpace<kTensors>& piece, int64_t, const int64_t* offset) {
    const int64_t n = elements_of(piece), own = blocks_of(n, kLossElements);
    call.launch(map_sum<T, Op, In...>, {own, kLossThreads, shared_bytes<double>(kWarp)}, op,
                row_space(piece, kCount), static_cast<uint32_t>(n),
                static_cast<uint32_t>(kLossElements), partial + done,
                moved(operands, offset[I])...);
    done += own;
  });
  call.launch(add_partial_sums<T>, {1, kLossThreads, shared_bytes<double>(kWarp)}, partial, blocks,
              divisor, out);
}

template <class T, class Op, class... In>
void evaluate(const ElementLossParams& p, const Kernel& call, const Op& op,
              const TensorView* const (&views)[sizeof...(In)], const Operand<In>&... operands) {
  const Shape shape = broadcast_shape(call.in(0).shape, call.in(1).shape);
  T* const out = call.out(0).as<T>();
  const auto indices = std::index_sequence_for<In...>{};
  if (p.reduction == LossReduction::none) {
    return map_operands<T>(call, op, shape, out, views, indices, operands...);
  }
  const double divisor =
      p.reduction == LossReduction::mean ? static_cast<double>(shape.size()) : 1.0;
  sum_operands<T>(call, op, shape, divisor, out, views, indices, operands...);
}

template <class T>
void loss(const ElementLossParams& p, const Kernel& call) {
  const Operand<T> x = operand_of<T>(call.in(0)), t = operand_of<T>(call.in(1)),
                   weight = weight_operand<T>(call.in(2)), positive = weight_operand<T>(call.in(3));
  if (p.kind == LossKind::bce_with_logits) {
    return evaluate<T>(p, call, LogitsLoss<T>{},
                       {&call.in(0), &call.in(1), &call.in(2), &call.in(3)}, x, t, weight,
                       positive);
  }
  evaluate<T>(p, call, DifferenceLoss<T>{Difference<T>(p)}, {&call.in(0), &call.in(1), &call.in(2)},
              x, t, weight);
}

// Inputs: the cotangent g, then those of the loss.
template <class T>
void loss_vjp(const ElementLossParams& p, const Kernel& call) {
  const Shape shape = broadcast_shape(call.in(1).shape, call.in(2).shape);
  const Operand<T> g = operand_of<T>(call.in(0)), x = operand_of<T>(call.in(1)),
                   t = operand_of<T>(call.in(2)), weight = weight_operand<T>(call.in(3)),
                   positive = weight_operand<T>(call.in(4));
  const T scale = p.reduction == LossReduction::mean
                      ? static_cast<T>(1.0 / static_cast<double>(shape.size()))
                      : T(1);
  for (const bool target : {false, true}) {
    T* const out = call.out(target ? 1 : 0).as<T>();
    if (!out) continue;
    if (p.kind == LossKind::bce_with_logits) {
      map_operands<T>(call, LogitsSlope<T>{target, call.in(4).present, scale}, shape, out,
                      {&call.in(1), &call.in(2), &call.in(3), &call.in(4), &call.in(0)},
                      std::make_index_sequence<5>{}, x, t, weight, positive, g);
    } else {
      map_operands<T>(call, DifferenceSlope<T>{Difference<T>(p), target ? -scale : scale}, shape,
                      out, {&call.in(1), &call.in(2), &call.in(3), &call.in(0)},
                      std::make_index_sequence<4>{}, x, t, weight, g);
    }
  }
}

}  // namespace

void k_element_loss(const ElementLossParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { loss<typename decltype(tag)::type>(p, call); });
}

void k_element_loss_vjp(const ElementLossParams& p, const Kernel& call) {
  dispatch_floating(call.in(1).dtype,
                    [&](auto tag) { loss_vjp<typename decltype(tag)::type>(p, call); });
}

}  // namespace fluxion::cuda
