// The CPU's kernels by instruction set and op, generated from ops.def.
#pragma once

#include "cpu/instruction_sets.h"
#include "cpu/kernel.h"
#include "ops/registry.h"

namespace fluxion::cpu {

// amx: avx512, and kernels of its own for what a matrix unit computes.
#if FLUXION_WIDE_SETS && (defined(__clang__) || __GNUC__ >= 11) && defined(__linux__)
#define FLUXION_MATRIX_TILES 1
#else
#define FLUXION_MATRIX_TILES 0
#endif
inline constexpr int kIsaCount = 1 + 2 * FLUXION_WIDE_SETS + FLUXION_MATRIX_TILES;
inline constexpr const char* kIsaNames[] = {"baseline", "avx2", "avx512", "amx"};

using KernelFn = void (*)(const void* params, const Kernel& call);
extern const KernelFn kKernels[kIsaCount][kOpCount];  // null for views

int best_isa();                  // index of the widest set this machine has
int find_isa(const char* name);  // -1 when unknown or not present here

}  // namespace fluxion::cpu
