// Parameters of losses over classes.
#pragma once

#include "ops/op.h"

namespace fluxion {

struct CrossEntropyParams {
  double labelSmoothing = 0;
  template <class V>
  void visit(V& v) {
    v("labelSmoothing", labelSmoothing);
  }
};

}  // namespace fluxion
