// Solves (I - tau A) x = b along lines whose diffusivity varies from cell to cell, one line in each SIMD
// lane. Read once per instruction set, after simd.h and reciprocal.h.
//
// (A x)_i = F_{i+1/2} - F_{i-1/2}, F_{i+1/2} = f_{i+1/2} (x_{i+1} - x_i), f the face value of tau k / dx^2.
// Elimination in terms of s_i, what is left of row i without its right face:
//     p_i = s_i + f_{i+1/2},   c_i = f_{i+1/2} / p_i,   s_{i+1} = 1 + s_i c_i
//     forward  y_i = b_i + c_{i-1} y_{i-1}, d_i = y_i / p_i       backward  x_i = d_i + c_i x_{i+1}
// Only positive numbers are added, so that no large f cancels the 1 and the sums over closed lines are kept
// to rounding. With f = n / d both p and c come from one reciprocal, of s d + n: a cell costs no other
// division, not even for the harmonic mean. A periodic line is the closed one plus the rank-one matrix
// f (e_0 - e_last)(e_0 - e_last)^T of the face that joins its ends (Sherman-Morrison), whose denominator is
// at least 1.
// Source: Grassmann, Taksar, Heyman (1985) for the subtraction-free pivots; Press et al., 2.7.

namespace fluxion::cpu::FLUXION_TARGET {

// Vector g of cell i is at `at + i * pitch + g * lanes`.
template <class T>
struct Lines {
  T* at;
  int64_t pitch;
};

// tau k / dx^2 is read as `scale * k`, chosen so that a face is n / d = a b / (a + b) or a + b.
template <bool kHarmonic>
inline constexpr double kFaceScale = kHarmonic ? 2.0 : 0.5;

// Added to every scaled diffusivity: lost beside the 1 of the matrix, and d > 0 where both cells are 0
// without a denormal product.
template <class T>
inline constexpr T kLeastDiffusivity = sizeof(T) == 4 ? T(1e-18) : T(1e-150);

template <class T>
inline __attribute__((always_inline)) Vec<T> scaled(T scale, const T* k) {
  return scale * load(k) + kLeastDiffusivity<T>;
}

// The face between scaled diffusivities.
template <class T, bool kHarmonic>
inline __attribute__((always_inline)) Vec<T> face_value(Vec<T> a, Vec<T> b) {
  if constexpr (!kHarmonic) return a + b;
  return a * b * reciprocal<T>(a + b);
}

// c and m = 1 / p of G vectors in lines of their own width; m is not written when nobody needs it again.
template <class T>
struct Factors {
  T* c;
  T* m;
  T* z;  // periodic: see close_ring
};

// The forward sweep of G vectors of lines, with the factors computed on the way.
template <class T, int G, bool kHarmonic>
struct Elimination {
  static constexpr int w = kLanes<T>, pitch = G * w;
  T scale, wall;  // wall: the face at an open end over the scaled diffusivity, else 0

  // Cell i + 1 completes row i. d may be the memory of b.
  template <bool kKeep>
  inline void run(Lines<const T> k, Lines<const T> b, T* d, T* c, T* m, int64_t n) const {
    Vec<T> s[G], a[G], y[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      a[g] = scaled(scale, k.at + g * w);
      s[g] = T(1) + wall * a[g];
      y[g] = load(b.at + g * w);
    }
    for (int64_t i = 0; i + 1 < n; ++i) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const int64_t at = i * pitch + g * w;
        const Vec<T> next = scaled(scale, k.at + (i + 1) * k.pitch + g * w);
        Vec<T> cc, mm;
        if constexpr (kHarmonic) {
          const Vec<T> numerator = a[g] * next, denominator = a[g] + next;
          const Vec<T> r = reciprocal<T>(s[g] * denominator + numerator);
          cc = numerator * r;
          mm = denominator * r;
        } else {
          const Vec<T> face = a[g] + next;
          mm = reciprocal<T>(s[g] + face);
          cc = face * mm;
        }
        const Vec<T> below = load(b.at + (i + 1) * b.pitch + g * w);
        store(d + at, y[g] * mm);
        store(c + at, cc);
        if constexpr (kKeep) store(m + at, mm);
        y[g] = below + cc * y[g];
        s[g] = T(1) + s[g] * cc;
        a[g] = next;
      }
    }
    const int64_t last = (n - 1) * pitch;
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const int64_t at = last + g * w;
      const Vec<T> mm = T(1) / (s[g] + wall * a[g]);
      store(d + at, y[g] * mm);
      store(c + at, Vec<T>{});
      if constexpr (kKeep) store(m + at, mm);
    }
  }
};

// The forward sweep with known factors: the same bits as when they are computed on the way.
template <class T, int G>
inline void eliminate(const Factors<T>& f, Lines<const T> b, T* d, int64_t n) {
  constexpr int w = kLanes<T>, pitch = G * w;
  Vec<T> y[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) y[g] = load(b.at + g * w);
  for (int64_t i = 0; i + 1 < n; ++i) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const int64_t at = i * pitch + g * w;
      const Vec<T> below = load(b.at + (i + 1) * b.pitch + g * w);
      store(d + at, y[g] * load(f.m + at));
      y[g] = below + load(f.c + at) * y[g];
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) {
    const int64_t at = (n - 1) * pitch + g * w;
    store(d + at, y[g] * load(f.m + at));
  }
}

// What becomes of a solution x on its way to memory.
enum class Finish { plain, reflect, stream, stream_reflect };

template <class T, Finish kFinish>
inline __attribute__((always_inline)) void finish(T* to, Vec<T> x, const T* b) {
  constexpr bool reflects = kFinish == Finish::reflect || kFinish == Finish::stream_reflect;
  if constexpr (reflects) x = x + x - load(b);
  if constexpr (kFinish == Finish::stream || kFinish == Finish::stream_reflect) {
    stream(to, x);
  } else {
    store(to, x);
  }
}

// The backward sweep, from d in lines of their own width to x.
template <class T, int G, Finish kFinish>
inline void substitute_back(const T* c, const T* d, Lines<const T> b, Lines<T> x, int64_t n) {
  constexpr int w = kLanes<T>, pitch = G * w;
  Vec<T> carried[G] = {};
  for (int64_t i = n - 1; i >= 0; --i) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const int64_t at = i * pitch + g * w;
      carried[g] = load(d + at) + load(c + at) * carried[g];
      finish<T, kFinish>(x.at + i * x.pitch + g * w, carried[g], b.at + i * b.pitch + g * w);
    }
  }
}

// The vector of Sherman-Morrison: T z = e_0 - e_last, times f / (1 + f (z_0 - z_last)).
template <class T, int G, bool kHarmonic>
inline void corner_vector(Lines<const T> k, T scale, const Factors<T>& f, int64_t n) {
  constexpr int w = kLanes<T>, pitch = G * w;
  for (int g = 0; g < G; ++g) {
    Vec<T> carried{};
    for (int64_t i = 0; i < n; ++i) {
      const T right = static_cast<T>((i == 0) - (i == n - 1));
      const int64_t at = i * pitch + g * w;
      const Vec<T> y = right + carried;
      carried = load(f.c + at) * y;
      store(f.z + at, y * load(f.m + at));
    }
    Vec<T> x{};
    for (int64_t i = n - 1; i >= 0; --i) {
      const int64_t at = i * pitch + g * w;
      x = load(f.z + at) + load(f.c + at) * x;
      store(f.z + at, x);
    }
    const Vec<T> joint = face_value<T, kHarmonic>(scaled(scale, k.at + (n - 1) * k.pitch + g * w),
                                                  scaled(scale, k.at + g * w));
    const Vec<T> weight = joint / (T(1) + joint * (x - load(f.z + (n - 1) * pitch + g * w)));
    for (int64_t i = 0; i < n; ++i) {
      T* z = f.z + i * pitch + g * w;
      store(z, load(z) * weight);
    }
  }
}

// x -= (x_0 - x_last) z, from lines of their own width.
template <class T, int G, Finish kFinish>
inline void close_ring(const T* from, const T* z, Lines<const T> b, Lines<T> x, int64_t n) {
  constexpr int w = kLanes<T>, pitch = G * w;
  Vec<T> jump[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) jump[g] = load(from + g * w) - load(from + (n - 1) * pitch + g * w);
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const int64_t at = i * pitch + g * w;
      finish<T, kFinish>(x.at + i * x.pitch + g * w, load(from + at) - jump[g] * load(z + at),
                         b.at + i * b.pitch + g * w);
    }
  }
}

// Derivatives of a face in the two cells beside it, times `flux`; 0 where both cells are 0.
template <class T, bool kHarmonic>
inline __attribute__((always_inline)) void face_derivatives(Vec<T> a, Vec<T> b, Vec<T> flux,
                                                            Vec<T>& in_a, Vec<T>& in_b) {
  if constexpr (kHarmonic) {
    const Vec<T> least = broadcast<T>(std::numeric_limits<T>::min());
    const Vec<T> sum = a + b;
    const Vec<T> r = reciprocal<T>(sum > least ? sum : least);
    const Vec<T> of_a = b * r, of_b = a * r;
    in_a = of_a * of_a * flux;
    in_b = of_b * of_b * flux;
  } else {
    in_a = in_b = flux;
  }
}

// gk += gradient of -weight sum over faces of f (p_{i+1} - p_i)(q_{i+1} - q_i), f the face mean of k.
template <class T, int G, bool kHarmonic>
inline void add_face_gradient(Lines<const T> k, Lines<const T> p, Lines<const T> q, T weight,
                              Boundary boundary, Lines<T> gk, int64_t n) {
  constexpr int w = kLanes<T>;
  const T inner = weight * static_cast<T>(kFaceScale<kHarmonic>);
  const int64_t last = n - 1;
  for (int g = 0; g < G; ++g) {
    const T *kg = k.at + g * w, *pg = p.at + g * w, *qg = q.at + g * w;
    T* to = gk.at + g * w;
    const Vec<T> p0 = load(pg), q0 = load(qg), k0 = load(kg);
    const Vec<T> p1 = load(pg + last * p.pitch), q1 = load(qg + last * q.pitch);
    Vec<T> from_left{}, at_end{};
    if (boundary == Boundary::periodic) {
      face_derivatives<T, kHarmonic>(load(kg + last * k.pitch), k0,
                                     -inner * ((p0 - p1) * (q0 - q1)), at_end, from_left);
    } else if (boundary == Boundary::dirichlet) {
      from_left = -weight * (p0 * q0);
      at_end = -weight * (p1 * q1);
    }
    Vec<T> kc = k0, pc = p0, qc = q0;
    for (int64_t i = 0; i < last; ++i) {
      const Vec<T> kn = load(kg + (i + 1) * k.pitch), pn = load(pg + (i + 1) * p.pitch),
                   qn = load(qg + (i + 1) * q.pitch);
      Vec<T> left, right;
      face_derivatives<T, kHarmonic>(kc, kn, -inner * ((pn - pc) * (qn - qc)), left, right);
      T* cell = to + i * gk.pitch;
      store(cell, load(cell) + (from_left + left));
      from_left = right;
      kc = kn, pc = pn, qc = qn;
    }
    T* cell = to + last * gk.pitch;
    store(cell, load(cell) + (from_left + at_end));
  }
}

// to += tau A x.
template <class T, int G, bool kHarmonic>
inline void add_flux_divergence(Lines<const T> k, T scale, Lines<const T> x, Boundary boundary,
                                Lines<T> to, int64_t n) {
  constexpr int w = kLanes<T>;
  const T wall = static_cast<T>(1 / kFaceScale<kHarmonic>);
  const int64_t last = n - 1;
  for (int g = 0; g < G; ++g) {
    const T *kg = k.at + g * w, *xg = x.at + g * w;
    T* out = to.at + g * w;
    Vec<T> kc = scaled(scale, kg), xc = load(xg);
    const Vec<T> k1 = scaled(scale, kg + last * k.pitch), x1 = load(xg + last * x.pitch);
    Vec<T> entering{}, leaving{};
    if (boundary == Boundary::periodic) {
      entering = leaving = face_value<T, kHarmonic>(k1, kc) * (xc - x1);
    } else if (boundary == Boundary::dirichlet) {
      entering = wall * kc * xc;
      leaving = -wall * k1 * x1;
    }
    for (int64_t i = 0; i < last; ++i) {
      const Vec<T> kn = scaled(scale, kg + (i + 1) * k.pitch), xn = load(xg + (i + 1) * x.pitch);
      const Vec<T> flux = face_value<T, kHarmonic>(kc, kn) * (xn - xc);
      T* cell = out + i * to.pitch;
      store(cell, load(cell) + (flux - entering));
      entering = flux;
      kc = kn, xc = xn;
    }
    T* cell = out + last * to.pitch;
    store(cell, load(cell) + (leaving - entering));
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
