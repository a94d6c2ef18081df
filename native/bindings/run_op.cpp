// The one generic entry for all ops: run(op, params, handle0, handle1, ...).
//
// Inputs come through the frame (see addon.h), parameters as a plain object with every field the op's
// parameter struct names, and an object for each wanted output, which becomes its Handle.
#include "bindings/addon.h"
#include "bindings/params.h"

#include <vector>

namespace fluxion::bindings {
namespace {

napi_value run(napi_env env, napi_callback_info callback_info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    size_t argc = 2 + kMaxOutputs;
    napi_value argv[2 + kMaxOutputs];
    napi_get_cb_info(env, callback_info, &argc, argv, nullptr, nullptr);
    int32_t op = -1;
    napi_get_value_int32(env, argv[0], &op);
    if (op < 0 || op >= kOpCount)
      fail(ErrorCode::Internal, "", format("no op has the number %d", op));
    const OpInfo& info = kOps[op];

    alignas(16) unsigned char params[kMaxParamBytes];
    if (info.params_bytes > 0) decode_params(env, info, argv[1], params);

    const double* frame = addon.frame();
    const int n = static_cast<int>(frame[Frame::kInputCount]);
    if (n < 0 || n > Frame::kMaxOperands || (info.inputs >= 0 && n != info.inputs)) {
      fail(ErrorCode::Internal, info.name, format("takes %d inputs, got %d", info.inputs, n));
    }
    addon.sweep_if_grown(env);
    Operand few[kMaxInputs];
    std::vector<Operand> many(n > kMaxInputs ? static_cast<size_t>(n) : 0);
    Operand* operands = n > kMaxInputs ? many.data() : few;
    for (int i = 0; i < n; ++i) {
      const double kind = frame[Frame::kInputs + 2 * i], value = frame[Frame::kInputs + 2 * i + 1];
      if (kind == 1) operands[i].tensor = operands[i].updated = &addon.tensor(value, info.name);
      if (kind == 2) operands[i] = {nullptr, true, value, nullptr};
    }
    // A missing argument is undefined: an output that nobody wants.
    uint32_t wanted = 0;
    for (int i = 0; i < info.outputs; ++i) {
      napi_valuetype type = napi_undefined;
      napi_typeof(env, argv[2 + i], &type);
      if (type == napi_object) wanted |= 1u << i;
    }
    Tensor outputs[kMaxOutputs];
    const Tensor* placed = nullptr;  // the first tensor says where the op runs
    for (int i = 0; i < n && !placed; ++i) placed = operands[i].tensor;
    Engine& engine = placed ? addon.engine_of(*placed)
                            : addon.engine(static_cast<size_t>(frame[Frame::kDevice]));
    engine.run(static_cast<OpId>(op), params, {operands, static_cast<size_t>(n)}, wanted, outputs);
    for (int i = 0; i < info.outputs; ++i) {
      if (outputs[i]) addon.adopt(env, std::move(outputs[i]), argv[2 + i], i);
    }
    return nullptr;
  });
}

}  // namespace

void export_run(Napi::Env env, Napi::Object exports) { export_function(env, exports, "run", run); }

}  // namespace fluxion::bindings
