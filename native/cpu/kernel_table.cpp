// One table per instruction set; a kernel that ops.def names and nobody wrote is a link error.
#include "cpu/kernel_table.h"

#include "ops/params.h"

#if FLUXION_MATRIX_TILES
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
#if FLUXION_MATRIX_TILES
namespace amx {
using namespace avx512;  // but for these
void k_conv2d(const Conv2dForwardParams& params, const Kernel& call);
void k_conv2d_input_vjp(const Conv2dInputVjpParams& params, const Kernel& call);
}  // namespace amx
#endif

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
#if FLUXION_MATRIX_TILES
#define FLUXION_OP(id, Params, inputs, outputs) call_kernel<Params, amx::k_##id>,
    {
#include "ops/ops.def"
    },
#undef FLUXION_OP
#endif
#undef FLUXION_VIEW
};

#if FLUXION_MATRIX_TILES
namespace {
// Whether the processor has the unit and the system lets this process use it: its registers are 8 KB for each
// thread, which Linux saves for those only that asked (arch_prctl, since 5.16).
bool matrix_tiles_granted() {
  constexpr unsigned kBfloat = 1u << 22, kTiles = 1u << 24;  // of leaf 7
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kBfloat) || !(d & kTiles)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
}  // namespace
#endif

int best_isa() {
#if FLUXION_WIDE_SETS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
#if FLUXION_MATRIX_TILES
    static const bool tiles = matrix_tiles_granted();
    if (tiles) return 3;
#endif
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
