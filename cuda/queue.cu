// Tickets: each item gets the next number. A read, and whoever waits, puts an event behind what is enqueued;
// what lies before an event that has come is done.
#include "queue.h"

#include <algorithm>
#include <cstdio>

#include "graph.h"
#include "kernel_table.h"
#include "ops/registry.h"

namespace fluxion::cuda {
namespace {

constexpr size_t kAlign = 256;
constexpr size_t kFirstArena = size_t{8} << 20;

size_t aligned(size_t bytes) { return (std::max<size_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign; }

}  // namespace

// --- memory of single ops

void* Arena::take(size_t bytes) {
  bytes = aligned(bytes);
  while (at_ < blocks_.size() && used_ + bytes > blocks_[at_].bytes) {
    ++at_;
    used_ = 0;
  }
  if (at_ == blocks_.size()) {
    void* memory = nullptr;
    const size_t size = std::max({bytes, kFirstArena, 2 * total()});
    size_t given = size;
    if (cudaMalloc(&memory, size) != cudaSuccess) {
      cudaGetLastError();
      given = bytes;
      if (cudaMalloc(&memory, bytes) != cudaSuccess) {
        cudaGetLastError();
        return nullptr;
      }
    }
    blocks_.push_back({static_cast<char*>(memory), given});
    used_ = 0;
  }
  char* memory = blocks_[at_].memory + used_;
  used_ += bytes;
  return memory;
}

void Arena::rewind() { at_ = used_ = 0; }

size_t Arena::total() const {
  size_t sum = 0;
  for (const Block& block : blocks_) sum += block.bytes;
  return sum;
}

void Arena::release() {
  for (const Block& block : blocks_) cudaFree(block.memory);
  blocks_.clear();
  rewind();
}

// --- life

Queue* Queue::open(int index, char* reason, size_t reason_bytes) {
  std::unique_ptr<Queue> queue(new Queue);
  return queue->initialise(index, reason, reason_bytes) ? queue.release() : nullptr;
}

// The instruction for products in TF32 is there from sm_80 on.
bool Queue::allowed(const cudaDeviceProp& properties, char* reason, size_t reason_bytes) const {
  if (settings_.tensor_terms == 0 || properties.major >= 8) return true;
  std::snprintf(reason, reason_bytes,
                "FLUXION_CUDA_TF32 needs a GPU of sm_80 or newer, this is sm_%d%d",
                properties.major, properties.minor);
  return false;
}

bool Queue::initialise(int index, char* reason, size_t reason_bytes) {
  index_ = index;
  cudaDeviceProp properties{};
  const auto attempt = [&](cudaError_t error) {
    if (error != cudaSuccess) std::snprintf(reason, reason_bytes, "%s", cudaGetErrorString(error));
    return error == cudaSuccess;
  };
  void* slot = nullptr;
  void* device_slot = nullptr;
  if (!attempt(cudaSetDevice(index)) || !attempt(cudaGetDeviceProperties(&properties, index)) ||
      !attempt(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)) ||
      !attempt(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking)) ||
      !attempt(cudaHostAlloc(&slot, sizeof(FaultSlot), cudaHostAllocMapped))) {
    return false;
  }
  fault_ = new (slot) FaultSlot{};
  if (!attempt(cudaHostGetDevicePointer(&device_slot, slot, 0))) return false;
  fault_device_ = static_cast<FaultSlot*>(device_slot);
  multiprocessors_ = properties.multiProcessorCount;
  shared_limit_ = properties.sharedMemPerBlockOptin;
  return read_settings(&settings_, reason, reason_bytes) &&
         allowed(properties, reason, reason_bytes);
}

Queue::~Queue() {
  cudaSetDevice(index_);
  if (stream_) cudaStreamSynchronize(stream_);
  for (const Mark& at : marks_) cudaEventDestroy(at.event);
  for (const cudaEvent_t event : spare_events_) cudaEventDestroy(event);
  for (Staging& staging : stagings_) {
    if (staging.free) cudaEventDestroy(staging.free);
    if (staging.memory) cudaFreeHost(staging.memory);
  }
  for (auto& [bytes, blocks] : pinned_) {
    for (char* block : blocks) cudaFreeHost(block);
  }
  for (auto& [key, memory] : tables_) cudaFree(memory);
  if (fault_) cudaFreeHost(fault_);
  if (stream_) cudaStreamDestroy(stream_);
  if (side_) cudaStreamDestroy(side_);
}

void* Queue::alloc(size_t bytes) {
  void* memory = nullptr;
  cudaSetDevice(index_);
  if (cudaMalloc(&memory, bytes) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return memory;
}

void Queue::release(void* memory) { cudaFree(memory); }

// --- errors

// An error that kernels or the runtime report: of the op that is being launched, or of one before it.
bool Queue::check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return true;
  cudaGetLastError();
  std::lock_guard<std::mutex> lock(mutex_);
  if (!failed_.load(std::memory_order_relaxed)) {
    failure_ = std::string(what) + ": " + cudaGetErrorString(error);
    if (!settings_.synchronous) failure_ += "; FLUXION_CUDA_SYNC=1 finds the operation";
    failed_.store(true, std::memory_order_release);
  }
  return false;
}

void Queue::record(int code, const char* message) {
  if (host_fault_.ready.load() != 0) return;
  host_fault_.code = code;
  host_fault_.op = static_cast<int32_t>(op_);
  std::snprintf(host_fault_.message, sizeof host_fault_.message, "%s", message);
  host_fault_.ready.store(1);
}

bool Queue::take_fault(Fault* out) {
  if (host_fault_.ready.exchange(0) != 0) {
    out->code = host_fault_.code;
    out->op = host_fault_.op;
    std::memcpy(out->message, host_fault_.message, sizeof out->message);
    return true;
  }
  if (failed_.load(std::memory_order_acquire)) {  // for ever: the context is lost
    out->code = static_cast<int32_t>(ErrorCode::BackendFailure);
    out->op = static_cast<int32_t>(op_);
    std::snprintf(out->message, sizeof out->message, "%s", failure_.c_str());
    return true;
  }
  volatile FaultSlot* slot = fault_;
  if (slot->ready == 0) return false;
  out->code = slot->code;
  out->op = slot->op;
  std::snprintf(out->message, sizeof out->message, slot->pattern, slot->values[0], slot->values[1]);
  slot->ready = 0;
  slot->taken = 0;
  return true;
}

// --- tickets

uint64_t Queue::mark() {
  std::lock_guard<std::mutex> lock(mutex_);
  cudaEvent_t event = nullptr;
  if (!spare_events_.empty()) {
    event = spare_events_.back();
    spare_events_.pop_back();
  } else if (cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess) {
    return submitted_.load();
  }
  const uint64_t ticket = submitted_.load();
  cudaEventRecord(event, stream_);
  marks_.push_back({ticket, event});
  return ticket;
}

uint64_t Queue::done() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failed_.load()) return submitted_.load();
  while (!marks_.empty()) {
    const cudaError_t state = cudaEventQuery(marks_.front().event);
    if (state == cudaErrorNotReady) break;
    if (state != cudaSuccess) return submitted_.load();  // `wait` records the error
    done_.store(std::max(done_.load(), marks_.front().ticket));
    spare_events_.push_back(marks_.front().event);
    marks_.pop_front();
  }
  return done_.load();
}

void Queue::wait(uint64_t ticket) {
  cudaSetDevice(index_);
  if (failed_.load() || done() >= ticket) return;
  // The event may be recorded again for a later ticket meanwhile: then this waits a little longer.
  cudaEvent_t event = nullptr;
  for (int attempt = 0; attempt < 2 && !event; ++attempt) {
    if (attempt == 1) mark();
    std::lock_guard<std::mutex> lock(mutex_);
    for (const Mark& at : marks_) {
      if (at.ticket >= ticket) {
        event = at.event;
        break;
      }
    }
    if (done_.load() >= ticket) return;
  }
  if (event) {
    if (!check(cudaEventSynchronize(event), "the queue")) return;
  } else if (!check(cudaStreamSynchronize(stream_), "the queue")) {
    return;
  }
  done();
}

// --- profiles

void Queue::profile_start(size_t capacity) {
  wait(submitted_.load());
  profile_.start(stream_, capacity);
}

const ProfileRecord* Queue::profile_records(size_t* count, uint64_t* dropped) {
  wait(submitted_.load());
  const std::vector<ProfileRecord>& records = profile_.records();
  *count = records.size();
  *dropped = profile_.dropped();
  return records.data();
}

// --- launches

uint64_t Queue::launch(const LaunchArgs& args) {
  cudaSetDevice(index_);
  if (capturing_) {
    capturing_->launches.emplace_back(args, capturing_->kernels);
    run(args, capturing_->arena);
    Graph::Captured& captured = capturing_->launches.back();
    captured.kernels = capturing_->kernels - captured.first_kernel;
    return refused_ ? 0 : ++submitted_;
  }
  if (arena_.fragmented()) {  // one block that is large enough for what was asked
    const size_t total = arena_.total();
    check(cudaStreamSynchronize(stream_), "the queue");
    arena_.release();
    arena_.take(total);
  }
  profile_.begin(stream_);
  run(args, arena_);
  if (ProfileRecord* record = profile_.end(stream_, static_cast<int32_t>(args.op))) {
    record->describe(args.inputs, args.n_inputs, args.outputs, args.n_outputs);
  }
  if (refused_) return 0;
  if (settings_.synchronous) {
    check(cudaStreamSynchronize(stream_), "the operation");
  }
  return ++submitted_;
}

void Queue::run(const LaunchArgs& args, Arena& arena) {
  if (!failed_.load(std::memory_order_relaxed)) op_ = args.op;
  op_failed_ = refused_ = false;
  current_arena_ = &arena;
  arena.rewind();
  const Kernel call{args.inputs, args.n_inputs, args.outputs, args.n_outputs, args.op, this};
  launcher_of(args.op)(args.params, call);
}

void* Queue::scratch(size_t bytes) {
  void* memory = current_arena_->take(bytes);
  if (!memory && !op_failed_) {
    op_failed_ = true;
    char text[96];
    std::snprintf(text, sizeof text, "no memory on the GPU for %.1f MB of workspace",
                  static_cast<double>(bytes) / 1e6);
    record(static_cast<int>(ErrorCode::OutOfMemory), text);
  }
  return memory;
}

void Queue::refuse(const char* message) {
  op_failed_ = refused_ = true;
  record(static_cast<int>(ErrorCode::Unsupported), message);
}

// Device memory with a copy of host values, written at once: not part of a graph that is being captured.
void* Queue::resident(const void* values, size_t bytes) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, std::max<size_t>(bytes, 1)) != cudaSuccess) {
    cudaGetLastError();
    op_failed_ = true;
    record(static_cast<int>(ErrorCode::OutOfMemory), "no memory on the GPU for a table");
    return nullptr;
  }
  check(cudaMemcpyAsync(memory, values, bytes, cudaMemcpyHostToDevice, side_), "a copy to the GPU");
  check(cudaStreamSynchronize(side_), "a copy to the GPU");
  return memory;
}

const void* Queue::kept_with_graph(const void* values, size_t bytes) {
  void* memory = resident(values, bytes);
  if (memory) capturing_->memory.push_back(memory);
  return memory;
}

const void* Queue::table(const std::string& key, size_t bytes,
                         const std::function<void(void*)>& fill_table) {
  const auto found = tables_.find(key);
  if (found != tables_.end()) return found->second;
  std::vector<unsigned char> values(bytes);
  fill_table(values.data());
  void* memory = resident(values.data(), bytes);
  if (memory) tables_.emplace(key, memory);
  return memory;
}

const void* Queue::list(const void* values, size_t bytes) {
  if (updating_) {  // the inputs are those of the capture, and so is what is made of them
    return list_at_ < updated_lists_->size() ? (*updated_lists_)[list_at_++] : nullptr;
  }
  if (capturing_) {
    const void* kept = kept_with_graph(values, bytes);
    capturing_->launches.back().lists.push_back(kept);
    return kept;
  }
  void* memory = scratch(bytes);
  if (memory) upload(memory, values, bytes);
  return memory;
}

void Queue::fill(void* memory, int byte, size_t bytes) {
  if (op_failed_ || updating_ || bytes == 0) return;
  check(cudaMemsetAsync(memory, byte, bytes, stream_), kOps[static_cast<int>(op_)].name);
}

void Queue::copy(void* to, const void* from, size_t bytes) {
  if (op_failed_ || updating_ || bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_),
        kOps[static_cast<int>(op_)].name);
}

}  // namespace fluxion::cuda
