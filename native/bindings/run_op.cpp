// The one generic entry for all ops: run(op, params, handle0, handle1, ...).
//
// Inputs come through the frame (see addon.h), parameters as a plain object with every field the op's
// parameter struct names, and an object for each wanted output, which becomes its Handle.
#include "bindings/addon.h"

#include <cmath>
#include <vector>

namespace fluxion::bindings {
namespace {

// Reads parameters from a JavaScript object. Absent and mistyped fields are errors of the library's own
// TypeScript or of a user who passed a wrong type: the message names the field either way.
class ObjectReader final : public ParamReader {
 public:
  ObjectReader(napi_env env, napi_value object) : env_(env), object_(object) {}

  double number(const char* name) override {
    double value = 0;
    if (napi_get_value_double(env_, field(name), &value) != napi_ok) mistyped(name, "a number");
    return value;
  }
  bool boolean(const char* name) override {
    bool value = false;
    if (napi_get_value_bool(env_, field(name), &value) != napi_ok) mistyped(name, "true or false");
    return value;
  }
  std::string text(const char* name) override {
    char buffer[64];
    size_t length = 0;
    if (napi_get_value_string_utf8(env_, field(name), buffer, sizeof buffer, &length) != napi_ok) {
      mistyped(name, "a string");
    }
    return std::string(buffer, length);
  }
  Shape list(const char* name) override {
    const napi_value array = field(name);
    uint32_t length = 0;
    if (napi_get_array_length(env_, array, &length) != napi_ok)
      mistyped(name, "a list of integers");
    if (length > kMaxDims) {
      fail(ErrorCode::InvalidArgument, "",
           format("%s must have at most %d entries, got %u", name, kMaxDims, length));
    }
    Shape result;
    for (uint32_t i = 0; i < length; ++i) {
      napi_value element;
      double value = 0;
      if (napi_get_element(env_, array, i, &element) != napi_ok ||
          napi_get_value_double(env_, element, &value) != napi_ok || value != std::floor(value) ||
          std::abs(value) > 9007199254740992.0) {
        mistyped(name, "a list of integers");
      }
      result.push(static_cast<int64_t>(value));
    }
    return result;
  }

 private:
  napi_value field(const char* name) {
    napi_value value = nullptr;
    napi_get_named_property(env_, object_, name, &value);
    return value;
  }
  [[noreturn]] static void mistyped(const char* name, const char* wanted) {
    fail(ErrorCode::InvalidArgument, "", std::string(name) + " must be " + wanted);
  }
  napi_env env_;
  napi_value object_;
};

void decode_params(napi_env env, const OpInfo& info, napi_value object, void* params) {
  ObjectReader reader(env, object);
  try {
    info.decode(reader, params);
  } catch (Error& error) {
    error.op = info.name;
    throw;
  }
}

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
    addon.engine().run(static_cast<OpId>(op), params, {operands, static_cast<size_t>(n)}, wanted,
                       outputs);
    for (int i = 0; i < info.outputs; ++i) {
      if (outputs[i]) addon.adopt(env, std::move(outputs[i]), argv[2 + i], i);
    }
    return nullptr;
  });
}

}  // namespace

void export_run(Napi::Env env, Napi::Object exports) { export_function(env, exports, "run", run); }

}  // namespace fluxion::bindings
