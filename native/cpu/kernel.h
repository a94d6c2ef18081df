// What a CPU kernel is given: views that infer has validated, allocated outputs and workspace, the pool.
// A kernel does not throw, allocate, print, lock or validate.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/backend.h"
#include "core/thread_pool.h"
#include "cpu/fft_plan.h"
#include "cpu/plan_cache.h"

namespace fluxion::cpu {

struct Kernel {
  const TensorView* inputs;
  int n_inputs;
  const TensorView* outputs;  // data is null for an output nobody asked for
  int n_outputs;
  void* workspace_base;  // Infer::workspace bytes, 64-byte aligned
  char* scratch_base;    // Infer::scratch bytes for each thread, 64-byte aligned
  size_t scratch_stride;
  ThreadPool* pool;
  PlanCache* plans;  // outside of parallel regions only
  Fault* fault_slot;
  OpId op;

  const TensorView& in(int i) const { return inputs[i]; }
  const TensorView& out(int i) const { return outputs[i]; }
  template <class T>
  T* workspace() const {
    return static_cast<T*>(workspace_base);
  }
  template <class T>
  T* scratch(int thread) const {
    return reinterpret_cast<T*>(scratch_base + scratch_stride * static_cast<size_t>(thread));
  }
  // f(block, thread): results must depend on the block only (see thread_pool.h).
  template <class F>
  void parallel_for(int64_t blocks, F&& f) const {
    pool->parallel_for(blocks, f);
  }
  // For blocks as cheap as their memory: begins where the job before stopped (see thread_pool.h).
  template <class F>
  void parallel_for_turning(int64_t blocks, F&& f) const {
    pool->parallel_for_turning(blocks, f);
  }
  // Records a fault that only the data can show; the next read of the queue throws it. The first wins.
  // Call it outside parallel regions, or it may be called from several threads: one of them wins.
  __attribute__((format(printf, 3, 4))) void fault(ErrorCode code, const char* pattern, ...) const {
    if (fault_slot->taken.exchange(1) != 0) return;
    fault_slot->code = static_cast<int32_t>(code);
    fault_slot->op = static_cast<int32_t>(op);
    va_list args;
    va_start(args, pattern);
    std::vsnprintf(fault_slot->message, sizeof fault_slot->message, pattern, args);
    va_end(args);
    fault_slot->ready.store(1, std::memory_order_release);
  }
};

// Elements that one block of an elementwise kernel covers: 64 KiB of float32, half an L2 way, and the
// same for any number of threads.
inline constexpr int64_t kElementsPerBlock = 16384;

inline int64_t blocks_of(int64_t n, int64_t per_block) { return (n + per_block - 1) / per_block; }

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) for the element type.
template <class F>
inline void dispatch_floating(DType dtype, F&& f) {
  if (dtype == DType::f64) {
    f(TypeTag<double>{});
  } else {
    f(TypeTag<float>{});
  }
}

template <class F>
inline void dispatch_all(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(TypeTag<float>{});
    case DType::f64:
      return f(TypeTag<double>{});
    case DType::i32:
      return f(TypeTag<int32_t>{});
    case DType::u8:
      return f(TypeTag<uint8_t>{});
    case DType::c64:
    case DType::c128:
      return;  // an op that has a complex form dispatches itself
  }
}

template <class F>
inline void dispatch_complex(DType dtype, F&& f) {
  if (dtype == DType::c128) {
    f(TypeTag<Complex<double>>{});
  } else {
    f(TypeTag<Complex<float>>{});
  }
}

template <class F>
inline void dispatch_any(DType dtype, F&& f) {
  if (is_complex(dtype)) return dispatch_complex(dtype, f);
  dispatch_all(dtype, f);
}

}  // namespace fluxion::cpu
