// The C ABI of a device. The CPU implements it inside the addon; other devices are plug-ins (see plugin.h).
//
// A device has one in-order queue. launch, write and read are enqueued in the order of the calls and
// return at once; every enqueued item has a ticket, and wait(ticket) blocks until it is done. Memory is
// therefore stream-ordered: a block may be handed to a later item as soon as the last item that uses it
// has been enqueued. alloc and release_memory give memory from and to the system and are slow; callers
// keep blocks in a cache (see device.h) and drain the queue before they release.
//
// Functions do not throw. All structs are plain data.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "backend/profile_record.h"
#include "core/tensor_view.h"
#include "ops/op.h"

namespace fluxion {

inline constexpr uint32_t kBackendAbi = 3;

// Flags of a back end.
inline constexpr uint32_t kHostMemory =
    1;  // the host may read and write its memory when the queue is idle
inline constexpr uint32_t kTakesWorkspace = 2;  // kernels use the workspace that infer has stated

// The first fault that a kernel met in the data, kept until it is taken by a read.
struct Fault {
  std::atomic<int32_t> taken{0};
  std::atomic<int32_t> ready{0};
  int32_t code = 0;  // ErrorCode
  int32_t op = 0;    // OpId
  char message[240] = {};
};

struct LaunchArgs {
  OpId op;
  int32_t n_inputs;
  int32_t n_outputs;
  const void* params;
  size_t params_bytes;
  const TensorView* inputs;  // copied by launch
  const TensorView* outputs;
  void* workspace;
  size_t scratch;  // bytes each CPU thread needs; other devices ignore it
  int64_t work;    // rough element operations
};

struct DeviceDescription {
  char name[96];
  uint64_t memory_bytes;
};

struct BackendApi {
  uint32_t abi;          // kBackendAbi
  uint64_t fingerprint;  // registry_fingerprint() of the plug-in's build
  uint32_t flags;
  // Number of devices; 0 with the reason why there is none.
  int (*device_count)(char* reason, size_t reason_bytes);
  int (*describe)(int index, DeviceDescription* out);
  // 0, with the reason, where the environment gives a setting of the device a value that is not allowed.
  int (*check_settings)(char* reason, size_t reason_bytes);
  void* (*open)(int index, char* reason, size_t reason_bytes);  // null with the reason
  void (*close)(void* device);                                  // ends the queue, joins its threads
  int (*has_kernel)(OpId op);                                   // 0: the op cannot run there
  void* (*alloc)(void* device, size_t bytes);                   // null: out of memory
  void (*release_memory)(void* device, void* memory, size_t bytes);
  // Returns the ticket; 0: nothing was enqueued, for the reason that take_fault has, else for want of scratch memory.
  uint64_t (*launch)(void* device, const LaunchArgs* args);
  // Host to device; the host memory may be reused when the call returns.
  uint64_t (*write)(void* device, void* to, const void* from, size_t bytes);
  // Device to host; the host memory must live until the ticket is done.
  uint64_t (*read)(void* device, void* to, const void* from, size_t bytes);
  uint64_t (*done)(void* device);               // the last ticket that is done
  void (*wait)(void* device, uint64_t ticket);  // also returns when the device is being closed
  int (*take_fault)(void* device, Fault* out);  // 1 when there was one

  // --- graphs; null where a device has none. What is launched or written between begin and end is recorded
  // and not run; nothing may be read. The caller keeps the memory that the launches use as it is.
  int (*begin_capture)(void* device);
  void* (*end_capture)(void* device, char* reason, size_t reason_bytes);  // null with the reason
  uint64_t (*replay)(void* device, void* graph);
  // Gives launch number `index` of the graph other parameters; 0 where that is not possible.
  int (*update)(void* device, void* graph, int index, const void* params);
  void (*release_graph)(void* device, void* graph);

  // --- profiles: a record of each op and copy between start and stop. Each call waits for the queue; not
  // while a graph is captured.
  void (*profile_start)(void* device, size_t capacity);
  // So far, in the order of execution, valid until the device is used again; `dropped` did not fit.
  const ProfileRecord* (*profile_records)(void* device, size_t* count, uint64_t* dropped);
  void (*profile_stop)(void* device);
};

// The entry point that a plug-in exports with C linkage: const BackendApi* fluxion_backend(void).
using BackendEntry = const BackendApi* (*)();
inline constexpr const char* kBackendEntryName = "fluxion_backend";

}  // namespace fluxion
