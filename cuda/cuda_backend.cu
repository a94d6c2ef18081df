// The entry point of the plug-in: the C ABI of native/backend/backend.h over Queue.
#include <cstdio>

#include "backend/backend.h"
#include "graph.h"
#include "kernel_table.h"
#include "ops/registry.h"
#include "queue.h"

namespace fluxion::cuda {
namespace {

Queue& as_queue(void* device) { return *static_cast<Queue*>(device); }
Graph* as_graph(void* graph) { return static_cast<Graph*>(graph); }

int device_count(char* reason, size_t reason_bytes) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  const char* text = error == cudaErrorInsufficientDriver
                         ? "no NVIDIA driver, or one older than CUDA 13 needs (580)"
                     : error == cudaErrorNoDevice || error == cudaSuccess
                         ? "no CUDA device was found"
                         : cudaGetErrorString(error);
  std::snprintf(reason, reason_bytes, "%s", text);
  return 0;
}

int describe(int index, DeviceDescription* out) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return 0;
  std::snprintf(out->name, sizeof out->name, "%.*s", static_cast<int>(sizeof out->name - 1),
                properties.name);
  out->memory_bytes = properties.totalGlobalMem;
  return 1;
}

const BackendApi* api() {
  static const BackendApi table = {
    kBackendAbi,
    registry_fingerprint(),
#if defined(__CUDACC__)
    0,
#else
    kHostMemory,
#endif
    device_count,
    describe,
    [](char* reason, size_t bytes) -> int {
      Settings settings;
      return read_settings(&settings, reason, bytes);
    },
    [](int index, char* reason, size_t bytes) -> void* {
      return Queue::open(index, reason, bytes);
    },
    [](void* device) { delete static_cast<Queue*>(device); },
    [](OpId op) -> int { return launcher_of(op) != nullptr; },
    [](void* device, size_t bytes) { return as_queue(device).alloc(bytes); },
    [](void*, void* memory, size_t) { Queue::release(memory); },
    [](void* device, const LaunchArgs* args) { return as_queue(device).launch(*args); },
    [](void* device, void* to, const void* from, size_t n) {
      return as_queue(device).write(to, from, n);
    },
    [](void* device, void* to, const void* from, size_t n) {
      return as_queue(device).read(to, from, n);
    },
    [](void* device) { return as_queue(device).done(); },
    [](void* device, uint64_t ticket) { as_queue(device).wait(ticket); },
    [](void* device, Fault* out) -> int { return as_queue(device).take_fault(out); },
    [](void* device) -> int { return as_queue(device).begin_capture(); },
    [](void* device, char* reason, size_t bytes) -> void* {
      return as_queue(device).end_capture(reason, bytes);
    },
    [](void* device, void* graph) { return as_queue(device).replay(as_graph(graph)); },
    [](void* device, void* graph, int index, const void* params) -> int {
      return as_queue(device).update(as_graph(graph), index, params);
    },
    [](void* device, void* graph) { as_queue(device).release_graph(as_graph(graph)); },
    [](void* device, size_t capacity) { as_queue(device).profile_start(capacity); },
    [](void* device, size_t* count, uint64_t* dropped) {
      return as_queue(device).profile_records(count, dropped);
    },
    [](void* device) { as_queue(device).profile_stop(); },
  };
  return &table;
}

}  // namespace
}  // namespace fluxion::cuda

extern "C" __attribute__((visibility("default"))) const fluxion::BackendApi* fluxion_backend() {
  return fluxion::cuda::api();
}
