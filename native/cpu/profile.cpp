#include "cpu/profile.h"

#include <chrono>

#include "cpu/kernel.h"

namespace fluxion::cpu {
int64_t Profile::clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Profile::start(size_t capacity) {
  records_.clear();
  records_.reserve(capacity);
  capacity_ = capacity;
  dropped_ = 0;
  on_ = true;
}

void Profile::stop() {
  on_ = false;
  records_ = {};
}

ProfileRecord* Profile::next(int32_t op, int64_t begin, bool inlined) {
  if (records_.size() == capacity_) {
    ++dropped_;
    return nullptr;
  }
  ProfileRecord& record = records_.emplace_back();
  record.op = op;
  record.inlined = inlined;
  record.begin = begin;
  record.end = clock();
  return &record;
}

void Profile::add(const Kernel& call, int64_t begin, bool inlined) {
  ProfileRecord* record = next(static_cast<int32_t>(call.op), begin, inlined);
  if (record) record->describe(call.inputs, call.n_inputs, call.outputs, call.n_outputs);
}

void Profile::add_copy(int32_t kind, size_t bytes, int64_t begin, bool inlined) {
  ProfileRecord* record = next(kind, begin, inlined);
  if (record) record->describe_copy(2 * bytes);
}

}  // namespace fluxion::cpu
