// Thomas elimination of tridiagonal systems side by side: G packs of type V, a vector with a system in
// each lane or a scalar. Read once per instruction set, after simd.h and reciprocal.h. Lines are [unknown][G packs].

namespace fluxion::cpu::FLUXION_TARGET {

template <class V, class T>
inline __attribute__((always_inline)) V read_pack(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V, class T>
inline __attribute__((always_inline)) void write_pack(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class V, class T>
inline __attribute__((always_inline)) V inverse_pivot(V pivot) {
  if constexpr (sizeof(V) == sizeof(T)) {
    return T(1) / pivot;
  } else {
    return reciprocal<T>(pivot);
  }
}

// x holds the right-hand side and becomes the solution; c and q (periodic) are scratch.
template <class V, class T, int G>
class ThomasSweep {
 public:
  static constexpr int w = sizeof(V) / sizeof(T), pitch = G * w;

  ThomasSweep(int64_t n, bool ring) : n_(n), ring_(ring) {
    for (int g = 0; g < G; ++g) c_[g] = d_[g] = q_[g] = gamma_[g] = ratio_[g] = V{};
  }

  // The coefficient lines begin with unknown `begin`; x, c and q with unknown 0.
  inline void advance(int64_t begin, int64_t count, const T* lower, const T* diag, const T* upper,
                      T* x, T* c, T* q) {
    if (ring_) return advance_ring(begin, count, lower, diag, upper, x, c, q);
    V cc[G], dd[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) cc[g] = c_[g], dd[g] = d_[g];
    for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const int64_t from = i * pitch + g * w, to = from + begin * pitch;
        const V l = begin + i ? read_pack<V>(lower + from) : V{};
        const V m = inverse_pivot<V, T>(read_pack<V>(diag + from) - l * cc[g]);
        cc[g] = (begin + i + 1 < n_ ? read_pack<V>(upper + from) : V{}) * m;
        dd[g] = (read_pack<V>(x + to) - l * dd[g]) * m;
        write_pack(c + to, cc[g]);
        write_pack(x + to, dd[g]);
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) c_[g] = cc[g], d_[g] = dd[g];
  }

  inline void back(T* x, const T* c, T* q) {
    V d[G], e[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) d[g] = e[g] = V{};
    for (int64_t i = n_ - 1; i >= 0; --i) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const int64_t at = i * pitch + g * w;
        const V cc = read_pack<V>(c + at);
        d[g] = read_pack<V>(x + at) - cc * d[g];
        write_pack(x + at, d[g]);
        if (!ring_) continue;
        e[g] = read_pack<V>(q + at) - cc * e[g];
        write_pack(q + at, e[g]);
      }
    }
    if (!ring_) return;
    for (int g = 0; g < G; ++g) {
      const int64_t last = (n_ - 1) * pitch + g * w;
      const V share = (d[g] + ratio_[g] * read_pack<V>(x + last)) /
                      (T(1) + e[g] + ratio_[g] * read_pack<V>(q + last));
      for (int64_t i = 0; i < n_; ++i) {
        const int64_t at = i * pitch + g * w;
        write_pack(x + at, read_pack<V>(x + at) - share * read_pack<V>(q + at));
      }
    }
  }

 private:
  // Sherman-Morrison: A = T + (gamma, 0 .. 0, beta)^T (1, 0 .. 0, alpha / gamma), alpha = lower_0,
  // beta = upper_{n-1}; q solves T q = (gamma, 0 .. 0, beta).
  inline void advance_ring(int64_t begin, int64_t count, const T* lower, const T* diag,
                           const T* upper, T* x, T* c, T* q) {
    for (int64_t i = 0; i < count; ++i) {
      const bool first = begin + i == 0, last = begin + i + 1 == n_;
      for (int g = 0; g < G; ++g) {
        const int64_t from = i * pitch + g * w, to = from + begin * pitch;
        V l = read_pack<V>(lower + from), b = read_pack<V>(diag + from);
        V u = read_pack<V>(upper + from), right{};
        if (first) {
          gamma_[g] = right = -b;
          ratio_[g] = l / gamma_[g];
          b = b - gamma_[g];
          l = V{};
        } else if (last) {
          right = u;
          b = b - u * ratio_[g];
          u = V{};
        }
        const V m = inverse_pivot<V, T>(b - l * c_[g]);
        c_[g] = u * m;
        d_[g] = (read_pack<V>(x + to) - l * d_[g]) * m;
        q_[g] = (right - l * q_[g]) * m;
        write_pack(c + to, c_[g]);
        write_pack(x + to, d_[g]);
        write_pack(q + to, q_[g]);
      }
    }
  }

  int64_t n_;
  bool ring_;
  V c_[G], d_[G], q_[G], gamma_[G], ratio_[G];
};

// A ring of one or two cells as an open system: entries that meet the same cell add up.
template <class V, class T, int G>
inline void merge_neighbours(int64_t n, T* lower, T* diag, T* upper) {
  constexpr int w = sizeof(V) / sizeof(T), pitch = G * w;
  for (int g = 0; g < G; ++g) {
    T *l = lower + g * w, *d = diag + g * w, *u = upper + g * w;
    if (n == 1) {
      write_pack(d, read_pack<V>(d) + read_pack<V>(l) + read_pack<V>(u));
    } else {
      write_pack(u, read_pack<V>(u) + read_pack<V>(l));
      write_pack(l + pitch, read_pack<V>(l + pitch) + read_pack<V>(u + pitch));
    }
  }
}

// A^T x = x; the coefficient lines are used up.
template <class V, class T, int G>
inline void solve_transposed(int64_t n, bool periodic, T* lower, T* diag, T* upper, T* x, T* c,
                             T* q) {
  constexpr int w = sizeof(V) / sizeof(T), pitch = G * w;
  // lower' is upper one cell back and upper' is lower one cell on, around the ring.
  for (int g = 0; g < G; ++g) {
    T *l = lower + g * w, *u = upper + g * w;
    const V first = read_pack<V>(l), last = read_pack<V>(u + (n - 1) * pitch);
    for (int64_t i = n - 1; i > 0; --i)
      write_pack(u + i * pitch, read_pack<V>(u + (i - 1) * pitch));
    for (int64_t i = 0; i + 1 < n; ++i)
      write_pack(l + i * pitch, read_pack<V>(l + (i + 1) * pitch));
    write_pack(u, last);
    write_pack(l + (n - 1) * pitch, first);
  }
  if (periodic && n <= 2) merge_neighbours<V, T, G>(n, upper, diag, lower);
  ThomasSweep<V, T, G> sweep(n, periodic && n > 2);
  sweep.advance(0, n, upper, diag, lower, x, c, q);
  sweep.back(x, c, q);
}

// to_i = -lambda_i x_{i + shift}, 0 beyond the ends of an open system.
template <class V, class T, int G>
inline void outer_product(int64_t n, int shift, bool periodic, const T* lambda, const T* x, T* to) {
  constexpr int w = sizeof(V) / sizeof(T), pitch = G * w;
  for (int64_t i = 0; i < n; ++i) {
    int64_t j = i + shift;
    const bool beyond = j < 0 || j >= n;
    if (beyond) j += j < 0 ? n : -n;
    for (int g = 0; g < G; ++g) {
      const int64_t at = i * pitch + g * w;
      const V product = -read_pack<V>(lambda + at) * read_pack<V>(x + j * pitch + g * w);
      write_pack(to + at, beyond && !periodic ? V{} : product);
    }
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
