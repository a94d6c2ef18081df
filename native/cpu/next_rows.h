// Prefetch of the rows of a block that come next. No include guard: read once per instruction set.

namespace fluxion::cpu::FLUXION_TARGET {

// Asks memory for the input of the next block while this one is multiplied: row after row, some 2 KB in a run each,
// which takes some 15 % less time on two threads than 192 bytes of all rows in turn.
template <class T>
struct NextRows {
  const T* row;  // null: there is no next block
  int64_t rows, pixels, plane;
  int64_t at = 0;

  int64_t lines() const { return rows * ceil_div(pixels, kLine); }
  void fetch(int64_t lines) {
    if (!row) return;
    int64_t column = at;
    for (; lines > 0 && rows > 0; --lines) {
      __builtin_prefetch(row + column, 0, 2);
      column += kLine;
      if (column >= pixels) column = 0, row += plane, --rows;
    }
    at = column;
  }
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
};

}  // namespace fluxion::cpu::FLUXION_TARGET
