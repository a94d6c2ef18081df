// The launchers of all ops, by id.
#pragma once

#include "kernel.h"

namespace fluxion::cuda {

using Launcher = void (*)(const void* params, const Kernel& call);

// Null where the op has no CUDA kernel: the engine refuses it.
Launcher launcher_of(OpId op);

}  // namespace fluxion::cuda
