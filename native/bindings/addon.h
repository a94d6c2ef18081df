// State of one JavaScript environment (main thread, worker, jest realm) and what the binding files share.
//
// JavaScript holds tensors as small integers inside `Handle` objects. Each live tensor has a node with a
// weak reference to its Handle. It is released by the first of: dispose() from JavaScript, the finalizer
// (runs only when the event loop turns), or the sweep, which walks the nodes when live bytes have grown
// and frees those whose Handle was collected - it works in a synchronous loop too.
#pragma once

#include <napi.h>

#include <deque>
#include <memory>
#include <vector>

#include "backend/engine.h"
#include "bindings/recording.h"

namespace fluxion::bindings {

class Addon;

struct TensorNode {
  Addon* addon;  // null once the environment has been torn down
  int id;
  Tensor tensor;
  napi_ref handle = nullptr;  // weak
};

// The call frame shared with JavaScript: an array of doubles that carries small numbers in and out of a
// call without creating JavaScript values. lib/native.ts has the same layout.
struct Frame {
  static constexpr int kOutputStride = 12;  // id, dtype, ndim, up to 8 sizes, device
  static constexpr int kOutputDevice = 11;
  static constexpr int kDevice = 62;  // where an op without tensors makes its outputs
  static constexpr int kInputCount = 63;
  static constexpr int kInputs = 64;  // pairs: kind (0 absent, 1 tensor, 2 number), value
  static constexpr int kMaxOperands = 1024;
  static constexpr int kSize = kInputs + 2 * kMaxOperands;
};

class Addon {
 public:
  Addon(Napi::Env env, Napi::Object exports);
  ~Addon();

  static Addon& of(napi_env env);

  // Device 0 is the CPU, k is GPU number k - 1, once it has been opened.
  Engine& engine(size_t device = 0) { return *places_[device].engine; }
  Device& device(size_t device = 0) { return *places_[device].device; }
  size_t devices() const { return places_.size(); }
  bool has_device(size_t device) const {
    return device < places_.size() && places_[device].device != nullptr;
  }
  Engine& engine_of(const Tensor& tensor) { return engine(device_index(tensor.device())); }
  size_t device_index(const Device* device) const;
  void open_device(size_t device, const std::string& plugin, const char* op);
  MemoryFigures memory() const;  // of all devices
  double* frame() { return frame_; }

  // --- tensors (tensor_handle.cpp)
  // Gives the tensor a number and ties it to the JavaScript object; writes it to the output frame slot.
  void adopt(napi_env env, Tensor tensor, napi_value handle, int slot);
  Tensor& tensor(double id, const char* op);
  void release(napi_env env, double id);
  void forget(TensorNode* node);  // its Handle is gone
  void sweep_if_grown(napi_env env);
  void raise_external_memory(napi_env env);
  void lower_external_memory(napi_env env);
  // --- captured graphs (capture.cpp)
  struct OwnedGraph {
    Device* device;
    std::unique_ptr<CapturedGraph> graph;  // null once released
  };
  size_t adopt_graph(Device& device, std::unique_ptr<CapturedGraph> graph);
  const OwnedGraph& graph(size_t id) const;
  void release_graph(size_t id);

  // --- profiles (profiling.cpp)
  Recording& recording() { return recording_; }

  int64_t live_tensors() const { return live_tensors_; }

  // --- errors (addon.cpp)
  void throw_error(napi_env env, const Error& error);

  // --- reads (reads.cpp)
  napi_value read_async(napi_env env, Tensor& tensor, napi_value array);
  void settle_reads(napi_env env);

 private:
  friend class ReadWork;
  struct PendingRead {
    Device* device;
    uint64_t ticket;
    napi_deferred deferred;  // null: another one of the same promise follows
    napi_ref array;          // keeps the destination alive; null for a bare synchronisation
  };

  void close();
  void report_external_memory(napi_env env, int64_t live);
  void start_read_work(napi_env env);

  struct Place {
    std::unique_ptr<Device> device;
    std::unique_ptr<Engine> engine;
  };
  std::vector<Place> places_;
  std::vector<OwnedGraph> graphs_;
  Recording recording_;
  double* frame_ = nullptr;
  Napi::Reference<Napi::ArrayBuffer> frame_buffer_;
  Napi::FunctionReference error_class_;
  bool closed_ = false;

  std::vector<TensorNode*> nodes_;  // by id; null where free
  std::vector<int> free_ids_;
  int64_t live_tensors_ = 0;
  uint64_t sweep_threshold_ = 0;
  int64_t reported_bytes_ = 0;

  std::deque<PendingRead> reads_;
  napi_async_work read_work_ = nullptr;

  friend Napi::Value set_error_class(const Napi::CallbackInfo& info);
};

// Runs f and turns a fluxion::Error into a JavaScript exception.
template <class F>
napi_value guarded(napi_env env, F&& f) {
  try {
    return f(Addon::of(env));
  } catch (const Error& error) {
    Addon::of(env).throw_error(env, error);
  } catch (const std::bad_alloc&) {
    Addon::of(env).throw_error(env, {ErrorCode::OutOfMemory, "", "no memory on the host"});
  }
  return nullptr;
}

// The pieces register their functions here.
void export_tensor_functions(Napi::Env env, Napi::Object exports);
void export_run(Napi::Env env, Napi::Object exports);
void export_reads(Napi::Env env, Napi::Object exports);
void export_capture(Napi::Env env, Napi::Object exports);
void export_profiling(Napi::Env env, Napi::Object exports);

void export_function(napi_env env, napi_value exports, const char* name, napi_callback callback);

std::string public_name(const std::string& op);  // implicit_diffusion_2d -> implicitDiffusion2d
DType dtype_of_typed_array(napi_typedarray_type type, bool* known);

}  // namespace fluxion::bindings
