// Random tensors from Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011), a counter-based generator: counter block offset + j under the key `seed` gives four
// words of 32 bits, so element i depends on (seed, offset, i) only and any part can be made in any order.
//
// An op of n elements uses at most the blocks [offset, offset + philox_blocks(n)): the next op of the
// same stream starts there. TypeScript mirrors the rule: ceil(n / 2), for every op and dtype.
//   one word per element (4 per block)    float32 uniform and normal, bernoulli
//   two words per element (2 per block)   float64 uniform and normal, integers, permutations
#pragma once

#include "ops/op.h"

namespace fluxion {

inline int64_t philox_blocks(int64_t elements) { return (elements + 1) / 2; }

// What every draw of a shape has.
struct DrawParams {
  Shape shape;
  DType dtype = DType::f32;
  int64_t seed = 0, offset = 0;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("dtype", dtype);
    v("seed", seed);
    v("offset", offset);
  }
};

struct RandomUniformParams : DrawParams {
  double low = 0, high = 1;  // [low, high)
  template <class V>
  void visit(V& v) {
    DrawParams::visit(v);
    v("low", low);
    v("high", high);
  }
};

struct RandomNormalParams : DrawParams {
  double mean = 0, std = 1;
  template <class V>
  void visit(V& v) {
    DrawParams::visit(v);
    v("mean", mean);
    v("std", std);
  }
};

struct RandomIntegerParams : DrawParams {
  int64_t low = 0, high = 0;  // [low, high)
  template <class V>
  void visit(V& v) {
    DrawParams::visit(v);
    v("low", low);
    v("high", high);
  }
};

struct RandomBernoulliParams : DrawParams {
  double p = 0.5;  // probability of 1
  template <class V>
  void visit(V& v) {
    DrawParams::visit(v);
    v("p", p);
  }
};

struct RandomPermutationParams {
  int64_t n = 0;
  int64_t seed = 0, offset = 0;
  template <class V>
  void visit(V& v) {
    v("n", n);
    v("seed", seed);
    v("offset", offset);
  }
};

}  // namespace fluxion
