// What ran on the stream of a GPU, and when: two events around each op and copy while a profile is taken.
//
// Times are those of the GPU, brought to the host's clock by an event that is waited for at the start. Events
// that have come are used again, so that a long profile needs few. What a captured step runs is one record.
#pragma once

#include <deque>
#include <vector>

#include "backend/profile_record.h"
#include "kernel.h"

namespace fluxion::cuda {

class Profile {
 public:
  ~Profile() { stop(); }

  bool on() const { return on_; }
  void start(cudaStream_t stream, size_t capacity);  // the stream is idle
  void stop();
  // Before and after what is enqueued. `end` gives the record to describe; null: there is none.
  void begin(cudaStream_t stream);
  ProfileRecord* end(cudaStream_t stream, int32_t op);

  // The stream has been waited for.
  const std::vector<ProfileRecord>& records();
  uint64_t dropped() const { return dropped_; }

 private:
  struct Span {
    cudaEvent_t begin, end;
  };
  cudaEvent_t take_event();
  void settle();  // gives times to the records of which the events have come

  bool on_ = false;
  size_t capacity_ = 0;
  uint64_t dropped_ = 0;
  cudaEvent_t origin_ = nullptr;  // at origin_time_, ns of the host's clock
  int64_t origin_time_ = 0;
  cudaEvent_t begun_ = nullptr;
  std::deque<Span> pending_;  // of the last records
  std::vector<cudaEvent_t> spare_;
  std::vector<ProfileRecord> records_;
};

}  // namespace fluxion::cuda
