// Mesh-free convolution: parameters of the ops.
#pragma once

#include "ops/op.h"

namespace fluxion {}  // namespace fluxion
