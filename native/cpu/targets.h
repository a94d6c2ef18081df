// Compiles a kernel file once per instruction set, without compiler flags: the file that defines
// FLUXION_KERNELS as its own path is included again inside a region whose functions are compiled for
// that set, in a namespace of its own. Code for a region stands between
//     #ifdef FLUXION_TARGET ... #endif
// and must not include standard headers (their inline functions would be compiled for the set and might
// be kept by the linker for the whole program); those stand above, before this file is included.
//
// Sets: baseline (x86-64 SSE2, or NEON on arm64), avx2 (with FMA), avx512 (F, BW, DQ, VL).
#ifndef FLUXION_TARGET

#define FLUXION_TARGET baseline
#define FLUXION_VECTOR_BYTES 16
#include FLUXION_KERNELS
#undef FLUXION_TARGET
#undef FLUXION_VECTOR_BYTES

#include "cpu/instruction_sets.h"
#if FLUXION_WIDE_SETS

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define FLUXION_TARGET avx2
#define FLUXION_VECTOR_BYTES 32
#include FLUXION_KERNELS
#undef FLUXION_TARGET
#undef FLUXION_VECTOR_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif
#define FLUXION_TARGET avx512
#define FLUXION_VECTOR_BYTES 64
#include FLUXION_KERNELS
#undef FLUXION_TARGET
#undef FLUXION_VECTOR_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // FLUXION_WIDE_SETS
#endif  // FLUXION_TARGET
