// Tables that kernels compute once and use again: twiddle factors, factors of constant-coefficient systems.
// One cache per device, touched only by the thread that runs kernels (outside of parallel regions), so it
// needs no lock. The key is every byte that the table depends on. Tables found during a launch stay alive
// until the next one; beyond the capacity the least recently used go first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <string>
#include <unordered_map>

namespace fluxion::cpu {

class PlanCache {
 public:
  static constexpr size_t kCapacity = size_t{64} << 20;

  PlanCache() = default;
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;
  ~PlanCache() { clear(); }

  // The table of `bytes` (64-byte aligned) under a key; fill(void*) computes a new one. Null: no memory.
  template <class F>
  const void* find(const std::string& key, size_t bytes, F&& fill) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->table;
    }
    const size_t rounded = (bytes + 63) / 64 * 64 + (bytes == 0 ? 64 : 0);
    void* table = std::aligned_alloc(64, rounded);
    if (!table) return nullptr;
    fill(table);
    entries_.push_front({key, table, rounded});
    by_key_[key] = entries_.begin();
    bytes_ += rounded;
    return table;
  }

  // Between launches: makes room.
  void trim() {
    while (bytes_ > kCapacity) drop_last();
  }

  void clear() {
    while (!entries_.empty()) drop_last();
  }

  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    void* table;
    size_t bytes;
  };

  void drop_last() {
    Entry& last = entries_.back();
    bytes_ -= last.bytes;
    std::free(last.table);
    by_key_.erase(last.key);
    entries_.pop_back();
  }

  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
};

// The key of a table: a tag that names its kind, then the plain values that it depends on.
class PlanKey {
 public:
  explicit PlanKey(const char* kind) : text_(kind) { text_.push_back('\0'); }
  template <class T>
  PlanKey& add(const T& value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  PlanKey& add(const void* data, size_t bytes) {
    text_.append(static_cast<const char*>(data), bytes);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace fluxion::cpu
