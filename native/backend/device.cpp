// Size classes: eight to a doubling (at most 12.5 % waste), so that a training step finds every block of
// the step before it again.
#include "backend/device.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <unistd.h>

#include "ops/registry.h"

namespace fluxion {
namespace {

constexpr size_t kGuardBytes = 64;
constexpr unsigned char kGuardPattern = 0xA5;
// More than this (and more than is live) in the cache is given back before the system is asked for more.
constexpr uint64_t kCacheSlack = uint64_t{256} << 20;

size_t round_to_class(size_t bytes) {
  if (bytes <= 64) return 64;
  size_t step = 64;
  while (step * 16 < bytes) step *= 2;  // bytes is in (8 step, 16 step], or below 16 * 64
  return (bytes + step - 1) / step * step;
}

}  // namespace

Device::Device(const BackendApi* api, void* handle, std::string name, uint64_t memory_limit)
    : api_(api), handle_(handle), name_(std::move(name)), memory_limit_(memory_limit) {}

Device::~Device() {
  // Ends the queue first: after that nothing touches the blocks.
  api_->close(handle_);
  for (auto& [size, blocks] : cache_) {
    for (void* p : blocks) api_->release_memory(handle_, p, size);
  }
}

void* Device::take_cached(std::unordered_map<size_t, std::vector<void*>>& cache, size_t rounded) {
  const auto found = cache.find(rounded);
  if (found == cache.end() || found->second.empty()) return nullptr;
  void* memory = found->second.back();  // the most recently freed: most likely still in a cache
  found->second.pop_back();
  return memory;
}

void* Device::alloc(size_t bytes) {
  const size_t rounded = round_to_class(bytes + (checked_ ? kGuardBytes : 0));
  if (capturing_) {
    // Blocks of a graph count as live until the graph is released.
    if (void* own = take_cached(capturing_->free, rounded)) return own;
  }
  void* memory = take_cached(cache_, rounded);
  if (memory) {
    figures_.cached -= rounded;
  } else {
    memory = alloc_from_system(rounded);
    if (!memory) return nullptr;
  }
  figures_.live += rounded;
  if (figures_.live > figures_.peak) figures_.peak = figures_.live;
  if (capturing_) {
    capturing_->blocks[memory] = rounded;
    graph_blocks_[memory] = capturing_.get();
  }
  if (checked_ && !capturing_) {
    drain();
    std::memset(memory, 0xFF, rounded);  // a NaN in both float types
    std::memset(static_cast<char*>(memory) + bytes, kGuardPattern, kGuardBytes);
  }
  return memory;
}

void* Device::alloc_from_system(size_t rounded) {
  if (capturing_) return api_->alloc(handle_, rounded);  // the queue cannot be drained now
  if (figures_.cached > kCacheSlack && figures_.cached > figures_.live) release_cache();
  if (rounded > memory_limit_ || figures_.live + figures_.cached > memory_limit_ - rounded) {
    release_cache();
    if (rounded > memory_limit_ || figures_.live > memory_limit_ - rounded) return nullptr;
  }
  void* memory = api_->alloc(handle_, rounded);
  if (!memory) {
    release_cache();
    memory = api_->alloc(handle_, rounded);
  }
  return memory;
}

void Device::free(void* memory, size_t bytes) {
  const size_t rounded = round_to_class(bytes + (checked_ ? kGuardBytes : 0));
  const auto owner = graph_blocks_.find(memory);
  if (owner == graph_blocks_.end() && capturing_) {  // made before, read by the graph: it keeps it
    capturing_->held.emplace_back(memory, rounded);
    return;
  }
  if (owner != graph_blocks_.end()) {
    owner->second->free[rounded].push_back(memory);
    return;
  }
  if (checked_) {
    drain();
    check_guard(memory, bytes);
  }
  cache_[rounded].push_back(memory);
  figures_.live -= rounded;
  figures_.cached += rounded;
}

void Device::begin_capture() {
  if (!has_graphs()) {
    fail(ErrorCode::Unsupported, "capture",
         "device '" + name_ + "' has no graphs; a step is captured on a GPU");
  }
  if (capturing_) fail(ErrorCode::InvalidArgument, "capture", "a capture is under way already");
  if (!api_->begin_capture(handle_)) {
    check_faults();
    fail(ErrorCode::BackendFailure, "capture", "the capture could not be begun");
  }
  capturing_ = std::make_unique<CapturedGraph>();
}

std::unique_ptr<CapturedGraph> Device::end_capture() {
  char reason[256] = {};
  std::unique_ptr<CapturedGraph> graph = std::move(capturing_);
  graph->graph = api_->end_capture(handle_, reason, sizeof reason);
  if (!graph->graph) {
    forget(*graph);
    fail(ErrorCode::BackendFailure, "capture", reason);
  }
  ++graphs_;
  return graph;
}

void Device::abandon_capture() {
  if (!capturing_) return;
  char reason[256] = {};
  const std::unique_ptr<CapturedGraph> graph = std::move(capturing_);
  if (void* handle = api_->end_capture(handle_, reason, sizeof reason)) {
    api_->release_graph(handle_, handle);
  }
  forget(*graph);
}

void Device::release(std::unique_ptr<CapturedGraph> graph) {
  drain();
  api_->release_graph(handle_, graph->graph);
  --graphs_;
  forget(*graph);
}

// Blocks that no tensor has go to the cache; the others will when their tensors are freed.
void Device::forget(CapturedGraph& graph) {
  for (const auto& [memory, rounded] : graph.blocks) graph_blocks_.erase(memory);
  for (const auto& [rounded, blocks] : graph.free)
    for (void* memory : blocks) graph.held.emplace_back(memory, rounded);
  for (const auto& [memory, rounded] : graph.held) {
    cache_[rounded].push_back(memory);
    figures_.live -= rounded;
    figures_.cached += rounded;
  }
}

void Device::release_cache() {
  if (figures_.cached == 0) return;
  drain();
  for (auto& [size, blocks] : cache_) {
    for (void* p : blocks) api_->release_memory(handle_, p, size);
    blocks.clear();
  }
  figures_.cached = 0;
}

uint64_t Device::launch(const LaunchArgs& args) {
  uint64_t ticket = api_->launch(handle_, &args);
  if (ticket == 0) {
    check_faults();  // where the op was refused
    release_cache();
    ticket = api_->launch(handle_, &args);
    if (ticket == 0) {
      fail(ErrorCode::OutOfMemory, kOps[static_cast<int>(args.op)].name,
           "no memory for " + std::to_string(args.scratch) + " bytes of scratch for each thread");
    }
  }
  last_ticket_ = ticket;
  if (capturing_) ++capturing_->launches;
  if (checked_ && !capturing_) {
    drain();
    for (int i = 0; i < args.n_outputs; ++i) {
      const TensorView& out = args.outputs[i];
      if (out.data) check_guard(out.data, static_cast<size_t>(out.size()) * size_of(out.dtype));
    }
  }
  return last_ticket_;
}

void Device::check_faults() const {
  Fault fault;
  if (!api_->take_fault(handle_, &fault)) return;
  fail(static_cast<ErrorCode>(fault.code), kOps[fault.op].name, fault.message);
}

void Device::profile_start(size_t capacity) {
  if (capturing_) {
    fail(ErrorCode::InvalidArgument, "profile", "a profile cannot begin while a step is captured");
  }
  api_->profile_start(handle_, capacity);
}

std::span<const ProfileRecord> Device::profile_records(uint64_t* dropped) const {
  if (capturing_) {
    fail(ErrorCode::InvalidArgument, "profile", "a profile cannot end while a step is captured");
  }
  size_t count = 0;
  const ProfileRecord* first = api_->profile_records(handle_, &count, dropped);
  return {first, count};
}

void Device::set_checked(bool on) {
  if (on == checked_) return;
  if ((api_->flags & kHostMemory) == 0) {
    fail(ErrorCode::Unsupported, "", "memory can be checked only where the host may read it");
  }
  if (figures_.live != 0) {
    fail(ErrorCode::InvalidArgument, "",
         "checked memory can be switched only while no tensor is live");
  }
  release_cache();
  checked_ = on;
}

void Device::check_guard(const void* memory, size_t bytes) const {
  const unsigned char* guard = static_cast<const unsigned char*>(memory) + bytes;
  for (size_t i = 0; i < kGuardBytes; ++i) {
    if (guard[i] != kGuardPattern) {
      fail(ErrorCode::Internal, "",
           format("a kernel wrote %zu bytes past the end of a block of %zu", i + 1, bytes));
    }
  }
}

uint64_t host_memory_limit() {
  uint64_t limit =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/memory.max", "r")) {
    unsigned long long group = 0;  // the file says "max" where there is no limit
    if (std::fscanf(file, "%llu", &group) == 1 && group < limit) limit = group;
    std::fclose(file);
  }
  return limit;
}

bool read_memory_limit(uint64_t* limit, char* reason, size_t reason_bytes) {
  *limit = host_memory_limit();
  const char* text = std::getenv("FLUXION_MEMORY_LIMIT");
  if (!text) return true;
  char* end = nullptr;
  const double number = std::strtod(text, &end);
  const double unit = *end == 'K'   ? 1024.0
                      : *end == 'M' ? 1024.0 * 1024.0
                      : *end == 'G' ? 1024.0 * 1024.0 * 1024.0
                                    : 1.0;
  const bool digit = text[0] >= '0' && text[0] <= '9';
  if (!digit || *(end + (unit > 1.0)) != 0 || !(number * unit >= 1.0 && number * unit < 1e18)) {
    std::snprintf(reason, reason_bytes,
                  "FLUXION_MEMORY_LIMIT must be a number of bytes, or one with K, M or G, got '%s'",
                  text);
    return false;
  }
  const uint64_t given = static_cast<uint64_t>(number * unit);
  if (given < *limit) *limit = given;
  return true;
}

}  // namespace fluxion
