// Whether products of float32 may go to tensor cores: an opt-in by FLUXION_CUDA_TF32.
#include <algorithm>
#include <cstdlib>

#include "gemm.h"
#if !defined(__CUDACC__)
#include "host_runtime.h"
#endif

namespace fluxion::cuda {
namespace {

int read_terms() {
  const char* text = std::getenv("FLUXION_CUDA_TF32");
  const int terms = text ? std::atoi(text) : 0;
  if (terms != 1 && terms != 3) return 0;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return 0;
  for (int i = 0; i < count; ++i) {  // the instruction is there from sm_80 on
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess || properties.major < 8) return 0;
  }
  return terms;
}

}  // namespace

int tensor_terms() {
  static const int terms = read_terms();
  return terms;
}

}  // namespace fluxion::cuda
