// Tickets: each item gets the next number. A read, and whoever waits, puts an event behind what is enqueued;
// what lies before an event that has come is done.
#include "queue.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

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
  const char* text = std::getenv("FLUXION_CUDA_SYNC");
  synchronous_ = text && std::atoi(text) != 0;
  return true;
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
    if (!synchronous_) failure_ += "; FLUXION_CUDA_SYNC=1 finds the operation";
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

// --- launches

uint64_t Queue::launch(const LaunchArgs& args) {
  cudaSetDevice(index_);
  if (capturing_) {
    capturing_->launches.emplace_back(args, capturing_->kernels);
    run(args, capturing_->arena);
    Graph::Captured& captured = capturing_->launches.back();
    captured.kernels = capturing_->kernels - captured.first_kernel;
    return ++submitted_;
  }
  if (arena_.fragmented()) {  // one block that is large enough for what was asked
    const size_t total = arena_.total();
    check(cudaStreamSynchronize(stream_), "the queue");
    arena_.release();
    arena_.take(total);
  }
  run(args, arena_);
  if (synchronous_) {
    check(cudaStreamSynchronize(stream_), "the operation");
  }
  return ++submitted_;
}

void Queue::run(const LaunchArgs& args, Arena& arena) {
  if (!failed_.load(std::memory_order_relaxed)) op_ = args.op;
  op_failed_ = false;
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

// --- what kernel.h declares

FaultSite Kernel::fault_site(ErrorCode code, const char* pattern) const {
  return {queue->fault_slot(), static_cast<int>(code), static_cast<int>(op), pattern};
}
int Kernel::multiprocessors() const { return queue->multiprocessors(); }
size_t Kernel::shared_limit() const { return queue->shared_limit(); }
void Kernel::fill(void* memory, int byte, size_t bytes) const { queue->fill(memory, byte, bytes); }
void Kernel::copy(void* to, const void* from, size_t bytes) const { queue->copy(to, from, bytes); }
void* Kernel::scratch_bytes(size_t bytes) const { return queue->scratch(bytes); }
const void* Kernel::table_bytes(const std::string& key, size_t bytes,
                                const std::function<void(void*)>& fill_table) const {
  return queue->table(key, bytes, fill_table);
}
const void* Kernel::list_bytes(const void* values, size_t bytes) const {
  return queue->list(values, bytes);
}

#if defined(__CUDACC__)

void Kernel::enqueue(const Grid& grid, const void* kernel, void** args) const {
  queue->enqueue(grid, kernel, args);
}

void Queue::enqueue(const Grid& grid, const void* kernel, void** args) {
  if (op_failed_) return;
  const char* name = kOps[static_cast<int>(op_)].name;
  constexpr size_t kAlwaysAllowed = size_t{48} << 10;
  if (grid.shared > kAlwaysAllowed &&
      !check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(grid.shared)),
             name)) {
    return;
  }
  const dim3 blocks(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.blocks_y), 1);
  const dim3 threads(static_cast<unsigned>(grid.threads), 1, 1);
  if (updating_) {
    cudaKernelNodeParams params{};
    params.func = const_cast<void*>(kernel);
    params.gridDim = blocks;
    params.blockDim = threads;
    params.sharedMemBytes = static_cast<unsigned>(grid.shared);
    params.kernelParams = args;
    check(cudaGraphExecKernelNodeSetParams(updating_->executable, updating_->nodes[update_at_++],
                                           &params),
          name);
    return;
  }
  if (!check(cudaLaunchKernel(kernel, blocks, threads, args, grid.shared, stream_), name)) return;
  if (!capturing_) return;
  cudaStreamCaptureStatus status;
  const cudaGraphNode_t* last = nullptr;
  size_t count = 0;
  if (check(cudaStreamGetCaptureInfo(stream_, &status, nullptr, nullptr, &last, nullptr, &count),
            name)) {
    capturing_->nodes.push_back(count == 1 ? last[0] : nullptr);
  }
  ++capturing_->kernels;
}

#else

void Kernel::enqueue(const Grid& grid, std::function<void()> kernel) const {
  queue->enqueue(grid, std::move(kernel));
}

void Queue::enqueue(const Grid& grid, std::function<void()> kernel) {
  if (op_failed_) return;
  const char* name = kOps[static_cast<int>(op_)].name;
  if (updating_) {
    check(host::replace_kernel(updating_->executable, update_at_++, std::move(kernel)), name);
    return;
  }
  check(host::launch(stream_, static_cast<unsigned>(grid.blocks),
                     static_cast<unsigned>(grid.blocks_y), static_cast<unsigned>(grid.threads),
                     grid.shared, std::move(kernel)),
        name);
  if (capturing_) ++capturing_->kernels;
}

#endif

}  // namespace fluxion::cuda
