// Semi-Lagrangian advection and grid sampling: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {

enum class SemiLagrangianBoundary : int32_t { zeros, border, reflect, periodic };
inline constexpr const char* kSemiLagrangianBoundaryNames[] = {"zeros", "border", "reflect",
                                                               "periodic"};

}  // namespace fluxion
