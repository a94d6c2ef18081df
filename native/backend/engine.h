// Tensors and the execution of ops on a device: infer, allocate, make inputs contiguous, launch.
// Belongs to one thread (one JavaScript environment); the device's queue runs beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/device.h"
#include "ops/registry.h"

namespace fluxion {

// Memory shared by a tensor and the views on it. Counted by the owning thread only.
struct Storage {
  Device* device;
  void* data;
  size_t bytes;
  int references;
};

// A reference to storage with a window on it.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Storage* storage, const TensorView& view) : storage_(storage), view_(view) {}
  Tensor(Tensor&& other) noexcept : storage_(other.storage_), view_(other.view_) {
    other.storage_ = nullptr;
  }
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor() { reset(); }

  Tensor share() const;  // another reference to the same memory
  void reset();          // gives the reference back; the block is freed with the last one
  explicit operator bool() const { return storage_ != nullptr; }
  const TensorView& view() const { return view_; }
  Storage* storage() const { return storage_; }
  Device* device() const { return storage_->device; }

 private:
  Storage* storage_ = nullptr;
  TensorView view_;
};

// An input of an op: a tensor, a number (takes the dtype of the last tensor), or nothing.
struct Operand {
  const Tensor* tensor = nullptr;
  bool is_number = false;
  double number = 0;
  Tensor* updated = nullptr;  // the tensor, where an op may give it new contents
};

class Engine {
 public:
  explicit Engine(Device& device) : device_(device) {}

  Device& device() const { return device_; }

  // Runs an op. `wanted` has a bit for each output; outputs that are not wanted stay empty.
  // Throws Error before anything is enqueued.
  void run(OpId op, const void* params, std::span<const Operand> inputs, uint32_t wanted,
           Tensor* outputs);

  Tensor empty(DType dtype, const Shape& shape, const char* op);
  // A contiguous tensor with the same elements: the same storage where it is contiguous already.
  Tensor contiguous(const Tensor& tensor);
  // Gives a contiguous tensor the values of another one, whoever else sees its memory.
  void overwrite(const Tensor& tensor, const Tensor& values);
  // A copy of a tensor of another device. Blocks until the values have left it.
  Tensor transferred(Engine& from, const Tensor& tensor, const char* op);

 private:
  void check_devices(const OpInfo& info, std::span<const Operand> inputs) const;
  Tensor make_view(const Tensor& base, const Infer& infer);
  void run_update(OpId op, const void* params, std::span<const Operand> inputs,
                  std::vector<TensorView> views, const Infer& infer, uint32_t wanted,
                  Tensor* outputs);
  void launch(OpId op, const void* params, std::span<const TensorView> inputs, const Infer& infer,
              uint32_t wanted, Tensor* outputs);
  void* alloc(size_t bytes, const char* op);

  Device& device_;
};

}  // namespace fluxion
