// The passes of the normalisations over a contiguous piece that has one mean and one scale: a plane of a
// channel or a run of a group. Read once per instruction set, after simd.h, wide_sum.h, write_out.h and
// activation.h.
//
//   forward    y = act(p), p = (x - mean) scale + bias
//   backward   h = g act'(p);  sums of h and h (x - mean);  gx = k h + (slope (x - mean) + constant)
//
// The activation costs no pass: relu is part of the vector expression, the others work on a chunk in L1.
// Backward makes p again from x, so that neither p nor y has to be saved.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kNormChunk = 512;  // of an activation other than relu

template <class T>
struct Affine {
  T mean, scale, bias;
};

template <class T, bool kRelu>
struct Normalized {
  const T* x;
  Vec<T> mean, scale, bias;
  inline __attribute__((always_inline)) Vec<T> of(Vec<T> v) const {
    const Vec<T> p = (v - mean) * scale + bias;
    return kRelu ? (p < Vec<T>{} ? Vec<T>{} : p) : p;
  }
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const { return of(load(x + i)); }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return of(load_partial(x + i, n));
  }
};

template <class T>
inline void normalize_plane(const T* x, int64_t n, const Affine<T>& a, Activation act, T* y,
                            bool streams) {
  const Vec<T> mean = broadcast<T>(a.mean), scale = broadcast<T>(a.scale),
               bias = broadcast<T>(a.bias);
  if (act == Activation::none)
    return write_out(y, n, streams, Normalized<T, false>{x, mean, scale, bias});
  if (act == Activation::relu)
    return write_out(y, n, streams, Normalized<T, true>{x, mean, scale, bias});
  alignas(64) T chunk[kNormChunk];
  for (int64_t i = 0; i < n; i += kNormChunk) {
    const int64_t count = std::min(kNormChunk, n - i);
    write_out(chunk, count, false, Normalized<T, false>{x + i, mean, scale, bias});
    activate(act, chunk, count);
    write_out(y + i, count, streams, Copied<T>{chunk});
  }
}

// h = g act'(p) of a vector, for relu and for none.
template <class T, bool kRelu>
struct Cotangent {
  const T *g, *x;
  Vec<T> mean, scale, bias;
  inline __attribute__((always_inline)) Vec<T> of(Vec<T> gv, Vec<T> centred) const {
    if constexpr (!kRelu) return gv;
    return centred * scale + bias > Vec<T>{} ? gv : Vec<T>{};
  }
};

// Sums of h and h (x - mean).
template <class T, bool kRelu>
inline SumPair sum_cotangents(const Cotangent<T, kRelu>& c, int64_t n) {
  constexpr int w = kLanes<T>;
  WideSum<T> plain, scaled;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    Vec<T> h[4], d[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      d[k] = load(c.x + i + k * w) - c.mean;
      h[k] = c.of(load(c.g + i + k * w), d[k]);
    }
    plain.add((h[0] + h[1]) + (h[2] + h[3]));
    scaled.add((h[0] * d[0] + h[1] * d[1]) + (h[2] * d[2] + h[3] * d[3]));
  }
  for (; i < n; i += w) {
    const int rest = static_cast<int>(std::min<int64_t>(w, n - i));
    const Vec<T> d = load_partial(c.x + i, rest) - c.mean;
    const Vec<T> h = c.of(load_partial(c.g + i, rest), d);  // lanes beyond are zero
    plain.add(h);
    scaled.add(h * d);
  }
  return {plain.total(), scaled.total()};
}

// gx = k h + (slope (x - mean) + constant)
template <class T, bool kRelu>
struct InputGradient {
  Cotangent<T, kRelu> c;
  Vec<T> k, slope, constant;
  inline __attribute__((always_inline)) Vec<T> of(Vec<T> g, Vec<T> x) const {
    const Vec<T> d = x - c.mean;
    return k * c.of(g, d) + (slope * d + constant);
  }
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const {
    return of(load(c.g + i), load(c.x + i));
  }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return of(load_partial(c.g + i, n), load_partial(c.x + i, n));
  }
};

// h of a chunk for the other activations.
template <class T>
inline void chunk_cotangents(const T* g, const T* x, int64_t n, const Affine<T>& a, Activation act,
                             T* h) {
  write_out(
      h, n, false,
      Normalized<T, false>{x, broadcast<T>(a.mean), broadcast<T>(a.scale), broadcast<T>(a.bias)});
  activation_vjp(act, g, h, n);
}

template <class T>
inline SumPair plane_cotangent_sums(const T* g, const T* x, int64_t n, const Affine<T>& a,
                                    Activation act) {
  const Vec<T> mean = broadcast<T>(a.mean), scale = broadcast<T>(a.scale),
               bias = broadcast<T>(a.bias);
  if (act == Activation::none)
    return sum_cotangents(Cotangent<T, false>{g, x, mean, scale, bias}, n);
  if (act == Activation::relu)
    return sum_cotangents(Cotangent<T, true>{g, x, mean, scale, bias}, n);
  alignas(64) T h[kNormChunk];
  SumPair sums;
  for (int64_t i = 0; i < n; i += kNormChunk) {
    const int64_t count = std::min(kNormChunk, n - i);
    chunk_cotangents(g + i, x + i, count, a, act, h);
    const SumPair s = sum_cotangents(Cotangent<T, false>{h, x + i, mean, scale, bias}, count);
    sums.a += s.a;
    sums.b += s.b;
  }
  return sums;
}

// The coefficients of gx.
template <class T>
struct Gradient {
  T k, slope, constant;
};

template <class T>
inline void plane_input_vjp(const T* g, const T* x, int64_t n, const Affine<T>& a, Activation act,
                            const Gradient<T>& f, T* gx, bool streams) {
  const Vec<T> mean = broadcast<T>(a.mean), scale = broadcast<T>(a.scale),
               bias = broadcast<T>(a.bias);
  const Vec<T> k = broadcast<T>(f.k), slope = broadcast<T>(f.slope),
               constant = broadcast<T>(f.constant);
  if (act == Activation::none)
    return write_out(gx, n, streams,
                     InputGradient<T, false>{{g, x, mean, scale, bias}, k, slope, constant});
  if (act == Activation::relu)
    return write_out(gx, n, streams,
                     InputGradient<T, true>{{g, x, mean, scale, bias}, k, slope, constant});
  alignas(64) T h[kNormChunk];
  for (int64_t i = 0; i < n; i += kNormChunk) {
    const int64_t count = std::min(kNormChunk, n - i);
    chunk_cotangents(g + i, x + i, count, a, act, h);
    write_out(gx + i, count, streams,
              InputGradient<T, false>{{h, x + i, mean, scale, bias}, k, slope, constant});
  }
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
