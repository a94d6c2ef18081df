// 1 / x without a division where that is faster. Read once per instruction set, after simd.h.
//
// Within 2 units in the last place; NaN where x is 0 or infinite, and 0 or NaN where 1 / x is denormal.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
inline __attribute__((always_inline)) Vec<T> reciprocal(Vec<T> x) {
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  // 14 bits, then Newton: a vector division has a third of the throughput. (GCC warns of the unmasked form.)
  if constexpr (sizeof(T) == 4) {
    const Vec<T> r =
        reinterpret_cast<Vec<T>>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(x)));
    return r * (T(2) - x * r);
  } else {
    Vec<T> r = reinterpret_cast<Vec<T>>(_mm512_maskz_rcp14_pd(0xff, reinterpret_cast<__m512d>(x)));
    r = r * (T(2) - x * r);
    return r * (T(2) - x * r);
  }
#else
  return T(1) / x;
#endif
}

}  // namespace fluxion::cpu::FLUXION_TARGET
