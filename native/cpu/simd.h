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

// Loads the first n < kLanes elements, the rest is zero.
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

// Sum of the lanes in a fixed tree order.
template <class T>
inline T sum_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  __builtin_memcpy(lanes, &v, sizeof v);
  for (int width = kLanes<T> / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

}  // namespace fluxion::cpu::FLUXION_TARGET
