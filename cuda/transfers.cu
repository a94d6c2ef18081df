// Copies between the host and the GPU by way of pinned memory, so that no call waits for the GPU: uploads through a
// ring of pieces, downloads into memory of their own, from which a thread of the driver copies in the order of the
// stream.
#include <algorithm>
#include <cstring>
#include <memory>

#include "graph.h"

namespace fluxion::cuda {
namespace {

constexpr size_t kStagingBytes = size_t{4} << 20;
constexpr size_t kPinnedStep = size_t{64} << 10;

}  // namespace

// Pinned memory that the last upload through it has left.
char* Queue::staging(size_t bytes) {
  Staging& staging = stagings_[next_staging_];
  next_staging_ = (next_staging_ + 1) % kStagings;
  if (!staging.free) {
    if (cudaEventCreateWithFlags(&staging.free, cudaEventDisableTiming) != cudaSuccess)
      return nullptr;
  } else {
    cudaEventSynchronize(staging.free);
  }
  if (staging.bytes < bytes) {
    if (staging.memory) cudaFreeHost(staging.memory);
    void* memory = nullptr;
    staging.memory = nullptr;
    staging.bytes = 0;
    if (cudaHostAlloc(&memory, bytes, cudaHostAllocDefault) != cudaSuccess) return nullptr;
    staging.memory = static_cast<char*>(memory);
    staging.bytes = bytes;
  }
  return staging.memory;
}

bool Queue::upload(void* to, const void* from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kStagingBytes) {
    const size_t n = std::min(bytes - at, kStagingBytes);
    const int used = next_staging_;
    char* pinned = staging(std::max(n, kPinnedStep));
    if (!pinned) {
      record(static_cast<int>(ErrorCode::OutOfMemory), "no pinned memory on the host");
      return false;
    }
    std::memcpy(pinned, static_cast<const char*>(from) + at, n);
    if (!check(cudaMemcpyAsync(static_cast<char*>(to) + at, pinned, n, cudaMemcpyHostToDevice,
                               stream_),
               "a copy to the GPU")) {
      return false;
    }
    cudaEventRecord(stagings_[used].free, stream_);
  }
  return true;
}

uint64_t Queue::write(void* to, const void* from, size_t bytes) {
  cudaSetDevice(index_);
  if (capturing_) {  // part of the graph: the values of now, at every replay
    if (const void* kept = kept_with_graph(from, bytes)) {
      check(cudaMemcpyAsync(to, kept, bytes, cudaMemcpyDefault, stream_), "a copy to the GPU");
    }
    return ++submitted_;
  }
  profile_.begin(stream_);
  upload(to, from, bytes);
  if (ProfileRecord* record = profile_.end(stream_, kProfileWrite))
    record->describe_copy(2 * bytes);
  return ++submitted_;
}

struct Queue::Download {
  Queue* queue;
  char* pinned;
  size_t pinned_bytes;
  void* to;
  size_t bytes;
};

// On a thread of the driver, in the order of the stream.
void Queue::finish_download(void* data) {
  std::unique_ptr<Download> download(static_cast<Download*>(data));
  std::memcpy(download->to, download->pinned, download->bytes);
  std::lock_guard<std::mutex> lock(download->queue->pinned_mutex_);
  download->queue->pinned_[download->pinned_bytes].push_back(download->pinned);
}

uint64_t Queue::read(void* to, const void* from, size_t bytes) {
  cudaSetDevice(index_);
  const size_t rounded = (bytes + kPinnedStep - 1) / kPinnedStep * kPinnedStep;
  char* pinned = nullptr;
  {
    std::lock_guard<std::mutex> lock(pinned_mutex_);
    auto& spare = pinned_[rounded];
    if (!spare.empty()) {
      pinned = spare.back();
      spare.pop_back();
    }
  }
  void* memory = pinned;
  profile_.begin(stream_);
  if (!pinned && cudaHostAlloc(&memory, rounded, cudaHostAllocDefault) != cudaSuccess) {
    cudaGetLastError();  // the runtime's own way, which waits
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "a copy from the GPU");
  } else {
    auto* download = new Download{this, static_cast<char*>(memory), rounded, to, bytes};
    if (!check(cudaMemcpyAsync(memory, from, bytes, cudaMemcpyDeviceToHost, stream_),
               "a copy from the GPU") ||
        !check(cudaLaunchHostFunc(stream_, finish_download, download), "a copy from the GPU")) {
      delete download;
    }
  }
  if (ProfileRecord* record = profile_.end(stream_, kProfileRead)) record->describe_copy(2 * bytes);
  ++submitted_;
  return mark();
}

}  // namespace fluxion::cuda
