// One transform at a time in all lanes, for long lines. Read once per instruction set, after fft_lanes.h.
//
// n = n1 n2, j = j1 n2 + j2, k = k1 + n1 k2 (four steps, each element twice through the cache):
//     C[k1, j2] = e^(-2 pi i k1 j2 / n) sum_j1 z[j1, j2] e^(-2 pi i j1 k1 / n1)     lanes: neighbouring j2
//     Z[k2, k1] = sum_j2 C[k1, j2] e^(-2 pi i j2 k2 / n2)                           lanes: neighbouring k1
// The factors are products of two tables, for the first j2 of a vector and for the lane. Lengths with a large
// prime factor are convolutions (Bluestein). A real line of even length is a complex one of half the length.
// Source: Bailey, FFTs in external or hierarchical memory (1990).

namespace fluxion::cpu::FLUXION_TARGET {

// Factors of a transform in four steps.
template <class T>
struct FourSteps {
  int64_t n = 0, n1 = 0, n2 = 0;
  FftPlan<T> first, second;
  const T* starts = nullptr;  // e^(-2 pi i k1 j2 / n) of the first j2 of each vector, [n1][vectors]
  const T* lanes = nullptr;   // of j2 = 0 ... w - 1, [n1][re, im][w]
  int64_t vectors() const { return (n2 + kLanes<T> - 1) / kLanes<T>; }
};

template <class T>
inline void fill_four_steps(int64_t n, int64_t n1, int64_t vectors, T* to) {
  constexpr int w = kLanes<T>;
  T* lanes = to + 2 * n1 * vectors;
  for (int64_t k = 0; k < n1; ++k) {
    for (int64_t v = 0; v < vectors; ++v, to += 2) fft_put_root(to, k * v * w % n, n);
    for (int64_t l = 0; l < w; ++l) {
      T root[2];
      fft_put_root(root, k * l, n);
      lanes[2 * w * k + l] = root[0];
      lanes[2 * w * k + w + l] = root[1];
    }
  }
}

// False: there is no memory.
template <class T>
inline bool four_steps(const Kernel& call, int64_t n, FourSteps<T>& steps) {
  constexpr int w = kLanes<T>;
  steps.n = n;
  steps.n1 = fft_split(n);
  steps.n2 = n / steps.n1;
  steps.first = fft_plan<T>(call, steps.n1);
  steps.second = fft_plan<T>(call, steps.n2);
  const int64_t n1 = steps.n1, vectors = steps.vectors();
  const PlanKey key = PlanKey("fft-steps").add(n).add(sizeof(T)).add(FLUXION_VECTOR_BYTES);
  const size_t bytes = 2 * static_cast<size_t>(n1 * (vectors + w)) * sizeof(T);
  steps.starts = static_cast<const T*>(call.plans->find(key.text(), bytes, [=](void* to) {
    fill_four_steps<T>(n, n1, vectors, static_cast<T*>(to));
  }));
  steps.lanes = steps.starts ? steps.starts + 2 * n1 * vectors : nullptr;
  return steps.starts && steps.first.table && steps.second.table;
}

template <class T>
struct SinglePlan {
  int64_t n = 0;
  FourSteps<T> steps;         // of the convolution, if it is one
  FftPlan<T> convolution{};   // its tables
  const T* halves = nullptr;  // real lines of 2 n numbers: e^(-2 pi i k / 2n), k <= n
};

template <class T>
inline bool single_plan(const Kernel& call, const FourierStage& stage, SinglePlan<T>& plan) {
  const int64_t n = plan.n = fft_single_length(stage);
  if (!fft_is_mixed_radix(n)) {
    plan.convolution = fft_plan<T>(call, n);
    if (!plan.convolution.table) return false;
  }
  if (n != stage.n && !(plan.halves = half_roots<T>(call, n))) return false;
  return four_steps<T>(call, fft_single_points(n), plan.steps);
}

// Who works on a line, and its three arrays.
template <class T>
struct SingleRun {
  const Kernel* call;
  size_t scratch_offset;  // of the lanes in each thread's scratch
  T* array[3];
  int thread;  // the one that does everything; -1: all do
  template <class F>
  void each(int64_t blocks, F&& f) const {
    if (thread < 0) return call->parallel_for(blocks, f);
    for (int64_t b = 0; b < blocks; ++b) f(b, thread);
  }
  T* lanes(int t) const { return reinterpret_cast<T*>(call->scratch<char>(t) + scratch_offset); }
};

inline constexpr int64_t kSingleBlock = 4096;  // points of a block of work along a line

template <class T>
inline void first_step(const FourSteps<T>& s, const T* in, T* out, bool inverse, int64_t vector,
                       T* lines) {
  constexpr int w = kLanes<T>;
  const int64_t n1 = s.n1, n2 = s.n2, at = vector * w;
  const int count = clamp_lanes(static_cast<int>(n2 - at), w);
  load_complex_columns(in + 2 * at, 2 * n2, count, n1, lines);
  const FftLines<T> here{lines, lines + w, 2 * w};
  fft_lines<T>(s.first, here, here, inverse, lines + 2 * w * n1);
  const T sign = inverse ? T(-1) : T(1);
  const T* start = s.starts + 2 * vector;
  for (int64_t k = 0; k < n1; ++k, start += 2 * s.vectors()) {
    const FftVec<T> lane{load(s.lanes + 2 * w * k), load(s.lanes + 2 * w * k + w)};
    FftVec<T> root = fft_times<T>(lane, start[0], start[1]);
    root.im = root.im * sign;
    const Vec<T> re = load(lines + 2 * w * k), im = load(lines + 2 * w * k + w);
    store(lines + 2 * w * k, re * root.re - im * root.im);
    store(lines + 2 * w * k + w, re * root.im + im * root.re);
  }
  store_complex_columns(lines, count, n1, T(1), out + 2 * at, 2 * n2);
}

template <class T>
inline void second_step(const FourSteps<T>& s, const T* in, T* out, bool inverse, T scale,
                        int64_t vector, T* lines) {
  constexpr int w = kLanes<T>;
  const int64_t n1 = s.n1, n2 = s.n2, at = vector * w;
  const int count = clamp_lanes(static_cast<int>(n1 - at), w);
  load_transposed(in + 2 * at * n2, 2 * n2, count, 2 * n2, lines, w);
  const FftLines<T> here{lines, lines + w, 2 * w};
  fft_lines<T>(s.second, here, here, inverse, lines + 2 * w * n2);
  store_complex_columns(lines, count, n2, scale, out + 2 * at, 2 * n1);
}

// out = scale * transform of in; between: a third array.
template <class T>
inline void run_steps(const SingleRun<T>& run, const FourSteps<T>& s, const T* in, T* out,
                      T* between, bool inverse, T scale) {
  constexpr int w = kLanes<T>;
  run.each(s.vectors(),
           [&](int64_t v, int t) { first_step<T>(s, in, between, inverse, v, run.lanes(t)); });
  run.each((s.n1 + w - 1) / w, [&](int64_t v, int t) {
    second_step<T>(s, between, out, inverse, scale, v, run.lanes(t));
  });
}

// to[j] = factor (z[j] times table[j] or its conjugate), zeros from n to end.
template <class T>
inline void multiply_points(const T* z, const T* table, T sign, T factor, T* to, int64_t begin,
                            int64_t n, int64_t end) {
  const int64_t last = n < end ? n : end;
  for (int64_t j = begin; j < last; ++j) {
    const T re = table[2 * j] * factor, im = table[2 * j + 1] * (sign * factor);
    const T x = z[2 * j], y = z[2 * j + 1];
    to[2 * j] = x * re - y * im;
    to[2 * j + 1] = x * im + y * re;
  }
  for (int64_t j = begin > last ? begin : last; j < end; ++j) to[2 * j] = to[2 * j + 1] = T(0);
}

// The inverse transform is the conjugate of that of the conjugate: the tables are conjugated.
template <class T>
inline void run_convolution(const SingleRun<T>& run, const SinglePlan<T>& plan, const T* in, T* out,
                            bool inverse, T scale) {
  const FftLayout& layout = plan.convolution.layout();
  const T* chirp = plan.convolution.table + layout.chirp;
  const T* spectrum = plan.convolution.table + layout.spectrum;
  T *a = run.array[0], *b = run.array[1], *c = run.array[2];
  const int64_t n = plan.n, length = layout.length;
  const auto multiply = [&](const T* z, const T* table, T factor, T* to, int64_t given,
                            int64_t end) {
    run.each(blocks_of(end, kSingleBlock), [&](int64_t block, int) {
      const int64_t begin = block * kSingleBlock, stop = std::min(end, begin + kSingleBlock);
      multiply_points<T>(z, table, inverse ? T(-1) : T(1), factor, to, begin, given, stop);
    });
  };
  multiply(in, chirp, T(1), a, n, length);
  run_steps<T>(run, plan.steps, a, b, c, inverse, T(1));
  multiply(b, spectrum, T(1), b, length, length);
  run_steps<T>(run, plan.steps, b, a, c, !inverse, T(1));
  multiply(a, chirp, scale, out, n, n);
}

// out = scale * transform of plan.n contiguous points. in and out are different, and may be the arrays
// 0 and 1 of the run.
template <class T>
inline void single_transform(const SingleRun<T>& run, const SinglePlan<T>& plan, const T* in,
                             T* out, bool inverse, T scale) {
  if (plan.convolution.table) return run_convolution<T>(run, plan, in, out, inverse, scale);
  run_steps<T>(run, plan.steps, in, out, run.array[2], inverse, scale);
}

// --- between lines anywhere and contiguous arrays

// Points [begin, end) of a line of `length`, `step` apart, padded with zeros.
template <class T>
inline void gather_line(const T* from, int64_t step, int64_t length, int parts, T* to,
                        int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) {
    for (int part = 0; part < parts; ++part) {
      to[parts * j + part] = j < length ? from[j * step + part] : T(0);
    }
  }
}

template <class T>
inline void scatter_line(const T* from, int64_t n, int parts, T* to, int64_t step, int64_t begin,
                         int64_t end) {
  for (int64_t j = begin; j < end; ++j) {
    for (int part = 0; part < parts; ++part) {
      to[j * step + part] = j < n ? from[parts * j + part] : T(0);
    }
  }
}

// Spectrum of a real line of 2 n numbers from the transform z of its pairs, points [begin, end) of n + 1.
template <class T>
inline void unfold_pairs(const T* z, int64_t n, const T* halves, T scale, T mirrored, T* to,
                         int64_t step, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; ++k) {
    const int64_t low = k == n ? 0 : k, high = k == 0 ? 0 : n - k;
    const T a = z[2 * low], b = z[2 * low + 1], c = z[2 * high], d = z[2 * high + 1];
    const T factor = (k == 0 || k == n ? T(1) : mirrored) * scale * T(0.5);
    const T even_re = a + c, even_im = b - d, odd_re = b + d, odd_im = c - a;
    const T re = halves[2 * k], im = halves[2 * k + 1];
    to[k * step] = (even_re + re * odd_re - im * odd_im) * factor;
    to[k * step + 1] = (even_im + re * odd_im + im * odd_re) * factor;
  }
}

// The inverse: pairs whose inverse transform is the real line, points [begin, end) of n; the spectrum has
// `length` points `step` apart, those beyond are zero.
template <class T>
inline void fold_pairs(const T* from, int64_t step, int64_t length, int64_t n, const T* halves,
                       T mirrored, T* to, int64_t begin, int64_t end) {
  const T factor = mirrored * T(0.5);
  for (int64_t k = begin; k < end; ++k) {
    const int64_t high = n - k;
    T a = k < length ? from[k * step] : T(0), c = high < length ? from[high * step] : T(0);
    T b = 0, d = 0;
    if (k > 0) {
      a *= factor;
      c *= factor;
      b = (k < length ? from[k * step + 1] : T(0)) * factor;
      d = (high < length ? from[high * step + 1] : T(0)) * factor;
    }
    const T even_re = a + c, even_im = b - d, odd_re = a - c, odd_im = b + d;
    const T re = halves[2 * k], im = -halves[2 * k + 1];
    to[2 * k] = even_re - (re * odd_im + im * odd_re);
    to[2 * k + 1] = even_im + (re * odd_re - im * odd_im);
  }
}

// An odd real line as a complex one, and the Hermitian extension of a half spectrum.
template <class T>
inline void widen_line(const T* from, int64_t step, int64_t length, T* to, int64_t begin,
                       int64_t end) {
  for (int64_t j = begin; j < end; ++j) {
    to[2 * j] = j < length ? from[j * step] : T(0);
    to[2 * j + 1] = T(0);
  }
}
template <class T>
inline void extend_line(const T* from, int64_t step, int64_t length, int64_t n, T mirrored, T* to,
                        int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) {
    const int64_t k = 2 * j > n ? n - j : j;
    const T factor = k == 0 ? T(1) : mirrored * T(0.5);
    const bool there = k < length;
    const T im = there && k > 0 ? from[k * step + 1] * factor : T(0);
    to[2 * j] = there ? from[k * step] * factor : T(0);
    to[2 * j + 1] = 2 * j > n ? -im : im;
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
