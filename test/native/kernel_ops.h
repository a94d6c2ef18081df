// Declares the infer function and the kernels of every instruction set for a list of ops, and makes an Op of
// each:  #define OPS(X) X(matmul, NoParams) ...   FLUXION_TEST_DECLARE(OPS)   namespace { FLUXION_TEST_DEFINE(OPS) }
#pragma once

#include "kernel_call.h"

#define FLUXION_TEST_INFER(id, Params) void infer_##id(const Params&, Infer&);
#define FLUXION_TEST_KERNEL(id, Params) void k_##id(const Params&, const Kernel&);
#define FLUXION_TEST_DECLARE(LIST) \
  namespace fluxion {              \
  LIST(FLUXION_TEST_INFER)         \
  namespace cpu::baseline {        \
  LIST(FLUXION_TEST_KERNEL)        \
  }                                \
  namespace cpu::avx2 {            \
  LIST(FLUXION_TEST_KERNEL)        \
  }                                \
  namespace cpu::avx512 {          \
  LIST(FLUXION_TEST_KERNEL)        \
  }                                \
  }

#if FLUXION_WIDE_SETS
#define FLUXION_TEST_OP(id, Params)                \
  constexpr fluxion::test::Op<fluxion::Params> id{ \
      fluxion::infer_##id,                         \
      {fluxion::cpu::baseline::k_##id, fluxion::cpu::avx2::k_##id, fluxion::cpu::avx512::k_##id}};
#else
#define FLUXION_TEST_OP(id, Params)                \
  constexpr fluxion::test::Op<fluxion::Params> id{ \
      fluxion::infer_##id, {fluxion::cpu::baseline::k_##id, nullptr, nullptr}};
#endif
#define FLUXION_TEST_DEFINE(LIST) LIST(FLUXION_TEST_OP)
