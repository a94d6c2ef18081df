// Discrete Fourier transforms along lines, one transform in each SIMD lane:
//     forward  Z_k = sum_j z_j e^(-2 pi i j k / n),   inverse  the same with e^(+...); neither is scaled
// Real and imaginary parts are separate arrays; point j of the w = kLanes lines is the vector at
// re + j * pitch. Read once per instruction set, after simd.h.
//
// Stockham passes of radix 8, 4, 2 and odd primes, decimation in frequency: pass i reads x[q + s(p + m j)] and
// writes y[q + s(r p + k)]. The last pass (m = 1) reads and writes the same places, hence works in place: an
// even number of passes before it ends where it began, and nothing is ever copied. Exchanging re and im gives
// the inverse. Other lengths are convolutions with a chirp (Bluestein).
// Source: Van Loan, Computational Frameworks for the Fast Fourier Transform (1992); tables in fft_plan.cpp.

#include "cpu/fft_butterfly.h"

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct FftPlan {
  int64_t n = 0;
  const T* table = nullptr;  // an FftLayout and its tables
  const FftLayout& layout() const { return *reinterpret_cast<const FftLayout*>(table); }
};

// From the device's cache; outside of parallel regions. table is null when there is no memory.
template <class T>
inline FftPlan<T> fft_plan(const Kernel& call, int64_t n) {
  const PlanKey key = PlanKey("fft").add(n).add(sizeof(T));
  const void* table = call.plans->find(key.text(), fft_plan_bytes(n, sizeof(T)),
                                       [n](void* to) { build_fft_plan<T>(n, to); });
  return {n, static_cast<const T*>(table)};
}

// e^(-2 pi i k / n) as (re, im)
template <class T>
inline void fft_put_root(T* to, int64_t k, int64_t n) {
  double c = 0, s = 0;
  unit_root(k, n, &c, &s);
  to[0] = static_cast<T>(c);
  to[1] = static_cast<T>(-s);
}

// Where a vector of lines lies.
template <class T>
struct FftLines {
  T* re;
  T* im;
  int64_t pitch;
};

// One pass of a compile-time radix.
template <class T, int R>
inline void fft_pass(const FftPass& pass, const T* table, FftLines<T> in, FftLines<T> out) {
  const int64_t step = pass.groups * pass.span * in.pitch, skip = pass.span * out.pitch;
  const T* twiddles = table + pass.twiddles;
  const T* roots = table + pass.roots;
  FftVec<T> z[R];
  if (pass.groups == 1) {
    for (int64_t q = 0; q < pass.span; ++q) {
      fft_load<T, R>(z, in.re + q * in.pitch, in.im + q * in.pitch, step);
      fft_butterfly<T, R>(z, roots);
      fft_store<T, R>(z, out.re + q * out.pitch, out.im + q * out.pitch, skip);
    }
    return;
  }
  for (int64_t p = 0; p < pass.groups; ++p, twiddles += 2 * (R - 1)) {
    const int64_t from = p * pass.span * in.pitch, to = R * p * skip;
    for (int64_t q = 0; q < pass.span; ++q) {
      fft_load<T, R>(z, in.re + from + q * in.pitch, in.im + from + q * in.pitch, step);
      fft_butterfly<T, R>(z, roots);
      fft_twiddle<T, R>(z, twiddles);
      fft_store<T, R>(z, out.re + to + q * out.pitch, out.im + to + q * out.pitch, skip);
    }
  }
}

// A pass of any odd radix up to kLargestFftRadix.
template <class T>
inline void fft_pass_odd(const FftPass& pass, const T* table, FftLines<T> in, FftLines<T> out) {
  const int r = static_cast<int>(pass.radix);
  const int64_t step = pass.groups * pass.span * in.pitch, skip = pass.span * out.pitch;
  const T* twiddles = table + pass.twiddles;
  for (int64_t p = 0; p < pass.groups; ++p, twiddles += 2 * (r - 1)) {
    const int64_t from = p * pass.span * in.pitch, to = r * p * skip;
    for (int64_t q = 0; q < pass.span; ++q) {
      fft_odd_point<T>(r, table + pass.roots, pass.groups > 1 ? twiddles : nullptr,
                       in.re + from + q * in.pitch, in.im + from + q * in.pitch, step,
                       out.re + to + q * out.pitch, out.im + to + q * out.pitch, skip);
    }
  }
}

template <class T>
inline void fft_any_pass(const FftPass& pass, const T* table, FftLines<T> in, FftLines<T> out) {
  switch (pass.radix) {
    case 2:
      return fft_pass<T, 2>(pass, table, in, out);
    case 3:
      return fft_pass<T, 3>(pass, table, in, out);
    case 4:
      return fft_pass<T, 4>(pass, table, in, out);
    case 5:
      return fft_pass<T, 5>(pass, table, in, out);
    case 7:
      return fft_pass<T, 7>(pass, table, in, out);
    case 8:
      return fft_pass<T, 8>(pass, table, in, out);
    default:
      return fft_pass_odd<T>(pass, table, in, out);
  }
}

// All passes, from `in` to `out`, which may be the same; otherwise `in` is kept. spare: a third place.
template <class T>
inline void fft_passes(const FftLayout& layout, const T* table, FftLines<T> in, FftLines<T> out,
                       FftLines<T> spare) {
  const int passes = static_cast<int>(layout.passes);
  FftLines<T> from = in;
  bool to_spare = in.re == out.re;  // alternately `spare` and `out`; the last may work in place
  for (int i = 0; i < passes; ++i) {
    const bool last = i + 1 == passes;
    const FftLines<T> to = last || !to_spare ? out : spare;
    fft_any_pass<T>(layout.pass[i], table, from, to);
    from = to;
    to_spare = !to_spare;
  }
}

// Bluestein: z_k = c_k sum_j (z_j c_j) conj(c_(k-j)), as a cyclic convolution of layout.length points.
template <class T>
inline void fft_convolve(const FftLayout& layout, const T* table, FftLines<T> in, FftLines<T> out,
                         T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = layout.n, length = layout.length;
  const FftLines<T> line{scratch, scratch + w, 2 * w};
  const FftLines<T> spare{scratch + 2 * w * length, scratch + 2 * w * length + w, 2 * w};
  const T* chirp = table + layout.chirp;
  const T* spectrum = table + layout.spectrum;
  for (int64_t j = 0; j < n; ++j) {
    const FftVec<T> z{load(in.re + j * in.pitch), load(in.im + j * in.pitch)};
    fft_put<T>(line, j, fft_times<T>(z, chirp[2 * j], chirp[2 * j + 1]));
  }
  for (int64_t j = n; j < length; ++j) fft_put<T>(line, j, FftVec<T>{});
  fft_passes<T>(layout, table, line, line, spare);
  for (int64_t j = 0; j < length; ++j) {
    const FftVec<T> z{load(line.re + j * line.pitch), load(line.im + j * line.pitch)};
    fft_put<T>(line, j, fft_times<T>(z, spectrum[2 * j], spectrum[2 * j + 1]));
  }
  const FftLines<T> swapped{line.im, line.re, line.pitch};
  fft_passes<T>(layout, table, swapped, swapped, {spare.im, spare.re, spare.pitch});
  for (int64_t k = 0; k < n; ++k) {
    const FftVec<T> z{load(line.re + k * line.pitch), load(line.im + k * line.pitch)};
    fft_put<T>(out, k, fft_times<T>(z, chirp[2 * k], chirp[2 * k + 1]));
  }
}

// From `in` to `out`: the same lines, or lines that do not overlap (then `in` is kept). scratch has
// fft_scratch_bytes(n) bytes, aligned to 64.
template <class T>
inline void fft_lines(const FftPlan<T>& plan, FftLines<T> in, FftLines<T> out, bool inverse,
                      T* scratch) {
  constexpr int w = kLanes<T>;
  if (inverse) {
    in = {in.im, in.re, in.pitch};
    out = {out.im, out.re, out.pitch};
  }
  const FftLayout& layout = plan.layout();
  if (layout.length != layout.n) return fft_convolve<T>(layout, plan.table, in, out, scratch);
  if (layout.passes == 0) {
    fft_put<T>(out, 0, {load(in.re), load(in.im)});
    return;
  }
  fft_passes<T>(layout, plan.table, in, out, {scratch, scratch + w, 2 * w});
}

// kLanes<T> transforms in place: re[j * kLanes + lane], im likewise. scratch has fft_scratch_bytes(n) bytes,
// aligned to 64.
template <class T>
inline void fft_lines(const FftPlan<T>& plan, T* re, T* im, bool inverse, T* scratch) {
  const FftLines<T> lines{re, im, kLanes<T>};
  fft_lines<T>(plan, lines, lines, inverse, scratch);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
