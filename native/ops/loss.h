// Parameters of losses of one element each.
#pragma once

#include "ops/classification.h"

namespace fluxion {

enum class LossKind : int32_t { squared, absolute, smooth_l1, huber, bce_with_logits };
inline constexpr const char* kLossKindNames[] = {"squared", "absolute", "smoothL1", "huber",
                                                 "bceWithLogits"};

struct ElementLossParams {
  LossKind kind = LossKind::squared;
  double width = 1;  // beta of smoothL1, delta of huber
  LossReduction reduction = LossReduction::none;
  template <class V>
  void visit(V& v) {
    v.choice("kind", kind, kLossKindNames);
    v("width", width);
    v.choice("reduction", reduction, kLossReductionNames);
  }
};

}  // namespace fluxion
