// What the launcher of an op is given: views that infer has validated, allocated outputs, the queue.
//
// A launcher runs on the host and enqueues kernels; it does not wait, allocate from the system or
// validate. The views' data are device pointers, except of scalar inputs (TensorView::scalar), whose
// value lies in host memory and is read at once with `number`.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "backend/backend.h"
#include "core/error.h"
#include "device/fault.cuh"
#include "device/machine.cuh"

namespace fluxion::cuda {

struct Grid {
  int64_t blocks;     // blocks.x; up to 2^31 - 1
  int threads;        // a multiple of 32, up to 1024
  size_t shared = 0;  // bytes of dynamic shared memory: a sum of shared_bytes<T>(count)
  int blocks_y = 1;   // up to 65535
};

class Queue;

struct Kernel {
  const TensorView* inputs;
  int n_inputs;
  const TensorView* outputs;  // data is null for an output nobody asked for
  int n_outputs;
  OpId op;
  Queue* queue;

  const TensorView& in(int i) const { return inputs[i]; }
  const TensorView& out(int i) const { return outputs[i]; }

  // The value of a scalar input.
  template <class T>
  T number(int i) const {
    T value;
    std::memcpy(&value, inputs[i].data, sizeof value);
    return value;
  }

  // Device memory for this op alone, 256-byte aligned, not initialised. Stream-ordered: it may be handed
  // out again to the next op. Null where there is none: the op has then recorded the fault already.
  template <class T>
  T* scratch(int64_t count) const {
    return static_cast<T*>(scratch_bytes(static_cast<size_t>(count) * sizeof(T)));
  }

  // A table in device memory that lives with the device: made once for a key by `fill`, which writes
  // `count` elements into host memory (twiddle factors, offsets). Keys begin with the family's name.
  template <class T>
  const T* table(const std::string& key, int64_t count, const std::function<void(T*)>& fill) const {
    return static_cast<const T*>(table_bytes(key, static_cast<size_t>(count) * sizeof(T),
                                             [&](void* memory) { fill(static_cast<T*>(memory)); }));
  }

  // Copies a small list (at most 64 KiB) into scratch memory: pointers or offsets of a variadic op.
  template <class T>
  const T* list(const T* values, int64_t count) const {
    return static_cast<const T*>(list_bytes(values, static_cast<size_t>(count) * sizeof(T)));
  }

  // For kernels that meet a fault in the data: see device/fault.cuh. The pattern takes two long longs.
  FaultSite fault_site(ErrorCode code, const char* pattern) const;

  // Refuses the call with FLUXION_UNSUPPORTED, before anything has been launched.
  void refuse(const char* message) const;

  int multiprocessors() const;
  // Shared memory that one block may have, in bytes.
  size_t shared_limit() const;
  // Terms of a product of float32 on tensor cores (device/gemm_tensor.cuh): 1 or 3 where FLUXION_CUDA_TF32 asks
  // for them; 0: it stays exact.
  int tensor_terms() const;

  // Fills device memory with a byte.
  void fill(void* memory, int byte, size_t bytes) const;
  // Copies device memory; the two do not overlap.
  void copy(void* to, const void* from, size_t bytes) const;

  // Enqueues a kernel. Nothing happens for an empty grid.
  template <class... P, class... A>
  void launch(void (*kernel)(P...), const Grid& grid, A&&... args) const;

 private:
  void* scratch_bytes(size_t bytes) const;
  const void* table_bytes(const std::string& key, size_t bytes,
                          const std::function<void(void*)>& fill) const;
  const void* list_bytes(const void* values, size_t bytes) const;
#if defined(__CUDACC__)
  void enqueue(const Grid& grid, const void* kernel, void** args) const;
#else
  void enqueue(const Grid& grid, std::function<void()> kernel) const;
#endif
};

template <class... P, class... A>
void Kernel::launch(void (*kernel)(P...), const Grid& grid, A&&... given) const {
  static_assert((std::is_trivially_copyable_v<P> && ...), "arguments travel by value");
  if (grid.blocks <= 0 || grid.blocks_y <= 0) return;
  std::tuple<P...> args(static_cast<P>(given)...);
#if defined(__CUDACC__)
  std::apply(
      [&](P&... each) {
        void* pointers[] = {static_cast<void*>(&each)..., nullptr};
        enqueue(grid, reinterpret_cast<const void*>(kernel), pointers);
      },
      args);
#else
  enqueue(grid, [kernel, args] { std::apply(kernel, args); });
#endif
}

inline int64_t blocks_of(int64_t n, int64_t per_block) { return (n + per_block - 1) / per_block; }

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) for the element type.
template <class F>
void dispatch_floating(DType dtype, F&& f) {
  if (dtype == DType::f64) {
    f(TypeTag<double>{});
  } else {
    f(TypeTag<float>{});
  }
}

template <class F>
void dispatch_all(DType dtype, F&& f) {
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
void dispatch_complex(DType dtype, F&& f) {
  if (dtype == DType::c128) {
    f(TypeTag<Complex<double>>{});
  } else {
    f(TypeTag<Complex<float>>{});
  }
}

template <class F>
void dispatch_any(DType dtype, F&& f) {
  if (is_complex(dtype)) return dispatch_complex(dtype, f);
  dispatch_all(dtype, f);
}

}  // namespace fluxion::cuda
