// The CPU's kernels by instruction set and op, generated from ops.def.
#pragma once

#include "cpu/instruction_sets.h"
#include "cpu/kernel.h"
#include "ops/registry.h"

namespace fluxion::cpu {

#if FLUXION_WIDE_SETS
inline constexpr int kIsaCount = 3;
#else
inline constexpr int kIsaCount = 1;
#endif
inline constexpr const char* kIsaNames[] = {"baseline", "avx2", "avx512"};

using KernelFn = void (*)(const void* params, const Kernel& call);
extern const KernelFn kKernels[kIsaCount][kOpCount];  // null for views

int best_isa();                  // index of the widest set this machine has
int find_isa(const char* name);  // -1 when unknown or not present here

}  // namespace fluxion::cpu
