// Real 2-d transforms of a plane [rows][columns] to its half spectrum and back; neither is scaled:
//     X(kx, ky) = sum_{i,j} u(i, j) e^(-2 pi i (ky i / rows + kx j / columns)),  0 <= kx < columns,
//     0 <= ky <= rows / 2,   inverse of X = rows * columns * u
// The spectrum is split, re[kx][pitch] and im[kx][pitch], vectors along ky; places beyond rows / 2 are zero
// after the forward transform and not read by the inverse one, which takes the Hermitian part of the bins
// ky = 0 and rows / 2 as irfft2 does. Read once per instruction set, after simd.h, transpose.h and fft.h.
//
// Along y first: vectors of neighbouring columns, two of them as the parts of one complex transform. Then
// along x on transposed tiles, one ky in each lane; ky = 0 and rows / 2, both real until then, share a lane.
// Nothing leaves the scratch, which is that of one thread.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct PlaneFft {
  int64_t rows, columns;
  int64_t bins, pitch;  // along ky: rows / 2 + 1, and the distance between lines of them
  FftPlan<T> x, y;
  bool ready() const { return x.table && y.table; }  // false: no memory
  // Lines of the x transform, and columns padded to whole 64 bytes.
  int64_t packed() const { return (rows + 1) / 2; }
  int64_t width() const {
    constexpr int64_t lanes = 64 / static_cast<int64_t>(sizeof(T));
    return (columns + lanes - 1) / lanes * lanes;
  }
};

// Outside of parallel regions.
template <class T>
inline PlaneFft<T> plane_fft(const Kernel& call, int64_t rows, int64_t columns) {
  return {rows,
          columns,
          rows / 2 + 1,
          plane_fft_pitch(rows, sizeof(T)),
          fft_plan<T>(call, columns),
          fft_plan<T>(call, rows)};
}

// Parts of the scratch of plane_fft_scratch_bytes.
template <class T>
struct PlaneFftScratch {
  T *half_re, *half_im;  // [packed][width]: after the y transform
  T *re, *im;            // one vector of lines
  T* fft;
  PlaneFftScratch(const PlaneFft<T>& plan, void* scratch) {
    const int64_t longest = std::max(plan.rows, plan.columns);
    half_re = static_cast<T*>(scratch);
    half_im = half_re + plan.packed() * plan.width();
    re = half_im + plan.packed() * plan.width();
    im = re + longest * kLanes<T>;
    fft = im + longest * kLanes<T>;
  }
};

template <class T>
inline __attribute__((always_inline)) Vec<T> load_up_to(const T* p, int64_t n) {
  if (n >= kLanes<T>) return load(p);
  return n > 0 ? load_partial(p, static_cast<int>(n)) : Vec<T>{};
}

// Columns j.. and j + w.. are the parts of z; their spectra a and b: z_k = a_k + i b_k.
template <class T>
inline void plane_fft_columns(const PlaneFft<T>& plan, const T* plane, int64_t stride, int64_t j,
                              const PlaneFftScratch<T>& s) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.rows, left = plan.columns - j, width = plan.width();
  for (int64_t i = 0; i < n; ++i) {
    const T* cell = plane + i * stride + j;
    store(s.re + i * w, load_up_to(cell, left));
    store(s.im + i * w, load_up_to(cell + w, left - w));
  }
  fft_lines(plan.y, s.re, s.im, false, s.fft);
  // Where there is no second vector its places are those of the first, which is stored last.
  T *a_re = s.half_re + j, *a_im = s.half_im + j;
  T *b_re = j + w < width ? a_re + w : a_re, *b_im = j + w < width ? a_im + w : a_im;
  const bool even = n % 2 == 0;
  store(b_re, load(s.im));
  store(b_im, even ? load(s.im + n / 2 * w) : Vec<T>{});
  store(a_re, load(s.re));
  store(a_im, even ? load(s.re + n / 2 * w) : Vec<T>{});
  const T half = T(0.5);
  for (int64_t k = 1; k < plan.packed(); ++k) {
    const Vec<T> p = load(s.re + k * w), q = load(s.im + k * w);
    const Vec<T> r = load(s.re + (n - k) * w), t = load(s.im + (n - k) * w);
    store(b_re + k * width, half * (q + t));
    store(b_im + k * width, half * (r - p));
    store(a_re + k * width, half * (p + r));
    store(a_im + k * width, half * (q - t));
  }
}

// The shared lane of ky = 0 and rows / 2 in the x spectrum: two spectra of real lines.
template <class T>
inline void split_shared_lane(const PlaneFft<T>& plan, T* re, T* im) {
  const int64_t n = plan.columns, pitch = plan.pitch, far = plan.rows / 2;
  const T half = T(0.5);
  for (int64_t k = 0; 2 * k <= n; ++k) {
    const int64_t m = k == 0 ? 0 : n - k;
    T *rk = re + k * pitch, *ik = im + k * pitch, *rm = re + m * pitch, *jm = im + m * pitch;
    const T p = rk[0], q = ik[0], r = rm[0], t = jm[0];
    rk[0] = half * (p + r), ik[0] = half * (q - t);
    rk[far] = half * (q + t), ik[far] = half * (r - p);
    rm[0] = half * (p + r), jm[0] = -(half * (q - t));
    rm[far] = half * (q + t), jm[far] = -(half * (r - p));
  }
}

// Hermitian parts of the lines ky = 0 and rows / 2 as one lane of the line buffers (their lane 0).
template <class T>
inline void join_shared_lane(const PlaneFft<T>& plan, const T* re, const T* im, T* to_re,
                             T* to_im) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.columns, pitch = plan.pitch, far = plan.rows / 2;
  const T half = T(0.5);
  for (int64_t k = 0; 2 * k <= n; ++k) {
    const int64_t m = k == 0 ? 0 : n - k;
    const T *rk = re + k * pitch, *ik = im + k * pitch, *rm = re + m * pitch, *jm = im + m * pitch;
    const T ar = half * (rk[0] + rm[0]), ai = half * (ik[0] - jm[0]);
    const bool even = plan.rows % 2 == 0;
    const T br = even ? half * (rk[far] + rm[far]) : T(0);
    const T bi = even ? half * (ik[far] - jm[far]) : T(0);
    to_re[k * w] = ar - bi, to_im[k * w] = ai + br;
    to_re[m * w] = ar + bi, to_im[m * w] = br - ai;
  }
}

// plane[i * stride + j] -> re, im [columns][pitch].
template <class T>
inline void plane_fft_forward(const PlaneFft<T>& plan, const T* plane, int64_t stride, T* re, T* im,
                              void* scratch) {
  constexpr int w = kLanes<T>;
  const PlaneFftScratch<T> s(plan, scratch);
  for (int64_t j = 0; j < plan.columns; j += 2 * w) plane_fft_columns(plan, plane, stride, j, s);
  const int64_t lines = plan.packed(), n = plan.columns, width = plan.width();
  for (int64_t row = 0; row < lines; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(lines - row, w));
    load_transposed(s.half_re + row * width, width, count, n, s.re, w);
    load_transposed(s.half_im + row * width, width, count, n, s.im, w);
    fft_lines(plan.x, s.re, s.im, false, s.fft);
    for (int64_t k = 0; k < n; ++k) {
      store(re + k * plan.pitch + row, load(s.re + k * w));
      store(im + k * plan.pitch + row, load(s.im + k * w));
    }
  }
  for (int64_t at = (lines + w - 1) / w * w; at < plan.pitch; at += w) {
    for (int64_t k = 0; k < n; ++k) {
      store(re + k * plan.pitch + at, Vec<T>{});
      store(im + k * plan.pitch + at, Vec<T>{});
    }
  }
  if (plan.rows % 2 == 0) split_shared_lane(plan, re, im);
}

// `count` > 0 elements of a row; `streaming` where they may go around the caches.
template <class T>
inline __attribute__((always_inline)) void store_row(T* p, Vec<T> v, int64_t count,
                                                     bool streaming) {
  if (count < kLanes<T>) {
    store_partial(p, v, static_cast<int>(count));
  } else if (streaming) {
    stream(p, v);
  } else {
    store(p, v);
  }
}

// The inverse of plane_fft_columns, without a scale.
template <class T>
inline void plane_fft_columns_back(const PlaneFft<T>& plan, const PlaneFftScratch<T>& s, int64_t j,
                                   T* plane, int64_t stride, bool streaming) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.rows, left = plan.columns - j, width = plan.width();
  const int64_t second = j + w < width ? j + w : j;  // of no effect where there is no second vector
  store(s.re, load(s.half_re + j));
  store(s.im, load(s.half_re + second));
  if (n % 2 == 0) {
    store(s.re + n / 2 * w, load(s.half_im + j));
    store(s.im + n / 2 * w, load(s.half_im + second));
  }
  for (int64_t k = 1; k < plan.packed(); ++k) {
    const Vec<T> ar = load(s.half_re + k * width + j), ai = load(s.half_im + k * width + j);
    const Vec<T> br = load(s.half_re + k * width + second);
    const Vec<T> bi = load(s.half_im + k * width + second);
    store(s.re + k * w, ar - bi);
    store(s.im + k * w, ai + br);
    store(s.re + (n - k) * w, ar + bi);
    store(s.im + (n - k) * w, br - ai);
  }
  fft_lines(plan.y, s.re, s.im, true, s.fft);
  for (int64_t i = 0; i < n; ++i) {
    T* cell = plane + i * stride + j;
    store_row(cell, load(s.re + i * w), left, streaming);
    if (left > w) store_row(cell + w, load(s.im + i * w), left - w, streaming);
  }
}

// re, im [columns][pitch] -> plane[i * stride + j], rows * columns times the inverse. `streaming` demands
// rows that begin on a vector; close it with stream_fence().
template <class T>
inline void plane_fft_inverse(const PlaneFft<T>& plan, const T* re, const T* im, T* plane,
                              int64_t stride, bool streaming, void* scratch) {
  constexpr int w = kLanes<T>;
  const PlaneFftScratch<T> s(plan, scratch);
  const int64_t lines = plan.packed(), n = plan.columns, width = plan.width();
  for (int64_t row = 0; row < lines && n < width;
       ++row) {  // a lane must not see another's old bits
    std::fill(s.half_re + row * width + n, s.half_re + (row + 1) * width, T(0));
    std::fill(s.half_im + row * width + n, s.half_im + (row + 1) * width, T(0));
  }
  for (int64_t row = 0; row < lines; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(lines - row, w));
    for (int64_t k = 0; k < n; ++k) {
      store(s.re + k * w, load(re + k * plan.pitch + row));
      store(s.im + k * w, load(im + k * plan.pitch + row));
    }
    if (row == 0) join_shared_lane(plan, re, im, s.re, s.im);
    fft_lines(plan.x, s.re, s.im, true, s.fft);
    store_transposed<T>(s.re, w, count, n, s.half_re + row * width, width, nullptr);
    store_transposed<T>(s.im, w, count, n, s.half_im + row * width, width, nullptr);
  }
  for (int64_t j = 0; j < n; j += 2 * w)
    plane_fft_columns_back(plan, s, j, plane, stride, streaming);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
