// A banded matrix of one axis as a table, and its product with rows and with sets of rows. Read once per
// instruction set, after simd.h and simd_gather.h.
//
//   out_i = sum over t < taps of weight[t][i] in_(start_i + t)
//
// Along contiguous rows (stretch) a vector of outputs picks its elements out of two vectors of the row where
// they lie that close, as they do where the axis grows; with AVX-512 out of four, as they do unless it shrinks
// by more than about three; else it gathers them.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
template <class T>
inline constexpr int kWindow = 4;  // vectors to pick from
inline __attribute__((always_inline)) Vec<float> pick(Vec<float> a, Vec<float> b,
                                                      CellVec<float> at) {
  return reinterpret_cast<Vec<float>>(_mm512_permutex2var_ps(
      reinterpret_cast<__m512>(a), reinterpret_cast<__m512i>(at), reinterpret_cast<__m512>(b)));
}
inline __attribute__((always_inline)) Vec<double> pick(Vec<double> a, Vec<double> b,
                                                       CellVec<double> at) {
  return reinterpret_cast<Vec<double>>(_mm512_permutex2var_pd(
      reinterpret_cast<__m512d>(a), reinterpret_cast<__m512i>(at), reinterpret_cast<__m512d>(b)));
}
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
template <class T>
inline constexpr int kWindow = sizeof(T) == 4 ? 2 : 0;
inline __attribute__((always_inline)) Vec<float> pick(Vec<float> a, Vec<float> b,
                                                      CellVec<float> at) {
  const __m256i lanes = reinterpret_cast<__m256i>(at);
  const __m256 low = _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(a), lanes);
  const __m256 high = _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(b), lanes);
  const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(lanes, 28));  // bit 3 to the sign
  return reinterpret_cast<Vec<float>>(_mm256_blendv_ps(low, high, second));
}
inline Vec<double> pick(Vec<double> a, Vec<double>, CellVec<double>) { return a; }
#else
template <class T>
inline constexpr int kWindow = 0;
inline Vec<float> pick(Vec<float> a, Vec<float>, CellVec<float>) { return a; }
inline Vec<double> pick(Vec<double> a, Vec<double>, CellVec<double>) { return a; }
#endif

template <class T>
struct Band {
  int64_t in = 1, out = 1, taps = 1, pitch = 0;
  bool identity = false;
  const int64_t* start = nullptr;  // [out]
  // [pitch / lanes]: where the two vectors of a group begin; -2 - that: of four; -1: it gathers.
  const int64_t* window = nullptr;
  const Cell<T>* lane = nullptr;  // [pitch]: the first element, from the window (or the row)
  const T* weight = nullptr;      // [taps][pitch]
};

template <class T>
struct BandTable {
  int64_t out, taps, pitch, groups;
  BandTable(int64_t n, int64_t width)
      : out(n), taps(width), pitch((n + kLanes<T> - 1) / kLanes<T> * kLanes<T>) {
    groups = pitch / kLanes<T>;
  }
  int64_t weight_at() const { return 0; }
  int64_t lane_at() const { return taps * pitch * static_cast<int64_t>(sizeof(T)); }
  int64_t start_at() const { return lane_at() + pitch * static_cast<int64_t>(sizeof(T)); }
  int64_t window_at() const { return start_at() + out * 8; }
  size_t bytes() const { return static_cast<size_t>(window_at() + groups * 8); }
};

// Starts and weights of the axis or of its transpose.
template <class T>
void fill_starts(const InterpolationAxis& axis, bool adjoint, const BandTable<T>& table,
                 int64_t* start, T* weight) {
  if (!adjoint) {
    for (int64_t i = 0; i < axis.out; ++i) {
      start[i] = axis.start(i);
      for (int64_t t = 0; t < table.taps; ++t)
        weight[t * table.pitch + i] = static_cast<T>(axis.weight(i, start[i] + t));
    }
    return;
  }
  int64_t low = 0;
  for (int64_t j = 0; j < axis.in; ++j) {
    while (low < axis.out && axis.start(low) + axis.width() <= j) ++low;
    start[j] = std::min(low, axis.out - table.taps);
  }
  for (int64_t j = 0; j < axis.in; ++j) {
    for (int64_t t = 0; t < table.taps; ++t) {
      const int64_t i = start[j] + t, from = axis.start(i);
      if (j < from || j >= from + axis.width()) continue;
      weight[t * table.pitch + j] = static_cast<T>(axis.weight(i, j));
    }
  }
}

template <class T>
void fill_band(const InterpolationAxis& axis, bool adjoint, const BandTable<T>& table,
               char* memory) {
  std::memset(memory, 0, table.bytes());
  T* const weight = reinterpret_cast<T*>(memory + table.weight_at());
  Cell<T>* const lane = reinterpret_cast<Cell<T>*>(memory + table.lane_at());
  int64_t* const start = reinterpret_cast<int64_t*>(memory + table.start_at());
  int64_t* const window = reinterpret_cast<int64_t*>(memory + table.window_at());
  fill_starts(axis, adjoint, table, start, weight);
  const int64_t in = adjoint ? axis.out : axis.in;
  constexpr int64_t w = kLanes<T>;
  for (int64_t group = 0; group < table.groups; ++group) {
    const int64_t begin = group * w, end = std::min(table.out, begin + w);
    int64_t base = 0;
    window[group] = -1;
    for (int vectors = kWindow<T>; vectors > 0; vectors -= 2) {
      const int64_t from = std::min(start[begin], std::max<int64_t>(0, in - vectors * w));
      if (start[end - 1] + table.taps - from > vectors * w) break;
      base = from;
      window[group] = vectors == 2 ? base : -2 - base;
    }
    for (int64_t i = begin; i < end; ++i) lane[i] = static_cast<Cell<T>>(start[i] - base);
  }
}

// False: no memory.
template <class T>
bool make_band(const Kernel& k, const InterpolationPlan& plan, const InterpolationAxis& axis,
               Band<T>* band) {
  band->in = plan.from(axis);
  band->out = plan.to(axis);
  band->identity = axis.identity();
  if (band->identity) return true;
  const BandTable<T> table(band->out, plan.width(axis));
  const int lanes = kLanes<T>, bytes = sizeof(T);
  const PlanKey key = PlanKey("interpolate").add(axis).add(plan.adjoint).add(lanes).add(bytes);
  const void* memory = k.plans->find(key.text(), table.bytes(), [&](void* to) {
    fill_band(axis, plan.adjoint, table, static_cast<char*>(to));
  });
  if (!memory) return false;
  const char* at = static_cast<const char*>(memory);
  band->taps = table.taps;
  band->pitch = table.pitch;
  band->weight = reinterpret_cast<const T*>(at + table.weight_at());
  band->lane = reinterpret_cast<const Cell<T>*>(at + table.lane_at());
  band->start = reinterpret_cast<const int64_t*>(at + table.start_at());
  band->window = reinterpret_cast<const int64_t*>(at + table.window_at());
  return true;
}

// --- along a row

template <class T>
inline __attribute__((always_inline)) CellVec<T> load_lanes(const Cell<T>* p) {
  CellVec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline __attribute__((always_inline)) void load_window(const T* row, int64_t n, Vec<T>* a,
                                                       Vec<T>* b) {
  constexpr int64_t w = kLanes<T>;
  if (n >= 2 * w) {
    *a = load(row);
    *b = load(row + w);
  } else {
    *a = load_partial(row, static_cast<int>(std::clamp<int64_t>(n, 0, w)));
    *b = n > w ? load_partial(row + w, static_cast<int>(n - w)) : Vec<T>{};
  }
}

// kTaps = 0: any number.
template <int kTaps, class T>
void stretch_taps(const Band<T>& band, const T* row, T* to) {
  constexpr int64_t w = kLanes<T>;
  const int64_t taps = kTaps > 0 ? kTaps : band.taps;
  for (int64_t i = 0, group = 0; i < band.out; i += w, ++group) {
    const CellVec<T> at = load_lanes<T>(band.lane + i);
    const int64_t base = band.window[group];
    Vec<T> sum{};
    if (base >= 0) {
      Vec<T> a, b;
      load_window(row + base, band.in - base, &a, &b);
#pragma GCC unroll 4
      for (int64_t t = 0; t < taps; ++t)
        sum += load(band.weight + t * band.pitch + i) * pick(a, b, at + static_cast<Cell<T>>(t));
    } else if (base < -1) {
      const int64_t from = -2 - base;
      Vec<T> a, b, c, d;
      load_window(row + from, band.in - from, &a, &b);
      load_window(row + from + 2 * w, band.in - from - 2 * w, &c, &d);
#pragma GCC unroll 4
      for (int64_t t = 0; t < taps; ++t) {
        const CellVec<T> lanes = at + static_cast<Cell<T>>(t);
        const Vec<T> near = pick(a, b, lanes), far = pick(c, d, lanes);
        sum += load(band.weight + t * band.pitch + i) *
               (lanes < static_cast<Cell<T>>(2 * w) ? near : far);
      }
    } else {
#pragma GCC unroll 4
      for (int64_t t = 0; t < taps; ++t)
        sum += load(band.weight + t * band.pitch + i) * gather(row, at + static_cast<Cell<T>>(t));
    }
    if (i + w <= band.out) {
      store(to + i, sum);
    } else {
      store_partial(to + i, sum, static_cast<int>(band.out - i));
    }
  }
}

template <class T>
void stretch(const Band<T>& band, const T* row, T* to) {
  switch (band.identity ? 0 : band.taps) {
    case 1:
      return stretch_taps<1>(band, row, to);
    case 2:
      return stretch_taps<2>(band, row, to);
    case 4:
      return stretch_taps<4>(band, row, to);
    default:
      if (!band.identity) return stretch_taps<0>(band, row, to);
      std::memcpy(to, row, static_cast<size_t>(band.out) * sizeof(T));
  }
}

// --- across rows

template <class T>
struct EvenRows {
  const T* first;
  int64_t stride;
  const T* operator[](int64_t t) const { return first + t * stride; }
};

// kTaps = 0: any number.
template <int kTaps, class T, class Rows>
void combine_taps(const Rows& rows, const T* weight, int64_t pitch, int64_t count, int64_t n, T* to,
                  bool streams) {
  constexpr int64_t w = kLanes<T>;
  const int64_t taps = kTaps > 0 ? kTaps : count;
  for (int64_t i = 0; i < n; i += w) {
    const int left = static_cast<int>(std::min(w, n - i));
    Vec<T> sum{};
    if (left == w) {
#pragma GCC unroll 4
      for (int64_t t = 0; t < taps; ++t) sum += broadcast(weight[t * pitch]) * load(rows[t] + i);
      if (streams) {
        stream(to + i, sum);
      } else {
        store(to + i, sum);
      }
    } else {
      for (int64_t t = 0; t < taps; ++t)
        sum += broadcast(weight[t * pitch]) * load_partial(rows[t] + i, left);
      store_partial(to + i, sum, left);
    }
  }
}

// to = sum of weight[t pitch] rows[t]; a streamed row is aligned to the vector.
template <class T, class Rows>
void combine(const Rows& rows, const T* weight, int64_t pitch, int64_t count, int64_t n, T* to,
             bool streams) {
  switch (count) {
    case 1:
      return combine_taps<1>(rows, weight, pitch, count, n, to, streams);
    case 2:
      return combine_taps<2>(rows, weight, pitch, count, n, to, streams);
    case 4:
      return combine_taps<4>(rows, weight, pitch, count, n, to, streams);
    default:
      return combine_taps<0>(rows, weight, pitch, count, n, to, streams);
  }
}

// Row i of the product with rows `stride` apart, the first of them at `from`; zeros at the ends of the window
// are not read.
template <class T>
void combine_window(const Band<T>& band, int64_t i, const T* from, int64_t stride, int64_t n, T* to,
                    bool streams) {
  if (band.identity) {
    std::memcpy(to, from + i * stride, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  const T* weight = band.weight + i;
  int64_t begin = 0, end = band.taps;
  while (end > begin + 1 && weight[(end - 1) * band.pitch] == 0) --end;
  while (end > begin + 1 && weight[begin * band.pitch] == 0) ++begin;
  const EvenRows<T> rows{from + (band.start[i] + begin) * stride, stride};
  combine(rows, weight + begin * band.pitch, band.pitch, end - begin, n, to, streams);
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
