// One row of upwind advection, first order, and of its adjoint, in vectors along x. Neighbours along every
// axis are rows: those along y and z stand elsewhere in the plane, those along x are the same row shifted by
// an element, which has ghost cells at its ends. No include guard: see simd.h.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

#define FLUXION_INLINE inline __attribute__((always_inline))

template <bool kPart, class T>
FLUXION_INLINE Vec<T> load_some(const T* p, int n) {
  if constexpr (kPart) return load_partial(p, n);
  return load(p);
}
template <bool kPart, class T>
FLUXION_INLINE void store_some(T* p, Vec<T> v, int n) {
  if constexpr (kPart) {
    store_partial(p, v, n);
  } else {
    store(p, v);
  }
}

template <class T>
FLUXION_INLINE Vec<T> positive_part(Vec<T> a) {
  return a > Vec<T>{} ? a : Vec<T>{};
}
template <class T>
FLUXION_INLINE Vec<T> negative_part(Vec<T> a) {
  return a > Vec<T>{} ? Vec<T>{} : a;
}

// What a row needs along one axis: the rows at -2..2 of u, at -1..1 of the velocity component and of the
// cotangent; the time step over the spacing; where the gradient of the component goes. In a run of rows,
// the next ones stand at the given distances.
template <class T>
struct AxisRows {
  const T* u[5];
  const T* a[3];
  const T* g[3];
  T* ga;
  T courant;
  int64_t u_step, a_step, g_step, ga_step;

  template <bool kU, bool kFaces, bool kCotangent, bool kGradient>
  FLUXION_INLINE void advance() {
    for (int q = 1; kU && q < 4; ++q) u[q] += u_step;
    for (int q = kFaces ? 0 : 1; q < (kFaces ? 3 : 2); ++q) a[q] += a_step;
    for (int q = 0; kCotangent && q < 3; ++q) g[q] += g_step;
    if (kGradient) ga += ga_step;
  }
};

// --- u' = u - sum over the axes of the transport

template <bool kConservative, bool kPart, class T>
FLUXION_INLINE Vec<T> transport(const AxisRows<T>& axis, Vec<T> u, int64_t j, int n) {
  const Vec<T> below = load_some<kPart>(axis.u[1] + j, n);
  const Vec<T> above = load_some<kPart>(axis.u[3] + j, n);
  const Vec<T> a = load_some<kPart>(axis.a[1] + j, n);
  const Vec<T> zero{};
  if constexpr (!kConservative) {
    return a * axis.courant * (a > zero ? u - below : above - u);
  } else {
    const T half = axis.courant / 2;
    const Vec<T> right = (a + load_some<kPart>(axis.a[2] + j, n)) * half;
    const Vec<T> left = (load_some<kPart>(axis.a[0] + j, n) + a) * half;
    return right * (right > zero ? u : above) - left * (left > zero ? below : u);
  }
}

template <int kDims, bool kConservative, bool kPart, class T>
FLUXION_INLINE Vec<T> advected(const AxisRows<T>* axes, int64_t j, int n) {
  const Vec<T> u = load_some<kPart>(axes[0].u[2] + j, n);
  Vec<T> next = u - transport<kConservative, kPart>(axes[0], u, j, n);
  if constexpr (kDims > 1) next -= transport<kConservative, kPart>(axes[1], u, j, n);
  if constexpr (kDims > 2) next -= transport<kConservative, kPart>(axes[2], u, j, n);
  return next;
}

template <int kDims, bool kConservative, bool kStream, class T>
FLUXION_INLINE void advect_one_row(const AxisRows<T>* axes, T* out, int64_t n) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + w <= n; j += w) {
    const Vec<T> next = advected<kDims, kConservative, false, T>(axes, j, w);
    if constexpr (kStream) {
      stream(out + j, next);
    } else {
      store(out + j, next);
    }
  }
  if (j < n) {
    const int left = static_cast<int>(n - j);
    store_partial(out + j, advected<kDims, kConservative, true, T>(axes, j, left), left);
  }
}

// A run of rows of n cells.
template <class T, int kDims, bool kConservative>
void advect_run(const AxisRows<T>* given, T* out, int64_t n, int64_t rows, bool streaming) {
  AxisRows<T> axes[kDims];  // a copy that no store can change
  for (int k = 0; k < kDims; ++k) axes[k] = given[k];
  for (int64_t r = 0; r < rows; ++r, out += n) {
    if (streaming) {
      advect_one_row<kDims, kConservative, true, T>(axes, out, n);
    } else {
      advect_one_row<kDims, kConservative, false, T>(axes, out, n);
    }
    for (int k = 0; k < kDims; ++k) axes[k].template advance<true, kConservative, false, false>();
  }
}

// --- the adjoint: gu gathers from the cells that u moved to

enum class VelocityGradient { none, add, write };

template <class T>
struct Pulled {
  Vec<T> u;  // what the axis adds to gu
  Vec<T>
      a;  // the gradient of the velocity component, before the factor -courant (advective) or courant / 2
};

template <bool kConservative, bool kPart, class T>
FLUXION_INLINE Pulled<T> pull(const AxisRows<T>& axis, Vec<T> g, int64_t j, int n,
                              bool with_velocity) {
  const Vec<T> zero{};
  const Vec<T> a = load_some<kPart>(axis.a[1] + j, n);
  const Vec<T> a_below = load_some<kPart>(axis.a[0] + j, n);
  const Vec<T> a_above = load_some<kPart>(axis.a[2] + j, n);
  const Vec<T> g_below = load_some<kPart>(axis.g[0] + j, n);
  const Vec<T> g_above = load_some<kPart>(axis.g[2] + j, n);
  Pulled<T> pulled{};
  if constexpr (!kConservative) {
    const Vec<T> kept = a > zero ? a : -a;
    pulled.u =
        (positive_part<T>(a_above) * g_above - negative_part<T>(a_below) * g_below - kept * g) *
        axis.courant;
  } else {
    const Vec<T> right = a + a_above, left = a_below + a;
    const T half = axis.courant / 2;
    pulled.u =
        (positive_part<T>(right) * (g_above - g) + negative_part<T>(left) * (g - g_below)) * half;
  }
  if (!with_velocity) return pulled;
  const Vec<T> u = load_some<kPart>(axis.u[2] + j, n);
  const Vec<T> below = load_some<kPart>(axis.u[1] + j, n);
  const Vec<T> above = load_some<kPart>(axis.u[3] + j, n);
  if constexpr (!kConservative) {
    pulled.a = g * (a > zero ? u - below : above - u);
  } else {
    const Vec<T> right = a + a_above, left = a_below + a;
    pulled.a =
        (g_above - g) * (right > zero ? u : above) + (g - g_below) * (left > zero ? below : u);
  }
  return pulled;
}

// The row's vector at j: gu is returned, velocity gradients are stored.
template <int kDims, bool kConservative, VelocityGradient kGradient, bool kPart, bool kStream,
          class T>
FLUXION_INLINE Vec<T> pulled_back(const AxisRows<T>* axes, int64_t j, int n) {
  const Vec<T> g = load_some<kPart>(axes[0].g[1] + j, n);
  Vec<T> gu = g;
  for (int k = 0; k < kDims; ++k) {
    const Pulled<T> pulled =
        pull<kConservative, kPart>(axes[k], g, j, n, kGradient != VelocityGradient::none);
    gu += pulled.u;
    if constexpr (kGradient == VelocityGradient::none) continue;
    const T factor = kConservative ? axes[k].courant / 2 : -axes[k].courant;
    T* ga = axes[k].ga + j;
    Vec<T> value = pulled.a * factor;
    if constexpr (kGradient == VelocityGradient::add) value += load_some<kPart>(ga, n);
    if constexpr (kStream && kGradient == VelocityGradient::write) {
      stream(ga, value);
    } else {
      store_some<kPart>(ga, value, n);
    }
  }
  return gu;
}

enum class Cotangent { none, store, stream };

template <int kDims, bool kConservative, VelocityGradient kGradient, Cotangent kTo, class T>
FLUXION_INLINE void pull_one_row(const AxisRows<T>* axes, T* gu, int64_t n) {
  constexpr int w = kLanes<T>;
  constexpr bool kStream = kTo == Cotangent::stream;
  int64_t j = 0;
  for (; j + w <= n; j += w) {
    const Vec<T> value =
        pulled_back<kDims, kConservative, kGradient, false, kStream, T>(axes, j, w);
    if constexpr (kTo == Cotangent::stream) stream(gu + j, value);
    if constexpr (kTo == Cotangent::store) store(gu + j, value);
  }
  if (j < n) {
    const int left = static_cast<int>(n - j);
    const Vec<T> value =
        pulled_back<kDims, kConservative, kGradient, true, false, T>(axes, j, left);
    if constexpr (kTo != Cotangent::none) store_partial(gu + j, value, left);
  }
}

// A run of rows; gu may be null.
template <class T, int kDims, bool kConservative, VelocityGradient kGradient>
void pull_run(const AxisRows<T>* given, T* gu, int64_t n, int64_t rows, bool streaming) {
  constexpr bool kWithVelocity = kGradient != VelocityGradient::none;
  AxisRows<T> axes[kDims];
  for (int k = 0; k < kDims; ++k) axes[k] = given[k];
  for (int64_t r = 0; r < rows; ++r) {
    if (!gu) {
      pull_one_row<kDims, kConservative, kGradient, Cotangent::none, T>(axes, gu, n);
    } else if (streaming) {
      pull_one_row<kDims, kConservative, kGradient, Cotangent::stream, T>(axes, gu + r * n, n);
    } else {
      pull_one_row<kDims, kConservative, kGradient, Cotangent::store, T>(axes, gu + r * n, n);
    }
    for (int k = 0; k < kDims; ++k)
      axes[k].template advance<kWithVelocity, true, true, kWithVelocity>();
  }
}

// --- the instances, chosen at run time

template <class T>
using RunOfRows = void (*)(const AxisRows<T>*, T*, int64_t, int64_t, bool);

template <class T, bool kConservative>
RunOfRows<T> advect_run_of(int dims) {
  if (dims == 1) return advect_run<T, 1, kConservative>;
  return dims == 2 ? advect_run<T, 2, kConservative> : advect_run<T, 3, kConservative>;
}

template <class T, bool kConservative, VelocityGradient kGradient>
RunOfRows<T> pull_run_of(int dims) {
  if (dims == 1) return pull_run<T, 1, kConservative, kGradient>;
  return dims == 2 ? pull_run<T, 2, kConservative, kGradient>
                   : pull_run<T, 3, kConservative, kGradient>;
}

template <class T, bool kConservative>
RunOfRows<T> pull_run_of(int dims, VelocityGradient gradient) {
  if (gradient == VelocityGradient::none)
    return pull_run_of<T, kConservative, VelocityGradient::none>(dims);
  return gradient == VelocityGradient::add
             ? pull_run_of<T, kConservative, VelocityGradient::add>(dims)
             : pull_run_of<T, kConservative, VelocityGradient::write>(dims);
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
