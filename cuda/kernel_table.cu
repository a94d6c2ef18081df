// One launcher for every op of ops.def, k_<id>(params, call), in the file of its family.
#include "kernel_table.h"

#include "ops/params.h"
#include "ops/registry.h"

namespace fluxion::cuda {

#define FLUXION_OP(id, Params, inputs, outputs) \
  void k_##id(const Params& params, const Kernel& call);
#define FLUXION_VIEW(id, Params)
#include "ops/ops.def"
#undef FLUXION_OP
#undef FLUXION_VIEW

namespace {

template <class Params, void (*kLauncher)(const Params&, const Kernel&)>
void call_with(const void* params, const Kernel& call) {
  kLauncher(*static_cast<const Params*>(params), call);
}

}  // namespace

Launcher launcher_of(OpId op) {
  static const Launcher launchers[kOpCount] = {
#define FLUXION_OP(id, Params, inputs, outputs) &call_with<Params, k_##id>,
#define FLUXION_VIEW(id, Params) nullptr,
#include "ops/ops.def"
#undef FLUXION_OP
#undef FLUXION_VIEW
  };
  return launchers[static_cast<int>(op)];
}

}  // namespace fluxion::cuda
