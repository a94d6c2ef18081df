// How a reduction goes through memory. Read once per instruction set, after simd.h.
//
// The dimensions of the view are sorted by stride and merged, so any permuted dense tensor is read in the
// order of its memory. If the innermost dimension is reduced, an output is a run (or several); if it is
// kept, rows are folded into a tile of kReduceTile outputs. Short reduced runs under a kept dimension are
// transposed a vector of rows at a time, so that they become the second kind. Blocks are tiles of outputs;
// where there are fewer than kReduceBlocks of them the reduction is cut into slices, whose partial results
// are put together in order. All of it depends on shapes only.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// The view as loops. Reduced dimensions [0, reduced) and kept ones [0, kept), outermost first; the
// innermost of one of them is taken out as the inner loop.
struct Plan {
  struct Loop {
    int64_t size, in, out;  // strides of the input and of the output (0: reduced)
  };
  Loop kept[kMaxDims], reduced[kMaxDims];
  int kepts = 0, reduceds = 0;
  Loop inner{1, 1, 0};
  bool inner_kept = false;
  int64_t outputs = 1, folds = 1;  // without the inner loop
  bool transposed =
      false;  // the innermost reduced loop is contiguous and lies across the inner loop
  static constexpr int64_t kShortRun = 64, kShortColumns = 16;

  Plan(const TensorView& x, uint32_t dims) {
    Loop loops[kMaxDims];
    int count = 0;
    int64_t step = 1;
    for (int i = x.ndim() - 1; i >= 0; --i) {  // innermost first
      const bool is_reduced = (dims >> i) & 1u;
      if (x.shape[i] != 1) loops[count++] = {x.shape[i], x.strides[i], is_reduced ? 0 : step};
      if (!is_reduced) step *= x.shape[i];
    }
    // Stable: equal strides keep their order. Repeated (stride 0) dimensions go outside.
    const auto rank = [](const Loop& l) {
      return l.in == 0 ? std::numeric_limits<int64_t>::max() : l.in;
    };
    for (int i = 1; i < count; ++i)
      for (int j = i; j > 0 && rank(loops[j]) < rank(loops[j - 1]); --j)
        std::swap(loops[j], loops[j - 1]);
    count = merge(loops, count);
    int first = 0;
    // Short reduced runs would spend their time on starting: fold strided columns instead.
    if (count > 1 && loops[0].out == 0 && loops[0].size <= kShortRun && loops[1].out != 0 &&
        loops[1].size >= kShortColumns) {
      std::swap(loops[0], loops[1]);
      transposed = loops[1].in == 1;
    }
    if (count > 0) {
      inner = loops[0];
      inner_kept = inner.out != 0;
      first = 1;
    }
    for (int i = count - 1; i >= first; --i) {
      if (loops[i].out != 0) {
        kept[kepts++] = loops[i];
        outputs *= loops[i].size;
      } else {
        reduced[reduceds++] = loops[i];
        folds *= loops[i].size;
      }
    }
  }

  static int merge(Loop* loops, int count) {
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
};

// A position in some of the loops, outermost first.
struct Position {
  const Plan::Loop* loops;
  int count;
  int64_t at[kMaxDims], in = 0, out = 0;

  Position(const Plan::Loop* l, int n, int64_t index) : loops(l), count(n) {
    for (int i = count - 1; i >= 0; --i) {
      at[i] = index % loops[i].size;
      index /= loops[i].size;
      in += at[i] * loops[i].in;
      out += at[i] * loops[i].out;
    }
  }
  void next() {
    for (int i = count - 1; i >= 0; --i) {
      in += loops[i].in;
      out += loops[i].out;
      if (++at[i] < loops[i].size) return;
      in -= at[i] * loops[i].in;
      out -= at[i] * loops[i].out;
      at[i] = 0;
    }
  }
};

// How outputs and reduced elements are cut into blocks: tiles of `width` outputs, `slices` of the folds.
struct Cut {
  int64_t width, tiles_per_row, tiles, folds, slices, tiles_per_block;

  explicit Cut(const Plan& plan) {
    width = plan.inner_kept ? std::min(plan.inner.size, kReduceTile) : 1;
    tiles_per_row = plan.inner_kept ? blocks_of(plan.inner.size, kReduceTile) : 1;
    tiles = plan.outputs * tiles_per_row;
    folds = plan.inner_kept ? plan.folds : plan.folds * plan.inner.size;
    slices = 1;
    if (tiles < kReduceBlocks)
      slices = std::clamp<int64_t>(folds * width / kElementsPerBlock, 1,
                                   blocks_of(kReduceBlocks, tiles));
    const int64_t tile_elements = std::max<int64_t>(1, folds / slices * width);
    tiles_per_block = slices > 1 ? 1 : std::max<int64_t>(1, kElementsPerBlock / tile_elements);
  }
};

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
