// A captured graph: the launches it was made of, their kernels, and the memory of single ops they use.
#pragma once

#include <vector>

#include "queue.h"

namespace fluxion::cuda {

class Graph {
 public:
  struct Captured {
    OpId op;
    std::vector<unsigned char> params;
    std::vector<TensorView> inputs, outputs;
    std::vector<double> numbers;     // of scalar inputs, two for each input
    std::vector<const void*> lists;  // that its kernels read, in their order
    size_t first_kernel;
    size_t kernels;

    explicit Captured(const LaunchArgs& args, size_t first);
    LaunchArgs args() const;
  };

  ~Graph();

  std::vector<Captured> launches;
  std::vector<void*> memory;  // lists that kernels read
  Arena arena;
  size_t kernels = 0;
#if defined(__CUDACC__)
  std::vector<cudaGraphNode_t> nodes;  // of the kernels
#endif
  cudaGraphExec_t executable = nullptr;
  cudaGraph_t graph = nullptr;
};

}  // namespace fluxion::cuda
