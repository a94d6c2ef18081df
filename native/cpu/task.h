// An item of the CPU device's queue: a kernel with copies of its arguments, or a copy into or out of its memory.
#pragma once

#include <cstddef>
#include <vector>

#include "cpu/kernel_table.h"

namespace fluxion::cpu {

struct Task {
  enum class Kind { launch, read, write } kind = Kind::launch;
  Task* next = nullptr;
  KernelFn kernel = nullptr;
  OpId op{};
  int n_inputs = 0, n_outputs = 0;
  void* workspace = nullptr;
  void* to = nullptr;  // read and write
  const void* from = nullptr;
  size_t bytes = 0;
  alignas(16) unsigned char params[kMaxParamBytes];
  TensorView inputs[kMaxInputs];
  TensorView outputs[kMaxOutputs];
  std::vector<TensorView> many_inputs;  // of variadic ops with more than kMaxInputs
  double scalars[kMaxInputs][2];        // the widest element has two

  const TensorView* input_views() const {
    return many_inputs.empty() ? inputs : many_inputs.data();
  }
};

}  // namespace fluxion::cpu
