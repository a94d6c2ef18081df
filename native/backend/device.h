// A device as the engine uses it: a back end's handle and a stream-ordered cache of memory blocks.
//
// Blocks freed by the host go back to the cache at once, although the queue may still have to execute
// items that use them: whatever gets the block next is enqueued later. All functions are called by the
// one thread that owns the device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

namespace fluxion {

struct MemoryFigures {
  uint64_t live = 0;    // bytes of live tensors and of workspaces in use
  uint64_t peak = 0;    // highest value of live
  uint64_t cached = 0;  // free bytes kept for reuse
};

// A graph of a device and the memory that it uses, which nothing else gets as long as the graph lives.
struct CapturedGraph {
  void* graph = nullptr;
  int launches = 0;
  std::unordered_map<void*, size_t> blocks;             // rounded sizes
  std::unordered_map<size_t, std::vector<void*>> free;  // of these, those that no tensor has
  std::vector<std::pair<void*, size_t>> held;  // made before and freed within: read at each replay
};

class Device {
 public:
  Device(const BackendApi* api, void* handle, std::string name, uint64_t memory_limit);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Null when neither the cache nor the system has the memory.
  void* alloc(size_t bytes);
  void free(void* memory, size_t bytes);
  void release_cache();  // drains the queue

  uint64_t launch(const LaunchArgs& args);
  uint64_t write(void* to, const void* from, size_t bytes) {
    return last_ticket_ = api_->write(handle_, to, from, bytes);
  }
  uint64_t read(void* to, const void* from, size_t bytes) {
    return last_ticket_ = api_->read(handle_, to, from, bytes);
  }
  uint64_t last_ticket() const { return last_ticket_; }
  uint64_t done() const { return api_->done(handle_); }
  void wait(uint64_t ticket) const { api_->wait(handle_, ticket); }
  void drain() const { wait(last_ticket_); }
  // Throws the fault that a kernel has recorded since the last call, if any.
  void check_faults() const;

  const MemoryFigures& memory() const { return figures_; }
  void reset_peak() { figures_.peak = figures_.live; }
  uint64_t memory_limit() const { return memory_limit_; }
  const std::string& name() const { return name_; }  // as users write it: 'cpu', 'cuda:0'
  bool host_memory() const { return (api_->flags & kHostMemory) != 0; }
  bool takes_workspace() const { return (api_->flags & kTakesWorkspace) != 0; }
  bool has_kernel(OpId op) const { return api_->has_kernel(op) != 0; }
  void* handle() const { return handle_; }

  // --- profiles; not while a step is captured
  void profile_start(size_t capacity);
  std::span<const ProfileRecord> profile_records(uint64_t* dropped) const;
  void profile_stop() { api_->profile_stop(handle_); }

  // --- graphs: what is launched between begin and end is recorded and not run.
  bool has_graphs() const { return api_->begin_capture != nullptr; }
  bool capturing() const { return capturing_ != nullptr; }
  // Whether tensors must stay where they are: a graph, made or being made, refers to their memory.
  bool pinned() const { return capturing_ != nullptr || graphs_ > 0; }
  void begin_capture();
  std::unique_ptr<CapturedGraph> end_capture();
  void abandon_capture();
  int captured_launches() const { return capturing_->launches; }
  void replay(const CapturedGraph& graph) { last_ticket_ = api_->replay(handle_, graph.graph); }
  // Gives a launch of the graph other parameters.
  bool update(const CapturedGraph& graph, int launch, const void* params) {
    return api_->update(handle_, graph.graph, launch, params) != 0;
  }
  void release(std::unique_ptr<CapturedGraph> graph);

  // For tests: new blocks are filled with NaN patterns and followed by guard bytes, which are checked
  // after each op and when the block is freed. Slow; the queue is drained for each.
  void set_checked(bool on);
  bool checked() const { return checked_; }

 private:
  void* alloc_from_system(size_t rounded);
  void* take_cached(std::unordered_map<size_t, std::vector<void*>>& cache, size_t rounded);
  void forget(CapturedGraph& graph);
  void check_guard(const void* memory, size_t bytes) const;

  const BackendApi* api_;
  void* handle_;
  std::string name_;
  uint64_t memory_limit_;
  uint64_t last_ticket_ = 0;
  MemoryFigures figures_;
  std::unordered_map<size_t, std::vector<void*>> cache_;  // by rounded size
  std::unique_ptr<CapturedGraph> capturing_;
  int graphs_ = 0;
  std::unordered_map<void*, CapturedGraph*> graph_blocks_;
  bool checked_ = false;
};

// Physical memory that this process may use: the machine's, or its control group's limit.
uint64_t host_memory_limit();

// The same, or less where FLUXION_MEMORY_LIMIT in the environment says so: bytes, or with K, M or G behind the number
// multiples of 1024, 1024^2 or 1024^3. False, with the reason, where it is no such number.
bool read_memory_limit(uint64_t* limit, char* reason, size_t reason_bytes);

}  // namespace fluxion
