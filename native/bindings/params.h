// Parameters of an op from a JavaScript object.
#pragma once

#include "bindings/addon.h"

namespace fluxion::bindings {

// `params` has room for kMaxParamBytes.
void decode_params(napi_env env, const OpInfo& info, napi_value object, void* params);

}  // namespace fluxion::bindings
