// The profile of the device's queue: profileStart(capacity), profileMark() -> number of records so far,
// profileStop() -> { records: Float64Array of kStride numbers each, dropped }. lib/train/profile.ts is the reader.
#include "bindings/addon.h"
#include "cpu/cpu_backend.h"
#include "cpu/profile.h"

namespace fluxion::bindings {
namespace {

using cpu::Profile;
using cpu::ProfileRecord;

// op, begin and end in us since the start, inlined, bytes; for each shape ndim and 8 sizes.
constexpr size_t kShapeStride = 9;
constexpr size_t kStride = 5 + kShapeStride * ProfileRecord::kShapes;

Profile& profile_of(Napi::Env env) { return cpu::profile(Addon::of(env).device().handle()); }

Napi::Value profile_start(const Napi::CallbackInfo& info) {
  const auto capacity = static_cast<size_t>(info[0].ToNumber().Int64Value());
  guarded(info.Env(), [&](Addon&) -> napi_value {
    profile_of(info.Env()).start(capacity);
    return nullptr;
  });
  return info.Env().Undefined();
}

Napi::Value profile_mark(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           static_cast<double>(profile_of(info.Env()).records().size()));
}

void write_record(const ProfileRecord& record, int64_t started, double* to) {
  to[0] = record.op;
  to[1] = static_cast<double>(record.begin - started) * 1e-3;
  to[2] = static_cast<double>(record.end - started) * 1e-3;
  to[3] = record.inlined ? 1 : 0;
  to[4] = static_cast<double>(record.bytes);
  for (int i = 0; i < ProfileRecord::kShapes; ++i) {
    double* shape = to + 5 + kShapeStride * static_cast<size_t>(i);
    shape[0] = record.ndim[i];
    for (int d = 0; d < record.ndim[i]; ++d) shape[1 + d] = record.size[i][d];
  }
}

Napi::Value profile_stop(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Profile& profile = profile_of(env);
  const auto& records = profile.records();
  Napi::Float64Array numbers = Napi::Float64Array::New(env, records.size() * kStride);
  for (size_t i = 0; i < records.size(); ++i)
    write_record(records[i], profile.started(), numbers.Data() + i * kStride);
  Napi::Object result = Napi::Object::New(env);
  result.Set("records", numbers);
  result.Set("stride", static_cast<double>(kStride));
  result.Set("dropped", static_cast<double>(profile.dropped()));
  profile.stop();
  return result;
}

}  // namespace

void export_profiling(Napi::Env env, Napi::Object exports) {
  exports.Set("profileStart", Napi::Function::New(env, profile_start, "profileStart"));
  exports.Set("profileMark", Napi::Function::New(env, profile_mark, "profileMark"));
  exports.Set("profileStop", Napi::Function::New(env, profile_stop, "profileStop"));
}

}  // namespace fluxion::bindings
