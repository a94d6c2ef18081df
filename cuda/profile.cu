#include "profile.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace fluxion::cuda {
namespace {

// Records under way before the first of them are looked at.
constexpr size_t kPending = 1024;
// A difference of two events is a float: beyond this the origin moves, so that it stays exact to 0.1 us.
constexpr float kOriginMs = 1000;

int64_t nanoseconds(float ms) { return static_cast<int64_t>(static_cast<double>(ms) * 1e6); }

}  // namespace

cudaEvent_t Profile::take_event() {
  cudaEvent_t event = nullptr;
  if (!spare_.empty()) {
    event = spare_.back();
    spare_.pop_back();
  } else if (cudaEventCreate(&event) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return event;
}

// The host's clock is read before the event: no record begins before the profile, or ends after it.
void Profile::start(cudaStream_t stream, size_t capacity) {
  stop();
  origin_ = take_event();
  if (!origin_) return;
  origin_time_ = std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::steady_clock::now().time_since_epoch())
                     .count();
  on_ = cudaEventRecord(origin_, stream) == cudaSuccess &&
        cudaEventSynchronize(origin_) == cudaSuccess;
  capacity_ = capacity;
  dropped_ = 0;
}

void Profile::stop() {
  on_ = false;
  for (const Span& span : pending_) {
    cudaEventDestroy(span.begin);
    cudaEventDestroy(span.end);
  }
  for (const cudaEvent_t event : spare_) cudaEventDestroy(event);
  if (begun_) cudaEventDestroy(begun_);
  if (origin_) cudaEventDestroy(origin_);
  begun_ = origin_ = nullptr;
  pending_.clear();
  spare_.clear();
  records_ = {};
}

void Profile::begin(cudaStream_t stream) {
  if (!on_ || records_.size() == capacity_) return;
  if (pending_.size() >= kPending) settle();
  begun_ = take_event();
  if (begun_) cudaEventRecord(begun_, stream);
}

ProfileRecord* Profile::end(cudaStream_t stream, int32_t op) {
  if (!on_) return nullptr;
  const cudaEvent_t begun = std::exchange(begun_, nullptr);
  const cudaEvent_t ended = begun ? take_event() : nullptr;
  if (!ended) {
    if (begun) spare_.push_back(begun);
    ++dropped_;
    return nullptr;
  }
  cudaEventRecord(ended, stream);
  pending_.push_back({begun, ended});
  ProfileRecord& record = records_.emplace_back();
  record.op = op;
  record.inlined = false;
  record.begin = record.end = origin_time_;
  return &record;
}

void Profile::settle() {
  while (!pending_.empty()) {
    const auto [begin, end] = pending_.front();
    float until_begin = 0, until_end = 0;
    if (cudaEventElapsedTime(&until_begin, origin_, begin) != cudaSuccess ||
        cudaEventElapsedTime(&until_end, origin_, end) != cudaSuccess) {
      cudaGetLastError();  // not yet, or an error that the queue reports
      return;
    }
    ProfileRecord& record = records_[records_.size() - pending_.size()];
    record.begin = origin_time_ + nanoseconds(until_begin);
    record.end = origin_time_ + nanoseconds(until_end);
    pending_.pop_front();
    spare_.push_back(begin);
    spare_.push_back(end);
    if (until_end > kOriginMs) {
      origin_time_ = record.end;
      std::swap(origin_, spare_.back());
    }
  }
}

const std::vector<ProfileRecord>& Profile::records() {
  settle();
  return records_;
}

}  // namespace fluxion::cuda
