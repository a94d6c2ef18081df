// y = M x for a matrix of which one of the two strides is 1: every element of M is read once, so memory is the
// limit and nothing is packed. No include guard: read once per instruction set, after epilogue.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct MatVec {
  int64_t rows, depth;
  const T* m;
  int64_t row_stride, depth_stride;  // one of them is 1
  const T* x;                        // contiguous
};

// sums[r] of R rows whose elements follow each other along the depth.
template <class T, int R>
inline void dot_rows(const MatVec<T>& p, int64_t row, T* sums) {
  constexpr int n = kLanes<T>;
  const T* from = p.m + row * p.row_stride;
  Vec<T> acc[2][R] = {};
  int64_t k = 0;
  for (; k + 2 * n <= p.depth; k += 2 * n) {
    const Vec<T> x0 = load(p.x + k), x1 = load(p.x + k + n);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      acc[0][r] += load(from + r * p.row_stride + k) * x0;
      acc[1][r] += load(from + r * p.row_stride + k + n) * x1;
    }
  }
  for (; k < p.depth; k += n) {
    const int count = static_cast<int>(std::min<int64_t>(n, p.depth - k));
    const Vec<T> x = load_partial(p.x + k, count);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      acc[0][r] += load_partial(from + r * p.row_stride + k, count) * x;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) sums[r] = sum_lanes<T>(acc[0][r] + acc[1][r]);
}

// sums[0, count) of rows that follow each other in memory: R columns of M at a time, since the sums are read
// and written once for them.
template <class T, int R>
inline void add_columns(const MatVec<T>& p, int64_t row, int64_t count, int64_t k, T* sums) {
  constexpr int n = kLanes<T>;
  const T* from = p.m + row + k * p.depth_stride;
  Vec<T> x[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) x[r] = broadcast(p.x[k + r]);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    Vec<T> acc = load(sums + i);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc += load(from + r * p.depth_stride + i) * x[r];
    store(sums + i, acc);
  }
  if (i == count) return;
  const int rest = static_cast<int>(count - i);
  Vec<T> acc = load_partial(sums + i, rest);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc += load_partial(from + r * p.depth_stride + i, rest) * x[r];
  store_partial(sums + i, acc, rest);
}

template <class T>
static void matvec_rows(const MatVec<T>& p, int64_t row, int64_t count, T* sums) {
  if (p.depth_stride == 1) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) dot_rows<T, 4>(p, row + i, sums + i);
    for (; i < count; ++i) dot_rows<T, 1>(p, row + i, sums + i);
    return;
  }
  std::fill_n(sums, count, T{});
  int64_t k = 0;
  for (; k + 8 <= p.depth; k += 8) add_columns<T, 8>(p, row, count, k, sums);
  for (; k < p.depth; ++k) add_columns<T, 1>(p, row, count, k, sums);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
