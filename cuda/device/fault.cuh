// Faults that only the data can show (an index out of range): the first one is written to a slot that the
// host reads, in memory that both sides see.
#pragma once

#include "machine.cuh"

namespace fluxion::cuda {

struct FaultSlot {
  unsigned int taken;
  unsigned int ready;
  int code;  // ErrorCode
  int op;    // OpId
  const char* pattern;
  long long values[2];
};

// Where and how a kernel records a fault; an argument of the kernel. `pattern` is host memory that lives
// for ever (a literal), with two %lld.
struct FaultSite {
  FaultSlot* slot;
  int code;
  int op;
  const char* pattern;
};

__device__ inline void record_fault(const FaultSite& site, long long a, long long b) {
  FaultSlot* slot = site.slot;
  if (atomicCAS(&slot->taken, 0u, 1u) != 0u) return;
  slot->code = site.code;
  slot->op = site.op;
  slot->pattern = site.pattern;
  slot->values[0] = a;
  slot->values[1] = b;
  __threadfence_system();
  atomicExch(&slot->ready, 1u);
}

}  // namespace fluxion::cuda
