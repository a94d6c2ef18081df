// The path of every op from validated parameters to the queue.
#include "backend/engine.h"

#include <cstring>
#include <memory>
#include <vector>

#include "ops/shape.h"

namespace fluxion {

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  if (this != &other) {
    reset();
    storage_ = other.storage_;
    view_ = other.view_;
    other.storage_ = nullptr;
  }
  return *this;
}

Tensor Tensor::share() const {
  ++storage_->references;
  return Tensor(storage_, view_);
}

void Tensor::reset() {
  if (!storage_) return;
  if (--storage_->references == 0) {
    storage_->device->free(storage_->data, storage_->bytes);
    delete storage_;
  }
  storage_ = nullptr;
}

void* Engine::alloc(size_t bytes, const char* op) {
  void* memory = device_.alloc(bytes);
  if (!memory) {
    const MemoryFigures& figures = device_.memory();
    fail(
        ErrorCode::OutOfMemory, op,
        format(
            "no memory for %.1f MB (%.1f MB live, limit %.1f MB); dispose of tensors or use tidy()",
            static_cast<double>(bytes) / 1e6, static_cast<double>(figures.live) / 1e6,
            static_cast<double>(device_.memory_limit()) / 1e6));
  }
  return memory;
}

Tensor Engine::empty(DType dtype, const Shape& shape, const char* op) {
  // Multiplied in floating point first: a shape may ask for more than 2^63 bytes.
  double wanted = static_cast<double>(size_of(dtype));
  for (int i = 0; i < shape.ndim; ++i) wanted *= static_cast<double>(shape[i]);
  if (wanted > 9e15)
    fail(ErrorCode::OutOfMemory, op, format("no memory for %.3g MB", wanted / 1e6));
  const size_t bytes = static_cast<size_t>(shape.size()) * size_of(dtype);
  void* data = alloc(bytes, op);
  TensorView view;
  view.data = data;
  view.dtype = dtype;
  view.present = true;
  view.shape = shape;
  view.strides = contiguous_strides(shape);
  return Tensor(new Storage{&device_, data, bytes, 1}, view);
}

Tensor Engine::contiguous(const Tensor& tensor) {
  if (tensor.view().contiguous()) {
    TensorView view = tensor.view();
    view.strides = contiguous_strides(view.shape);  // those of unit axes may have been anything
    ++tensor.storage()->references;
    return Tensor(tensor.storage(), view);
  }
  const Operand input{&tensor, false, 0, nullptr};
  Tensor out;
  const NoParams none;
  run(OpId::copy, &none, {&input, 1}, 1, &out);
  return out;
}

void Engine::overwrite(const Tensor& tensor, const Tensor& values) {
  const NoParams none;
  const TensorView views[] = {tensor.view(), values.view(), tensor.view()};
  Infer infer("assign", {views, 2}, 0);
  info_of(OpId::assign).infer(&none, infer);
  infer.require(tensor.view().contiguous(), ErrorCode::Internal, "the tensor must be contiguous");
  launch(OpId::assign, &none, views, infer, 0, nullptr);
}

// Both queues are in order by themselves only. To the host: what stands in its queue may still use the block.
// Between two GPUs: by way of the host.
Tensor Engine::transferred(Engine& from, const Tensor& tensor, const char* op) {
  Tensor source = from.contiguous(tensor);
  Tensor result = empty(source.view().dtype, source.view().shape, op);
  const size_t bytes = static_cast<size_t>(source.view().size()) * size_of(source.view().dtype);
  if (bytes == 0) return result;
  if (from.device_.host_memory()) {
    from.device_.drain();
    from.device_.check_faults();
    device_.write(result.view().data, source.view().data, bytes);
  } else if (device_.host_memory()) {
    device_.drain();
    from.device_.read(result.view().data, source.view().data, bytes);
    from.device_.drain();
    from.device_.check_faults();
  } else {
    const std::unique_ptr<char[]> staged(new char[bytes]);
    from.device_.read(staged.get(), source.view().data, bytes);
    from.device_.drain();
    from.device_.check_faults();
    device_.write(result.view().data, staged.get(), bytes);
  }
  return result;
}

void Engine::check_devices(const OpInfo& info, std::span<const Operand> inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].tensor || inputs[i].tensor->device() == &device_) continue;
    fail(ErrorCode::DeviceMismatch, info.name,
         format(
             "tensors must be on one device, got '%s' and '%s' (argument %zu); move one with to()",
             device_.name().c_str(), inputs[i].tensor->device()->name().c_str(), i));
  }
}

Tensor Engine::make_view(const Tensor& base, const Infer& infer) {
  TensorView view = base.view();
  view.data = static_cast<char*>(view.data) +
              infer.alias_offset * static_cast<int64_t>(size_of(infer.out_dtype[0]));
  view.dtype = infer.out_dtype[0];
  view.shape = infer.out_shape[0];
  view.strides = infer.alias_strides;
  ++base.storage()->references;
  return Tensor(base.storage(), view);
}

void Engine::run(OpId op, const void* params, std::span<const Operand> inputs, uint32_t wanted,
                 Tensor* outputs) {
  const OpInfo& info = info_of(op);
  check_devices(info, inputs);
  const size_t n = inputs.size();
  TensorView few[kMaxInputs];
  std::vector<TensorView> many;
  if (n > kMaxInputs) many.resize(n);
  TensorView* views = n > kMaxInputs ? many.data() : few;
  double numbers[kMaxInputs][2];  // the widest element has two

  DType number_dtype =
      DType::f32;  // that of the last tensor: the first of `where` is its condition
  for (const Operand& input : inputs) {
    if (input.tensor) number_dtype = input.tensor->view().dtype;
  }
  for (size_t i = 0; i < n; ++i) {
    if (inputs[i].tensor) {
      views[i] = inputs[i].tensor->view();
    } else if (inputs[i].is_number && i < kMaxInputs) {
      views[i].present = views[i].scalar = true;
      views[i].dtype = number_dtype;
      views[i].data = numbers[i];
      store_number(number_dtype, inputs[i].number, numbers[i]);
    }
  }

  Infer infer(info.name, {views, n}, wanted);
  info.infer(params, infer);
  if (!infer.complex_allowed) infer.refuse_complex();

  // Inputs that the kernel wants contiguous; the copies live until the op is enqueued.
  std::vector<Tensor> copies;
  for (size_t i = 0; i < n && infer.contiguous_inputs != 0; ++i) {
    const bool needed = (infer.contiguous_inputs >> (i < 31 ? i : 31)) & 1u;
    if (!needed || !inputs[i].tensor) continue;
    if (!views[i].contiguous()) {
      copies.push_back(contiguous(*inputs[i].tensor));
      views[i] = copies.back().view();
      if (info.view) {
        outputs[0] = make_view(copies.back(), infer);
        return;
      }
    }
  }
  if (info.view) {
    if (infer.copy_input) {
      Tensor own;
      const NoParams none;
      run(OpId::copy, &none, {&inputs[0], 1}, 1, &own);
      outputs[0] = make_view(own, infer);
    } else {
      outputs[0] = make_view(*inputs[0].tensor, infer);
    }
    return;
  }
  if (!device_.has_kernel(op)) {
    fail(ErrorCode::Unsupported, info.name,
         "has no kernel for device '" + device_.name() + "'; move its inputs with to('cpu')");
  }
  if (infer.updated_inputs) {
    if (many.empty()) many.assign(views, views + n);
    return run_update(op, params, inputs, std::move(many), infer, wanted, outputs);
  }
  launch(op, params, {views, n}, infer, wanted, outputs);
}

// The queue is in order and everything that reads the old contents stands in it already, so memory with one
// owner may be overwritten. Views and copies of a handle are owners too: then the tensor moves to new memory.
void Engine::run_update(OpId op, const void* params, std::span<const Operand> inputs,
                        std::vector<TensorView> views, const Infer& infer, uint32_t wanted,
                        Tensor* outputs) {
  views.reserve(2 * inputs.size());
  std::vector<Tensor> fresh;
  std::vector<Tensor*> moving;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!infer.updates(static_cast<int>(i))) continue;
    Tensor* tensor = inputs[i].updated;
    if (!tensor) fail(ErrorCode::Internal, infer.op(), "an updated input must be a tensor");
    const bool own = tensor->storage()->references == 1 && views[i].data == tensor->view().data;
    if (own) {
      views.push_back(TensorView(views[i]));
    } else if (device_.pinned()) {
      fail(
          ErrorCode::Unsupported, infer.op(),
          format(
              "argument %zu must have memory of its own where a step is captured: it is a view, or "
              "a copy or the recorded computation holds it too",
              i));
    } else {
      fresh.push_back(empty(views[i].dtype, views[i].shape, infer.op()));
      moving.push_back(tensor);
      views.push_back(fresh.back().view());
    }
  }
  launch(op, params, views, infer, wanted, outputs);
  for (size_t i = 0; i < moving.size(); ++i) *moving[i] = std::move(fresh[i]);
}

void Engine::launch(OpId op, const void* params, std::span<const TensorView> inputs,
                    const Infer& infer, uint32_t wanted, Tensor* outputs) {
  TensorView out_views[kMaxOutputs];
  for (int i = 0; i < infer.outputs; ++i) {
    if ((wanted >> i) & 1u) {
      outputs[i] = empty(infer.out_dtype[i], infer.out_shape[i], infer.op());
      out_views[i] = outputs[i].view();
    }
  }
  const bool own = device_.takes_workspace() && infer.workspace != 0;
  void* workspace = own ? alloc(infer.workspace, infer.op()) : nullptr;
  LaunchArgs args;
  args.op = op;
  args.n_inputs = static_cast<int32_t>(inputs.size());
  args.n_outputs = infer.outputs;
  args.params = params;
  args.params_bytes = info_of(op).params_bytes;
  args.inputs = inputs.data();
  args.outputs = out_views;
  args.workspace = workspace;
  args.scratch = infer.scratch;
  args.work = infer.work;
  struct Workspace {
    Device& device;
    void* memory;
    size_t bytes;
    ~Workspace() {
      if (memory) device.free(memory, bytes);  // stream-ordered: reusable from now on
    }
  } const held{device_, workspace, infer.workspace};
  device_.launch(args);
}

}  // namespace fluxion
