// Parameters of losses over classes.
#pragma once

#include "ops/op.h"

namespace fluxion {

enum class LossReduction : int32_t { none, mean, sum };
inline constexpr const char* kLossReductionNames[] = {"none", "mean", "sum"};

struct CrossEntropyParams {
  double labelSmoothing = 0;
  int64_t ignoreIndex = -100;     // positions with this label do not count
  bool logProbabilities = false;  // the input is log softmax already: the negative log likelihood
  LossReduction reduction = LossReduction::none;
  template <class V>
  void visit(V& v) {
    v("labelSmoothing", labelSmoothing);
    v("ignoreIndex", ignoreIndex);
    v("logProbabilities", logProbabilities);
    v.choice("reduction", reduction, kLossReductionNames);
  }
};

// Positions are cut into blocks by the shape alone: tiles of kEntropyPositions where they are contiguous in
// memory, else (one position per row) as many rows as make up kEntropyElements: some 40 us, since less is done
// before another thread is awake.
inline constexpr int64_t kEntropyPositions = 128;
inline constexpr int64_t kEntropyElements = int64_t{1} << 17;

struct EntropyBlocks {
  int64_t images = 0, classes = 0, size = 1;
  int64_t per_image = 0, rows = 1, count = 0;  // rows of a block where size = 1
  explicit EntropyBlocks(const Shape& logits);
};

}  // namespace fluxion
