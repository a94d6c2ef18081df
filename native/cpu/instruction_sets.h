// Which instruction sets the kernels are compiled for: FLUXION_WIDE_SETS is 1 where avx2 and avx512 stand beside the
// baseline. A build with FLUXION_BASELINE_ONLY (the sanitizers') leaves them out: a third of the compile time.
#pragma once

#if defined(__x86_64__) && !defined(FLUXION_BASELINE_ONLY)
#define FLUXION_WIDE_SETS 1
#else
#define FLUXION_WIDE_SETS 0
#endif
