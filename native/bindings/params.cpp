// Reading parameters field by field, as the op's parameter struct names them.
#include "bindings/params.h"

#include <cmath>
#include <string>

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

}  // namespace

void decode_params(napi_env env, const OpInfo& info, napi_value object, void* params) {
  ObjectReader reader(env, object);
  try {
    info.decode(reader, params);
  } catch (Error& error) {
    error.op = info.name;
    throw;
  }
}

}  // namespace fluxion::bindings
