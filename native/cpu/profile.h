// What ran on the queue of the CPU, and when: one record for each kernel and copy, while profiling is on.
//
// Written by whoever runs kernels (the executor, or the owner when the queue is idle), read and switched by the
// owner when the queue is idle: the ticket counter orders them, no lock is needed. Off, it costs one branch that
// is always predicted. Memory is taken when it is switched on; what does not fit is counted, not recorded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/profile_record.h"

namespace fluxion::cpu {

struct Kernel;

class Profile {
 public:
  bool on() const { return on_; }
  int64_t now() const { return on_ ? clock() : 0; }
  void start(size_t capacity);
  void stop();

  void add(const Kernel& call, int64_t begin, bool inlined);
  void add_copy(int32_t kind, size_t bytes, int64_t begin, bool inlined);

  const std::vector<ProfileRecord>& records() const { return records_; }
  uint64_t dropped() const { return dropped_; }

 private:
  static int64_t clock();
  ProfileRecord* next(int32_t op, int64_t begin, bool inlined);

  bool on_ = false;
  uint64_t dropped_ = 0;
  size_t capacity_ = 0;
  std::vector<ProfileRecord> records_;  // never grows beyond what start() reserved
};

}  // namespace fluxion::cpu
