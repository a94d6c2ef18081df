// Lines of a contiguous array [outer, length, inner] in the lanes of vectors, and back. Read once per
// instruction set, after simd.h, transpose.h and fft.h.
//
// A group is up to w = kLanes neighbouring lines. Three ways to load it: lines that are rows (inner = 1) are
// transposed in registers, which also takes the pairs of complex numbers apart; lines beside each other are
// vectors as they lie; short inner dimensions go element by element. In lanes, complex point j is the vectors
// 2 j and 2 j + 1; points beyond the line are zero.

namespace fluxion::cpu::FLUXION_TARGET {

enum class LaneOrder { rows, columns, mixed };

// How the lines of [outer, *, inner] fall into groups of `lanes`.
struct LaneGroups {
  int64_t outer, inner, lanes;
  LaneOrder order() const {
    if (inner == 1) return LaneOrder::rows;
    return 2 * inner >= lanes || outer == 1 ? LaneOrder::columns : LaneOrder::mixed;
  }
  int64_t per_outer() const { return (inner + lanes - 1) / lanes; }
  int64_t count() const {
    return order() == LaneOrder::columns ? outer * per_outer()
                                         : (outer * inner + lanes - 1) / lanes;
  }
  int64_t first_line(int64_t group) const {
    if (order() != LaneOrder::columns) return group * lanes;
    return group / per_outer() * inner + group % per_outer() * lanes;
  }
  int64_t lines(int64_t group) const {
    const int64_t left = order() == LaneOrder::columns ? inner - group % per_outer() * lanes
                                                       : outer * inner - group * lanes;
    return left < lanes ? left : lanes;
  }
};

// Lines first ... first + count - 1 of an array whose lines have `length` points of `parts` numbers.
template <class T>
struct LineGroup {
  T* array;
  LaneOrder order;
  int64_t length, inner, first;
  int count, parts;
  T* begin(int64_t line) const {
    return array + (line / inner * length * inner + line % inner) * parts;
  }
};

template <class T, size_t... I>
inline __attribute__((always_inline)) Vec<T> even_lanes(Vec<T> a, Vec<T> b,
                                                        std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, static_cast<int>(2 * I)...);
}
template <class T, size_t... I>
inline __attribute__((always_inline)) Vec<T> odd_lanes(Vec<T> a, Vec<T> b,
                                                       std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, static_cast<int>(2 * I + 1)...);
}

inline __attribute__((always_inline)) int clamp_lanes(int n, int lanes) {
  return n < 0 ? 0 : n < lanes ? n : lanes;
}

// --- loads

template <class T>
inline void load_complex_columns(const T* from, int64_t step, int count, int64_t n, T* lines) {
  constexpr int w = kLanes<T>;
  using Lanes = std::make_index_sequence<static_cast<size_t>(w)>;
  for (int64_t j = 0; j < n; ++j, from += step, lines += 2 * w) {
    Vec<T> a, b;
    if (count == w) {
      a = load(from);
      b = load(from + w);
    } else {
      a = load_partial(from, clamp_lanes(2 * count, w));
      b = 2 * count > w ? load_partial(from + w, clamp_lanes(2 * count - w, w)) : Vec<T>{};
    }
    store(lines, even_lanes<T>(a, b, Lanes{}));
    store(lines + w, odd_lanes<T>(a, b, Lanes{}));
  }
}

// lines[j * pitch + lane] = point j, part by part, of lines that lie anywhere.
template <class T>
inline void load_mixed(const LineGroup<const T>& group, int64_t n, T* lines, int64_t pitch) {
  constexpr int w = kLanes<T>;
  const int64_t step = group.inner * group.parts;
  for (int lane = 0; lane < w; ++lane) {
    const bool any = lane < group.count;
    const T* from = any ? group.begin(group.first + lane) : group.array;
    for (int part = 0; part < group.parts; ++part) {
      T* to = lines + part * w + lane;
      for (int64_t j = 0; j < n; ++j) to[j * pitch] = any ? from[j * step + part] : T(0);
    }
  }
}

template <class T>
inline void zero_lines(T* lines, int64_t pitch, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) store(lines + j * pitch, Vec<T>{});
}

// Complex lines of n points, cropped or padded.
template <class T>
inline void load_complex_lines(const LineGroup<const T>& group, int64_t n, T* lines) {
  constexpr int w = kLanes<T>;
  const int64_t given = group.length < n ? group.length : n;
  if (group.order == LaneOrder::rows) {
    load_transposed(group.begin(group.first), 2 * group.length, group.count, 2 * given, lines, w);
  } else if (group.order == LaneOrder::columns) {
    load_complex_columns(group.begin(group.first), 2 * group.inner, group.count, given, lines);
  } else {
    load_mixed(group, given, lines, 2 * w);
  }
  zero_lines(lines, w, 2 * given, 2 * n);
}

// Real lines: point j at lines + j * pitch.
template <class T>
inline void load_real_lines(const LineGroup<const T>& group, int64_t n, T* lines, int64_t pitch) {
  constexpr int w = kLanes<T>;
  const int64_t given = group.count == 0 ? 0 : group.length < n ? group.length : n;
  if (given == 0) return zero_lines(lines, pitch, 0, n);
  const T* from = group.begin(group.first);
  if (group.order == LaneOrder::rows) {
    load_transposed(from, group.length, group.count, given, lines, pitch);
  } else if (group.order == LaneOrder::columns) {
    for (int64_t j = 0; j < given; ++j, from += group.inner) {
      store(lines + j * pitch, group.count == w ? load(from) : load_partial(from, group.count));
    }
  } else {
    load_mixed(group, given, lines, pitch);
  }
  zero_lines(lines, pitch, given, n);
}

// --- stores; the values are multiplied by scale, points beyond n are zero

template <class T>
inline void store_rows(const T* lines, int64_t pitch, int rows, int64_t n, T scale, T* to,
                       int64_t stride) {
  constexpr int w = kLanes<T>;
  for (int64_t j = 0; j < n; j += w) {
    const int columns = n - j < w ? static_cast<int>(n - j) : w;
    Vec<T> tile[w];
    if (columns == w) {
      for (int i = 0; i < w; ++i) tile[i] = load(lines + (j + i) * pitch) * scale;
    } else {
      for (int i = 0; i < w; ++i) {
        tile[i] = i < columns ? load(lines + (j + i) * pitch) * scale : Vec<T>{};
      }
    }
    transpose_tile<T>(tile);
    if (rows == w && columns == w) {
      for (int i = 0; i < w; ++i) store(to + i * stride + j, tile[i]);
    } else {
      for (int i = 0; i < rows; ++i) store_partial(to + i * stride + j, tile[i], columns);
    }
  }
}

template <class T>
inline void store_complex_columns(const T* lines, int count, int64_t n, T scale, T* to,
                                  int64_t step) {
  constexpr int w = kLanes<T>;
  using Lanes = std::make_index_sequence<static_cast<size_t>(w)>;
  for (int64_t j = 0; j < n; ++j, to += step, lines += 2 * w) {
    const Vec<T> re = load(lines) * scale, im = load(lines + w) * scale;
    const Vec<T> a = interleave_low(re, im, Lanes{}), b = interleave_high(re, im, Lanes{});
    if (count == w) {
      store(to, a);
      store(to + w, b);
    } else {
      store_partial(to, a, clamp_lanes(2 * count, w));
      if (2 * count > w) store_partial(to + w, b, clamp_lanes(2 * count - w, w));
    }
  }
}

template <class T>
inline void store_mixed(const T* lines, int64_t pitch, int64_t n, T scale,
                        const LineGroup<T>& group) {
  constexpr int w = kLanes<T>;
  const int64_t step = group.inner * group.parts;
  for (int lane = 0; lane < group.count; ++lane) {
    T* to = group.begin(group.first + lane);
    for (int part = 0; part < group.parts; ++part) {
      const T* from = lines + part * w + lane;
      for (int64_t j = 0; j < n; ++j) to[j * step + part] = from[j * pitch] * scale;
    }
  }
}

template <class T>
inline void zero_tails(const LineGroup<T>& group, int64_t begin) {
  const int64_t step = group.inner * group.parts;
  for (int lane = 0; lane < group.count; ++lane) {
    T* to = group.begin(group.first + lane);
    for (int64_t j = begin; j < group.length; ++j) {
      for (int part = 0; part < group.parts; ++part) to[j * step + part] = T(0);
    }
  }
}

template <class T>
inline void store_complex_lines(const T* lines, int64_t n, T scale, const LineGroup<T>& group) {
  constexpr int w = kLanes<T>;
  if (group.count == 0) return;
  const int64_t kept = group.length < n ? group.length : n;
  T* to = group.begin(group.first);
  if (group.order == LaneOrder::rows) {
    store_rows(lines, w, group.count, 2 * kept, scale, to, 2 * group.length);
  } else if (group.order == LaneOrder::columns) {
    store_complex_columns(lines, group.count, kept, scale, to, 2 * group.inner);
  } else {
    store_mixed(lines, 2 * w, kept, scale, group);
  }
  if (kept < group.length) zero_tails(group, kept);
}

template <class T>
inline void store_real_lines(const T* lines, int64_t pitch, int64_t n, T scale,
                             const LineGroup<T>& group) {
  constexpr int w = kLanes<T>;
  if (group.count == 0) return;
  const int64_t kept = group.length < n ? group.length : n;
  T* to = group.begin(group.first);
  if (group.order == LaneOrder::rows) {
    store_rows(lines, pitch, group.count, kept, scale, to, group.length);
  } else if (group.order == LaneOrder::columns) {
    for (int64_t j = 0; j < kept; ++j, to += group.inner) {
      const Vec<T> v = load(lines + j * pitch) * scale;
      if (group.count == w) {
        store(to, v);
      } else {
        store_partial(to, v, group.count);
      }
    }
  } else {
    store_mixed(lines, pitch, kept, scale, group);
  }
  if (kept < group.length) zero_tails(group, kept);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
