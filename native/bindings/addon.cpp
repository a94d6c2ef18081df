// Environment set-up and teardown, errors, and the functions that report or change settings.
#include "bindings/addon.h"

#include "backend/plugin.h"
#include "cpu/cpu_backend.h"

namespace fluxion::bindings {

Addon::Addon(Napi::Env env, Napi::Object exports) {
  const BackendApi* api = cpu::backend();
  char reason[256] = {};
  uint64_t memory_limit = 0;
  if (!read_memory_limit(&memory_limit, reason, sizeof reason)) throw Napi::Error::New(env, reason);
  void* device = api->open(0, reason, sizeof reason);
  if (!device) throw Napi::Error::New(env, reason);
  places_.resize(1);
  places_[0].device = std::make_unique<Device>(api, device, "cpu", memory_limit);
  places_[0].engine = std::make_unique<Engine>(*places_[0].device);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, Frame::kSize * sizeof(double));
  frame_ = static_cast<double*>(buffer.Data());
  frame_buffer_ = Napi::Reference<Napi::ArrayBuffer>::New(buffer, 1);
  exports.Set("frame", buffer);
  // Runs before the references of this environment are finalized: after it no thread of ours is left.
  env.AddCleanupHook([this] { close(); });
}

Addon::~Addon() { close(); }

void Addon::close() {
  if (closed_) return;
  closed_ = true;
  for (TensorNode* node : nodes_) {
    if (!node) continue;
    node->tensor.reset();
    node->addon = nullptr;  // its finalizer still comes
  }
  nodes_.clear();
  for (size_t id = 0; id < graphs_.size(); ++id) release_graph(id);
  places_.clear();  // joins the threads
}

size_t Addon::device_index(const Device* device) const {
  for (size_t i = 0; i < places_.size(); ++i)
    if (places_[i].device.get() == device) return i;
  return 0;
}

void Addon::open_device(size_t index, const std::string& plugin, const char* op) {
  if (has_device(index)) return;
  const std::string name = "cuda:" + std::to_string(index - 1);
  const auto refuse = [&](const std::string& reason) {
    fail(ErrorCode::Unsupported, op, "device '" + name + "' cannot be used: " + reason);
  };
  const PluginReport report = probe_plugin(plugin);
  if (report.devices.empty()) refuse(report.reason);
  if (index > report.devices.size()) {
    refuse(format("there are %zu, the last is 'cuda:%zu'", report.devices.size(),
                  report.devices.size() - 1));
  }
  char reason[256] = {};
  if (!report.api->check_settings(reason, sizeof reason)) {
    fail(ErrorCode::InvalidArgument, op, reason);
  }
  void* handle = report.api->open(static_cast<int>(index - 1), reason, sizeof reason);
  if (!handle) refuse(reason);
  if (places_.size() <= index) places_.resize(index + 1);
  Place& place = places_[index];
  place.device =
      std::make_unique<Device>(report.api, handle, name, report.devices[index - 1].memory_bytes);
  place.engine = std::make_unique<Engine>(*place.device);
  recording_.add(*place.device, index);
}

MemoryFigures Addon::memory() const {
  MemoryFigures sum;
  for (const Place& place : places_) {
    if (!place.device) continue;
    const MemoryFigures& figures = place.device->memory();
    sum.live += figures.live;
    sum.peak += figures.peak;
    sum.cached += figures.cached;
  }
  return sum;
}

Addon& Addon::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Addon*>(data);
}

std::string public_name(const std::string& op) {
  std::string name;
  for (size_t i = 0; i < op.size(); ++i) {
    if (op[i] == '_' && i + 1 < op.size()) {
      ++i;
      name += (op[i] >= 'a' && op[i] <= 'z') ? static_cast<char>(op[i] - 'a' + 'A') : op[i];
    } else {
      name += op[i];
    }
  }
  return name;
}

void Addon::throw_error(napi_env raw_env, const Error& error) {
  Napi::Env env(raw_env);
  const char* code = kErrorCodeNames[static_cast<int>(error.code)];
  if (error_class_.IsEmpty()) {
    napi_throw_error(raw_env, code, error.message.c_str());
    return;
  }
  try {
    Napi::Value object = error_class_.Value().New({Napi::String::New(env, code),
                                                   Napi::String::New(env, public_name(error.op)),
                                                   Napi::String::New(env, error.message)});
    napi_throw(raw_env, object);
  } catch (const Napi::Error&) {
    // The environment is being terminated: no JavaScript runs any more, and nobody waits for the error.
  }
}

void export_function(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

Napi::Value set_error_class(const Napi::CallbackInfo& info) {
  Addon::of(info.Env()).error_class_ = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

namespace {

Napi::Array op_list(Napi::Env env) {
  Napi::Array ops = Napi::Array::New(env, kOpCount);
  for (int i = 0; i < kOpCount; ++i) {
    std::string names;
    kOps[i].names(names);
    Napi::Object op = Napi::Object::New(env);
    op.Set("name", kOps[i].name);
    op.Set("inputs", kOps[i].inputs);
    op.Set("outputs", kOps[i].outputs);
    op.Set("view", kOps[i].view);
    op.Set("params", names);
    ops.Set(static_cast<uint32_t>(i), op);
  }
  return ops;
}

template <size_t N>
Napi::Array string_list(Napi::Env env, const char* const (&texts)[N]) {
  Napi::Array list = Napi::Array::New(env, N);
  for (uint32_t i = 0; i < N; ++i) list.Set(i, texts[i]);
  return list;
}

Napi::Value memory(const Napi::CallbackInfo& info) {
  Addon& addon = Addon::of(info.Env());
  const bool one = info[0].IsNumber();
  const size_t index = one ? info[0].ToNumber().Uint32Value() : 0;
  MemoryFigures figures;
  if (!one) figures = addon.memory();
  if (one && addon.has_device(index)) figures = addon.device(index).memory();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("tensors", static_cast<double>(addon.live_tensors()));
  result.Set("bytes", static_cast<double>(figures.live));
  result.Set("peakBytes", static_cast<double>(figures.peak));
  result.Set("cachedBytes", static_cast<double>(figures.cached));
  return result;
}

Napi::Value reset_peak(const Napi::CallbackInfo& info) {
  Addon& addon = Addon::of(info.Env());
  for (size_t i = 0; i < addon.devices(); ++i)
    if (addon.has_device(i)) addon.device(i).reset_peak();
  return info.Env().Undefined();
}

Napi::Value config(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  void* device = Addon::of(env).device().handle();
  Napi::Object result = Napi::Object::New(env);
  result.Set("instructionSet", cpu::instruction_set(device));
  result.Set("instructionSets", cpu::instruction_sets());
  result.Set("threads", cpu::threads(device));
  return result;
}

Napi::Value set_num_threads(const Napi::CallbackInfo& info) {
  cpu::set_threads(Addon::of(info.Env()).device().handle(), info[0].ToNumber().Int32Value());
  return info.Env().Undefined();
}

Napi::Value set_instruction_set(const Napi::CallbackInfo& info) {
  const std::string name = info[0].ToString();
  const bool known =
      cpu::select_instruction_set(Addon::of(info.Env()).device().handle(), name.c_str());
  return Napi::Boolean::New(info.Env(), known);
}

Napi::Value set_checked_memory(const Napi::CallbackInfo& info) {
  const bool on = info[0].ToBoolean();
  guarded(info.Env(), [&](Addon& addon) -> napi_value {
    for (size_t i = 0; i < addon.devices(); ++i)
      if (addon.has_device(i)) addon.device(i).set_checked(on);
    return nullptr;
  });
  return info.Env().Undefined();
}

// [{ device, name, memory?, reason? }]: every device that could be there, with the reason if it is not.
Napi::Value devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  DeviceDescription cpu_device{};
  cpu::backend()->describe(0, &cpu_device);
  Napi::Object host = Napi::Object::New(env);
  host.Set("device", "cpu");
  host.Set("name", cpu_device.name);
  host.Set("memory", static_cast<double>(host_memory_limit()));
  list.Set(0u, host);
  const PluginReport report =
      probe_plugin(info[0].IsString() ? std::string(info[0].ToString()) : "");
  uint32_t at = 1;
  for (const DeviceDescription& found : report.devices) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("device", "cuda:" + std::to_string(at - 1));
    device.Set("name", found.name);
    device.Set("memory", static_cast<double>(found.memory_bytes));
    list.Set(at++, device);
  }
  if (report.devices.empty()) {
    Napi::Object missing = Napi::Object::New(env);
    missing.Set("device", "cuda");
    missing.Set("name", "CUDA");
    missing.Set("reason", report.reason);
    list.Set(at, missing);
  }
  return list;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Addon(env, exports));
  exports.Set("ops", op_list(env));
  exports.Set("dtypes", string_list(env, kDTypeNames));
  exports.Set("errorCodes", string_list(env, kErrorCodeNames));
  exports.Set("setErrorClass", Napi::Function::New(env, set_error_class, "setErrorClass"));
  exports.Set("memory", Napi::Function::New(env, memory, "memory"));
  exports.Set("resetPeak", Napi::Function::New(env, reset_peak, "resetPeak"));
  exports.Set("config", Napi::Function::New(env, config, "config"));
  exports.Set("setNumThreads", Napi::Function::New(env, set_num_threads, "setNumThreads"));
  exports.Set("setInstructionSet",
              Napi::Function::New(env, set_instruction_set, "setInstructionSet"));
  exports.Set("setCheckedMemory", Napi::Function::New(env, set_checked_memory, "setCheckedMemory"));
  exports.Set("devices", Napi::Function::New(env, devices, "devices"));
  export_tensor_functions(env, exports);
  export_run(env, exports);
  export_reads(env, exports);
  export_capture(env, exports);
  export_profiling(env, exports);
  return exports;
}

NODE_API_MODULE(fluxion, initialise)

}  // namespace
}  // namespace fluxion::bindings
