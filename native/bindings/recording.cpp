#include "bindings/recording.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace fluxion::bindings {

void Recording::start(size_t capacity) {
  capacity_ = capacity;
  sources_.clear();
  entries_.clear();
  started_ = std::chrono::duration_cast<std::chrono::nanoseconds>(
                 std::chrono::steady_clock::now().time_since_epoch())
                 .count();
  on_ = true;
}

void Recording::add(Device& device, size_t index) {
  if (!on_) return;
  device.profile_start(capacity_);
  sources_.push_back({&device, index, 0});
}

void Recording::merge() {
  dropped_ = 0;
  const auto before = static_cast<std::ptrdiff_t>(entries_.size());
  for (Source& source : sources_) {
    uint64_t dropped = 0;
    const std::span<const ProfileRecord> records = source.device->profile_records(&dropped);
    dropped_ += dropped;
    for (; source.merged < records.size(); ++source.merged)
      entries_.push_back({source.index, records[source.merged]});
  }
  if (sources_.size() == 1) return;
  std::stable_sort(entries_.begin() + before, entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.record.begin < b.record.begin; });
}

size_t Recording::mark() {
  merge();
  return entries_.size();
}

std::vector<Recording::Entry> Recording::entries(uint64_t* dropped) {
  merge();
  *dropped = dropped_;
  return std::exchange(entries_, {});
}

void Recording::stop() {
  on_ = false;
  for (const Source& source : sources_) source.device->profile_stop();
  sources_.clear();
}

}  // namespace fluxion::bindings
