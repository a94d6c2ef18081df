// Positions in one plane are counted in 32 bits by the advection kernels.
#pragma once

#include "kernel.h"

namespace fluxion::cuda {

// Whether a plane of that many cells can be counted; if not, the op has recorded the fault.
bool countable_plane(const Kernel& call, int64_t cells);

}  // namespace fluxion::cuda
