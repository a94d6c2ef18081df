// One GPU with its in-order queue: a stream, tickets, staging memory for transfers, memory for a single op,
// tables that live with the device, faults, and graphs captured from the stream.
//
// All functions but `wait` and `done` are called by the one thread that owns the device. Where a transfer
// uses pageable memory of the host, it goes through pinned memory, so that no call waits for the GPU.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel.h"
#include "profile.h"
#include "settings.h"

namespace fluxion::cuda {

class Graph;

// Memory for single ops: handed out from the front of a list of blocks. Blocks are only added while an op
// runs, so that an op asked again gets the same addresses.
class Arena {
 public:
  ~Arena() { release(); }
  void* take(size_t bytes);  // null: out of memory
  void rewind();
  bool fragmented() const { return blocks_.size() > 1; }
  size_t total() const;
  void release();

 private:
  struct Block {
    char* memory;
    size_t bytes;
  };
  std::vector<Block> blocks_;
  size_t at_ = 0, used_ = 0;
};

class Queue {
 public:
  static Queue* open(int index, char* reason, size_t reason_bytes);
  ~Queue();

  void* alloc(size_t bytes);
  static void release(void* memory);  // also after the queue has been closed

  uint64_t launch(const LaunchArgs& args);
  uint64_t write(void* to, const void* from, size_t bytes);
  uint64_t read(void* to, const void* from, size_t bytes);
  uint64_t done();
  void wait(uint64_t ticket);
  bool take_fault(Fault* out);

  // --- graphs: what is launched between begin and end is recorded, not run
  bool begin_capture();
  Graph* end_capture(char* reason, size_t reason_bytes);
  uint64_t replay(Graph* graph);
  // Gives launch number `index` of the capture other parameters; its inputs and outputs stay.
  bool update(Graph* graph, int index, const void* params);
  void release_graph(Graph* graph);

  // --- profiles
  void profile_start(size_t capacity);
  const ProfileRecord* profile_records(size_t* count, uint64_t* dropped);
  void profile_stop() { profile_.stop(); }

  // --- for kernels (kernel.h)
  void refuse(const char* message);
  void* scratch(size_t bytes);
  const void* table(const std::string& key, size_t bytes, const std::function<void(void*)>& fill);
  const void* list(const void* values, size_t bytes);
  void fill(void* memory, int byte, size_t bytes);
  void copy(void* to, const void* from, size_t bytes);
#if defined(__CUDACC__)
  void enqueue(const Grid& grid, const void* kernel, void** args);
#else
  void enqueue(const Grid& grid, std::function<void()> kernel);
#endif
  FaultSlot* fault_slot() const { return fault_device_; }
  int multiprocessors() const { return multiprocessors_; }
  size_t shared_limit() const { return shared_limit_; }
  int tensor_terms() const { return settings_.tensor_terms; }

 private:
  struct Mark {
    uint64_t ticket;
    cudaEvent_t event;
  };
  struct Staging {
    char* memory = nullptr;
    size_t bytes = 0;
    cudaEvent_t free = nullptr;
  };
  struct Download;

  Queue() = default;
  bool initialise(int index, char* reason, size_t reason_bytes);
  bool allowed(const cudaDeviceProp& properties, char* reason, size_t reason_bytes) const;
  uint64_t mark();  // a ticket with an event behind everything enqueued
  void run(const LaunchArgs& args, Arena& arena);
  void record(int code, const char* message);
  bool fits(const Grid& grid);
  bool check(cudaError_t error, const char* what);
  char* staging(size_t bytes);
  bool upload(void* to, const void* from, size_t bytes);
  void* resident(const void* values, size_t bytes);
  const void* kept_with_graph(const void* values, size_t bytes);
  static void finish_download(void* data);

  int index_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaStream_t side_ = nullptr;  // uploads of tables: not part of a captured graph
  int multiprocessors_ = 0;
  size_t shared_limit_ = 0;
  Settings settings_;

  std::atomic<uint64_t> submitted_{0};
  std::atomic<uint64_t> done_{0};
  std::mutex mutex_;  // of marks_, spare_events_ and failure_
  std::deque<Mark> marks_;
  std::vector<cudaEvent_t> spare_events_;
  // A mutex of its own: the thread of the driver that gives memory back must not wait for `mark`, which itself
  // may wait, in the driver, for room in a stream that does not go on before that thread is done.
  std::mutex pinned_mutex_;
  std::unordered_map<size_t, std::vector<char*>> pinned_;  // of downloads, by size
  std::atomic<bool> failed_{false};
  std::string failure_;

  FaultSlot* fault_ = nullptr;         // as the host sees it
  FaultSlot* fault_device_ = nullptr;  // as kernels do
  Fault host_fault_;
  OpId op_{};

  static constexpr int kStagings = 4;
  Staging stagings_[kStagings];
  int next_staging_ = 0;

  Arena arena_;
  Arena* current_arena_ = &arena_;
  bool op_failed_ = false, refused_ = false;
  std::unordered_map<std::string, void*> tables_;

  Profile profile_;

  std::unique_ptr<Graph> capturing_;
  Graph* updating_ = nullptr;
  size_t update_at_ = 0;
  const std::vector<const void*>* updated_lists_ = nullptr;  // of the launch that is being updated
  size_t list_at_ = 0;
};

}  // namespace fluxion::cuda
