// The table of ops generated from ops.def: names, arities, how to read parameters, how to infer.
#pragma once

#include <cstdint>

#include "ops/op.h"

namespace fluxion {

enum class OpId : int32_t {
#define FLUXION_OP(id, Params, inputs, outputs) id,
#define FLUXION_VIEW(id, Params) id,
#include "ops/ops.def"
#undef FLUXION_OP
#undef FLUXION_VIEW
};

struct OpInfo {
  const char* name;
  int inputs;  // -1: any number
  int outputs;
  bool view;
  size_t params_bytes;
  void (*decode)(ParamReader& reader, void* params);
  void (*names)(std::string& out);  // parameter names, separated by blanks
  void (*infer)(const void* params, Infer& infer);
};

inline constexpr int kOpCount = 0
#define FLUXION_OP(id, Params, inputs, outputs) +1
#define FLUXION_VIEW(id, Params) +1
#include "ops/ops.def"
#undef FLUXION_OP
#undef FLUXION_VIEW
    ;

extern const OpInfo kOps[kOpCount];

inline const OpInfo& info_of(OpId id) { return kOps[static_cast<int>(id)]; }

// Changes with the list, the order or the parameters of the ops: a plug-in built for another list is refused.
uint64_t registry_fingerprint();

}  // namespace fluxion
