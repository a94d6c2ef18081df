// Gathers, whole numbers and fused products in vectors. Read once per instruction set, after simd.h.

namespace fluxion::cpu::FLUXION_TARGET {

// Whole numbers of the width of T, and the vector of them.
template <class T>
using CellVec = typename VecOf<T>::mask;
template <class T>
using Cell = std::remove_reference_t<decltype(std::declval<CellVec<T>>()[0])>;

// base[at[lane]] in every lane. (The masked forms have a defined source: the others make GCC 12 warn.)
template <class T>
inline __attribute__((always_inline)) Vec<T> gather(const T* base, CellVec<T> at) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm512_mask_i32gather_ps(
        _mm512_setzero_ps(), 0xffff, reinterpret_cast<__m512i>(at), base, 4));
  } else {
    return reinterpret_cast<Vec<T>>(_mm512_mask_i64gather_pd(
        _mm512_setzero_pd(), 0xff, reinterpret_cast<__m512i>(at), base, 8));
  }
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm256_i32gather_ps(base, reinterpret_cast<__m256i>(at), 4));
  } else {
    return reinterpret_cast<Vec<T>>(_mm256_i64gather_pd(base, reinterpret_cast<__m256i>(at), 8));
  }
#else
  Vec<T> v{};
  for (int i = 0; i < kLanes<T>; ++i) v[i] = base[at[i]];
  return v;
#endif
}

// 1.5 * 2^23 or 2^52: adding and subtracting it rounds smaller numbers to whole ones, ties to even.
template <class T>
inline constexpr T kRoundingShift = sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0);

template <class T>
inline __attribute__((always_inline)) Vec<T> round_down(Vec<T> x) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(
        _mm512_maskz_roundscale_ps(0xffff, reinterpret_cast<__m512>(x), _MM_FROUND_TO_NEG_INF));
  } else {
    return reinterpret_cast<Vec<T>>(
        _mm512_maskz_roundscale_pd(0xff, reinterpret_cast<__m512d>(x), _MM_FROUND_TO_NEG_INF));
  }
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm256_floor_ps(reinterpret_cast<__m256>(x)));
  } else {
    return reinterpret_cast<Vec<T>>(_mm256_floor_pd(reinterpret_cast<__m256d>(x)));
  }
#else
  // Beyond the shift every number is whole already; NaN stays.
  const Vec<T> shift = broadcast<T>(kRoundingShift<T>), half = broadcast<T>(kRoundingShift<T> / 3);
  const Vec<T> nearest = (x + shift) - shift;
  const Vec<T> down = nearest - (nearest > x ? broadcast<T>(1) : Vec<T>{});
  return (x < half) & (x > -half) ? down : x;
#endif
}

// Whether low <= x <= high in every lane; not if one is NaN.
template <class T>
inline __attribute__((always_inline)) bool all_between(Vec<T> x, T low, T high) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    const __m512 v = reinterpret_cast<__m512>(x);
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(v, _mm512_set1_ps(low), _CMP_GE_OQ), v,
                                   _mm512_set1_ps(high), _CMP_LE_OQ) == 0xffff;
  } else {
    const __m512d v = reinterpret_cast<__m512d>(x);
    return _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(v, _mm512_set1_pd(low), _CMP_GE_OQ), v,
                                   _mm512_set1_pd(high), _CMP_LE_OQ) == 0xff;
  }
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
  const CellVec<T> inside = (x >= low) & (x <= high);
  if constexpr (sizeof(T) == 4) {
    return _mm256_movemask_ps(reinterpret_cast<__m256>(inside)) == 0xff;
  } else {
    return _mm256_movemask_pd(reinterpret_cast<__m256d>(inside)) == 0xf;
  }
#else
  bool inside = true;
  for (int i = 0; i < kLanes<T>; ++i) inside = inside && x[i] >= low && x[i] <= high;
  return inside;
#endif
}

template <class T>
inline __attribute__((always_inline)) Vec<T> lane_numbers() {
  Vec<T> v{};
  for (int i = 0; i < kLanes<T>; ++i) v[i] = static_cast<T>(i);
  return v;
}

// a b + c with one rounding where the set has it. Said explicitly: of a sum of two products the compiler may
// fuse either, and passes that compute the same sum must agree in every bit.
template <class T>
inline __attribute__((always_inline)) Vec<T> multiply_add(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  } else {
    return reinterpret_cast<Vec<T>>(_mm512_fmadd_pd(
        reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), reinterpret_cast<__m512d>(c)));
  }
#elif defined(__x86_64__) && FLUXION_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vec<T>>(_mm256_fmadd_ps(
        reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
  } else {
    return reinterpret_cast<Vec<T>>(_mm256_fmadd_pd(
        reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), reinterpret_cast<__m256d>(c)));
  }
#else
  return a * b + c;
#endif
}

}  // namespace fluxion::cpu::FLUXION_TARGET
