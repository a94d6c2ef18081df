// What the environment says about the CPU device: FLUXION_NUM_THREADS and FLUXION_ISA.
#pragma once

#include <cstddef>
#include <string>

namespace fluxion::cpu {

struct Settings {
  int threads;
  int isa;
};

// The machine's own values unless the environment says otherwise; false with the reason for values that
// cannot be had, so that none is silently ignored.
bool read_settings(Settings* settings, char* reason, size_t reason_bytes);

}  // namespace fluxion::cpu
