// Many tensors as one row of elements, cut into equal blocks. No include guard: the file is read once per
// instruction set, like simd.h.
//
// A block covers kRowBlock elements of the row, whichever tensors they belong to: the plan follows from the
// sizes alone, so results do not depend on the number of threads, and sixty small tensors cost the threads
// one fork and join. The last tensors of one block are the first of the next.

// Says of the next loop that no iteration reads what another one writes: an updated tensor may be its own
// source, element by element.
#ifndef FLUXION_INDEPENDENT
#if defined(__clang__)
#define FLUXION_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FLUXION_INDEPENDENT _Pragma("GCC ivdep")
#endif
#endif

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

class TensorRow {
 public:
  // Item i has the size of input i * stride; `ends` has a place for each item.
  TensorRow(const Kernel& k, int items, int stride, int64_t* ends) : ends_(ends), items_(items) {
    int64_t end = 0;
    for (int i = 0; i < items; ++i) ends[i] = end += k.in(i * stride).size();
    size_ = end;
  }

  int64_t blocks() const { return blocks_of(size_, kRowBlock); }

  // visitor.piece(item, begin, end) for the elements of each item that belong to the block.
  template <class Visitor>
  void visit(int64_t block, Visitor& visitor) const {
    int64_t at = block * kRowBlock;
    const int64_t stop = std::min(size_, at + kRowBlock);
    for (int item = item_of(at); at < stop; ++item) {
      const int64_t start = item > 0 ? ends_[item - 1] : 0, end = std::min(stop, ends_[item]);
      if (at < end) visitor.piece(item, at - start, end - start);
      at = end;
    }
  }

 private:
  // The first item that ends behind the element.
  int item_of(int64_t element) const {
    int low = 0, high = items_;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (ends_[middle] > element) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  const int64_t* ends_;
  int items_;
  int64_t size_;
};

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
