// Butterflies of fft.h: transforms of r points held in registers, one transform in each lane. Read once per
// instruction set, by fft.h.
//
// Radix 8 takes 52 additions, the factor 1/sqrt(2) goes into fused multiply-adds. Odd radices add and
// subtract the conjugate pairs x_j, x_(r-j) first, which leaves two real matrices of (r-1)/2 squared.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct FftVec {
  Vec<T> re, im;
};

template <class T>
inline __attribute__((always_inline)) FftVec<T> operator+(FftVec<T> a, FftVec<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
inline __attribute__((always_inline)) FftVec<T> operator-(FftVec<T> a, FftVec<T> b) {
  return {a.re - b.re, a.im - b.im};
}
// -i z
template <class T>
inline __attribute__((always_inline)) FftVec<T> fft_turn(FftVec<T> z) {
  return {z.im, -z.re};
}
template <class T>
inline __attribute__((always_inline)) FftVec<T> fft_times(FftVec<T> z, T re, T im) {
  return {z.re * re - z.im * im, z.re * im + z.im * re};
}

template <class T, class Lines>
inline __attribute__((always_inline)) void fft_put(const Lines& to, int64_t j, FftVec<T> z) {
  store(to.re + j * to.pitch, z.re);
  store(to.im + j * to.pitch, z.im);
}

// Hides a distance from the optimiser, which would keep a pointer to each of the up to 32 places of a
// butterfly in memory; adding the distance again is cheaper.
inline __attribute__((always_inline)) int64_t fft_opaque(int64_t step) {
  asm("" : "+r"(step));
  return step;
}

template <class T, int R>
inline __attribute__((always_inline)) void fft_load(FftVec<T> (&z)[R], const T* re, const T* im,
                                                    int64_t step) {
  step = fft_opaque(step);
#pragma GCC unroll 16
  for (int j = 0; j < R; ++j, re += step, im += step) z[j] = {load(re), load(im)};
}

template <class T, int R>
inline __attribute__((always_inline)) void fft_store(const FftVec<T> (&z)[R], T* re, T* im,
                                                     int64_t step) {
  step = fft_opaque(step);
#pragma GCC unroll 16
  for (int k = 0; k < R; ++k, re += step, im += step) {
    store(re, z[k].re);
    store(im, z[k].im);
  }
}

template <class T, int R>
inline __attribute__((always_inline)) void fft_twiddle(FftVec<T> (&z)[R], const T* twiddles) {
#pragma GCC unroll 16
  for (int k = 1; k < R; ++k) {
    z[k] = fft_times<T>(z[k], twiddles[2 * k - 2], twiddles[2 * k - 1]);
  }
}

template <class T>
inline __attribute__((always_inline)) void fft_butterfly4(FftVec<T>& a, FftVec<T>& b, FftVec<T>& c,
                                                          FftVec<T>& d) {
  const FftVec<T> s = a + c, t = a - c, u = b + d, v = b - d;
  a = s + u;
  c = s - u;
  b = {t.re + v.im, t.im - v.re};
  d = {t.re - v.im, t.im + v.re};
}

template <class T>
inline __attribute__((always_inline)) void fft_butterfly8(FftVec<T> (&z)[8]) {
  const T h = static_cast<T>(0.70710678118654752440);
  FftVec<T> e0 = z[0] + z[4], e1 = z[1] + z[5], e2 = z[2] + z[6], e3 = z[3] + z[7];
  const FftVec<T> o0 = z[0] - z[4], o1 = z[1] - z[5], o2 = z[2] - z[6], o3 = z[3] - z[7];
  fft_butterfly4<T>(e0, e1, e2, e3);
  // The odd half: o1 e^(-i pi/4) = h u, o3 e^(-3 i pi/4) = h v, o2 is turned by -i.
  const FftVec<T> u{o1.re + o1.im, o1.im - o1.re}, v{o3.im - o3.re, -o3.re - o3.im};
  const FftVec<T> a{o0.re + o2.im, o0.im - o2.re}, b{o0.re - o2.im, o0.im + o2.re};
  const FftVec<T> s = u + v, t = u - v;
  z[0] = e0;
  z[1] = {a.re + h * s.re, a.im + h * s.im};
  z[2] = e1;
  z[3] = {b.re + h * t.im, b.im - h * t.re};
  z[4] = e2;
  z[5] = {a.re - h * s.re, a.im - h * s.im};
  z[6] = e3;
  z[7] = {b.re - h * t.im, b.im + h * t.re};
}

template <class T, int R>
inline __attribute__((always_inline)) void fft_butterfly_odd(FftVec<T> (&z)[R], const T* roots) {
  constexpr int half = R / 2;
  const T* cosines = roots;
  const T* sines = roots + half * half;
  FftVec<T> sum[half], difference[half], out[R];
  out[0] = z[0];
#pragma GCC unroll 8
  for (int j = 0; j < half; ++j) {
    sum[j] = z[1 + j] + z[R - 1 - j];
    difference[j] = z[1 + j] - z[R - 1 - j];
    out[0] = out[0] + sum[j];
  }
#pragma GCC unroll 8
  for (int k = 0; k < half; ++k) {
    FftVec<T> even = z[0], odd{};
#pragma GCC unroll 8
    for (int j = 0; j < half; ++j) {
      const T c = cosines[k * half + j], s = sines[k * half + j];
      even = {even.re + c * sum[j].re, even.im + c * sum[j].im};
      odd = {odd.re + s * difference[j].im, odd.im + s * difference[j].re};
    }
    out[1 + k] = {even.re + odd.re, even.im - odd.im};
    out[R - 1 - k] = {even.re - odd.re, even.im + odd.im};
  }
#pragma GCC unroll 16
  for (int k = 0; k < R; ++k) z[k] = out[k];
}

template <class T, int R>
inline __attribute__((always_inline)) void fft_butterfly(FftVec<T> (&z)[R], const T* roots) {
  if constexpr (R == 2) {
    const FftVec<T> a = z[0], b = z[1];
    z[0] = a + b;
    z[1] = a - b;
  } else if constexpr (R == 4) {
    fft_butterfly4<T>(z[0], z[1], z[2], z[3]);
  } else if constexpr (R == 8) {
    fft_butterfly8<T>(z);
  } else {
    fft_butterfly_odd<T, R>(z, roots);
  }
}

// Two outputs k, k + 1 < half (or one) and their mirror images of a butterfly of radix r = 2 half + 1.
template <class T, int K>
inline __attribute__((always_inline)) void fft_odd_rows(int half, const T* cosines, const T* sines,
                                                        FftVec<T> first, const FftVec<T>* sum,
                                                        const FftVec<T>* difference,
                                                        FftVec<T> (&even)[K], FftVec<T> (&odd)[K]) {
#pragma GCC unroll 4
  for (int k = 0; k < K; ++k) {
    even[k] = first;
    odd[k] = FftVec<T>{};
  }
  for (int j = 0; j < half; ++j) {
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) {
      const T c = cosines[k * half + j], s = sines[k * half + j];
      even[k] = {even[k].re + c * sum[j].re, even[k].im + c * sum[j].im};
      odd[k] = {odd[k].re + s * difference[j].im, odd[k].im + s * difference[j].re};
    }
  }
}

template <class T, int K>
inline void fft_odd_outputs(int r, int k, const T* roots, const T* twiddles, FftVec<T> first,
                            const FftVec<T>* sum, const FftVec<T>* difference, T* re, T* im,
                            int64_t skip) {
  const int half = r / 2;
  FftVec<T> even[K], odd[K];
  fft_odd_rows<T, K>(half, roots + k * half, roots + half * half + k * half, first, sum, difference,
                     even, odd);
  for (int i = 0; i < K; ++i) {
    const int low = 1 + k + i, high = r - low;
    FftVec<T> a{even[i].re + odd[i].re, even[i].im - odd[i].im};
    FftVec<T> b{even[i].re - odd[i].re, even[i].im + odd[i].im};
    if (twiddles) {
      a = fft_times<T>(a, twiddles[2 * low - 2], twiddles[2 * low - 1]);
      b = fft_times<T>(b, twiddles[2 * high - 2], twiddles[2 * high - 1]);
    }
    store(re + low * skip, a.re);
    store(im + low * skip, a.im);
    store(re + high * skip, b.re);
    store(im + high * skip, b.im);
  }
}

// One butterfly of any odd radix r; twiddles may be null. Input and output may be the same places.
template <class T>
inline void fft_odd_point(int r, const T* roots, const T* twiddles, const T* in_re, const T* in_im,
                          int64_t step, T* re, T* im, int64_t skip) {
  const int half = r / 2;
  FftVec<T> sum[kLargestFftRadix / 2], difference[kLargestFftRadix / 2];
  const FftVec<T> first{load(in_re), load(in_im)};
  FftVec<T> total = first;
  for (int j = 0; j < half; ++j) {
    const FftVec<T> a{load(in_re + (1 + j) * step), load(in_im + (1 + j) * step)};
    const FftVec<T> b{load(in_re + (r - 1 - j) * step), load(in_im + (r - 1 - j) * step)};
    sum[j] = a + b;
    difference[j] = a - b;
    total = total + sum[j];
  }
  store(re, total.re);
  store(im, total.im);
  int k = 0;
  for (; k + 3 <= half; k += 3) {
    fft_odd_outputs<T, 3>(r, k, roots, twiddles, first, sum, difference, re, im, skip);
  }
  for (; k < half; ++k) {
    fft_odd_outputs<T, 1>(r, k, roots, twiddles, first, sum, difference, re, im, skip);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
