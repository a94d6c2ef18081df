// Branch-free scalar functions that the compiler vectorises when they stand in a loop. No include guard:
// the file is read once per instruction set, like simd.h. The double overloads call the C library.
//
// Reference: range reductions as in Cody & Waite, "Software manual for the elementary functions" (1980);
// the polynomials are minimax fits (Remez) made for this file, their errors stand beside them. Largest
// errors of the float functions over the whole range, in ulp; test/ops/accuracy.test.ts checks them, on every
// instruction set, over the bit patterns of all numbers, and those of the double functions:
//   exp 2, expm1 3, log 3, log1p 4, tanh 4, erf 3, sine and cosine 2, pow 3, sigmoid 3, silu 4, softplus 4,
//   gelu 5 (with tanh 64, where it cancels below 0).

namespace fluxion::cpu::FLUXION_TARGET {

inline float float_of(int32_t bits) { return __builtin_bit_cast(float, bits); }
inline int32_t bits_of(float x) { return __builtin_bit_cast(int32_t, x); }

// x = n ln 2 + r with |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
struct ExpParts {
  int32_t n;
  float r, q;  // q = (e^r - 1 - r) / r^2
};

// `low` is added to x where x alone is not exact enough.
inline ExpParts exp_parts(float x, float low = 0.0f) {
  constexpr float kRound = 12582912.0f;
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + (n * 2.12194440e-4f + low);  // ln 2 in two parts
  const float q =  // error of 1 + r + r^2 q: 1.3e-8
      ((((1.388252154e-3f * r + 8.366520575e-3f) * r + 4.166719986e-2f) * r + 1.666654362e-1f) * r +
       4.999999815e-1f);
  return {static_cast<int32_t>(static_cast<uint32_t>(bits_of(shifted)) - 0x4B400000u), r, q};
}

inline float power_of_two(int32_t n) {
  return float_of(static_cast<int32_t>(static_cast<uint32_t>(n + 127) << 23));
}

// Below -104 the result rounds to 0, above 89 to infinity; a NaN passes both comparisons.
inline float vexp(float x, float low = 0.0f) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  const ExpParts p = exp_parts(x, low);
  const int32_t half = p.n >> 1;  // 2^n itself may not be a normal number
  return ((p.r * p.r * p.q + p.r) + 1.0f) * power_of_two(half) * power_of_two(p.n - half);
}
inline double vexp(double x) { return std::exp(x); }

// e^x - 1 = 2 (t (e^r - 1) + (t - 1/2)) with t = 2^(n-1), exact near 0 and without early overflow; -0 stays.
inline float vexpm1(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -25.0f ? -25.0f : x;
  const ExpParts p = exp_parts(x);
  const float t = power_of_two(p.n - 1);
  return std::copysign(2.0f * (t * (p.r * p.r * p.q + p.r) + (t - 0.5f)), x);
}
inline double vexpm1(double x) { return std::expm1(x); }

// log x = e ln 2 + log m, m in [sqrt(1/2), sqrt(2)), log m = 2 atanh(s), s = (m - 1) / (m + 1).
inline float vlog(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 8388608.0f : x;
  const uint32_t bits = static_cast<uint32_t>(bits_of(scaled));
  const int32_t e = static_cast<int32_t>(bits - 0x3F3504F3u) >> 23;
  const float m = float_of(static_cast<int32_t>(bits - (static_cast<uint32_t>(e) << 23))) - 1.0f;
  const float s = m / (2.0f + m), z = s * s;
  const float p =  // error 5e-12
      ((2.359480727e-1f * z + 2.853667916e-1f) * z + 4.000034445e-1f) * z + 6.666666561e-1f;
  const float n = static_cast<float>(e - (tiny ? 23 : 0));
  const float y = n * 0.693359375f + (2.0f * s + (s * z * p - n * 2.12194440e-4f));
  const float special =
      x == 0.0f ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  const float normal = x > std::numeric_limits<float>::max() ? x : y;
  return x > 0.0f ? normal : special;
}
inline double vlog(double x) { return std::log(x); }

// x^y = 2^(y log2 x) for normal finite x > 0 and finite y. The exponent needs 2^-31 relative to its size
// (up to 150), hence double; the two polynomials are those of vlog and vexp.
inline float vpow_positive(float x, float y) {
  const uint32_t bits = static_cast<uint32_t>(bits_of(x));
  const int32_t e = static_cast<int32_t>(bits - 0x3F3504F3u) >> 23;
  const double m = float_of(static_cast<int32_t>(bits - (static_cast<uint32_t>(e) << 23)));
  const double s = (m - 1) / (m + 1), z = s * s;
  const double p =
      ((2.359480727e-1 * z + 2.853667916e-1) * z + 4.000034445e-1) * z + 6.666666561e-1;
  double t = y * (e + (2 * s + s * z * p) * 1.44269504088896340736);
  t = t > 130 ? 130 : t;
  t = t < -160 ? -160 : t;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = t + kRound;
  const double r = (t - (shifted - kRound)) * 0.69314718055994530942;
  const double q =
      (((1.388252154e-3 * r + 8.366520575e-3) * r + 4.166719986e-2) * r + 1.666654362e-1) * r +
      4.999999815e-1;
  const int32_t n = static_cast<int32_t>(__builtin_bit_cast(int64_t, shifted)), half = n >> 1;
  return static_cast<float>(1 + r + r * r * q) * power_of_two(half) * power_of_two(n - half);
}

// Whether vpow takes the pair: bases that are zero or normal, exponents below 1e30.
inline bool vpow_takes(float x, float y) {
  const float t = std::fabs(x);
  return ((t >= std::numeric_limits<float>::min()) | (t == 0.0f)) &
         (t <= std::numeric_limits<float>::max()) & (std::fabs(y) <= 1e30f);
}

// x^y with the sign and the zeros of the C library: negative bases have integer exponents or give NaN.
inline float vpow(float x, float y) {
  const float t = std::fabs(x), size = std::fabs(y);
  // Adding 1.5 * 2^23 rounds to an integer; from 2^23 on all numbers are integers, from 2^24 on even.
  const float small = size < 8388608.0f ? size : 8388608.0f;
  const float rounded = (small + 12582912.0f) - 12582912.0f;
  const bool integer = small == rounded;
  const int32_t whole = static_cast<int32_t>(size < 16777216.0f ? size : 16777216.0f);
  const bool odd = integer & ((whole & 1) != 0);
  const float of_zero = y > 0.0f ? 0.0f : y == 0.0f ? 1.0f : std::numeric_limits<float>::infinity();
  float z = vpow_positive(t == 0.0f ? 1.0f : t, y);
  z = t == 0.0f ? of_zero : z;
  z = odd ? std::copysign(z, x) : z;
  return (x < 0.0f) & !integer ? std::numeric_limits<float>::quiet_NaN() : z;
}

// log(1 + t) for t in [0, 1], with s = t / (2 + t) <= 1/3.
inline float vlog1p_unit(float t) {
  const float s = t / (2.0f + t), z = s * s;
  const float p =  // error 1.1e-10
      (((2.430093320e-1f * z + 2.142765842e-1f) * z + 2.861688472e-1f) * z + 3.999887775e-1f) * z +
      6.666667562e-1f;
  return 2.0f * s + s * z * p;
}
inline double vlog1p_unit(double t) { return std::log1p(t); }

inline float vtanh(float x) {
  const float magnitude = std::fabs(x);
  const float u = vexpm1(2.0f * (magnitude > 10.0f ? 10.0f : magnitude));
  return std::copysign(u / (u + 2.0f), x);
}
inline double vtanh(double x) { return std::tanh(x); }

template <class T>
inline T vsigmoid(T x) {
  return T(1) / (T(1) + vexp(-x));
}

// log(1 + e^x) without overflow.
template <class T>
inline T vsoftplus(T x) {
  return (x > T(0) ? x : T(0)) + vlog1p_unit(vexp(-std::fabs(x)));
}

// The normal distribution: cdf(x) = erfc(-x / sqrt 2) / 2 and its density, which share one exponential.
template <class T>
struct Normal {
  T cdf, density;
};

// exp(-t^2 / 2): the square is taken exactly, in two parts, or its rounding would be multiplied by t^2 / 2.
inline float vbell(float t) {
  t = t > 15.0f ? 15.0f : t;  // a NaN passes
  const float head = float_of(bits_of(t) & static_cast<int32_t>(0xFFFFF000u)), tail = t - head;
  const float square = t * t, lost = (head * head - square) + (2.0f * head + tail) * tail;
  return vexp(-0.5f * square, -0.5f * lost);
}

// For t = |x|: cdf(-t) = exp(-t^2 / 2) w P(w), w = 1 / (1 + 0.35 t). The scaled complement is smooth and
// falls as 1/t, so a polynomial in w serves all t >= 0; relative error of P 3.2e-8.
inline Normal<float> vnormal(float x) {
  const float t = std::fabs(x), w = 1.0f / (1.0f + 0.35f * t);
  const float bell = vbell(t);
  const float p =
      (((((((-2.914591815e-2f * w + 1.439716387e-1f) * w - 2.557141326e-1f) * w + 1.591740224e-1f) *
              w -
          2.310974149e-2f) *
             w +
         1.055079653e-1f) *
            w +
        1.198328772e-1f) *
           w +
       1.398618684e-1f) *
          w +
      1.396214044e-1f;
  const float tail = bell * w * p;
  return {x < 0.0f ? tail : 1.0f - tail, bell * 0.39894228f};
}
inline Normal<double> vnormal(double x) {
  return {0.5 * std::erfc(x * -0.70710678118654752440),
          std::exp(-0.5 * x * x) * 0.39894228040143267794};
}

// erf(x) = x P(x^2) up to 1, error 1.2e-9; beyond, 1 - erfc(x) = 1 - 2 cdf(-x sqrt 2).
inline float verf(float x) {
  const float t = std::fabs(x), z = t * t;
  const float p =
      (((((7.853860998e-5f * z - 8.010193518e-4f) * z + 5.188327674e-3f) * z - 2.685381193e-2f) *
            z +
        1.128358515e-1f) *
           z -
       3.761262582e-1f) *
          z +
      1.128379166f;
  const float far = 1.0f - 2.0f * vnormal(t * -1.41421356f).cdf;
  return std::copysign(t <= 1.0f ? t * p : far, x);
}
inline double verf(double x) { return std::erf(x); }

// gelu in its form with tanh: x (1 + tanh(u / 2)) / 2 = x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3).
template <class T>
inline T vgelu_tanh_argument(T x) {
  return T(1.59576912160573071176) * x * (T(1) + T(0.044715) * x * x);
}
template <class T>
inline T vgelu_tanh(T x) {
  return x / (T(1) + vexp(-vgelu_tanh_argument(x)));
}
template <class T>
inline T vgelu_tanh_slope(T x) {
  const T s = T(1) / (T(1) + vexp(-vgelu_tanh_argument(x)));
  return s + x * s * (T(1) - s) * T(1.59576912160573071176) * (T(1) + T(3 * 0.044715) * x * x);
}

// Derivatives of gelu(x) = x cdf(x) and of silu(x) = x sigmoid(x).
template <class T>
inline T vgelu_slope(T x) {
  const Normal<T> normal = vnormal(x);
  return normal.cdf + x * normal.density;
}

template <class T>
inline T vsilu_slope(T x) {
  const T s = vsigmoid(x);
  return s * (T(1) + x * (T(1) - s));
}

// Sine and cosine of r in [-pi/4, pi/4], then the quadrant: sin(r + quadrant * pi/2).
inline float vsine_of_quadrant(float r, int32_t quadrant) {
  const float z = r * r;
  const float sine = r + r * z * ((-1.951665581e-4f * z + 8.332173543e-3f) * z - 1.666665487e-1f);
  const float cosine =
      1.0f - 0.5f * z + z * z * ((2.443773010e-5f * z - 1.388736145e-3f) * z + 4.166664675e-2f);
  const float value = (quadrant & 1) ? cosine : sine;
  return (quadrant & 2) ? -value : value;
}

// sin(x + shift * pi/2) for |x| < kSineRange. The reduction is done in double, with pi/2 in two parts of
// which the first has 33 bits: the product with k < 2^20 is exact.
inline constexpr float kSineRange = 1.0e6f;
inline float vsine_shifted(float x, int32_t shift) {
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = x * 0.63661977236758134308 + kRound;
  const double k = shifted - kRound;
  const double r = (x - k * 1.57079632673412561417) - k * 6.07710050650619224932e-11;
  const int32_t quadrant = static_cast<int32_t>(__builtin_bit_cast(int64_t, shifted)) + shift;
  return vsine_of_quadrant(static_cast<float>(r), quadrant);
}

// Conversion between dtypes: towards zero, saturating, NaN gives 0.
template <class To, class From>
inline To convert(From x) {
  if constexpr (std::is_floating_point_v<To> || std::is_same_v<To, From>) {
    return static_cast<To>(x);
  } else if constexpr (std::is_floating_point_v<From>) {
    // The upper limit is 2^31 or 2^8: exact in float, where INT32_MAX is not.
    constexpr From kLow = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From kEnd =
        static_cast<From>(static_cast<double>(std::numeric_limits<To>::max()) + 1);
    const bool high = x >= kEnd, inside = x > kLow && !high;
    const To truncated = static_cast<To>(static_cast<int32_t>(inside ? x : From(0)));
    const To outside = high        ? std::numeric_limits<To>::max()
                       : x <= kLow ? std::numeric_limits<To>::min()
                                   : To(0);
    return inside ? truncated : outside;
  } else if constexpr (std::is_same_v<To, uint8_t>) {
    return static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
