// Fields to panels of half spectra (see mesh_free_contract.h) and back; neither is scaled.
//
// Planes are halved along y and keep all modes of x, lines keep half of theirs: either way vectors lie along
// x, the longer axis, and few lanes are padding. The y transform of a plane is that of fft_plane.h; the x
// transform works on transposed tiles, and its tiles are transposed back on their way to the panels. Of an
// even number of rows the modes ky = 0 and rows / 2 of a plane, both real along x, share one lane.
// Lines are transformed in pairs, one the real and one the imaginary part, a vector of pairs at a time.
// Read once per instruction set, after fft_plane.h and mesh_free_contract.h.

namespace fluxion::cpu::FLUXION_TARGET {

// How bins lie in the panels, and what the spectra are multiplied by on the way, if anything.
template <class T>
struct SpectrumLayout {
  int64_t vectors;         // of bins in a row
  const T* factor;         // [channel][bins] or null
  int64_t factor_stride;   // elements of a channel

  Vec<T> scaled(Vec<T> v, int64_t channel, int64_t bin) const {
    return factor ? v * load(factor + channel * factor_stride + bin * kLanes<T>) : v;
  }
};

// Rows [row, row + count) of the half spectrum stand transposed in re, im [columns][lane].
template <class T>
inline void put_rows(const SpectrumLayout<T>& layout, const T* re, const T* im, int64_t columns,
                     int64_t row, int count, const Panels<T>& to, int64_t channel, int64_t sample) {
  constexpr int w = kLanes<T>;
  for (int64_t v = 0; v < layout.vectors; ++v) {
    const int64_t left = columns - v * w;
    for (int part = 0; part < 2; ++part) {
      const T* from = (part == 0 ? re : im) + v * w * w;
      Vec<T> tile[w];
      for (int i = 0; i < w; ++i) tile[i] = i < left ? load(from + i * w) : Vec<T>{};
      transpose_tile<T>(tile);
      for (int r = 0; r < count; ++r) {
        const int64_t bin = (row + r) * layout.vectors + v;
        store(to.at(bin, channel, sample) + part * w, layout.scaled(tile[r], channel, bin));
      }
    }
  }
}

// The inverse of put_rows; lanes beyond count become zero.
template <class T>
inline void get_rows(const SpectrumLayout<T>& layout, const Panels<T>& from, int64_t channel,
                     int64_t sample, int64_t columns, int64_t row, int count, T* re, T* im) {
  constexpr int w = kLanes<T>;
  for (int64_t v = 0; v < layout.vectors; ++v) {
    const int64_t left = columns - v * w;
    for (int part = 0; part < 2; ++part) {
      Vec<T> tile[w];
      for (int r = 0; r < w; ++r) {
        const int64_t bin = (row + r) * layout.vectors + v;
        tile[r] = r < count ? layout.scaled(load(from.at(bin, channel, sample) + part * w), channel,
                                            bin)
                            : Vec<T>{};
      }
      transpose_tile<T>(tile);
      T* to = (part == 0 ? re : im) + v * w * w;
      for (int i = 0; i < w && i < left; ++i) store(to + i * w, tile[i]);
    }
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

template <class T>
inline void put_line(const SpectrumLayout<T>& layout, const T* re, const T* im, int64_t columns,
                     int64_t row, const Panels<T>& to, int64_t channel, int64_t sample) {
  constexpr int w = kLanes<T>;
  for (int64_t v = 0; v < layout.vectors; ++v) {
    const int64_t left = columns - v * w, bin = row * layout.vectors + v;
    T* at = to.at(bin, channel, sample);
    store(at, layout.scaled(load_up_to(re + v * w, left), channel, bin));
    store(at + w, layout.scaled(load_up_to(im + v * w, left), channel, bin));
  }
}

// spare: 2 padded lines.
template <class T>
inline void plane_to_panels(const PlaneFft<T>& plan, const SpectrumLayout<T>& layout, const T* plane,
                            const Panels<T>& to, int64_t channel, int64_t sample, void* scratch,
                            T* spare) {
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
      split_row(s.re, s.im, n, spare, spare + width);
      put_line(layout, spare, spare + width, n, plan.rows / 2, to, channel, sample);
    }
    put_rows(layout, s.re, s.im, n, row, count, to, channel, sample);
  }
}

template <class T>
inline void panels_to_plane(const PlaneFft<T>& plan, const SpectrumLayout<T>& layout,
                            const Panels<T>& from, int64_t channel, int64_t sample, T* plane,
                            bool streaming, void* scratch) {
  constexpr int w = kLanes<T>;
  const PlaneFftScratch<T> s(plan, scratch);
  const int64_t n = plan.columns, lines = plan.packed(), width = plan.width();
  for (int64_t row = 0; row < lines && n < width; ++row) {  // no lane sees another's old bits
    std::fill(s.half_re + row * width + n, s.half_re + (row + 1) * width, T(0));
    std::fill(s.half_im + row * width + n, s.half_im + (row + 1) * width, T(0));
  }
  for (int64_t row = 0; row < lines; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(lines - row, w));
    get_rows(layout, from, channel, sample, n, row, count, s.re, s.im);
    for (int64_t k = 0; row == 0 && plan.rows % 2 == 0 && k < n; k += w) {
      const int64_t bin = plan.rows / 2 * layout.vectors + k / w;
      const T* at = from.at(bin, channel, sample);
      T re[w], im[w];
      store(re, layout.scaled(load(at), channel, bin));
      store(im, layout.scaled(load(at + w), channel, bin));
      for (int i = 0; i < w && k + i < n; ++i) {
        s.re[(k + i) * w] -= im[i];
        s.im[(k + i) * w] += re[i];
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
inline void lines_to_panels(const FftPlan<T>& plan, const SpectrumLayout<T>& layout, const T* batch,
                            int64_t first, int64_t count, const Panels<T>& to, T* re, T* im,
                            T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.n, kept = n / 2 + 1;
  const T half = T(0.5);
  const int lower = static_cast<int>(std::min<int64_t>(count, w));
  const int upper = static_cast<int>(count - lower);
  load_transposed(batch + first * n, n, lower, n, re, w);
  load_transposed(batch + (first + lower) * n, n, upper, n, im, w);
  fft_lines(plan, re, im, false, scratch);
  for (int64_t v = 0; v < layout.vectors; ++v) {
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
              layout.scaled(tile[i], channel, v));
      }
    }
  }
}

template <class T>
inline void panels_to_lines(const FftPlan<T>& plan, const SpectrumLayout<T>& layout,
                            const Panels<T>& from, T* batch, int64_t first, int64_t count, T* re,
                            T* im, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.n, kept = n / 2 + 1;
  const int lower = static_cast<int>(std::min<int64_t>(count, w));
  const int upper = static_cast<int>(count - lower);
  for (int64_t v = 0; v < layout.vectors; ++v) {
    Vec<T> tile[4][w];
    for (int part = 0; part < 4; ++part) {
      const int rows = part < 2 ? lower : upper;
      for (int i = 0; i < w; ++i) {
        const int64_t line = first + (part < 2 ? 0 : lower) + i, channel = line % from.channels;
        tile[part][i] =
            i < rows ? layout.scaled(load(from.at(v, channel, line / from.channels) + part % 2 * w),
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
