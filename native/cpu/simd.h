// Vectors of the instruction set being compiled (see targets.h): GCC vector extensions of
// FLUXION_VECTOR_BYTES, so that + - * / and comparisons are the language's own. No include guard: the
// file is read once per instruction set, inside its region and namespace.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(FLUXION_VECTOR_BYTES)));
  typedef int32_t mask __attribute__((vector_size(FLUXION_VECTOR_BYTES)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(FLUXION_VECTOR_BYTES)));
  typedef int64_t mask __attribute__((vector_size(FLUXION_VECTOR_BYTES)));
};

template <class T>
using Vec = typename VecOf<T>::type;

template <class T>
inline constexpr int kLanes = FLUXION_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <class T>
inline __attribute__((always_inline)) Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline __attribute__((always_inline)) void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class T>
inline __attribute__((always_inline)) Vec<T> broadcast(T x) {
  return x - Vec<T>{};
}

// The first n <= kLanes elements; other lanes of a load are zero. Nothing beyond them is touched.
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
inline Vec<float> load_partial(const float* p, int n) {
  return reinterpret_cast<Vec<float>>(
      _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p));
}
inline Vec<double> load_partial(const double* p, int n) {
  return reinterpret_cast<Vec<double>>(
      _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p));
}
inline void store_partial(float* p, Vec<float> v, int n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
}
inline void store_partial(double* p, Vec<double> v, int n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), reinterpret_cast<__m512d>(v));
}
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
inline __m256i lanes_below(int n, float) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i lanes_below(int n, double) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
inline Vec<float> load_partial(const float* p, int n) {
  return reinterpret_cast<Vec<float>>(_mm256_maskload_ps(p, lanes_below(n, 0.0f)));
}
inline Vec<double> load_partial(const double* p, int n) {
  return reinterpret_cast<Vec<double>>(_mm256_maskload_pd(p, lanes_below(n, 0.0)));
}
inline void store_partial(float* p, Vec<float> v, int n) {
  _mm256_maskstore_ps(p, lanes_below(n, 0.0f), reinterpret_cast<__m256>(v));
}
inline void store_partial(double* p, Vec<double> v, int n) {
  _mm256_maskstore_pd(p, lanes_below(n, 0.0), reinterpret_cast<__m256d>(v));
}
#else
template <class T>
inline Vec<T> load_partial(const T* p, int n) {
  Vec<T> v{};
  __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(T));
  return v;
}
template <class T>
inline void store_partial(T* p, Vec<T> v, int n) {
  __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(T));
}
#endif

// max(x, floor); a NaN stays. The instruction for it returns its second operand when one is a NaN, which the
// compiler does not make of the comparison: that takes two.
template <class T>
inline __attribute__((always_inline)) Vec<T> raise_to(Vec<T> floor, Vec<T> x) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(
        _mm512_maskz_max_ps(0xffff, reinterpret_cast<__m512>(floor), reinterpret_cast<__m512>(x)));
  } else {
    return reinterpret_cast<Vec<T>>(
        _mm512_maskz_max_pd(0xff, reinterpret_cast<__m512d>(floor), reinterpret_cast<__m512d>(x)));
  }
#else
  return x < floor ? floor : x;
#endif
}

// Store around the caches, for outputs larger than them; p must be aligned to the vector. Close a run of
// streaming stores with stream_fence().
template <class T>
inline __attribute__((always_inline)) void stream(T* p, Vec<T> v) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), reinterpret_cast<__m128i>(v));
#else
  store(p, v);
#endif
}

inline void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Lane i of a tree over kCount lanes that has been folded to its first k.
template <int kCount, int k, class T>
inline __attribute__((always_inline)) T folded_lane(const T* lanes, int i) {
  if constexpr (k == kCount) {
    return lanes[i];
  } else {
    return folded_lane<kCount, 2 * k>(lanes, i) + folded_lane<kCount, 2 * k>(lanes, i + k);
  }
}

// Sum of the lanes in a fixed tree order.
template <class T>
inline __attribute__((always_inline)) T sum_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  __builtin_memcpy(lanes, &v, sizeof v);
  return folded_lane<kLanes<T>, 1>(lanes, 0);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
