// One table per instruction set; a kernel that ops.def names and nobody wrote is a link error.
#include "cpu/kernel_table.h"

#include "ops/params.h"

namespace fluxion::cpu {

#define FLUXION_OP(id, Params, inputs, outputs) \
  void k_##id(const Params& params, const Kernel& call);
#define FLUXION_VIEW(id, Params)
namespace baseline {
#include "ops/ops.def"
}
#if FLUXION_WIDE_SETS
namespace avx2 {
#include "ops/ops.def"
}
namespace avx512 {
#include "ops/ops.def"
}
#endif
#undef FLUXION_OP
#undef FLUXION_VIEW

namespace {
template <class Params, void (*kKernel)(const Params&, const Kernel&)>
void call_kernel(const void* params, const Kernel& call) {
  kKernel(*static_cast<const Params*>(params), call);
}
}  // namespace

const KernelFn kKernels[kIsaCount][kOpCount] = {
#define FLUXION_VIEW(id, Params) nullptr,
#define FLUXION_OP(id, Params, inputs, outputs) call_kernel<Params, baseline::k_##id>,
    {
#include "ops/ops.def"
    },
#undef FLUXION_OP
#if FLUXION_WIDE_SETS
#define FLUXION_OP(id, Params, inputs, outputs) call_kernel<Params, avx2::k_##id>,
    {
#include "ops/ops.def"
    },
#undef FLUXION_OP
#define FLUXION_OP(id, Params, inputs, outputs) call_kernel<Params, avx512::k_##id>,
    {
#include "ops/ops.def"
    },
#undef FLUXION_OP
#endif
#undef FLUXION_VIEW
};

int best_isa() {
#if FLUXION_WIDE_SETS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return 2;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}

int find_isa(const char* name) {
  for (int i = 0; i <= best_isa(); ++i) {
    if (std::strcmp(name, kIsaNames[i]) == 0) return i;
  }
  return -1;
}

}  // namespace fluxion::cpu
