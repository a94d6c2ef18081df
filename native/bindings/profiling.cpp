// The profile of all devices: profileStart(capacity), profileMark() -> number of records so far,
// profileStop() -> { records: Float64Array of kStride numbers each, dropped }. lib/train/profile.ts is the reader.
#include "bindings/addon.h"

namespace fluxion::bindings {
namespace {

// op, begin and end in us since the start, inlined, bytes, device; for each shape ndim and 8 sizes.
constexpr size_t kShapeStride = 9;
constexpr size_t kFirstShape = 6;
constexpr size_t kStride = kFirstShape + kShapeStride * ProfileRecord::kShapes;

Napi::Value profile_start(const Napi::CallbackInfo& info) {
  const auto capacity = static_cast<size_t>(info[0].ToNumber().Int64Value());
  guarded(info.Env(), [&](Addon& addon) -> napi_value {
    Recording& recording = addon.recording();
    recording.start(capacity);
    try {
      for (size_t i = 0; i < addon.devices(); ++i)
        if (addon.has_device(i)) recording.add(addon.device(i), i);
    } catch (...) {
      recording.stop();
      throw;
    }
    return nullptr;
  });
  return info.Env().Undefined();
}

Napi::Value profile_mark(const Napi::CallbackInfo& info) {
  size_t count = 0;
  guarded(info.Env(), [&](Addon& addon) -> napi_value {
    count = addon.recording().mark();
    return nullptr;
  });
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

void write_record(const Recording::Entry& entry, int64_t started, double* to) {
  const ProfileRecord& record = entry.record;
  to[0] = record.op;
  to[1] = static_cast<double>(record.begin - started) * 1e-3;
  to[2] = static_cast<double>(record.end - started) * 1e-3;
  to[3] = record.inlined ? 1 : 0;
  to[4] = static_cast<double>(record.bytes);
  to[5] = static_cast<double>(entry.device);
  for (int i = 0; i < ProfileRecord::kShapes; ++i) {
    double* shape = to + kFirstShape + kShapeStride * static_cast<size_t>(i);
    shape[0] = record.ndim[i];
    for (int d = 0; d < record.ndim[i]; ++d) shape[1 + d] = record.size[i][d];
  }
}

Napi::Value profile_stop(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Recording& recording = Addon::of(env).recording();
  std::vector<Recording::Entry> entries;
  uint64_t dropped = 0;
  guarded(env, [&](Addon&) -> napi_value {
    entries = recording.entries(&dropped);
    return nullptr;
  });
  recording.stop();
  if (env.IsExceptionPending()) return env.Undefined();
  Napi::Float64Array numbers = Napi::Float64Array::New(env, entries.size() * kStride);
  for (size_t i = 0; i < entries.size(); ++i)
    write_record(entries[i], recording.started(), numbers.Data() + i * kStride);
  Napi::Object result = Napi::Object::New(env);
  result.Set("records", numbers);
  result.Set("stride", static_cast<double>(kStride));
  result.Set("dropped", static_cast<double>(dropped));
  return result;
}

}  // namespace

void export_profiling(Napi::Env env, Napi::Object exports) {
  exports.Set("profileStart", Napi::Function::New(env, profile_start, "profileStart"));
  exports.Set("profileMark", Napi::Function::New(env, profile_mark, "profileMark"));
  exports.Set("profileStop", Napi::Function::New(env, profile_stop, "profileStop"));
}

}  // namespace fluxion::bindings
