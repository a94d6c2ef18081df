// Graphs of a device: captureBegin(device), captureLaunches(device), captureEnd(device) -> graph,
// captureAbandon(device), graphUpdate(graph, launch, op, params), graphReplay(graph), graphRelease(graph).
// A graph is a small integer; what is still there when the environment ends is released with it.
#include "bindings/addon.h"
#include "bindings/params.h"

namespace fluxion::bindings {
namespace {

size_t index_argument(const Napi::CallbackInfo& info, size_t i) {
  return static_cast<size_t>(info[i].ToNumber().Int64Value());
}

template <class F>
Napi::Value with_addon(const Napi::CallbackInfo& info, F&& f) {
  const napi_value value =
      guarded(info.Env(), [&](Addon& addon) -> napi_value { return f(addon); });
  return value ? Napi::Value(info.Env(), value) : info.Env().Undefined();
}

Napi::Value begin(const Napi::CallbackInfo& info) {
  return with_addon(info, [&](Addon& addon) -> napi_value {
    addon.device(index_argument(info, 0)).begin_capture();
    return nullptr;
  });
}

Napi::Value launches(const Napi::CallbackInfo& info) {
  return Napi::Number::New(
      info.Env(), Addon::of(info.Env()).device(index_argument(info, 0)).captured_launches());
}

Napi::Value end(const Napi::CallbackInfo& info) {
  return with_addon(info, [&](Addon& addon) -> napi_value {
    Device& device = addon.device(index_argument(info, 0));
    std::unique_ptr<CapturedGraph> graph = device.end_capture();
    return Napi::Number::New(info.Env(), addon.adopt_graph(device, std::move(graph)));
  });
}

Napi::Value abandon(const Napi::CallbackInfo& info) {
  return with_addon(info, [&](Addon& addon) -> napi_value {
    addon.device(index_argument(info, 0)).abandon_capture();
    return nullptr;
  });
}

Napi::Value update(const Napi::CallbackInfo& info) {
  return with_addon(info, [&](Addon& addon) -> napi_value {
    const Addon::OwnedGraph& graph = addon.graph(index_argument(info, 0));
    const OpInfo& op = kOps[index_argument(info, 2)];
    alignas(16) unsigned char params[kMaxParamBytes];
    decode_params(info.Env(), op, info[3], params);
    if (!graph.device->update(*graph.graph, info[1].ToNumber().Int32Value(), params)) {
      graph.device->check_faults();
      fail(ErrorCode::BackendFailure, op.name, "a captured launch could not take other parameters");
    }
    return nullptr;
  });
}

Napi::Value replay(const Napi::CallbackInfo& info) {
  return with_addon(info, [&](Addon& addon) -> napi_value {
    const Addon::OwnedGraph& graph = addon.graph(index_argument(info, 0));
    graph.device->replay(*graph.graph);
    return nullptr;
  });
}

Napi::Value release(const Napi::CallbackInfo& info) {
  return with_addon(info, [&](Addon& addon) -> napi_value {
    addon.release_graph(index_argument(info, 0));
    return nullptr;
  });
}

}  // namespace

size_t Addon::adopt_graph(Device& device, std::unique_ptr<CapturedGraph> graph) {
  graphs_.push_back({&device, std::move(graph)});
  return graphs_.size() - 1;
}

const Addon::OwnedGraph& Addon::graph(size_t id) const {
  if (id >= graphs_.size() || !graphs_[id].graph) {
    fail(ErrorCode::Disposed, "capture", "a captured step has been disposed");
  }
  return graphs_[id];
}

void Addon::release_graph(size_t id) {
  if (id < graphs_.size() && graphs_[id].graph) {
    graphs_[id].device->release(std::move(graphs_[id].graph));
  }
}

void export_capture(Napi::Env env, Napi::Object exports) {
  exports.Set("captureBegin", Napi::Function::New(env, begin, "captureBegin"));
  exports.Set("captureLaunches", Napi::Function::New(env, launches, "captureLaunches"));
  exports.Set("captureEnd", Napi::Function::New(env, end, "captureEnd"));
  exports.Set("captureAbandon", Napi::Function::New(env, abandon, "captureAbandon"));
  exports.Set("graphUpdate", Napi::Function::New(env, update, "graphUpdate"));
  exports.Set("graphReplay", Napi::Function::New(env, replay, "graphReplay"));
  exports.Set("graphRelease", Napi::Function::New(env, release, "graphRelease"));
}

}  // namespace fluxion::bindings
