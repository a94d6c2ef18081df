// Reading results without blocking the event loop.
//
// A read enqueues a copy into the destination array and remembers its ticket. One piece of asynchronous
// work at a time waits, on a libuv thread, for the oldest ticket; then every read that is done is resolved
// on the JavaScript thread. No thread-safe function is used: they abort when a worker exits (node#65100).
#include "bindings/addon.h"

namespace fluxion::bindings {

class ReadWork {
 public:
  ReadWork(Addon* addon, Device* device, uint64_t ticket)
      : addon_(addon), device_(device), ticket_(ticket) {}

  static void execute(napi_env, void* data) {
    ReadWork* work = static_cast<ReadWork*>(data);
    work->device_->wait(work->ticket_);
  }

  static void complete(napi_env env, napi_status, void* data) {
    std::unique_ptr<ReadWork> work(static_cast<ReadWork*>(data));
    Addon& addon = *work->addon_;
    napi_delete_async_work(env, addon.read_work_);
    addon.read_work_ = nullptr;
    if (addon.closed_) return;
    Napi::HandleScope scope(env);
    addon.settle_reads(env);
    addon.start_read_work(env);
  }

 private:
  Addon* addon_;
  Device* device_;
  uint64_t ticket_;
};

void Addon::start_read_work(napi_env env) {
  if (read_work_ || reads_.empty()) return;
  napi_value name;
  napi_create_string_utf8(env, "fluxion:read", NAPI_AUTO_LENGTH, &name);
  ReadWork* work = new ReadWork(this, reads_.front().device, reads_.front().ticket);
  napi_create_async_work(env, nullptr, name, ReadWork::execute, ReadWork::complete, work,
                         &read_work_);
  napi_queue_async_work(env, read_work_);
}

void Addon::settle_reads(napi_env env) {
  while (!reads_.empty() && reads_.front().ticket <= reads_.front().device->done()) {
    const PendingRead read = reads_.front();
    reads_.pop_front();
    if (!read.deferred) continue;
    if (read.array) napi_delete_reference(env, read.array);
    napi_value value = nullptr;
    try {
      if (read.array) {
        read.device->check_faults();
      } else {
        for (const Place& place : places_)
          if (place.device) place.device->check_faults();
      }
      napi_get_undefined(env, &value);
      napi_resolve_deferred(env, read.deferred, value);
    } catch (const Error& error) {
      throw_error(env, error);
      napi_get_and_clear_last_exception(env, &value);
      if (value) napi_reject_deferred(env, read.deferred, value);
    }
  }
}

namespace {

struct Destination {
  void* data = nullptr;
  size_t bytes = 0;
};

Destination destination_of(napi_env env, napi_value array, const Tensor& tensor) {
  napi_typedarray_type type;
  size_t length = 0;
  Destination to;
  bool known = false;
  if (napi_get_typedarray_info(env, array, &type, &length, &to.data, nullptr, nullptr) != napi_ok ||
      dtype_of_typed_array(type, &known) != real_of(tensor.view().dtype) || !known ||
      static_cast<int64_t>(length) != tensor.view().size() * parts_of(tensor.view().dtype)) {
    fail(ErrorCode::Internal, "data", "the destination must match the tensor");
  }
  to.bytes = length * size_of(real_of(tensor.view().dtype));
  return to;
}

// readSync(id, array): blocks until the queue has produced the values.
napi_value read_sync(napi_env env, napi_callback_info info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    size_t argc = 2;
    napi_value argv[2];
    napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
    double id = -1;
    napi_get_value_double(env, argv[0], &id);
    Tensor& tensor = addon.tensor(id, "dataSync");
    Tensor source = addon.engine_of(tensor).contiguous(tensor);
    const Destination to = destination_of(env, argv[1], source);
    if (to.bytes) source.device()->read(to.data, source.view().data, to.bytes);
    source.device()->drain();
    source.device()->check_faults();
    return nullptr;
  });
}

// read(id, array) -> promise; read() -> promise of an empty queue.
napi_value read(napi_env env, napi_callback_info info) {
  return guarded(env, [&](Addon& addon) -> napi_value {
    size_t argc = 2;
    napi_value argv[2];
    napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
    double id = -1;
    if (napi_get_value_double(env, argv[0], &id) != napi_ok) {
      Tensor nothing;
      return addon.read_async(env, nothing, nullptr);
    }
    Tensor& tensor = addon.tensor(id, "data");
    Tensor source = addon.engine_of(tensor).contiguous(tensor);
    return addon.read_async(env, source, argv[1]);
  });
}

}  // namespace

napi_value Addon::read_async(napi_env env, Tensor& source, napi_value array) {
  Device* first = array ? source.device() : places_[0].device.get();
  PendingRead read{first, first->last_ticket(), nullptr, nullptr};
  if (array) {
    const Destination to = destination_of(env, array, source);
    if (to.bytes) read.ticket = first->read(to.data, source.view().data, to.bytes);
    napi_create_reference(env, array, 1, &read.array);
  } else {
    for (size_t i = 1; i < places_.size(); ++i) {
      Device* other = places_[i].device.get();
      if (other) reads_.push_back({other, other->last_ticket(), nullptr, nullptr});
    }
  }
  napi_value promise;
  napi_create_promise(env, &read.deferred, &promise);
  reads_.push_back(read);
  settle_reads(env);
  start_read_work(env);
  return promise;
}

void export_reads(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "readSync", read_sync);
  export_function(env, exports, "read", read);
}

}  // namespace fluxion::bindings
