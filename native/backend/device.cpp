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

Device::Device(const BackendApi* api, void* handle, uint64_t memory_limit)
    : api_(api), handle_(handle), memory_limit_(memory_limit) {}

Device::~Device() {
  // Ends the queue first: after that nothing touches the blocks.
  api_->close(handle_);
  for (auto& [size, blocks] : cache_) {
    for (void* p : blocks) api_->release_memory(handle_, p, size);
  }
}

void* Device::alloc(size_t bytes) {
  const size_t rounded = round_to_class(bytes + (checked_ ? kGuardBytes : 0));
  void* memory = nullptr;
  auto found = cache_.find(rounded);
  if (found != cache_.end() && !found->second.empty()) {
    memory = found->second.back();  // the most recently freed: most likely still in a cache
    found->second.pop_back();
    figures_.cached -= rounded;
  } else {
    memory = alloc_from_system(rounded);
    if (!memory) return nullptr;
  }
  figures_.live += rounded;
  if (figures_.live > figures_.peak) figures_.peak = figures_.live;
  if (checked_) {
    drain();
    std::memset(memory, 0xFF, rounded);  // a NaN in both float types
    std::memset(static_cast<char*>(memory) + bytes, kGuardPattern, kGuardBytes);
  }
  return memory;
}

void* Device::alloc_from_system(size_t rounded) {
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
  if (checked_) {
    drain();
    check_guard(memory, bytes);
  }
  const size_t rounded = round_to_class(bytes + (checked_ ? kGuardBytes : 0));
  cache_[rounded].push_back(memory);
  figures_.live -= rounded;
  figures_.cached += rounded;
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
  last_ticket_ = api_->launch(handle_, &args);
  if (checked_) {
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

void Device::set_checked(bool on) {
  if (on == checked_) return;
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
