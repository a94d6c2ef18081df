// Strided copies: to[i . to_strides] = from[i . from_strides] over a box of indices, by runs along the last
// dimension, or by transposed strips when the input is contiguous along another one. Elements of 1, 4, 8
// and 16 bytes. Parallel: blocks of elements or tiles, fixed by the shapes. Read once per instruction set,
// after simd.h and transpose.h.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// A box of indices with strides for both sides; unit dimensions dropped, mergeable ones merged.
struct Box {
  int ndim = 0;
  int64_t dim[kMaxDims], from[kMaxDims], to[kMaxDims];

  Box(const Shape& shape, const Shape& from_strides, const Shape& to_strides) {
    for (int i = 0; i < shape.ndim; ++i) {
      const int64_t n = shape[i], f = from_strides[i], t = to_strides[i];
      if (n == 1) continue;
      if (ndim > 0 && from[ndim - 1] == n * f && to[ndim - 1] == n * t) {
        --ndim;
        add(dim[ndim] * n, f, t);
      } else {
        add(n, f, t);
      }
    }
    if (ndim == 0) add(1, 1, 1);
  }
  void add(int64_t n, int64_t f, int64_t t) {
    dim[ndim] = n;
    from[ndim] = f;
    to[ndim++] = t;
  }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= dim[i];
    return n;
  }
};

// A position in the box: row-major over the dimensions, except those that are left out.
struct Walk {
  const Box& box;
  int64_t at[kMaxDims], from = 0, to = 0;

  Walk(const Box& b, int64_t index) : box(b) {
    for (int i = box.ndim - 1; i >= 0; --i) {
      at[i] = index % box.dim[i];
      index /= box.dim[i];
      from += at[i] * box.from[i];
      to += at[i] * box.to[i];
    }
  }
  void next_row() {  // to the start of the next row of the last dimension
    const int last = box.ndim - 1;
    from -= at[last] * box.from[last];
    to -= at[last] * box.to[last];
    at[last] = 0;
    for (int i = last - 1; i >= 0; --i) {
      from += box.from[i];
      to += box.to[i];
      if (++at[i] < box.dim[i]) return;
      from -= at[i] * box.from[i];
      to -= at[i] * box.to[i];
      at[i] = 0;
    }
  }
};

template <class U>
void move_run(U* __restrict to, const U* __restrict from, int64_t n, int64_t t, int64_t f) {
  if (t == 1 && f == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(U));
  } else if (t == 1 && f == 0) {
    const U value = *from;
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  } else if (t == 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * f];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * t] = from[i * f];
  }
}

template <class U>
void move_rows(const Kernel& k, const Box& box, U* to, const U* from) {
  const int64_t n = box.size();
  const int last = box.ndim - 1;
  k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
    int64_t left = std::min(kElementsPerBlock, n - block * kElementsPerBlock);
    Walk walk(box, block * kElementsPerBlock);
    while (left > 0) {
      const int64_t run = std::min(left, box.dim[last] - walk.at[last]);
      move_run(to + walk.to, from + walk.from, run, box.to[last], box.from[last]);
      left -= run;
      walk.at[last] += run;
      walk.from += run * box.from[last];
      walk.to += run * box.to[last];
      if (left > 0) walk.next_row();
    }
  });
}

// A strip of a transposition: to[i * t + j] = from[j * f + i]. Square tiles of vectors are transposed in
// registers; reading `rows` neighbours of each input line at a time uses whole cache lines.
template <class U>
void move_strip(U* __restrict to, const U* __restrict from, int64_t rows, int64_t columns,
                int64_t t, int64_t f) {
  int64_t j = 0;
  if constexpr (sizeof(U) == 4 || sizeof(U) == 8) {
    using T = std::conditional_t<sizeof(U) == 4, float, double>;  // only moved: any bits are safe
    for (; j + kLanes<T> <= columns; j += kLanes<T>)
      load_transposed(reinterpret_cast<const T*>(from + j * f), f, kLanes<T>, rows,
                      reinterpret_cast<T*>(to + j), t);
  }
  constexpr int64_t kWidth = 8;  // lines of the input that stay in the first-level cache together
  for (; j < columns; j += kWidth)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = j; c < std::min(columns, j + kWidth); ++c) to[i * t + c] = from[c * f + i];
}

// The input is contiguous along dimension p, the output along the last one.
template <class U>
void move_transposed(const Kernel& k, const Box& box, int p, U* to, const U* from) {
  constexpr int64_t kRows = 256 / static_cast<int64_t>(sizeof(U));  // 4 cache lines of the input
  constexpr int64_t kColumns = 1024;
  const int last = box.ndim - 1;
  const int64_t rows = box.dim[p], columns = box.dim[last];
  const int64_t strips = blocks_of(rows, kRows), parts = blocks_of(columns, kColumns);
  Box batch = box;
  batch.dim[p] = batch.dim[last] = 1;
  k.parallel_for(batch.size() * strips * parts, [&](int64_t block, int) {
    const Walk walk(batch, block / (strips * parts));
    const int64_t row = block / parts % strips * kRows, column = block % parts * kColumns;
    move_strip(to + walk.to + row * box.to[p] + column,
               from + walk.from + row + column * box.from[last], std::min(kRows, rows - row),
               std::min(kColumns, columns - column), box.to[p], box.from[last]);
  });
}

template <class U>
void move_as(const Kernel& k, const Box& box, U* to, const U* from) {
  const int last = box.ndim - 1;
  if (box.to[last] == 1 && box.from[last] > 1 && box.dim[last] >= 4) {
    for (int p = 0; p < last; ++p)
      if (box.from[p] == 1 && box.dim[p] >= 4) return move_transposed(k, box, p, to, from);
  }
  move_rows(k, box, to, from);
}

void move(const Kernel& k, const TensorView& in, char* to, const Shape& to_strides) {
  if (in.size() == 0) return;
  const Box box(in.shape, in.strides, to_strides);
  switch (size_of(in.dtype)) {
    case 1:
      return move_as(k, box, reinterpret_cast<uint8_t*>(to), in.as<uint8_t>());
    case 4:
      return move_as(k, box, reinterpret_cast<uint32_t*>(to), in.as<uint32_t>());
    case 8:
      return move_as(k, box, reinterpret_cast<uint64_t*>(to), in.as<uint64_t>());
    default:
      return move_as(k, box, reinterpret_cast<Complex<double>*>(to), in.as<Complex<double>>());
  }
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
