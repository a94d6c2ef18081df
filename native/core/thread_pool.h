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
    if (blocks <= 1 || threads_ == 1) {
      for (int64_t b = 0; b < blocks; ++b) f(b, 0);
      return;
    }
    using Fn = std::remove_reference_t<F>;
    run(
        blocks,
        [](void* context, int64_t begin, int64_t end, int thread) {
          Fn& call = *static_cast<Fn*>(context);
          for (int64_t b = begin; b < end; ++b) call(b, thread);
        },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  using RangeFn = void (*)(void* context, int64_t begin, int64_t end, int thread);

  void run(int64_t blocks, RangeFn fn, void* context);
  void start_workers();
  void join_workers();
  void work(int thread, uint64_t seen);
  void take_share(int thread);

  int threads_;
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
