// Transforms of all lines of a plane or volume along each axis in the bases of line_spectrum.h. Read once per
// instruction set, after it; rows of scratch planes are padded to whole 64 bytes.

namespace fluxion::cpu::FLUXION_TARGET {

// What one pair of lines (vectors of them) needs, all of it in L1 for lines of some hundred cells.
template <class T>
struct LineBuffers {
  T *re = nullptr, *im = nullptr;
  T *other = nullptr, *fft = nullptr;
  int64_t longest = 0;
  NextPlanes* next = nullptr;  // of the plane at work, if any
  LineBuffers() = default;
  LineBuffers(void* base, int64_t n) : longest(n) {
    constexpr int64_t widest = 64 / static_cast<int64_t>(sizeof(T));
    re = static_cast<T*>(base);
    im = re + n * widest;
    other = im + n * widest;
    fft = other + 2 * n * widest;
  }
  // In the place of the transform's own memory, which is free between transforms.
  LinePair<T> coefficients() const { return pair(fft); }
  LinePair<T> second() const { return pair(other); }

 private:
  LinePair<T> pair(T* at) const { return {at, at + longest * kLanes<T>, kLanes<T>}; }
};

// --- along x: rows, transposed in registers

// Two vectors of rows; the second may have fewer rows, or none.
template <class T>
struct RowPair {
  T *a, *b;
  int64_t stride;
  int count_a, count_b;
  RowPair(T* from, int64_t row_stride, int64_t left)
      : a(from), b(from + kLanes<T> * row_stride), stride(row_stride) {
    constexpr int64_t w = kLanes<T>;
    count_a = static_cast<int>(std::min(left, w));
    count_b = static_cast<int>(std::clamp<int64_t>(left - w, 0, w));
  }
};

// line[place of cell j][lane] = from[lane * stride + j]; lanes beyond `count` are zero.
template <class T>
inline void load_placed(const LineBasis<T>& basis, const T* from, int64_t stride, int count,
                        T* line) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n;
  const int32_t* place = basis.place;
  for (int64_t j = 0; j < n; j += w) {
    const int columns = static_cast<int>(std::min<int64_t>(n - j, w));
    Vec<T> tile[w];
    if (count == w && columns == w) {
      for (int i = 0; i < w; ++i) tile[i] = load(from + i * stride + j);
    } else {
      for (int i = 0; i < w; ++i) {
        tile[i] = i < count ? load_partial(from + i * stride + j, columns) : Vec<T>{};
      }
    }
    transpose_tile<T>(tile);
    if (columns == w) {
#pragma GCC unroll 16
      for (int i = 0; i < w; ++i) store(line + place[j + i] * w, tile[i]);
    } else {
      for (int i = 0; i < columns; ++i) store(line + place[j + i] * w, tile[i]);
    }
  }
}

template <class T>
inline void store_placed(const LineBasis<T>& basis, const T* line, T* to, int64_t stride, int count,
                         bool streaming) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n;
  const int32_t* place = basis.place;
  for (int64_t j = 0; j < n; j += w) {
    const int columns = static_cast<int>(std::min<int64_t>(n - j, w));
    Vec<T> tile[w];
    if (columns == w) {
#pragma GCC unroll 16
      for (int i = 0; i < w; ++i) tile[i] = load(line + place[j + i] * w);
    } else {
      for (int i = 0; i < w; ++i) {
        tile[i] = i < columns ? load(line + place[j + i] * w) : Vec<T>{};
      }
    }
    transpose_tile<T>(tile);
    if (count == w && columns == w && !streaming) {
#pragma GCC unroll 16
      for (int i = 0; i < w; ++i) store(to + i * stride + j, tile[i]);
      continue;
    }
    for (int i = 0; i < count; ++i) {
      T* row = to + i * stride + j;
      if (columns < w) {
        store_partial(row, tile[i], columns);
      } else if (streaming) {
        stream(row, tile[i]);
      } else {
        store(row, tile[i]);
      }
    }
  }
}

template <class T, class From>
inline void load_rows(const LineBasis<T>& basis, const RowPair<From>& rows, T* re, T* im) {
  load_placed<T>(basis, rows.a, rows.stride, rows.count_a, re);
  load_placed<T>(basis, rows.b, rows.stride, rows.count_b, im);
}

template <class T>
inline void store_rows(const LineBasis<T>& basis, const LinePair<T>& cells, const RowPair<T>& rows,
                       bool streaming) {
  store_placed<T>(basis, cells.a, rows.a, rows.stride, rows.count_a, streaming);
  store_placed<T>(basis, cells.b, rows.b, rows.stride, rows.count_b, streaming);
}

// --- along y or z: columns, which lie side by side

// `columns` neighbouring columns of cells, `stride` apart, and as many of coefficients in a padded plane.
// from may be to.
template <class T>
inline void analyse_columns_of(const LineBasis<T>& basis, const T* from, int64_t stride, T* to,
                               int64_t to_stride, int64_t columns, const LineBuffers<T>& lines) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n;
  const int32_t* place = basis.place;
  T *re = lines.re, *im = lines.im;
  for (int64_t j = 0; j < columns; j += 2 * w) {
    const int64_t left = columns - j;
    fetch_part(lines.next);
    const LinePair<T> coefficients{to + j, to + j + (left > w ? w : 0), to_stride};
    if (left >= 2 * w && basis.boundary == Boundary::periodic) {
      fft_lines<T>(basis.fft, {const_cast<T*>(from) + j, const_cast<T*>(from) + j + w, stride},
                   {lines.re, lines.im, w}, false, lines.fft);
      fetch_part(lines.next);
      separate_pairs<T, false>(basis, lines.re, lines.im, coefficients);
      continue;
    }
    if (left >= 2 * w) {
      for (int64_t i = 0; i < n; ++i) {
        store(re + place[i] * w, load(from + i * stride + j));
        store(im + place[i] * w, load(from + i * stride + j + w));
      }
    } else {
      const int a = static_cast<int>(std::min<int64_t>(left, w));
      const int b = static_cast<int>(std::max<int64_t>(left - w, 0));
      for (int64_t i = 0; i < n; ++i) {
        const T* cell = from + i * stride + j;
        store(re + place[i] * w, load_partial(cell, a));
        store(im + place[i] * w, b ? load_partial(cell + w, b) : Vec<T>{});
      }
    }
    analyse_lines(basis, lines.re, lines.im, coefficients, lines.fft, lines.next);
  }
}

template <class T>
inline void synthesise_columns_of(const LineBasis<T>& basis, const T* from, int64_t stride, T* to,
                                  int64_t to_stride, int64_t columns, const LineBuffers<T>& lines,
                                  bool streaming) {
  constexpr int w = kLanes<T>;
  const int64_t n = basis.n;
  const int32_t* place = basis.place;
  for (int64_t j = 0; j < columns; j += 2 * w) {
    const int64_t left = columns - j;
    const LinePair<T> cells =
        synthesise_lines(basis, {from + j, from + j + (left > w ? w : 0), stride, nullptr, nullptr},
                         lines.re, lines.im, lines.fft, lines.next);
    fetch_part(lines.next);
    if (left >= 2 * w && streaming) {
      for (int64_t i = 0; i < n; ++i) {
        stream(to + i * to_stride + j, load(cells.a + place[i] * w));
        stream(to + i * to_stride + j + w, load(cells.b + place[i] * w));
      }
    } else if (left >= 2 * w) {
      for (int64_t i = 0; i < n; ++i) {
        store(to + i * to_stride + j, load(cells.a + place[i] * w));
        store(to + i * to_stride + j + w, load(cells.b + place[i] * w));
      }
    } else {
      const int a = static_cast<int>(std::min<int64_t>(left, w));
      const int b = static_cast<int>(std::max<int64_t>(left - w, 0));
      for (int64_t i = 0; i < n; ++i) {
        T* cell = to + i * to_stride + j;
        store_partial(cell, load(cells.a + place[i] * w), a);
        if (b) store_partial(cell + w, load(cells.b + place[i] * w), b);
      }
    }
  }
}

// All axes but x: cells [D][H][W] -> coefficients along z and y in a padded plane.
template <class T>
inline void analyse_columns(const LineBasis<T>* basis, const SpectralGrid& grid, const T* from,
                            T* to, const LineBuffers<T>& lines) {
  const int64_t w = grid.n[0], h = grid.n[1], d = grid.n[2], pitch = grid.pitch<T>();
  if (grid.dims == 2) return analyse_columns_of(basis[1], from, w, to, pitch, w, lines);
  for (int64_t y = 0; y < h; ++y) {
    analyse_columns_of(basis[2], from + y * w, h * w, to + y * pitch, h * pitch, w, lines);
  }
  for (int64_t z = 0; z < d; ++z) {
    T* slice = to + z * h * pitch;
    analyse_columns_of(basis[1], slice, pitch, slice, pitch, w, lines);
  }
}

// The inverse; destroys `from`.
template <class T>
inline void synthesise_columns(const LineBasis<T>* basis, const SpectralGrid& grid, T* from, T* to,
                               const LineBuffers<T>& lines, bool streaming) {
  const int64_t w = grid.n[0], h = grid.n[1], d = grid.n[2], pitch = grid.pitch<T>();
  if (grid.dims == 2) {
    return synthesise_columns_of(basis[1], from, pitch, to, w, w, lines, streaming);
  }
  for (int64_t z = 0; z < d; ++z) {
    T* slice = from + z * h * pitch;
    synthesise_columns_of(basis[1], slice, pitch, slice, pitch, w, lines, false);
  }
  for (int64_t y = 0; y < h; ++y) {
    synthesise_columns_of(basis[2], from + y * pitch, h * pitch, to + y * w, h * w, w, lines,
                          streaming);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
