// Fork-join with a static partition. Workers spin for a few microseconds between jobs, because waking a
// parked thread costs 10 to 50 us (kernels of one training step follow each other closer than that), and
// then park on a condition variable, so that an idle program uses no processor.
#include "core/thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace fluxion {

namespace {
constexpr int kSpins =
    400;  // 10 to 20 us (a pause takes 20 to 50 ns): less than a parked wake-up costs
// unfinished_ counts the workers that have not ended their shares and, in this unit, those that have not begun.
constexpr int kUnbegun = 1 << 16;
constexpr auto kMoveInterval = std::chrono::milliseconds(5);

// Moves the calling thread to another processor, if it may run on one, and leaves it free to move again. A
// thread that wakes another while the processors are busy may find it behind itself on its own one; they
// then take turns there, and the system, which sees two threads that ran a moment ago, leaves another
// processor idle beside them for many milliseconds.
void step_aside() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  const int here = sched_getcpu();
  if (here < 0 || !CPU_ISSET(here, &allowed) || CPU_COUNT(&allowed) < 2) return;
  cpu_set_t others = allowed;
  CPU_CLR(here, &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0)
    sched_setaffinity(0, sizeof allowed, &allowed);
#endif
}
}  // namespace

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
  for (int t = 1; t < threads_; ++t) workers_.emplace_back([this, t, seen] { work(t, seen); });
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
  unfinished_.store((threads_ - 1) * (kUnbegun + 1), std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take_share(0);
  // The shares are equal, so the others end within a moment, unless they wait for a processor: one that has
  // not even begun may wait for this one.
  for (int spin = 0, left; (left = unfinished_.load(std::memory_order_acquire)) != 0; ++spin) {
    if (spin < kSpins) {
      cpu_relax();
    } else if (spin == kSpins && left >= kUnbegun) {
      // Not again and again where other programs keep the processors busy.
      const auto now = std::chrono::steady_clock::now();
      if (now - moved_ > kMoveInterval) {
        step_aside();
        moved_ = now;
      }
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
    unfinished_.fetch_sub(kUnbegun, std::memory_order_relaxed);
    take_share(thread);
    unfinished_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace fluxion
