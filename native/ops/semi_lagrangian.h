// Semi-Lagrangian advection and grid sampling: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {}  // namespace fluxion
