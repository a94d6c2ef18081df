// The CPU as a device: an in-order queue executed by one thread that shares a pool for parallel loops.
#pragma once

#include <string>

#include "backend/backend.h"

namespace fluxion::cpu {

const BackendApi* backend();

// Instruction sets compiled in and present on this machine, widest last: "baseline avx2 avx512".
std::string instruction_sets();
// For tests and FLUXION_ISA: selects a set by name; false if this machine lacks it. Drain the queue first.
bool select_instruction_set(void* device, const char* name);
const char* instruction_set(void* device);

int threads(void* device);
// Drains the queue. A device starts with as many threads as the machine has, or FLUXION_NUM_THREADS.
void set_threads(void* device, int count);

}  // namespace fluxion::cpu
