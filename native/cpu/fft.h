// Discrete Fourier transforms along lines, one transform in each SIMD lane:
//     forward  Z_k = sum_j z_j e^(-2 pi i j k / n),   inverse  the same with e^(+...); neither is scaled
// Real and imaginary parts are separate arrays [n][lanes]. Read once per instruction set, after simd.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct FftPlan {
  int64_t n = 0;
  const T* table = nullptr;
};

// From the device's cache; outside of parallel regions. table is null when there is no memory.
template <class T>
inline FftPlan<T> fft_plan(const Kernel& call, int64_t n) {
  const PlanKey key = PlanKey("fft").add(n).add(sizeof(T)).add(FLUXION_VECTOR_BYTES);
  const void* table =
      call.plans->find(key.text(), 2 * static_cast<size_t>(n) * sizeof(T), [&](void* to) {
        T* out = static_cast<T*>(to);
        for (int64_t k = 0; k < n; ++k) {
          const double angle =
              -2 * 3.14159265358979323846 * static_cast<double>(k) / static_cast<double>(n);
          out[2 * k] = static_cast<T>(std::cos(angle));
          out[2 * k + 1] = static_cast<T>(std::sin(angle));
        }
      });
  return {n, static_cast<const T*>(table)};
}

// kLanes<T> transforms in place: re[j * kLanes + lane], im likewise. scratch has fft_scratch_bytes(n) bytes,
// aligned to 64.
template <class T>
inline void fft_lines(const FftPlan<T>& plan, T* re, T* im, bool inverse, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = plan.n;
  T *out_re = scratch, *out_im = scratch + n * w;
  for (int64_t k = 0; k < n; ++k) {
    Vec<T> a{}, b{};
    for (int64_t j = 0; j < n; ++j) {
      const int64_t t = j * k % n;
      const T c = plan.table[2 * t], s = inverse ? -plan.table[2 * t + 1] : plan.table[2 * t + 1];
      const Vec<T> x = load(re + j * w), y = load(im + j * w);
      a += c * x - s * y;
      b += c * y + s * x;
    }
    store(out_re + k * w, a);
    store(out_im + k * w, b);
  }
  __builtin_memcpy(re, out_re, static_cast<size_t>(n * w) * sizeof(T));
  __builtin_memcpy(im, out_im, static_cast<size_t>(n * w) * sizeof(T));
}

}  // namespace fluxion::cpu::FLUXION_TARGET
