// Fields to panels of half spectra (see mesh_free_contract.h) and back; neither is scaled.
//
// Planes are halved along y, by the y transform of fft_plane.h; the x transform works on tiles that stand
// transposed, one mode of y in each lane, and goes from there to the panels. Of an even number of rows the
// modes ky = 0 and rows / 2, both real along x until then, share a lane; the latter become lines along x.
// Lines are transformed in pairs, one the real and one the imaginary part, a vector of pairs at a time.
// Read once per instruction set, after fft_plane.h and mesh_free_contract.h.

namespace fluxion::cpu::FLUXION_TARGET {

// What the spectra are multiplied by on the way, if anything: [channel][bin].
template <class T>
struct SpectrumFactor {
  const T* table;
  int64_t stride;

  Vec<T> apply(Vec<T> v, int64_t channel, int64_t bin) const {
    return table ? v * load(table + channel * stride + bin * kLanes<T>) : v;
  }
};

// One field's bins, `count` of them, `step` apart from `first`, from or to vectors that follow each other.
template <class T>
inline void put_bins(const SpectrumFactor<T>& factor, const T* re, const T* im, int64_t first,
                     int64_t step, int64_t count, const Panels<T>& to, int64_t channel,
                     int64_t sample) {
  constexpr int w = kLanes<T>;
  T* at = to.at(first, channel, sample);
  const int64_t jump = step * to.stride();
  for (int64_t k = 0; k < count; ++k, at += jump) {
    const int64_t bin = first + k * step;
    store(at, factor.apply(load(re + k * w), channel, bin));
    store(at + w, factor.apply(load(im + k * w), channel, bin));
  }
}

template <class T>
inline void get_bins(const SpectrumFactor<T>& factor, const Panels<T>& from, int64_t channel,
                     int64_t sample, int64_t first, int64_t step, int64_t count, T* re, T* im) {
  constexpr int w = kLanes<T>;
  const T* at = from.at(first, channel, sample);
  const int64_t jump = step * from.stride();
  for (int64_t k = 0; k < count; ++k, at += jump) {
    const int64_t bin = first + k * step;
    store(re + k * w, factor.apply(load(at), channel, bin));
    store(im + k * w, factor.apply(load(at + w), channel, bin));
  }
}

// The lane of ky = 0 and rows / 2: z_k = a_k + i b_k, both spectra of real lines. a stays, b goes to the side.
template <class T>
inline void split_row(T* re, T* im, int64_t n, T* b_re, T* b_im) {
  constexpr int w = kLanes<T>;
  const T half = T(0.5);
  for (int64_t k = 0; 2 * k <= n; ++k) {
    const int64_t m = k == 0 ? 0 : n - k;
    const T p = re[k * w], q = im[k * w], r = re[m * w], t = im[m * w];
    re[k * w] = re[m * w] = half * (p + r);
    im[k * w] = half * (q - t);
    im[m * w] = half * (t - q);
    b_re[k] = b_re[m] = half * (q + t);
    b_im[k] = half * (r - p);
    b_im[m] = half * (p - r);
  }
}

// side: two lines of padded(columns).
template <class T>
inline void plane_to_panels(const PlaneFft<T>& plan, const ModeGrid<T>& grid,
                            const SpectrumFactor<T>& factor, const T* plane, const Panels<T>& to,
                            int64_t channel, int64_t sample, void* scratch, T* side) {
  constexpr int w = kLanes<T>;
  const PlaneFftScratch<T> s(plan, scratch);
  const int64_t n = plan.columns, lines = plan.packed(), width = plan.width();
  for (int64_t j = 0; j < n; j += 2 * w) plane_fft_columns(plan, plane, n, j, s);
  for (int64_t row = 0; row < lines; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(lines - row, w));
    load_transposed(s.half_re + row * width, width, count, n, s.re, w);
    load_transposed(s.half_im + row * width, width, count, n, s.im, w);
    fft_lines(plan.x, s.re, s.im, false, s.fft);
    if (row == 0 && plan.rows % 2 == 0) {
      std::fill(side, side + 2 * width, T(0));
      split_row(s.re, s.im, n, side, side + width);
      put_bins(factor, side, side + width, grid.inner, int64_t{1}, grid.bins - grid.inner, to,
               channel, sample);
    }
    put_bins(factor, s.re, s.im, row / w, grid.vectors, n, to, channel, sample);
  }
}

template <class T>
inline void panels_to_plane(const PlaneFft<T>& plan, const ModeGrid<T>& grid,
                            const SpectrumFactor<T>& factor, const Panels<T>& from, int64_t channel,
                            int64_t sample, T* plane, bool streaming, void* scratch, T* side) {
  constexpr int w = kLanes<T>;
  const PlaneFftScratch<T> s(plan, scratch);
  const int64_t n = plan.columns, lines = plan.packed(), width = plan.width();
  for (int64_t row = 0; row < lines && n < width; ++row) {  // no lane sees another's old bits
    std::fill(s.half_re + row * width + n, s.half_re + (row + 1) * width, T(0));
    std::fill(s.half_im + row * width + n, s.half_im + (row + 1) * width, T(0));
  }
  for (int64_t row = 0; row < lines; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(lines - row, w));
    get_bins(factor, from, channel, sample, row / w, grid.vectors, n, s.re, s.im);
    if (row == 0 && plan.rows % 2 == 0) {  // z = a + i b in the shared lane
      get_bins(factor, from, channel, sample, grid.inner, int64_t{1}, grid.bins - grid.inner, side,
               side + width);
      for (int64_t k = 0; k < n; ++k) {
        s.re[k * w] -= side[width + k];
        s.im[k * w] += side[k];
      }
    }
    fft_lines(plan.x, s.re, s.im, true, s.fft);
    store_transposed<T>(s.re, w, count, n, s.half_re + row * width, width, nullptr);
    store_transposed<T>(s.im, w, count, n, s.half_im + row * width, width, nullptr);
  }
  for (int64_t j = 0; j < n; j += 2 * w) plane_fft_columns_back(plan, s, j, plane, n, streaming);
}

// Lines [first, first + count) of a batch [sample][channel][n], count <= 2 kLanes.
template <class T>
inline void lines_to_panels(const FftPlan<T>& plan, const ModeGrid<T>& grid,
                            const SpectrumFactor<T>& factor, const T* batch, int64_t first,
                            int64_t count, const Panels<T>& to, T* re, T* im, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.n, kept = n / 2 + 1;
  const T half = T(0.5);
  const int lower = static_cast<int>(std::min<int64_t>(count, w));
  const int upper = static_cast<int>(count - lower);
  load_transposed(batch + first * n, n, lower, n, re, w);
  load_transposed(batch + (first + lower) * n, n, upper, n, im, w);
  fft_lines(plan, re, im, false, scratch);
  for (int64_t v = 0; v < grid.bins; ++v) {
    for (int part = 0; part < 4; ++part) {  // re and im of the first lines, then of the second
      Vec<T> tile[w];
      for (int i = 0; i < w; ++i) {
        const int64_t k = v * w + i, m = k == 0 ? 0 : n - k;
        tile[i] = Vec<T>{};
        if (k >= kept) continue;
        const Vec<T> p = load(re + k * w), q = load(im + k * w);
        const Vec<T> r = load(re + m * w), t = load(im + m * w);
        tile[i] = half * (part == 0 ? p + r : part == 1 ? q - t : part == 2 ? q + t : r - p);
      }
      transpose_tile<T>(tile);
      const int rows = part < 2 ? lower : upper;
      for (int i = 0; i < rows; ++i) {
        const int64_t line = first + (part < 2 ? 0 : lower) + i, channel = line % to.channels;
        store(to.at(v, channel, line / to.channels) + part % 2 * w,
              factor.apply(tile[i], channel, v));
      }
    }
  }
}

template <class T>
inline void panels_to_lines(const FftPlan<T>& plan, const ModeGrid<T>& grid,
                            const SpectrumFactor<T>& factor, const Panels<T>& from, T* batch,
                            int64_t first, int64_t count, T* re, T* im, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.n, kept = n / 2 + 1;
  const int lower = static_cast<int>(std::min<int64_t>(count, w));
  const int upper = static_cast<int>(count - lower);
  for (int64_t v = 0; v < grid.bins; ++v) {
    Vec<T> tile[4][w];
    for (int part = 0; part < 4; ++part) {
      const int rows = part < 2 ? lower : upper;
      for (int i = 0; i < w; ++i) {
        const int64_t line = first + (part < 2 ? 0 : lower) + i, channel = line % from.channels;
        tile[part][i] =
            i < rows ? factor.apply(load(from.at(v, channel, line / from.channels) + part % 2 * w),
                                    channel, v)
                     : Vec<T>{};
      }
      transpose_tile<T>(tile[part]);
    }
    for (int i = 0; i < w && v * w + i < kept; ++i) {  // z = a + i b, and its mirror image
      const int64_t k = v * w + i, m = k == 0 ? 0 : n - k;
      const Vec<T> a_re = tile[0][i], b_re = tile[2][i];
      // The modes that are their own mirror image are real.
      const Vec<T> a_im = k == m ? Vec<T>{} : tile[1][i], b_im = k == m ? Vec<T>{} : tile[3][i];
      store(re + m * w, a_re + b_im);
      store(im + m * w, b_re - a_im);
      store(re + k * w, a_re - b_im);
      store(im + k * w, b_re + a_im);
    }
  }
  fft_lines(plan, re, im, true, scratch);
  store_transposed<T>(re, w, lower, n, batch + first * n, n, nullptr);
  store_transposed<T>(im, w, upper, n, batch + (first + lower) * n, n, nullptr);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
