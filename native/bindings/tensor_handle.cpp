// Tensors as JavaScript sees them: numbering, weak references, finalizers and the sweep.
#include "bindings/addon.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace fluxion::bindings {
namespace {

// Live bytes at which the first sweep runs, and the step in which V8 is told of external memory.
constexpr uint64_t kFirstSweep = uint64_t{64} << 20;
constexpr int64_t kReportStep = int64_t{1} << 20;

void finalize_handle(napi_env env, void* data, void*) {
  TensorNode* node = static_cast<TensorNode*>(data);
  napi_ref reference = node->handle;
  if (Addon* addon = node->addon) {
    addon->forget(node);
    addon->lower_external_memory(env);
  }
  delete node;
  napi_delete_reference(env, reference);
}

// fromTypedArray(array, dtype, handle): shape in the output frame slot 0. Complex elements are pairs.
napi_value from_typed_array(napi_env env, napi_callback_info info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    size_t argc = 3;
    napi_value argv[3];
    napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
    int32_t dtype = 0;
    napi_get_value_int32(env, argv[1], &dtype);
    const double* frame = addon.frame();
    Shape shape;
    for (int i = 0; i < static_cast<int>(frame[2]); ++i)
      shape.push(static_cast<int64_t>(frame[3 + i]));
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    const DType element = static_cast<DType>(dtype);
    const int64_t expected = shape.size() * parts_of(element);
    if (napi_get_typedarray_info(env, argv[0], &type, &length, &data, nullptr, nullptr) !=
            napi_ok ||
        static_cast<int64_t>(length) != expected) {
      fail(ErrorCode::ShapeMismatch, "tensor",
           format("values must have %lld elements for shape %s, got %zu",
                  static_cast<long long>(expected), describe(shape).c_str(), length));
    }
    addon.sweep_if_grown(env);
    const size_t device = static_cast<size_t>(frame[Frame::kDevice]);
    Tensor tensor = addon.engine(device).empty(element, shape, "tensor");
    if (length)
      addon.device(device).write(tensor.view().data, data, length * size_of(real_of(element)));
    addon.adopt(env, std::move(tensor), argv[2], 0);
    return nullptr;
  });
}

// release(id)
napi_value release(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  double id = -1;
  napi_get_value_double(env, argv[0], &id);
  Addon::of(env).release(env, id);
  return nullptr;
}

}  // namespace

void Addon::adopt(napi_env env, Tensor tensor, napi_value handle, int slot) {
  TensorNode* node = new TensorNode{this, 0, std::move(tensor)};
  if (free_ids_.empty()) {
    node->id = static_cast<int>(nodes_.size());
    nodes_.push_back(node);
  } else {
    node->id = free_ids_.back();
    free_ids_.pop_back();
    nodes_[static_cast<size_t>(node->id)] = node;
  }
  ++live_tensors_;
  napi_add_finalizer(env, handle, node, finalize_handle, nullptr, &node->handle);
  const TensorView& view = node->tensor.view();
  double* out = frame_ + slot * Frame::kOutputStride;
  out[0] = node->id;
  out[1] = static_cast<double>(view.dtype);
  out[2] = view.ndim();
  for (int i = 0; i < view.ndim(); ++i) out[3 + i] = static_cast<double>(view.shape[i]);
  out[Frame::kOutputDevice] = static_cast<double>(device_index(node->tensor.device()));
  raise_external_memory(env);
}

Tensor& Addon::tensor(double id, const char* op) {
  const size_t index = static_cast<size_t>(id);
  if (!(id >= 0) || index >= nodes_.size() || !nodes_[index]) {
    fail(ErrorCode::Disposed, op, "a tensor has been disposed");
  }
  return nodes_[index]->tensor;
}

void Addon::forget(TensorNode* node) {
  node->tensor.reset();
  nodes_[static_cast<size_t>(node->id)] = nullptr;
  free_ids_.push_back(node->id);
  --live_tensors_;
}

void Addon::release(napi_env env, double id) {
  const size_t index = static_cast<size_t>(id);
  if (closed_ || !(id >= 0) || index >= nodes_.size() || !nodes_[index]) return;
  TensorNode* node = nodes_[index];
  forget(node);
  napi_delete_reference(env, node->handle);  // also withdraws the finalizer
  delete node;
}

// V8 collects when it is told of more external memory. A program that releases its tensors goes up to the
// same height in every step: it is told of that height once, or it would collect several times a step.
// Only what the collector itself has freed is taken back, so that forgotten tensors drive it on.
void Addon::raise_external_memory(napi_env env) {
  const int64_t live = static_cast<int64_t>(memory().live);
  if (live >= reported_bytes_ + kReportStep) report_external_memory(env, live);
}

void Addon::lower_external_memory(napi_env env) {
  const int64_t live = static_cast<int64_t>(memory().live);
  if (live <= reported_bytes_ - kReportStep) report_external_memory(env, live);
}

void Addon::report_external_memory(napi_env env, int64_t live) {
  int64_t total = 0;
  napi_adjust_external_memory(env, live - reported_bytes_, &total);
  reported_bytes_ = live;
}

void Addon::sweep_if_grown(napi_env env) {
  if (memory().live < std::max(sweep_threshold_, kFirstSweep)) return;
  Napi::HandleScope scope(env);
  bool found = false;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    TensorNode* node = nodes_[i];
    if (!node) continue;
    napi_value object = nullptr;
    napi_get_reference_value(env, node->handle, &object);
    if (object) continue;
    forget(node);
    napi_delete_reference(env, node->handle);
    delete node;
    found = true;
  }
  sweep_threshold_ = memory().live + memory().live / 2;
  if (found) lower_external_memory(env);
}

DType dtype_of_typed_array(napi_typedarray_type type, bool* known) {
  *known = true;
  switch (type) {
    case napi_float32_array:
      return DType::f32;
    case napi_float64_array:
      return DType::f64;
    case napi_int32_array:
      return DType::i32;
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return DType::u8;
    default:
      *known = false;
      return DType::f32;
  }
}

namespace {

// openDevice(index, plugin, op): throws where the device cannot be used.
napi_value open_device(napi_env env, napi_callback_info info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    const Napi::CallbackInfo call(env, info);
    addon.open_device(call[0].ToNumber().Uint32Value(), call[1].ToString(),
                      std::string(call[2].ToString()).c_str());
    return nullptr;
  });
}

// transfer(id, device, handle): the tensor on another device.
napi_value transfer(napi_env env, napi_callback_info info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    size_t argc = 3;
    napi_value argv[3];
    napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
    double id = -1, device = 0;
    napi_get_value_double(env, argv[0], &id);
    napi_get_value_double(env, argv[1], &device);
    addon.sweep_if_grown(env);
    Tensor& source = addon.tensor(id, "to");
    Tensor moved = addon.engine(static_cast<size_t>(device))
                       .transferred(addon.engine_of(source), source, "to");
    addon.adopt(env, std::move(moved), argv[2], 0);
    return nullptr;
  });
}

// overwrite(id, from): new contents in the memory that the tensor has.
napi_value overwrite(napi_env env, napi_callback_info info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    size_t argc = 2;
    napi_value argv[2];
    napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
    double id = -1, from = -1;
    napi_get_value_double(env, argv[0], &id);
    napi_get_value_double(env, argv[1], &from);
    Tensor& tensor = addon.tensor(id, "assign");
    addon.engine_of(tensor).overwrite(tensor, addon.tensor(from, "assign"));
    return nullptr;
  });
}

}  // namespace

void export_tensor_functions(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "openDevice", open_device);
  export_function(env, exports, "transfer", transfer);
  export_function(env, exports, "overwrite", overwrite);
  export_function(env, exports, "fromTypedArray", from_typed_array);
  export_function(env, exports, "release", release);
}

}  // namespace fluxion::bindings
