// Parameters of pad: for each dimension, elements added before and after; negative ones take away.
#pragma once

#include "ops/op.h"

namespace fluxion {

// What stands outside of [0, n): a constant; the elements mirrored at the outermost one; the outermost
// one itself; the elements of the other end.
enum class PadMode : int32_t { Constant, Reflect, Replicate, Circular };
inline constexpr const char* kPadModeNames[] = {"constant", "reflect", "replicate", "circular"};

struct PadParams {
  Shape before, after;
  PadMode mode = PadMode::Constant;
  double value = 0;
  template <class V>
  void visit(V& v) {
    v("before", before);
    v("after", after);
    v.choice("mode", mode, kPadModeNames);
    v("value", value);
  }
};

// The adjoint in the modes that copy elements; that of a constant is a slice.
struct PadVjpParams {
  Shape before, after, input_shape;
  PadMode mode = PadMode::Reflect;
  template <class V>
  void visit(V& v) {
    v("before", before);
    v("after", after);
    v("inputShape", input_shape);
    v.choice("mode", mode, kPadModeNames);
  }
};

}  // namespace fluxion
