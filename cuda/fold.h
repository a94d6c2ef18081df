// Launching a fold (device/fold.cuh) on a view: the order of the loops, which kernel, how many slices.
#pragma once

#include <algorithm>
#include <limits>

#include "device/fold.cuh"
#include "kernel.h"
#include "tuning.h"

namespace fluxion::cuda {

inline int64_t power_of_two_from(int64_t n) {
  int64_t power = 1;
  while (power < n) power *= 2;
  return power;
}

// How a view is folded: loops in the order of its memory, and the shape of the launch.
struct FoldPlan {
  FoldSpace space{};
  bool columns = false;
  Grid grid{};

  // Of the axes of x those in `dims` are folded; the outputs are contiguous.
  FoldPlan(const TensorView& x, uint32_t dims);

 private:
  struct Loop {
    int64_t size, in, out;  // out 0: reduced
  };
  static int sort(const TensorView& x, uint32_t dims, Loop* loops);
  static void append(FoldLoops& to, const Loop& loop);
  void choose_teams(bool inner_kept, int loops);
  void choose_columns();
  int slices_of(int64_t blocks, int64_t elements) const;
};

// out of every kept place = finish(fold of its elements).
template <class Fold>
void fold_view(const Kernel& call, const TensorView& x, uint32_t dims, const Fold& fold) {
  using Acc = typename Fold::Acc;
  FoldPlan plan(x, dims);
  FoldSpace& s = plan.space;
  if (s.outputs == 0) return;
  Acc* const partial = s.slices > 1 ? call.scratch<Acc>(s.slices * s.outputs) : nullptr;
  if (s.slices > 1 && !partial) return;
  plan.grid.shared = shared_bytes<Acc>(plan.columns ? plan.grid.threads : kWarp);
  call.launch(plan.columns ? fold_columns<Fold> : fold_teams<Fold>, plan.grid, fold, s, partial);
  if (!partial) return;
  s.team = s.outputs < kFoldThreads ? kWarp : 1;
  call.launch(fold_slices<Fold>,
              {blocks_of(s.outputs * s.team, kFoldThreads), kFoldThreads, shared_bytes<Acc>(kWarp)},
              fold, s, partial);
}

// --- the plan

// Loops from the innermost on, by the stride of the input; repeated axes (stride 0) are outermost, neighbours
// merge.
inline int FoldPlan::sort(const TensorView& x, uint32_t dims, Loop* loops) {
  int count = 0;
  int64_t step = 1;
  for (int i = x.ndim() - 1; i >= 0; --i) {
    const bool reduced = ((dims >> i) & 1u) != 0;
    if (x.shape[i] != 1) loops[count++] = {x.shape[i], x.strides[i], reduced ? 0 : step};
    if (!reduced) step *= x.shape[i];
  }
  const auto rank = [](const Loop& l) {
    return l.in == 0 ? std::numeric_limits<int64_t>::max() : l.in < 0 ? -l.in : l.in;
  };
  for (int i = 1; i < count; ++i) {
    for (int j = i; j > 0 && rank(loops[j]) < rank(loops[j - 1]); --j) {
      std::swap(loops[j], loops[j - 1]);
    }
  }
  int merged = 0;
  for (int i = 0; i < count; ++i) {
    Loop* const last = merged > 0 ? &loops[merged - 1] : nullptr;
    const bool same = last && (last->out != 0) == (loops[i].out != 0) &&
                      loops[i].in == last->in * last->size &&
                      loops[i].out == last->out * last->size;
    if (same) {
      last->size *= loops[i].size;
    } else {
      loops[merged++] = loops[i];
    }
  }
  return merged;
}

inline void FoldPlan::append(FoldLoops& to, const Loop& loop) {
  const int at = to.count++;
  to.size[at] = loop.size;
  to.in[at] = loop.in;
  to.out[at] = loop.out;
}

inline int FoldPlan::slices_of(int64_t blocks, int64_t elements) const {
  if (blocks >= kFoldBlocks) return 1;
  return static_cast<int>(
      std::clamp<int64_t>(elements / kFoldSliceElements, 1, blocks_of(kFoldBlocks, blocks)));
}

inline void FoldPlan::choose_teams(bool inner_kept, int loops) {
  FoldSpace& s = space;
  s.runs = !inner_kept && s.reduced.count > 0 &&
           (loops == 1 || s.reduced.count == 1 ||
            s.reduced.size[s.reduced.count - 1] >= kFoldShortRun);
  s.team = inner_kept ? 1
           : s.folds >= kFoldBlockRun
               ? kFoldThreads
               : static_cast<int>(std::clamp<int64_t>(power_of_two_from(blocks_of(s.folds, 8)), 1,
                                                      int64_t{kWarp}));
  const int64_t blocks = blocks_of(s.outputs * s.team, kFoldThreads);
  s.slices = s.team == kFoldThreads ? slices_of(blocks, s.folds) : 1;
  grid = {blocks, kFoldThreads, 0, s.slices};
}

inline void FoldPlan::choose_columns() {
  FoldSpace& s = space;
  columns = true;
  s.inner = s.kept.size[s.kept.count - 1];
  const int64_t rows = power_of_two_from(blocks_of(s.folds, 8));
  const int64_t width = power_of_two_from(s.inner);
  s.width = static_cast<int>(
      std::min<int64_t>(width, std::max<int64_t>(kWarp, kFoldThreads / std::max<int64_t>(rows, 1))));
  s.tiles = blocks_of(s.inner, s.width);
  const int threads = static_cast<int>(
      std::clamp<int64_t>(s.width * rows, std::max(s.width, kWarp), kFoldThreads));
  const int64_t blocks = s.outputs / s.inner * s.tiles;
  s.slices = slices_of(blocks, s.folds * s.width);
  grid = {blocks, threads, 0, s.slices};
}

inline FoldPlan::FoldPlan(const TensorView& x, uint32_t dims) {
  Loop loops[kMaxDims];
  const int count = sort(x, dims, loops);
  FoldSpace& s = space;
  s.outputs = s.folds = 1;
  for (int i = count - 1; i >= 0; --i) {
    append(loops[i].out != 0 ? s.kept : s.reduced, loops[i]);
    (loops[i].out != 0 ? s.outputs : s.folds) *= loops[i].size;
  }
  constexpr int64_t kSmall = std::numeric_limits<int32_t>::max();
  for (auto [list, size] : {std::pair{&s.kept, s.outputs}, std::pair{&s.reduced, s.folds}}) {
    list->small = size <= kSmall;
    for (int i = 0; list->small && size > 0 && i < list->count; ++i) {
      list->divisor[i] = Divisor(list->size[i]);
    }
  }
  s.slices = s.width = s.team = 1;
  s.tiles = s.inner = 1;
  if (s.outputs == 0) return;
  const bool inner_kept = count > 0 && loops[0].out != 0;
  if (inner_kept && s.folds > kFoldShortRun) {
    choose_columns();
  } else {
    choose_teams(inner_kept, count);
  }
}

}  // namespace fluxion::cuda
