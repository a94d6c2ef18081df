// Fibers, barriers and schedules of the host execution layer; see host_machine.h.
//
// A fiber is a stack with a context. It takes threads of the block that have not begun and runs each to its
// end; a kernel without barriers therefore needs one fiber and no switch. A thread that must wait gives its
// fiber up; the scheduler then resumes a fiber whose thread may go on, or begins another one.
#include "host_machine.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace fluxion::cuda::host {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kSharedLimit = size_t{256} << 10;
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuardPattern = 0xA5;
constexpr int kWarpSize = 32;

// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
class Draws {
 public:
  explicit Draws(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  size_t below(size_t n) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<size_t>((state_ * 0x2545F4914F6CDD1Du) >> 33) % n;
  }

 private:
  uint64_t state_;
};

struct Fiber {
  ucontext_t context;  // where it begins; under the address sanitizer also where it goes on
  jmp_buf place;       // where it goes on: no system call, as swapcontext has
  bool begun = false;
  void* stack = nullptr;
  int thread = -1;
};

struct Warp {
  uint64_t words[2][kWarpSize];
  int phase = 0;
  int arrived = 0;
  int exited = 0;
  std::vector<Fiber*> waiting;
};

class Machine {
 public:
  ~Machine() {
    for (const auto& fiber : fibers_) munmap(fiber->stack, kStackBytes);
  }

  const char* run(const Launch& launch, const std::function<void()>& kernel) {
    std::lock_guard<std::mutex> lock(mutex_);
    error_.clear();
    kernel_ = &kernel;
    launch_ = launch;
    if (!valid()) return error_.c_str();
    blockDim = launch.block;
    gridDim = launch.grid;
    shared_.assign(launch.shared + 2 * kGuardBytes, kGuardPattern);
    Draws draws(seed_ + launches_++);
    draws_ = &draws;
    const size_t blocks = size_t{launch.grid.x} * launch.grid.y;
    std::vector<uint32_t> order(blocks);
    for (size_t i = 0; i < blocks; ++i) order[i] = static_cast<uint32_t>(i);
    if (seed_ != 0) shuffle(order);
    for (const uint32_t block : order) {
      blockIdx = {block % launch.grid.x, block / launch.grid.x, 0};
      run_block();
      if (!error_.empty()) return error_.c_str();
    }
    return nullptr;
  }

  void set_seed(uint64_t seed) {
    std::lock_guard<std::mutex> lock(mutex_);
    seed_ = seed;
  }

  int wait_block(int vote) {
    votes_ += vote;
    block_waiting_.push_back(current_);
    if (block_waiting_.size() == static_cast<size_t>(threads_)) {
      last_votes_ = votes_;
      votes_ = 0;
      release(block_waiting_);
    }
    to_scheduler();
    return last_votes_;
  }

  const uint64_t* exchange(uint64_t word, unsigned mask) {
    if (mask != 0xffffffffu) fail("a warp function without all lanes (mask %08x)", mask);
    Warp& warp = warps_[static_cast<size_t>(current_->thread / kWarpSize)];
    uint64_t* words = warp.words[warp.phase];
    words[current_->thread % kWarpSize] = word;
    warp.waiting.push_back(current_);
    if (++warp.arrived == kWarpSize) {
      warp.arrived = 0;
      warp.phase ^= 1;
      release(warp.waiting);
    }
    to_scheduler();
    return words;
  }

  [[noreturn]] void fail(const char* pattern, ...) __attribute__((format(printf, 2, 3))) {
    va_list args;
    va_start(args, pattern);
    fail_with(pattern, args);
  }

  [[noreturn]] void fail_with(const char* pattern, va_list args) {
    char text[200];
    std::vsnprintf(text, sizeof text, pattern, args);
    char where[96];
    std::snprintf(where, sizeof where, " (block %u, %u, thread %d)", blockIdx.x, blockIdx.y,
                  current_->thread);
    if (error_.empty()) error_ = std::string(text) + where;
    to_scheduler();  // which ends the launch
    std::abort();
  }

  unsigned char* shared() { return shared_.data() + kGuardBytes; }
  size_t shared_size() const { return launch_.shared; }
  int thread() const { return current_->thread; }

 private:
  bool valid() {
    const uint3 b = launch_.block;
    if (b.y != 1 || b.z != 1 || b.x == 0 || b.x > 1024 || b.x % kWarpSize != 0) {
      error_ = "a block of " + std::to_string(b.x) + " threads";
    } else if (launch_.shared > kSharedLimit) {
      error_ = "shared memory of " + std::to_string(launch_.shared) + " bytes";
    } else if (launch_.grid.y > 65535) {
      error_ = "a grid of " + std::to_string(launch_.grid.y) + " blocks in y";
    }
    return error_.empty();
  }

  void shuffle(std::vector<uint32_t>& list) {
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[draws_->below(i)]);
  }

  void run_block() {
    threads_ = static_cast<int>(launch_.block.x);
    std::memset(shared(), 0xFF, launch_.shared);
    warps_.assign(static_cast<size_t>(threads_ / kWarpSize), Warp{});
    order_.resize(static_cast<size_t>(threads_));
    for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<uint32_t>(i);
    if (seed_ != 0) shuffle(order_);
    begun_ = finished_ = 0;
    votes_ = 0;
    ready_.clear();
    block_waiting_.clear();
    idle_.clear();
    for (const auto& fiber : fibers_) idle_.push_back(fiber.get());
    while (error_.empty() && finished_ < threads_) {
      Fiber* next = choose();
      if (!next) {
        error_ = stuck();
        break;
      }
      resume(next);
    }
    check_guards();
    if (!error_.empty()) fibers_dirty();
  }

  // A fiber to go on with: a ready one or one that begins a thread, drawn by chance.
  Fiber* choose() {
    const bool may_begin = begun_ < threads_;
    if (ready_.empty() && !may_begin) return nullptr;
    if (may_begin && (ready_.empty() || seed_ == 0 || draws_->below(2) == 0)) return idle_fiber();
    const size_t i = seed_ == 0 ? 0 : draws_->below(ready_.size());
    Fiber* fiber = ready_[i];
    ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(i));
    return fiber;
  }

  Fiber* idle_fiber() {
    if (!idle_.empty()) {
      Fiber* fiber = idle_.back();
      idle_.pop_back();
      return fiber;
    }
    fibers_.push_back(std::make_unique<Fiber>());
    Fiber* fiber = fibers_.back().get();
    fiber->stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber->stack == MAP_FAILED) std::abort();
    mprotect(fiber->stack, 4096, PROT_NONE);
    prepare(fiber);
    return fiber;
  }

  void prepare(Fiber* fiber) {
    fiber->begun = false;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = static_cast<char*>(fiber->stack) + 4096;
    fiber->context.uc_stack.ss_size = kStackBytes - 4096;
    fiber->context.uc_link = nullptr;
    const auto address = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Machine::enter), 2,
                static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
  }

  static void enter(unsigned high, unsigned low) {
    Machine* machine = reinterpret_cast<Machine*>((uintptr_t{high} << 32) | low);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &machine->main_stack_, &machine->main_stack_size_);
#endif
    for (;;) machine->run_threads();
  }

  // On a fiber: runs threads that have not begun, until there is none left.
  void run_threads() {
    Fiber* self = current_;
    while (begun_ < threads_ && error_.empty()) {
      self->thread = static_cast<int>(order_[static_cast<size_t>(begun_++)]);
      threadIdx = {static_cast<unsigned>(self->thread), 0, 0};
      (*kernel_)();
      ++finished_;
      Warp& warp = warps_[static_cast<size_t>(self->thread / kWarpSize)];
      ++warp.exited;
      // Others may have become ready: now and then they go first.
      if (!ready_.empty() && seed_ != 0 && draws_->below(2) == 0) break;
    }
    idle_.push_back(self);
    to_scheduler();
  }

  void release(std::vector<Fiber*>& waiting) {
    ready_.insert(ready_.end(), waiting.begin(), waiting.end());
    waiting.clear();
  }

  void resume(Fiber* fiber) {
    current_ = fiber;
    if (fiber->thread >= 0) threadIdx = {static_cast<unsigned>(fiber->thread), 0, 0};
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&main_fake_, fiber->context.uc_stack.ss_sp,
                                   fiber->context.uc_stack.ss_size);
    swapcontext(&scheduler_, &fiber->context);
    __sanitizer_finish_switch_fiber(main_fake_, nullptr, nullptr);
#else
    if (_setjmp(scheduler_) != 0) return;
    if (fiber->begun) _longjmp(fiber->place, 1);
    fiber->begun = true;
    setcontext(&fiber->context);
#endif
  }

  void to_scheduler() {
    Fiber* self = current_;
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, main_stack_, main_stack_size_);
    swapcontext(&self->context, &scheduler_);
    __sanitizer_finish_switch_fiber(fake, &main_stack_, &main_stack_size_);
#else
    if (_setjmp(self->place) == 0) _longjmp(scheduler_, 1);
#endif
  }

  std::string stuck() const {
    const uint3 at = blockIdx;
    std::string where = " (block " + std::to_string(at.x) + ", " + std::to_string(at.y) + ")";
    if (!block_waiting_.empty()) {
      return std::to_string(block_waiting_.size()) + " of " + std::to_string(threads_) +
             " threads wait at a barrier that the others never reach" + where;
    }
    return "lanes of a warp wait for others that never come" + where;
  }

  void check_guards() {
    const unsigned char* after = shared() + launch_.shared;
    for (size_t i = 0; i < kGuardBytes; ++i) {
      if (shared_[i] == kGuardPattern && after[i] == kGuardPattern) continue;
      if (error_.empty()) error_ = "a write outside of the shared memory";
      return;
    }
  }

  // After an error threads are left in the middle: their stacks begin anew.
  void fibers_dirty() {
    for (const auto& fiber : fibers_) {
      fiber->thread = -1;
      prepare(fiber.get());
    }
  }

  std::mutex mutex_;
  std::string error_;
  const std::function<void()>* kernel_ = nullptr;
  Launch launch_{};
  uint64_t seed_ = 0, launches_ = 0;
  Draws* draws_ = nullptr;
  std::vector<unsigned char> shared_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_, ready_, block_waiting_;
  std::vector<Warp> warps_;
  std::vector<uint32_t> order_;
  Fiber* current_ = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  ucontext_t scheduler_{};
#else
  jmp_buf scheduler_;
#endif
  int threads_ = 0, begun_ = 0, finished_ = 0, votes_ = 0, last_votes_ = 0;
#if defined(__SANITIZE_ADDRESS__)
  const void* main_stack_ = nullptr;
  size_t main_stack_size_ = 0;
  void* main_fake_ = nullptr;
#endif
};

Machine& machine() {
  static Machine one;
  return one;
}

}  // namespace

const char* run_grid(const Launch& launch, const std::function<void()>& kernel) {
  return machine().run(launch, kernel);
}
void set_schedule(uint64_t seed) { machine().set_seed(seed); }
int wait_block(int vote) { return machine().wait_block(vote); }
const uint64_t* exchange(uint64_t word, unsigned mask) { return machine().exchange(word, mask); }
unsigned char* shared_base() { return machine().shared(); }
size_t shared_size() { return machine().shared_size(); }
unsigned lane() { return static_cast<unsigned>(machine().thread()) % kWarpSize; }
void fail_thread(const char* pattern, ...) {
  va_list args;
  va_start(args, pattern);
  machine().fail_with(pattern, args);
}

}  // namespace fluxion::cuda::host
