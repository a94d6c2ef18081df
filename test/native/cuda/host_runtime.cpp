// The CUDA runtime's names over malloc and immediate calls. Two devices are reported, so that transfers and
// mismatches between GPUs can be tested. FLUXION_CUDA_SCHEDULE seeds the schedules, FLUXION_CUDA_MEMORY
// limits the memory of a device in MiB, FLUXION_CUDA_SHARED the shared memory of a block in KiB.
#include "host_runtime.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host_machine.h"

namespace fluxion::cuda::host {

struct Graph {
  struct Node {
    bool kernel;
    std::function<cudaError_t()> run;
    uint3 grid, block;
    size_t shared;
  };
  std::vector<Node> nodes;
};
struct Executable {
  std::vector<Graph::Node> nodes;
};
struct Stream {
  Graph* capturing = nullptr;
};
struct Event {
  std::chrono::steady_clock::time_point time;
};

namespace {

constexpr int kDevices = 2;
constexpr size_t kDefaultMemory = size_t{4} << 30;
constexpr size_t kDefaultShared = size_t{227} << 10;

std::mutex memory_mutex;
std::unordered_map<void*, size_t> blocks;
size_t used = 0;
thread_local std::string last_failure;
thread_local cudaError_t last_error = cudaSuccess;

// A number of the environment; false where it is none in [least, most].
bool read_number(const char* name, uint64_t least, uint64_t most, uint64_t* value) {
  const char* text = std::getenv(name);
  if (!text) return true;
  char* end = nullptr;
  const unsigned long long number = std::strtoull(text, &end, 10);
  *value = number;
  return text[0] >= '0' && text[0] <= '9' && *end == 0 && number >= least && number <= most;
}

struct Variable {
  const char* name;
  uint64_t least, most;
};
constexpr Variable kSchedule = {"FLUXION_CUDA_SCHEDULE", 0, UINT32_MAX};
constexpr Variable kMemory = {"FLUXION_CUDA_MEMORY", 1, 1 << 20};
constexpr Variable kShared = {"FLUXION_CUDA_SHARED", 1, 227};

uint64_t number_of(const Variable& variable, uint64_t otherwise) {
  uint64_t value = otherwise;
  return read_number(variable.name, variable.least, variable.most, &value) ? value : otherwise;
}

size_t memory_limit() { return number_of(kMemory, kDefaultMemory >> 20) << 20; }

cudaError_t run_now(const Launch& launch, const std::function<void()>& kernel) {
  static const bool seeded = [] {
    set_schedule(number_of(kSchedule, 0));
    return true;
  }();
  (void)seeded;
  const char* error = run_grid(launch, kernel);
  if (!error) return cudaSuccess;
  last_failure = error;
  return last_error = cudaErrorLaunchFailure;
}

// Runs or records.
cudaError_t submit(Stream* stream, Graph::Node node) {
  if (!stream->capturing) return node.run();
  stream->capturing->nodes.push_back(std::move(node));
  return cudaSuccess;
}

}  // namespace

cudaError_t launch(Stream* stream, unsigned blocks_x, unsigned blocks_y, unsigned threads,
                   size_t shared, std::function<void()> kernel) {
  const Launch at{{blocks_x, blocks_y, 1}, {threads, 1, 1}, shared};
  return submit(stream, {true, [at, kernel = std::move(kernel)] { return run_now(at, kernel); },
                         at.grid, at.block, shared});
}

cudaError_t replace_kernel(Executable* graph, size_t n, std::function<void()> kernel) {
  for (Graph::Node& node : graph->nodes) {
    if (!node.kernel || n-- > 0) continue;
    const Launch at{node.grid, node.block, node.shared};
    node.run = [at, kernel = std::move(kernel)] { return run_now(at, kernel); };
    return cudaSuccess;
  }
  return cudaErrorLaunchFailure;
}

bool read_settings(char* reason, size_t reason_bytes) {
  for (const Variable& each : {kSchedule, kMemory, kShared}) {
    uint64_t value = 0;
    if (read_number(each.name, each.least, each.most, &value)) continue;
    std::snprintf(reason, reason_bytes, "%s must be a number in [%llu, %llu], got '%s'", each.name,
                  static_cast<unsigned long long>(each.least),
                  static_cast<unsigned long long>(each.most), std::getenv(each.name));
    return false;
  }
  return true;
}

}  // namespace fluxion::cuda::host

using namespace fluxion::cuda::host;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "host execution layer");
  properties->totalGlobalMem = memory_limit();
  properties->multiProcessorCount = 4;
  properties->sharedMemPerBlockOptin = number_of(kShared, kDefaultShared >> 10) << 10;
  properties->major = 9;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new Stream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  *memory = nullptr;
  if (bytes > memory_limit() || used > memory_limit() - bytes) return cudaErrorMemoryAllocation;
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*memory) return cudaErrorMemoryAllocation;
  std::memset(*memory, 0xFF, bytes);
  blocks[*memory] = bytes;
  used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  const auto found = blocks.find(memory);
  if (found == blocks.end()) return memory ? cudaErrorLaunchFailure : cudaSuccess;
  used -= found->second;
  blocks.erase(found);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = std::malloc(bytes ? bytes : 1);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  std::lock_guard<std::mutex> lock(memory_mutex);
  *total = memory_limit();
  *available = *total - used;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return submit(stream, {false,
                         [=] {
                           std::memcpy(to, from, bytes);
                           return cudaSuccess;
                         },
                         {},
                         {},
                         0});
}
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  return submit(stream, {false,
                         [=] {
                           std::memset(to, byte, bytes);
                           return cudaSuccess;
                         },
                         {},
                         {},
                         0});
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return submit(stream, {false,
                         [=] {
                           function(data);
                           return cudaSuccess;
                         },
                         {},
                         {},
                         0});
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new Event;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorLaunchFailure:
      return last_failure.c_str();
    default:
      return "an error of the host execution layer";
  }
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = new Graph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->capturing, nullptr);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new Executable{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const Graph::Node& node : executable->nodes) {
    if (const cudaError_t error = node.run(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
