// The adjoints of reductions in one pass: out = f(x, a, b) with a and b of each result of the reduction, read
// through strided views that repeat them (strided.h). Parallel: blocks of elements.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/reduce.h"

#define FLUXION_KERNELS "cpu/reduce_spread.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/strided.h"
#include "cpu/vector_math.h"
#include "cpu/chunks.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

struct Centred {
  template <class T>
  static T of(T x, T a, T b) {
    return a * (x - b);
  }
};
struct Exponential {
  template <class T>
  static T of(T x, T a, T b) {
    return a * vexp(x - b);
  }
};
struct Equal {
  template <class T>
  static T of(T x, T a, T b) {
    return x == b ? a : T(0);
  }
};

template <class Op, class T>
void spread_chunk(const void*, void* out, const void* const* in, int64_t n) {
  const T* __restrict x = static_cast<const T*>(in[0]);
  const T* __restrict a = static_cast<const T*>(in[1]);
  const T* __restrict b = static_cast<const T*>(in[2]);
  T* __restrict y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = Op::of(x[i], a[i], b[i]);
}

template <class Op>
void spread(const Kernel& k) {
  for_chunks(k, 0, 3, nullptr,
             k.in(0).dtype == DType::f32 ? spread_chunk<Op, float> : spread_chunk<Op, double>);
}

}  // namespace

void k_spread(const SpreadParams& params, const Kernel& k) {
  switch (params.kind) {
    case SpreadKind::centred:
      return spread<Centred>(k);
    case SpreadKind::exponential:
      return spread<Exponential>(k);
    case SpreadKind::equal:
      return spread<Equal>(k);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
