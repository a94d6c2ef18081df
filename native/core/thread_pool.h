// A small fork-join pool. parallel_for(blocks, f) calls f(block, thread) once for each block; thread t
// takes a fixed contiguous range of blocks. Results must depend on the block only, never on the thread
// or on their number: that makes every op bit-identical for any thread count.
// The caller takes part as thread 0. Only one thread at a time may call parallel_for.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace fluxion {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  // Joins the present workers; the new ones start with the next parallel_for. Not during a job.
  void resize(int threads);

  template <class F>
  void parallel_for(int64_t blocks, F&& f) {
    downward_ = false;
    run_in_order<false>(blocks, f);
  }

  // The same, but each thread goes through its range from the end at which the job before stopped: what that
  // one has left in the caches is used before it is displaced.
  template <class F>
  void parallel_for_turning(int64_t blocks, F&& f) {
    downward_ = !downward_;
    downward_ ? run_in_order<true>(blocks, f) : run_in_order<false>(blocks, f);
  }

 private:
  using RangeFn = void (*)(void* context, int64_t begin, int64_t end, int thread);

  // Not inlined: one copy of f's code serves both paths below, so that its rounding cannot differ.
  template <bool kDownward, class F>
  __attribute__((noinline)) static void call_range(void* context, int64_t begin, int64_t end,
                                                   int thread) {
    F& f = *static_cast<F*>(context);
    if constexpr (kDownward) {
      for (int64_t b = end; b-- > begin;) f(b, thread);
    } else {
      for (int64_t b = begin; b < end; ++b) f(b, thread);
    }
  }

  template <bool kDownward, class F>
  void run_in_order(int64_t blocks, F& f) {
    void* context = const_cast<void*>(static_cast<const void*>(&f));
    if (blocks <= 1 || threads_ == 1) {
      call_range<kDownward, F>(context, 0, blocks, 0);
    } else {
      run(blocks, call_range<kDownward, F>, context);
    }
  }

  void run(int64_t blocks, RangeFn fn, void* context);
  void start_workers();
  void join_workers();
  void work(int thread, uint64_t seen);
  void take_share(int thread);

  int threads_;
  bool downward_ = false;  // the last job
  std::vector<std::thread> workers_;
  // The job, published by the release store to generation_.
  RangeFn fn_ = nullptr;
  void* context_ = nullptr;
  int64_t blocks_ = 0;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> unfinished_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Hint to the core that this is a spin loop.
inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace fluxion
