// A profile of every device that is open: the records of their queues as one list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/device.h"

namespace fluxion::bindings {

class Recording {
 public:
  struct Entry {
    size_t device;  // 0: the CPU
    ProfileRecord record;
  };

  void start(size_t capacity);  // records of each device
  // A device of which the queue is recorded: those that are open at the start, and those opened later.
  void add(Device& device, size_t index);
  // Waits for the queues: the number of records so far. What ran before a mark stands before what ran after it.
  size_t mark();
  // Between two marks in the order in which they began, on whichever device.
  std::vector<Entry> entries(uint64_t* dropped);
  void stop();
  int64_t started() const { return started_; }  // ns of the steady clock

 private:
  struct Source {
    Device* device;
    size_t index;
    size_t merged;  // records that the list has
  };
  void merge();

  bool on_ = false;
  int64_t started_ = 0;
  size_t capacity_ = 0;
  uint64_t dropped_ = 0;
  std::vector<Source> sources_;
  std::vector<Entry> entries_;
};

}  // namespace fluxion::bindings
