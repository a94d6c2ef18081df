// Cosine and sine transforms of types 1 to 4 along one dimension; the matrices are in ops/fourier.h.
//
// A block is a vector of lines. With V the transform of the real line v (fft_real.h), w = e^(-pi i / (2 n)):
//     cos-2  v = even points, then odd points backwards; y_k = Re w^k V_k, y_(n-k) = -Im w^k V_k    (Makhoul)
//     cos-3  its transpose
//     cos-4  n odd: a permutation with signs, from Z_8n = Z_8 x Z_n, of one transform of n points (Chan and
//            Ho); n even: c_j = x_2j + i x_(n-1-2j), n / 2 points, between two rotations
//     cos-1, sin-1  even and odd extension to 2 (n - 1) and 2 (n + 1) numbers
//     sin-2, sin-3, sin-4  the cosine transforms with lines reversed on one side, signs alternating on the other
// Sources: Makhoul (1980); Chan and Ho, IEEE Trans. Circuits Systems II 39 (1992); docs/numerics/fourier.md.
#include <utility>

#include "cpu/kernel.h"
#include "ops/fourier.h"

#define FLUXION_KERNELS "cpu/fourier_trigonometric.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/fft.h"
#include "cpu/fft_lanes.h"
#include "cpu/fft_real.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

using Kind = TrigonometricKind;

bool is_sine(Kind kind) { return static_cast<int>(kind) >= static_cast<int>(Kind::sin1); }
int type_of(Kind kind) { return static_cast<int>(kind) % 4 + 1; }

template <class T>
struct Transform {
  Kind kind;
  int64_t n;
  T scale, end_in, end_out;
  RealPlan<T> plan;
  const T* roots;           // types 2, 3: w^k, k <= n / 2; type 4, n even: see fill_rotations
  const int32_t* permuted;  // type 4, n odd: see fill_permutation
};

// Lines x are [n][w].
template <class T>
Vec<T> get(const T* x, int64_t j) {
  return load(x + kLanes<T> * j);
}
template <class T>
void put(T* x, int64_t j, Vec<T> value) {
  store(x + kLanes<T> * j, value);
}

// --- type 2 and its transpose

template <class T>
void reorder(const T* x, int64_t n, T* v) {
  for (int64_t j = 0; 2 * j < n; ++j) put<T>(v, j, get(x, 2 * j));
  for (int64_t j = 0; 2 * j + 1 < n; ++j) put<T>(v, n - 1 - j, get(x, 2 * j + 1));
}
template <class T>
void reorder_back(const T* v, int64_t n, T* x) {
  for (int64_t j = 0; 2 * j < n; ++j) put<T>(x, 2 * j, get(v, j));
  for (int64_t j = 0; 2 * j + 1 < n; ++j) put<T>(x, 2 * j + 1, get(v, n - 1 - j));
}

template <class T>
void rotate_out(const T* v, int64_t n, const T* roots, T* y) {
  put<T>(y, 0, fft_get(v, 0).re);
  for (int64_t k = 1; 2 * k <= n; ++k) {
    const FftVec<T> z = fft_times<T>(fft_get(v, k), roots[2 * k], roots[2 * k + 1]);
    put<T>(y, n - k, -z.im);
    put<T>(y, k, z.re);
  }
}
template <class T>
void rotate_in(const T* x, int64_t n, const T* roots, T* v) {
  fft_set(v, 0, FftVec<T>{get(x, 0), Vec<T>{}});
  for (int64_t k = 1; 2 * k <= n; ++k) {
    const T c = roots[2 * k] * T(0.5), s = roots[2 * k + 1] * T(0.5);
    fft_set(v, k, fft_times<T>({get(x, k), -get(x, n - k)}, c, -s));
  }
}

// --- type 4

// n odd: for r < n, 2 j + sign bit of the point in place r; then for k < n, 2 t + sign bit of its bin. Every
// orbit {a, -a, 4 n + a, 4 n - a} of odd numbers mod 8 n, cos being equal up to sign on it, has one member
// = 1 mod 8, which its residue mod n names; among those a b / 8 n = alpha / 8 + beta a b / n mod 1.
void fill_permutation(int64_t n, int32_t* to) {
  int64_t beta = 0;
  while (8 * beta % n != 1 % n) ++beta;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t a = 2 * j + 1;
    const int64_t orbit[4] = {a, 8 * n - a, 4 * n + a, 4 * n - a};
    for (int i = 0; i < 4; ++i) {
      if (orbit[i] % 8 != 1) continue;
      const int32_t sign = i >= 2;
      to[orbit[i] % n] = static_cast<int32_t>(2 * j) + sign;
      to[n + j] = static_cast<int32_t>(2 * (beta * orbit[i] % n)) + sign;
    }
  }
}

template <class T>
void permute_in(const T* x, int64_t n, const int32_t* permuted, T* v) {
  for (int64_t r = 0; r < n; ++r) {
    put<T>(v, r, get(x, permuted[r] / 2) * (permuted[r] % 2 ? T(-1) : T(1)));
  }
}
template <class T>
void permute_out(const T* v, int64_t n, const int32_t* permuted, T* y) {
  // y_k = +-Re e^(-i phi) V_t, phi = pi alpha / 4, alpha = 1 / n mod 8 = n mod 8
  const T h = static_cast<T>(0.70710678118654752440);
  const T c = n % 8 == 1 || n % 8 == 7 ? h : -h, s = n % 8 == 1 || n % 8 == 3 ? h : -h;
  for (int64_t k = 0; k < n; ++k) {
    const FftVec<T> z = fft_get(v, permuted[n + k] / 2);
    const T sign = permuted[n + k] % 2 ? T(-1) : T(1);
    put<T>(y, k, z.re * (sign * c) + z.im * (sign * s));
  }
}

// n even: e^(-pi i (4 j + 1) / 4 n), then e^(-pi i k / n), j, k < n / 2.
template <class T>
void fill_rotations(int64_t n, T* to) {
  for (int64_t j = 0; 2 * j < n; ++j) fft_put_root(to + 2 * j, 4 * j + 1, 8 * n);
  for (int64_t k = 0; 2 * k < n; ++k) fft_put_root(to + n + 2 * k, k, 2 * n);
}
template <class T>
void transform_halves(const Transform<T>& t, T* x, T* v, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t n = t.n;
  for (int64_t j = 0; 2 * j < n; ++j) {
    const FftVec<T> z{get(x, 2 * j), get(x, n - 1 - 2 * j)};
    fft_set(v, j, fft_times<T>(z, t.roots[2 * j], t.roots[2 * j + 1]));
  }
  const FftLines<T> lines{v, v + w, 2 * w};
  fft_lines<T>(t.plan.complex, lines, lines, false, scratch);
  const T* after = t.roots + n;
  for (int64_t k = 0; 2 * k < n; ++k) {
    const FftVec<T> z = fft_times<T>(fft_get(v, k), after[2 * k], after[2 * k + 1]);
    put<T>(x, 2 * k, z.re);
    put<T>(x, n - 1 - 2 * k, -z.im);
  }
}

// --- type 1

template <class T>
void extend_even(const T* x, int64_t n, T* v) {
  put<T>(v, 0, get(x, 0) * T(2));
  put<T>(v, n - 1, get(x, n - 1) * T(2));
  for (int64_t j = 1; j + 1 < n; ++j) {
    put<T>(v, j, get(x, j));
    put<T>(v, 2 * (n - 1) - j, get(x, j));
  }
}
template <class T>
void extend_odd(const T* x, int64_t n, T* v) {
  put<T>(v, 0, Vec<T>{});
  put<T>(v, n + 1, Vec<T>{});
  for (int64_t j = 1; j <= n; ++j) {
    put<T>(v, j, get(x, j - 1));
    put<T>(v, 2 * (n + 1) - j, -get(x, j - 1));
  }
}

// --- lines

template <class T>
void reverse(T* x, int64_t n) {
  for (int64_t j = 0; 2 * j + 1 < n; ++j) {
    const Vec<T> a = get(x, j);
    put<T>(x, j, get(x, n - 1 - j));
    put<T>(x, n - 1 - j, a);
  }
}
// Changes the sign of every second point.
template <class T>
void alternate(T* x, int64_t n) {
  for (int64_t j = 1; j < n; j += 2) put<T>(x, j, -get(x, j));
}

// The matrix on lines x, with room v for the transform.
template <class T>
void apply(const Transform<T>& t, T* x, T* v, T* scratch) {
  const int64_t n = t.n;
  switch (t.kind) {
    case Kind::cos1:
      extend_even(x, n, v);
      real_forward(t.plan, v, scratch);
      for (int64_t k = 0; k < n; ++k) put<T>(x, k, fft_get(v, k).re * T(0.5));
      return;
    case Kind::sin1:
      extend_odd(x, n, v);
      real_forward(t.plan, v, scratch);
      for (int64_t k = 0; k < n; ++k) put<T>(x, k, fft_get(v, k + 1).im * T(-0.5));
      return;
    case Kind::cos2:
    case Kind::sin2:
      reorder(x, n, v);
      real_forward(t.plan, v, scratch);
      return rotate_out(v, n, t.roots, x);
    case Kind::cos3:
    case Kind::sin3:
      rotate_in(x, n, t.roots, v);
      real_inverse(t.plan, v, scratch);
      return reorder_back(v, n, x);
    case Kind::cos4:
    case Kind::sin4:
      if (n % 2 == 0) return transform_halves(t, x, v, scratch);
      permute_in(x, n, t.permuted, v);
      real_forward(t.plan, v, scratch);
      return permute_out(v, n, t.permuted, x);
  }
}

template <class T>
void scale_ends(const Transform<T>& t, T* x, T factor, bool first, bool last) {
  if (factor == T(1)) return;
  if (first) put<T>(x, 0, get(x, 0) * factor);
  if (last) put<T>(x, t.n - 1, get(x, t.n - 1) * factor);
}

template <class T>
void run_lines(const Transform<T>& t, const LaneGroups& groups, int64_t group, const T* from,
               int64_t given, T* to, int64_t size, T* x) {
  constexpr int w = kLanes<T>;
  const int64_t n = t.n;
  T* v = x + w * n;
  T* scratch = v + 2 * w * real_fft_room(t.plan.n);
  const int count = static_cast<int>(groups.lines(group));
  const LineGroup<const T> in{
      from, groups.order(), given, groups.inner, groups.first_line(group), count, 1};
  const int type = type_of(t.kind);
  const bool sine = is_sine(t.kind);
  load_real_lines(in, n, x, w);
  scale_ends(t, x, t.end_in, !sine && (type == 1 || type == 3),
             (!sine && type == 1) || (sine && type == 3));
  if (sine && type == 2) alternate(x, n);
  if (sine && type > 2) reverse(x, n);
  apply(t, x, v, scratch);
  if (sine && type == 2) reverse(x, n);
  if (sine && type > 2) alternate(x, n);
  scale_ends(t, x, t.end_out, !sine && type <= 2, (!sine && type == 1) || (sine && type == 2));
  store_real_lines(x, w, n, t.scale,
                   LineGroup<T>{to, in.order, size, in.inner, in.first, count, 1});
}

template <class T>
bool prepare(const Kernel& call, Transform<T>& t) {
  const int64_t n = t.n;
  if (!real_plan<T>(call, trigonometric_period(t.kind, n), t.plan)) return false;
  const int type = type_of(t.kind);
  if (type == 1) return true;
  const int form = type == 4 ? 4 + static_cast<int>(n % 2) : 2;
  const PlanKey key = PlanKey("trigonometric").add(n).add(sizeof(T)).add(form);
  const size_t bytes = 2 * static_cast<size_t>(n + 2) * sizeof(T);
  const void* table = call.plans->find(key.text(), bytes, [&](void* to) {
    T* roots = static_cast<T*>(to);
    if (form == 5) return fill_permutation(n, static_cast<int32_t*>(to));
    if (form == 4) return fill_rotations(n, roots);
    for (int64_t k = 0; 2 * k <= n; ++k) fft_put_root(roots + 2 * k, k, 4 * n);
  });
  t.roots = static_cast<const T*>(table);
  t.permuted = static_cast<const int32_t*>(table);
  return table != nullptr;
}

template <class T>
void transform(const TrigonometricParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  Transform<T> t{p.kind,
                 p.length,
                 static_cast<T>(p.scale),
                 static_cast<T>(p.end_in),
                 static_cast<T>(p.end_out),
                 {},
                 nullptr,
                 nullptr};
  if (!prepare(call, t)) {
    call.fault(ErrorCode::OutOfMemory, "no memory for the tables of a transform of %lld points",
               static_cast<long long>(p.length));
    return;
  }
  const Shape& shape = call.in(0).shape;
  const int dim = static_cast<int>(p.dim);
  LaneGroups groups{1, 1, kLanes<T>};
  for (int d = 0; d < dim; ++d) groups.outer *= shape[d];
  for (int d = dim + 1; d < shape.ndim; ++d) groups.inner *= shape[d];
  const T* from = call.in(0).as<T>();
  T* to = call.out(0).as<T>();
  call.parallel_for(groups.count(), [&](int64_t group, int thread) {
    run_lines(t, groups, group, from, shape[dim], to, p.size, call.scratch<T>(thread));
  });
}

}  // namespace

void k_trigonometric(const TrigonometricParams& p, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(p, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
