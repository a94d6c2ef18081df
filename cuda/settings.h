// What the environment says about device 'cuda': FLUXION_CUDA_TF32 and FLUXION_CUDA_SYNC.
#pragma once

#include <cstddef>

namespace fluxion::cuda {

struct Settings {
  int tensor_terms =
      0;  // FLUXION_CUDA_TF32: of a product of float32 on tensor cores; 0: it stays exact
  bool synchronous = false;  // FLUXION_CUDA_SYNC: each op is waited for, so that errors name it
};

// False with the reason for a value that is not allowed, so that none is silently ignored.
bool read_settings(Settings* settings, char* reason, size_t reason_bytes);

}  // namespace fluxion::cuda
