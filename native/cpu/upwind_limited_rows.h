// One row of second-order upwind advection along one axis, and of its adjoint. Cell i is reconstructed
// linearly with the slope s_i = phi(u_i - u_{i-1}, u_{i+1} - u_i); faces take the value from upwind.
//
// The limiters are symmetric and odd, so both directions are one formula of the cells counted from upwind:
//     w0 the cell that the flow leaves, w1 and w2 those behind it, wf the one before it;
//     value at the face w0 + phi(w0 - w1, wf - w0) / 2.
// Layout and ghost cells as in upwind_rows.h.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
struct Slope {
  Vec<T> value, by_behind, by_before;  // phi(a, b), its derivatives in a and in b
};

template <class T>
FLUXION_INLINE Vec<T> magnitude(Vec<T> a) {
  return a > Vec<T>{} ? a : -a;
}
template <class T>
FLUXION_INLINE Vec<T> smaller(Vec<T> a, Vec<T> b) {
  return a < b ? a : b;
}

// phi(a, b); derivatives are those of the branch taken, 0 where the slope is cut to 0.
template <UpwindScheme kScheme, class T>
FLUXION_INLINE Vec<T> limited(Vec<T> a, Vec<T> b) {
  const Vec<T> zero{};
  if constexpr (kScheme == UpwindScheme::unlimited) return (a + b) * T(0.5);
  if constexpr (kScheme == UpwindScheme::minmod) {
    const Vec<T> chosen = magnitude<T>(a) < magnitude<T>(b) ? a : b;
    return (a > zero) == (b > zero) ? chosen : zero;
  }
  if constexpr (kScheme == UpwindScheme::van_leer) {
    // 2 a b / (a + b), written so that nothing overflows or vanishes where a and b are tiny.
    const Vec<T> slope = (a + a) * (b / (a + b));
    return ((a > zero) & (b > zero)) | ((a < zero) & (b < zero)) ? slope : zero;
  }
  if constexpr (kScheme == UpwindScheme::superbee) {
    const Vec<T> p = magnitude<T>(a), q = magnitude<T>(b);
    const Vec<T> low = smaller<T>(p, q), high = p < q ? q : p;
    const Vec<T> slope = smaller<T>(low + low, high);
    return (a > zero) == (b > zero) ? (a > zero ? slope : -slope) : zero;
  }
}

template <UpwindScheme kScheme, class T>
FLUXION_INLINE Slope<T> limited_slope(Vec<T> a, Vec<T> b) {
  const Vec<T> zero{}, one = zero + T(1);
  Slope<T> slope{limited<kScheme, T>(a, b), zero, zero};
  if constexpr (kScheme == UpwindScheme::unlimited) {
    slope.by_behind = slope.by_before = zero + T(0.5);
  }
  if constexpr (kScheme == UpwindScheme::minmod) {
    const auto same = (a > zero) == (b > zero), behind = magnitude<T>(a) < magnitude<T>(b);
    slope.by_behind = same & behind ? one : zero;
    slope.by_before = same & ~behind ? one : zero;
  }
  if constexpr (kScheme == UpwindScheme::van_leer) {
    const auto same = ((a > zero) & (b > zero)) | ((a < zero) & (b < zero));
    const Vec<T> ra = a / (a + b), rb = b / (a + b);
    slope.by_behind = same ? T(2) * rb * rb : zero;
    slope.by_before = same ? T(2) * ra * ra : zero;
  }
  if constexpr (kScheme == UpwindScheme::superbee) {
    const Vec<T> p = magnitude<T>(a), q = magnitude<T>(b);
    const auto same = (a > zero) == (b > zero), behind_low = p < q;
    const auto doubled = smaller<T>(p, q) * T(2) < (p < q ? q : p);
    // The slope is twice the smaller difference, or the larger one.
    const Vec<T> by_low = doubled ? one + one : zero, by_high = doubled ? zero : one;
    slope.by_behind = same ? (behind_low ? by_low : by_high) : zero;
    slope.by_before = same ? (behind_low ? by_high : by_low) : zero;
  }
  return slope;
}

// The value at a face between cells with below, at, above, beyond around it: at | above.
template <UpwindScheme kScheme, class T>
FLUXION_INLINE Vec<T> face_value(Vec<T> velocity, Vec<T> below, Vec<T> at, Vec<T> above,
                                 Vec<T> beyond) {
  const auto forward = velocity > Vec<T>{};
  const Vec<T> w0 = forward ? at : above, wf = forward ? above : at, w1 = forward ? below : beyond;
  return w0 + limited<kScheme, T>(w0 - w1, wf - w0) * T(0.5);
}

// to = from - transport along the axis.
template <UpwindScheme kScheme, bool kConservative, bool kPart, class T>
FLUXION_INLINE Vec<T> limited_transport(const AxisRows<T>& axis, int64_t j, int n) {
  Vec<T> u[5];
  for (int q = 0; q < 5; ++q) u[q] = load_some<kPart>(axis.u[q] + j, n);
  const Vec<T> a = load_some<kPart>(axis.a[1] + j, n);
  if constexpr (kConservative) {
    const T half = axis.courant / 2;
    const Vec<T> right = (a + load_some<kPart>(axis.a[2] + j, n)) * half;
    const Vec<T> left = (load_some<kPart>(axis.a[0] + j, n) + a) * half;
    return right * face_value<kScheme, T>(right, u[1], u[2], u[3], u[4]) -
           left * face_value<kScheme, T>(left, u[0], u[1], u[2], u[3]);
  }
  const auto forward = a > Vec<T>{};
  const Vec<T> w1 = forward ? u[1] : u[3], w2 = forward ? u[0] : u[4], wf = forward ? u[3] : u[1];
  const Vec<T> d1 = u[2] - w1, d2 = w1 - w2, df = wf - u[2];
  const Vec<T> slopes = limited<kScheme, T>(d1, df) - limited<kScheme, T>(d2, d1);
  return magnitude<T>(a) * axis.courant * (d1 + slopes * T(0.5));
}

template <class T, UpwindScheme kScheme, bool kConservative>
void limited_row(const AxisRows<T>& given, const T* from, T* to, int64_t n) {
  constexpr int w = kLanes<T>;
  const AxisRows<T> axis = given;
  int64_t j = 0;
  for (; j + w <= n; j += w)
    store(to + j, load(from + j) - limited_transport<kScheme, kConservative, false, T>(axis, j, w));
  if (j < n) {
    const int left = static_cast<int>(n - j);
    const Vec<T> moved = limited_transport<kScheme, kConservative, true, T>(axis, j, left);
    store_partial(to + j, load_partial(from + j, left) - moved, left);
  }
}

// The adjoint writes to e[q] what the row's terms give to the cells at offset q - 2 along the axis, and to ga
// the gradient of the velocity component: of the cell (advective), or of each of the two cells whose mean
// is the velocity of the face above (conservative).
template <class T>
struct PulledRows {
  T* e[5];
  T* ga;
};

template <UpwindScheme kScheme, bool kPart, class T>
FLUXION_INLINE void pull_advective(const AxisRows<T>& axis, const PulledRows<T>& to, int64_t j,
                                   int n) {
  const Vec<T> zero{};
  Vec<T> u[5];
  for (int q = 0; q < 5; ++q) u[q] = load_some<kPart>(axis.u[q] + j, n);
  const Vec<T> a = load_some<kPart>(axis.a[1] + j, n), g = load_some<kPart>(axis.g[1] + j, n);
  const auto forward = a > zero;
  const Vec<T> w1 = forward ? u[1] : u[3], w2 = forward ? u[0] : u[4], wf = forward ? u[3] : u[1];
  const Vec<T> d1 = u[2] - w1, d2 = w1 - w2, df = wf - u[2];
  const Slope<T> at = limited_slope<kScheme, T>(d1, df), behind = limited_slope<kScheme, T>(d2, d1);
  const Vec<T> h = g * magnitude<T>(a) * -axis.courant;
  const Vec<T> by_d1 = h * (T(1) + (at.by_behind - behind.by_before) * T(0.5));
  const Vec<T> by_df = h * at.by_before * T(0.5), by_d2 = h * behind.by_behind * T(-0.5);
  const Vec<T> to_w1 = by_d2 - by_d1;
  store_some<kPart>(to.e[0] + j, forward ? -by_d2 : zero, n);
  store_some<kPart>(to.e[1] + j, forward ? to_w1 : by_df, n);
  store_some<kPart>(to.e[2] + j, by_d1 - by_df, n);
  store_some<kPart>(to.e[3] + j, forward ? by_df : to_w1, n);
  store_some<kPart>(to.e[4] + j, forward ? zero : -by_d2, n);
  const Vec<T> ga = g * (d1 + (at.value - behind.value) * T(0.5)) * axis.courant;
  store_some<kPart>(to.ga + j, forward ? -ga : ga, n);
}

template <UpwindScheme kScheme, bool kPart, class T>
FLUXION_INLINE void pull_conservative(const AxisRows<T>& axis, const PulledRows<T>& to, int64_t j,
                                      int n) {
  const Vec<T> zero{};
  Vec<T> u[5];
  for (int q = 1; q < 5; ++q) u[q] = load_some<kPart>(axis.u[q] + j, n);
  const Vec<T> g_face = load_some<kPart>(axis.g[2] + j, n) - load_some<kPart>(axis.g[1] + j, n);
  const T half = axis.courant / 2;
  const Vec<T> a = (load_some<kPart>(axis.a[1] + j, n) + load_some<kPart>(axis.a[2] + j, n)) * half;
  const auto forward = a > zero;
  const Vec<T> w0 = forward ? u[2] : u[3], wf = forward ? u[3] : u[2], w1 = forward ? u[1] : u[4];
  const Slope<T> at = limited_slope<kScheme, T>(w0 - w1, wf - w0);
  const Vec<T> h = g_face * a;
  const Vec<T> to_w0 = h * (T(1) + (at.by_behind - at.by_before) * T(0.5));
  const Vec<T> to_wf = h * at.by_before * T(0.5), to_w1 = h * at.by_behind * T(-0.5);
  store_some<kPart>(to.e[0] + j, zero, n);
  store_some<kPart>(to.e[1] + j, forward ? to_w1 : zero, n);
  store_some<kPart>(to.e[2] + j, forward ? to_w0 : to_wf, n);
  store_some<kPart>(to.e[3] + j, forward ? to_wf : to_w0, n);
  store_some<kPart>(to.e[4] + j, forward ? zero : to_w1, n);
  store_some<kPart>(to.ga + j, g_face * (w0 + at.value * T(0.5)) * half, n);
}

template <class T, UpwindScheme kScheme, bool kConservative>
void pull_limited_row(const AxisRows<T>& given, const PulledRows<T>& to, int64_t n) {
  constexpr int w = kLanes<T>;
  const AxisRows<T> axis = given;
  const PulledRows<T> rows = to;
  for (int64_t j = 0; j < n; j += w) {
    if (j + w <= n) {
      if constexpr (kConservative) {
        pull_conservative<kScheme, false, T>(axis, rows, j, w);
      } else {
        pull_advective<kScheme, false, T>(axis, rows, j, w);
      }
    } else {
      const int left = static_cast<int>(n - j);
      if constexpr (kConservative) {
        pull_conservative<kScheme, true, T>(axis, rows, j, left);
      } else {
        pull_advective<kScheme, true, T>(axis, rows, j, left);
      }
    }
  }
}

template <class T>
void add_row(const T* from, T* to, int64_t n) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + w <= n; j += w) store(to + j, load(to + j) + load(from + j));
  for (; j < n; ++j) to[j] += from[j];
}

// to = (a + b) / 2; exactly a where a is b.
template <class T>
void average_row(const T* a, const T* b, T* to, int64_t n, bool streaming) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + w <= n; j += w) {
    const Vec<T> mean = (load(a + j) + load(b + j)) * T(0.5);
    if (streaming) {
      stream(to + j, mean);
    } else {
      store(to + j, mean);
    }
  }
  for (; j < n; ++j) to[j] = (a[j] + b[j]) * T(0.5);
}

template <class T>
using LimitedRow = void (*)(const AxisRows<T>&, const T*, T*, int64_t);
template <class T>
using PullLimitedRow = void (*)(const AxisRows<T>&, const PulledRows<T>&, int64_t);

template <class T, bool kConservative>
LimitedRow<T> limited_row_of(UpwindScheme scheme) {
  if (scheme == UpwindScheme::minmod) return limited_row<T, UpwindScheme::minmod, kConservative>;
  if (scheme == UpwindScheme::van_leer)
    return limited_row<T, UpwindScheme::van_leer, kConservative>;
  return scheme == UpwindScheme::superbee ? limited_row<T, UpwindScheme::superbee, kConservative>
                                          : limited_row<T, UpwindScheme::unlimited, kConservative>;
}

template <class T, bool kConservative>
PullLimitedRow<T> pull_limited_row_of(UpwindScheme scheme) {
  if (scheme == UpwindScheme::minmod)
    return pull_limited_row<T, UpwindScheme::minmod, kConservative>;
  if (scheme == UpwindScheme::van_leer)
    return pull_limited_row<T, UpwindScheme::van_leer, kConservative>;
  return scheme == UpwindScheme::superbee
             ? pull_limited_row<T, UpwindScheme::superbee, kConservative>
             : pull_limited_row<T, UpwindScheme::unlimited, kConservative>;
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
