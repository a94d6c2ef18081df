// In-order queue of the CPU device.
//
// launch, write and read append to a list; the executor thread takes items in order and runs each with the
// pool. An op of little work is run at once by the calling thread when the queue is empty: the order is
// kept (there is nothing before it, and the one caller cannot append meanwhile), and the two thread
// switches, some 10 us, are saved. Only the thread that owns the device may call launch, write and read.
#include "cpu/cpu_backend.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

#include "core/condition_variable.h"
#include "cpu/block_memory.h"
#include "cpu/kernel_table.h"
#include "cpu/profile.h"
#include "cpu/settings.h"
#include "cpu/task.h"

namespace fluxion::cpu {
namespace {

constexpr int64_t kInlineWork = 32768;            // element operations: 5 to 30 us on one core
constexpr size_t kInlineBytes = size_t{1} << 18;  // of a read or write on an idle queue
constexpr size_t kPage = 4096;                    // what a prefetcher of the processor stays within
constexpr int kSpins = 400;                       // as in thread_pool.cpp
constexpr uint64_t kNobody = UINT64_MAX;          // no ticket: nothing is awaited

class CpuDevice {
 public:
  explicit CpuDevice(const Settings& settings)
      : pool_(settings.threads), serial_(1), isa_(settings.isa) {
    executor_ = std::thread([this] { execute(); });
  }

  ~CpuDevice() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_.store(true, std::memory_order_seq_cst);
    }
    wake_.notify_all();
    done_changed_.notify_all();
    executor_.join();
    while (Task* task = head_) {
      head_ = task->next;
      if (task->kind == Task::Kind::write) std::free(const_cast<void*>(task->from));
      delete task;
    }
    while (spare_) delete std::exchange(spare_, spare_->next);
    release_scratch();
  }

  uint64_t launch(const LaunchArgs& args) {
    if (args.scratch > scratch_room_ && !grow_scratch(args.scratch)) return 0;
    KernelFn kernel = kKernels[isa_][static_cast<int>(args.op)];
    if (args.work <= kInlineWork && idle()) {
      const Kernel call = make_call(args.op, args.inputs, args.n_inputs, args.outputs,
                                    args.n_outputs, args.workspace, serial_);
      run_kernel(kernel, args.params, call);
      return finish_inline();
    }
    Task* task = take_task();
    task->kind = Task::Kind::launch;
    task->kernel = kernel;
    task->op = args.op;
    task->n_inputs = args.n_inputs;
    task->n_outputs = args.n_outputs;
    task->workspace = args.workspace;
    std::memcpy(task->params, args.params, args.params_bytes);
    copy_inputs(*task, args);
    std::copy(args.outputs, args.outputs + args.n_outputs, task->outputs);
    return append(task);
  }

  uint64_t write(void* to, const void* from, size_t bytes) {
    if (idle()) {
      copy_memory(kProfileWrite, to, from, bytes, true);
      return finish_inline();
    }
    void* staged = std::malloc(bytes ? bytes : 1);
    if (!staged) {  // no memory for the copy: wait instead
      wait(submitted_);
      copy_memory(kProfileWrite, to, from, bytes, true);
      return finish_inline();
    }
    std::memcpy(staged, from, bytes);
    return append_copy(Task::Kind::write, to, staged, bytes);
  }

  uint64_t read(void* to, const void* from, size_t bytes) {
    if (bytes <= kInlineBytes && idle()) {
      copy_memory(kProfileRead, to, from, bytes, true);
      return finish_inline();
    }
    return append_copy(Task::Kind::read, to, from, bytes);
  }

  uint64_t done() const { return done_.load(std::memory_order_acquire); }

  void wait(uint64_t ticket) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (done() >= ticket) return;
      cpu_relax();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    done_changed_.wait(lock, [&] {
      // Before done_ is read: the executor writes done_ and then reads awaited_.
      if (ticket < awaited_.load(std::memory_order_relaxed))
        awaited_.store(ticket, std::memory_order_seq_cst);
      return done_.load(std::memory_order_seq_cst) >= ticket ||
             stopping_.load(std::memory_order_relaxed);
    });
  }

  bool take_fault(Fault* out) {
    if (!fault_.ready.load(std::memory_order_acquire)) return false;
    out->code = fault_.code;
    out->op = fault_.op;
    std::memcpy(out->message, fault_.message, sizeof fault_.message);
    fault_.ready.store(0, std::memory_order_relaxed);
    fault_.taken.store(0, std::memory_order_release);
    return true;
  }

  int threads() const { return pool_.threads(); }
  void set_threads(int count) {
    wait(submitted_);
    release_scratch();
    pool_.resize(count);
  }

  // The owner's, with an empty queue.
  Profile& profile() {
    wait(submitted_);
    return profile_;
  }

  int isa() const { return isa_; }
  void set_isa(int isa) {
    wait(submitted_);
    isa_ = isa;
  }

 private:
  bool idle() const { return done_.load(std::memory_order_acquire) == submitted_; }

  uint64_t finish_inline() {
    ++submitted_;
    done_.store(submitted_, std::memory_order_release);
    return submitted_;
  }

  // By the owner, when no kernel runs; false where there is no memory for it. Whole pages, and one left free before each
  // thread's: where a thread reads, its core asks for lines ahead in the page and for the first of the next, and takes
  // them away from the core that writes there (pointwise convolutions on two threads took 40 % more time beside each
  // other).
  bool grow_scratch(size_t bytes) {
    wait(submitted_);
    release_scratch();
    const size_t room = (bytes + kPage - 1) / kPage * kPage, stride = room + kPage;
    scratch_bytes_ = stride * static_cast<size_t>(pool_.threads()) + 2 * kPage;
    scratch_block_ = allocate_block(scratch_bytes_);
    if (!scratch_block_) return false;
    const uintptr_t begin = reinterpret_cast<uintptr_t>(scratch_block_);
    scratch_ = reinterpret_cast<char*>((begin + 2 * kPage - 1) / kPage * kPage);
    scratch_stride_ = stride;
    scratch_room_ = room;
    return true;
  }

  Kernel make_call(OpId op, const TensorView* inputs, int n_inputs, const TensorView* outputs,
                   int n_outputs, void* workspace, ThreadPool& pool) {
    plans_.trim();
    return Kernel{inputs,          n_inputs, outputs, n_outputs, workspace, scratch_,
                  scratch_stride_, &pool,    &plans_, &fault_,   op};
  }

  void release_scratch() {
    if (scratch_block_) release_block(scratch_block_, scratch_bytes_);
    scratch_block_ = nullptr;
    scratch_ = nullptr;
    scratch_room_ = scratch_stride_ = 0;
  }

  void run_kernel(KernelFn kernel, const void* params, const Kernel& call) {
    const int64_t begin = profile_.now();
    kernel(params, call);
    if (profile_.on()) profile_.add(call, begin, call.pool == &serial_);
  }

  void copy_memory(int32_t kind, void* to, const void* from, size_t bytes, bool inlined) {
    const int64_t begin = profile_.now();
    std::memcpy(to, from, bytes);
    if (profile_.on()) profile_.add_copy(kind, bytes, begin, inlined);
  }

  static void copy_inputs(Task& task, const LaunchArgs& args) {
    TensorView* views = task.inputs;
    if (args.n_inputs > kMaxInputs) {
      task.many_inputs.resize(static_cast<size_t>(args.n_inputs));
      views = task.many_inputs.data();
    }
    for (int i = 0; i < args.n_inputs; ++i) {
      views[i] = args.inputs[i];
      if (views[i].scalar) {  // ops with numbers as inputs have at most kMaxInputs of them
        std::memcpy(task.scalars[i], views[i].data, size_of(views[i].dtype));
        views[i].data = task.scalars[i];
      }
    }
  }

  uint64_t append_copy(Task::Kind kind, void* to, const void* from, size_t bytes) {
    Task* task = take_task();
    task->kind = kind;
    task->to = to;
    task->from = from;
    task->bytes = bytes;
    return append(task);
  }

  uint64_t append(Task* task) {
    task->next = nullptr;
    bool wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      (tail_ ? tail_->next : head_) = task;
      tail_ = task;
      ++submitted_;
      appended_.store(submitted_, std::memory_order_release);
      wake = sleeping_;
    }
    if (wake) wake_.notify_one();
    return submitted_;
  }

  Task* take_task() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (spare_) return std::exchange(spare_, spare_->next);
    }
    return new Task;
  }

  void run(Task& task) {
    switch (task.kind) {
      case Task::Kind::launch: {
        const Kernel call = make_call(task.op, task.input_views(), task.n_inputs, task.outputs,
                                      task.n_outputs, task.workspace, pool_);
        run_kernel(task.kernel, task.params, call);
        task.many_inputs.clear();
        return;
      }
      case Task::Kind::read:
        copy_memory(kProfileRead, task.to, task.from, task.bytes, false);
        return;
      case Task::Kind::write:
        copy_memory(kProfileWrite, task.to, task.from, task.bytes, false);
        std::free(const_cast<void*>(task.from));
        return;
    }
  }

  void execute() {
    Task* finished = nullptr;
    for (;;) {
      Task* task = next_task(finished);
      if (!task) return;
      run(*task);
      finished = task;
      const uint64_t done = done_.fetch_add(1, std::memory_order_seq_cst) + 1;
      // Waking a thread takes the processor from a kernel for a moment: not before its ticket is done.
      if (done >= awaited_.load(std::memory_order_seq_cst)) {
        std::lock_guard<std::mutex> lock(mutex_);
        awaited_.store(kNobody, std::memory_order_relaxed);  // those left over enter theirs again
        done_changed_.notify_all();
      }
    }
  }

  // Null when the device is being closed. The finished task goes back to the spare list.
  Task* next_task(Task* finished) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (appended_.load(std::memory_order_acquire) > done_.load(std::memory_order_relaxed)) break;
      if (stopping_.load(std::memory_order_relaxed)) break;
      cpu_relax();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (finished) {
      finished->next = spare_;
      spare_ = finished;
    }
    sleeping_ = true;
    wake_.wait(lock, [&] { return head_ || stopping_.load(std::memory_order_relaxed); });
    sleeping_ = false;
    if (stopping_.load(std::memory_order_relaxed)) return nullptr;
    Task* task = head_;
    head_ = task->next;
    if (!head_) tail_ = nullptr;
    return task;
  }

  ThreadPool pool_;
  ThreadPool serial_;
  int isa_;
  Fault fault_;
  // Changed by the owner with an empty queue, read by who runs kernels.
  void* scratch_block_ = nullptr;
  char* scratch_ = nullptr;  // its first whole page
  size_t scratch_room_ = 0;  // of a thread
  size_t scratch_stride_ = 0, scratch_bytes_ = 0;
  PlanCache plans_;  // touched by whoever runs kernels: the executor, or the owner when idle
  Profile profile_;  // likewise

  uint64_t submitted_ = 0;  // the owner's count
  std::atomic<uint64_t> appended_{0};
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> awaited_{kNobody};  // the lowest ticket that a sleeping thread waits for
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_, done_changed_;
  bool sleeping_ = false;
  Task* head_ = nullptr;
  Task* tail_ = nullptr;
  Task* spare_ = nullptr;
  std::thread executor_;
};

CpuDevice& as_cpu(void* device) { return *static_cast<CpuDevice*>(device); }

const BackendApi kApi = {
    kBackendAbi,
    0,  // the addon's own back end needs no fingerprint check
    kHostMemory | kTakesWorkspace,
    [](char*, size_t) { return 1; },
    [](int, DeviceDescription* out) {
      std::snprintf(out->name, sizeof out->name, "CPU (%s)", kIsaNames[best_isa()]);
      out->memory_bytes = 0;
      return 1;
    },
    [](char* reason, size_t bytes) -> int {
      Settings settings;
      return read_settings(&settings, reason, bytes);
    },
    [](int, char* reason, size_t bytes) -> void* {
      Settings settings;
      if (!read_settings(&settings, reason, bytes)) return nullptr;
      try {
        return new CpuDevice(settings);
      } catch (const std::exception& error) {
        std::snprintf(reason, bytes, "no memory or no thread for its queue: %s", error.what());
        return nullptr;
      }
    },
    [](void* device) { delete static_cast<CpuDevice*>(device); },
    [](OpId) { return 1; },
    [](void*, size_t bytes) { return allocate_block(bytes); },
    [](void*, void* memory, size_t bytes) { release_block(memory, bytes); },
    [](void* device, const LaunchArgs* args) { return as_cpu(device).launch(*args); },
    [](void* device, void* to, const void* from, size_t n) {
      return as_cpu(device).write(to, from, n);
    },
    [](void* device, void* to, const void* from, size_t n) {
      return as_cpu(device).read(to, from, n);
    },
    [](void* device) { return as_cpu(device).done(); },
    [](void* device, uint64_t ticket) { as_cpu(device).wait(ticket); },
    [](void* device, Fault* out) -> int { return as_cpu(device).take_fault(out); },
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    [](void* device, size_t capacity) { as_cpu(device).profile().start(capacity); },
    [](void* device, size_t* count, uint64_t* dropped) -> const ProfileRecord* {
      const Profile& profile = as_cpu(device).profile();
      *count = profile.records().size();
      *dropped = profile.dropped();
      return profile.records().data();
    },
    [](void* device) { as_cpu(device).profile().stop(); },
};

}  // namespace

const BackendApi* backend() { return &kApi; }

bool select_instruction_set(void* device, const char* name) {
  const int isa = find_isa(name);
  if (isa < 0) return false;
  as_cpu(device).set_isa(isa);
  return true;
}

const char* instruction_set(void* device) { return kIsaNames[as_cpu(device).isa()]; }
int threads(void* device) { return as_cpu(device).threads(); }
void set_threads(void* device, int count) { as_cpu(device).set_threads(count); }

}  // namespace fluxion::cpu
