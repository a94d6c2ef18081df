// The one C++ error type. It is thrown while an op is validated, on the calling thread, and becomes a
// FluxionError in JavaScript. Kernels do not throw: faults that only data can show go to a FaultSlot.
#pragma once

#include <string>
#include <utility>

namespace fluxion {

enum class ErrorCode {
#define FLUXION_ERROR_CODE(cpp, js) cpp,
#include "core/error_codes.def"
#undef FLUXION_ERROR_CODE
};

inline constexpr const char* kErrorCodeNames[] = {
#define FLUXION_ERROR_CODE(cpp, js) "FLUXION_" #js,
#include "core/error_codes.def"
#undef FLUXION_ERROR_CODE
};

struct Error {
  ErrorCode code;
  std::string op;       // public op, snake_case; empty where no op is at fault
  std::string message;  // "argument must requirement, got value"
};

[[noreturn]] inline void fail(ErrorCode code, std::string op, std::string message) {
  throw Error{code, std::move(op), std::move(message)};
}

}  // namespace fluxion
