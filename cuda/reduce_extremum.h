// The norms of infinite order, for the launcher of all norms.
#pragma once

#include "kernel.h"
#include "ops/reduce.h"

namespace fluxion::cuda {

// The largest or smallest |x| over the axes.
void extreme_magnitude(const ReduceParams& p, const Kernel& call, bool smallest);

}  // namespace fluxion::cuda
