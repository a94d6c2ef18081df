// Transforms of real lines in lanes, and back from their half spectra. Read once per instruction set, after
// fft.h.
//
// A line of even length is n / 2 complex points as it lies: pairs x_2j + i x_(2j+1). With Z their transform and
// w = e^(-2 pi i / n), E = (Z_k + conj Z_(n/2-k)) / 2, O = -i (Z_k - conj Z_(n/2-k)) / 2,
//     X_k = E + w^k O,   X_(n/2-k) = conj(E - w^k O)
// A line of odd length is complex with zero imaginary parts. No two lines share a transform: one of them may
// be many orders smaller than its neighbours, or not finite, without trace in the other.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct RealPlan {
  int64_t n = 0;
  FftPlan<T> complex;         // of n / 2 points, or of n if that is odd
  const T* halves = nullptr;  // e^(-2 pi i k / n), k <= n / 2; n even
};

// e^(-2 pi i k / 2 n), k <= n, as (re, im); null without memory.
template <class T>
inline const T* half_roots(const Kernel& call, int64_t n) {
  const PlanKey key = PlanKey("fft-halves").add(n).add(sizeof(T));
  return static_cast<const T*>(
      call.plans->find(key.text(), 2 * static_cast<size_t>(n + 1) * sizeof(T), [n](void* to) {
        for (int64_t k = 0; k <= n; ++k) fft_put_root(static_cast<T*>(to) + 2 * k, k, 2 * n);
      }));
}

// False: there is no memory.
template <class T>
inline bool real_plan(const Kernel& call, int64_t n, RealPlan<T>& plan) {
  plan.n = n;
  plan.complex = fft_plan<T>(call, real_fft_points(n));
  if (n % 2 == 0) plan.halves = half_roots<T>(call, n / 2);
  return plan.complex.table && (n % 2 || plan.halves);
}

template <class T>
inline FftVec<T> fft_get(const T* lines, int64_t j) {
  constexpr int w = kLanes<T>;
  return {load(lines + 2 * w * j), load(lines + 2 * w * j + w)};
}
template <class T>
inline void fft_set(T* lines, int64_t j, FftVec<T> z) {
  constexpr int w = kLanes<T>;
  store(lines + 2 * w * j, z.re);
  store(lines + 2 * w * j + w, z.im);
}

template <class T>
inline void unfold_real(T* z, int64_t n, const T* halves) {
  const int64_t m = n / 2;
  const FftVec<T> first = fft_get(z, 0);
  fft_set(z, 0, FftVec<T>{first.re + first.im, Vec<T>{}});
  fft_set(z, m, FftVec<T>{first.re - first.im, Vec<T>{}});
  for (int64_t k = 1; 2 * k <= m; ++k) {
    const FftVec<T> a = fft_get(z, k), b = fft_get(z, m - k);
    const T c = halves[2 * k] * T(0.5), s = halves[2 * k + 1] * T(0.5);
    const FftVec<T> even{(a.re + b.re) * T(0.5), (a.im - b.im) * T(0.5)};
    const FftVec<T> odd = fft_times<T>({a.im + b.im, b.re - a.re}, c, s);
    fft_set(z, m - k, FftVec<T>{even.re - odd.re, odd.im - even.im});
    fft_set(z, k, even + odd);
  }
}

template <class T>
inline void fold_real(T* z, int64_t n, const T* halves) {
  const int64_t m = n / 2;
  const Vec<T> first = load(z), last = fft_get(z, m).re;
  fft_set(z, 0, FftVec<T>{first + last, first - last});
  for (int64_t k = 1; 2 * k <= m; ++k) {
    const FftVec<T> a = fft_get(z, k), b = fft_get(z, m - k);
    const FftVec<T> even{a.re + b.re, a.im - b.im};
    // i conj(w^k) (a - conj b)
    const FftVec<T> odd =
        fft_times<T>({-a.im - b.im, a.re - b.re}, halves[2 * k], -halves[2 * k + 1]);
    fft_set(z, m - k, FftVec<T>{even.re - odd.re, odd.im - even.im});
    fft_set(z, k, even + odd);
  }
}

// Real lines [n][w] in x become their spectra, points 2 j and 2 j + 1 at vectors 2 j ...: n / 2 + 1 points, all
// n if n is odd. x has room for real_fft_room(n) points.
template <class T>
inline void real_forward(const RealPlan<T>& plan, T* x, T* scratch) {
  constexpr int w = kLanes<T>;
  const FftLines<T> lines{x, x + w, 2 * w};
  if (plan.n % 2) {
    for (int64_t j = plan.n - 1; j >= 0; --j) fft_set(x, j, FftVec<T>{load(x + w * j), Vec<T>{}});
  }
  fft_lines<T>(plan.complex, lines, lines, false, scratch);
  if (plan.n % 2 == 0) unfold_real(x, plan.n, plan.halves);
}

// The inverse, not scaled, from n / 2 + 1 points. Imaginary parts of the first and the middle point do not
// count.
template <class T>
inline void real_inverse(const RealPlan<T>& plan, T* x, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.n;
  const FftLines<T> lines{x, x + w, 2 * w};
  if (n % 2) {
    store(x + w, Vec<T>{});
    for (int64_t k = 1; 2 * k < n; ++k) {
      const FftVec<T> z = fft_get(x, k);
      fft_set(x, n - k, FftVec<T>{z.re, -z.im});
    }
  } else {
    fold_real(x, n, plan.halves);
  }
  fft_lines<T>(plan.complex, lines, lines, true, scratch);
  for (int64_t j = 1; n % 2 && j < n; ++j) store(x + w * j, load(x + 2 * w * j));
}

}  // namespace fluxion::cpu::FLUXION_TARGET
