// Fork-join with a static partition. Workers spin for a few microseconds between jobs, because waking a
// parked thread costs 10 to 50 us (kernels of one training step follow each other closer than that), and
// then park on a condition variable, so that an idle program uses no processor.
#include "core/thread_pool.h"

#include <system_error>

#include "core/condition_variable.h"

namespace fluxion {

namespace {
constexpr int kSpins =
    400;  // 10 to 20 us (a pause takes 20 to 50 ns): less than a parked wake-up costs
}

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads) {}

ThreadPool::~ThreadPool() { join_workers(); }

void ThreadPool::resize(int threads) {
  join_workers();
  threads_ = threads < 1 ? 1 : threads;
}

void ThreadPool::start_workers() {
  stopping_.store(false, std::memory_order_relaxed);
  // Given here, not read by the worker: it may start after the first job is published.
  const uint64_t seen = generation_.load(std::memory_order_relaxed);
  try {
    for (int t = 1; t < threads_; ++t) workers_.emplace_back([this, t, seen] { work(t, seen); });
  } catch (const std::system_error&) {
    // The system gives no more threads: those that there are do the work, with the same results.
    threads_ = 1 + static_cast<int>(workers_.size());
  }
}

void ThreadPool::join_workers() {
  if (workers_.empty()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_.store(true, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& w : workers_) w.join();
  workers_.clear();
}

void ThreadPool::take_share(int thread) {
  const int64_t begin = blocks_ * thread / threads_;
  const int64_t end = blocks_ * (thread + 1) / threads_;
  if (begin < end) fn_(context_, begin, end, thread);
}

void ThreadPool::run(int64_t blocks, RangeFn fn, void* context) {
  if (workers_.empty()) start_workers();
  fn_ = fn;
  context_ = context;
  blocks_ = blocks;
  unfinished_.store(threads_ - 1, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take_share(0);
  // The shares are equal, so the others end within a moment; yield in case they were descheduled.
  for (int spin = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      cpu_relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::work(int thread, uint64_t seen) {
  // No generation is missed: run() waits for all workers before it publishes the next.
  for (;;) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (generation_.load(std::memory_order_acquire) != seen) break;
      if (stopping_.load(std::memory_order_relaxed)) return;
      cpu_relax();
    }
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] {
        return stopping_.load(std::memory_order_relaxed) ||
               generation_.load(std::memory_order_acquire) != seen;
      });
      if (stopping_.load(std::memory_order_relaxed)) return;
    }
    ++seen;
    take_share(thread);
    unfinished_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace fluxion
