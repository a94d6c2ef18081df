// Steps and adjoints as programs of sweeps along one axis, combinations and inner products of fields, for
// every splitting and any size. Two machines run them: one takes a channel that fits the cache through
// the whole program (Resident), the other takes all channels through one statement after the other,
// in parallel over strips (Banded). Read once per instruction set, after diffusion_factors.h.
//
// With S_i = (I - r_i D_i)^-1, C_i = 2 S_i - I, m_i the times an axis is swept and theta = 1 or 1/2:
//     Lie, Strang    w = prod_i B_i^m_i u, B = S or C
//     Douglas        w = u + (2 S_x S_y - S_x - S_y) u / theta                               in 2d
//                    w = u + (3 S_x S_y S_z - S_y S_z - S_x S_z - S_x S_y) u / theta         in 3d
// the latter from v_i = u + S_i (v_{i-1} - u): no stencil, so that a large dt amplifies no rounding.
// dS/dr = S D S, so with symmetric, commuting factors
//     backward Euler         dL/dr_i = m_i <S_i g, D_i w>
//     Crank-Nicolson         dL/dr_i = 2 m_i <S_i g, D_i S_i C_i^(m_i - 1) prod_{j != i} C_j^m_j u>
//     Douglas                dL/dr_i = <S_i g, D_i S_i F_i u> / theta,
//                            F_i = 2 S_j - I or 3 S_j S_k - S_j - S_k, the other axes j, k

namespace fluxion::cpu::FLUXION_TARGET {

template <class T, bool kPeriodic>
inline void sweep_rows(const T* from, T* to, const Cells& n, int64_t block, const LineFactors<T>& f,
                       bool reflect, T* scratch) {
  constexpr int w = kLanes<T>;
  const int64_t row = block * w, at = row * n.width;
  const int count = static_cast<int>(std::min<int64_t>(w, n.depth * n.height - row));
  const RowBlock<T> rows{from + at, n.width, to + at, n.width, count, n.width, false, nullptr};
  if (reflect) {
    solve_row_block<T, false, kPeriodic, true>(rows, f, scratch);
  } else {
    solve_row_block<T, false, kPeriodic, false>(rows, f, scratch);
  }
}

// Strips of one channel along an axis.
template <class T>
inline int64_t strips_of(const Cells& n, int axis) {
  constexpr int w = kLanes<T>;
  if (axis == 0) return blocks_of(n.depth * n.height, w);
  if (axis == 1) return n.depth * blocks_of(n.width, 4 * w);
  return blocks_of(n.plane(), 4 * w);
}

template <class T, bool kPeriodic>
inline void sweep_strip(int axis, const T* from, T* to, const Cells& n, int64_t strip,
                        const LineFactors<T>& f, bool reflect, T* scratch) {
  constexpr int w = kLanes<T>;
  if (axis == 0) return sweep_rows<T, kPeriodic>(from, to, n, strip, f, reflect, scratch);
  const int64_t inner = axis == 1 ? n.width : n.plane();
  const int64_t across = blocks_of(inner, 4 * w);
  const int64_t j = strip % across * 4 * w;
  const int64_t at = strip / across * n.plane() + j;
  const int count = static_cast<int>(std::min<int64_t>(4 * w, inner - j));
  solve_strip<T, kPeriodic>(from + at, to + at, inner, n.along(axis), count, f, reflect, scratch);
}

// sum over j < n of (a_{j + step} - a_j)(b_{j + step} - b_j).
template <class T>
inline double dot_differences(const T* a, const T* b, int64_t n, int64_t step) {
  constexpr int w = kLanes<T>;
  Vec<T> sum{};
  int64_t j = 0;
  for (; j + w <= n; j += w) {
    sum += (load(a + j + step) - load(a + j)) * (load(b + j + step) - load(b + j));
  }
  if (j < n) {
    const int left = static_cast<int>(n - j);
    sum += (load_partial(a + j + step, left) - load_partial(a + j, left)) *
           (load_partial(b + j + step, left) - load_partial(b + j, left));
  }
  return static_cast<double>(sum_lanes<T>(sum));
}

// What the faces of the last cells add to -<a, D b>: `last` is the distance from the first to the last.
template <class T>
inline double dot_walls(const T* a, const T* b, int64_t count, int64_t last, Boundary boundary) {
  if (boundary == Boundary::neumann) return 0;
  double sum = 0;
  for (int64_t j = 0; j < count; ++j) {
    const T a0 = a[j], a1 = a[j + last], b0 = b[j], b1 = b[j + last];
    sum += static_cast<double>(boundary == Boundary::periodic ? (a0 - a1) * (b0 - b1)
                                                              : a0 * b0 + a1 * b1);
  }
  return sum;
}

// The share of plane `z` of a channel in <a, D b> along an axis, D undivided.
template <class T>
inline double dot_laplacian(int axis, const T* a, const T* b, const Cells& n, int64_t z,
                            Boundary boundary) {
  const int64_t at = z * n.plane();
  double sum = 0;
  if (axis == 2) {
    if (z + 1 < n.depth) sum += dot_differences(a + at, b + at, n.plane(), n.plane());
    if (z == 0) sum += dot_walls(a, b, n.plane(), (n.depth - 1) * n.plane(), boundary);
    return -sum;
  }
  for (int64_t y = 0; y < n.height; ++y) {
    const int64_t row = at + y * n.width;
    if (axis == 0) {
      sum += dot_differences(a + row, b + row, n.width - 1, 1);
      sum += dot_walls(a + row, b + row, 1, n.width - 1, boundary);
    } else if (y + 1 < n.height) {
      sum += dot_differences(a + row, b + row, n.width, n.width);
    }
  }
  if (axis == 1) sum += dot_walls(a + at, b + at, n.width, (n.height - 1) * n.width, boundary);
  return -sum;
}

template <class T>
inline void combine_range(T* to, T a, const T* x, T b, const T* y, T c, const T* z, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = a * x[i] + b * y[i] + c * z[i];
}

// What both machines know.
template <class T>
struct Machine {
  const DiffusionStep& step;
  const Kernel& call;
  const FactorTable<T>& factors;
  Cells cells;
  int64_t channels;
  double* sums;  // [channel of a sample][plane][axis]; null where no inner product is taken

  void sweep_one(int axis, const T* from, T* to, int64_t volume, int64_t strip, bool reflect,
                 T* scratch) const {
    const LineFactors<T> f = factors.axis(volume % channels, axis);
    if (step.boundary == Boundary::periodic) {
      sweep_strip<T, true>(axis, from, to, cells, strip, f, reflect, scratch);
    } else {
      sweep_strip<T, false>(axis, from, to, cells, strip, f, reflect, scratch);
    }
  }
  void dot_one(int axis, const T* a, const T* b, int64_t volume, int64_t z) const {
    sums[(volume * cells.depth + z) * step.axes + axis] =
        dot_laplacian(axis, a, b, cells, z, step.boundary);
  }
};

// One channel of one sample; the pointers are to its own cells.
template <class T>
struct Resident : Machine<T> {
  int64_t volume;
  T* scratch;

  void sweep(int axis, const T* from, T* to, bool reflect) const {
    for (int64_t s = 0; s < strips_of<T>(this->cells, axis); ++s)
      this->sweep_one(axis, from, to, volume, s, reflect, scratch);
  }
  void combine(T* to, T a, const T* x, T b, const T* y, T c, const T* z) const {
    combine_range(to, a, x, b, y, c, z, this->cells.size());
  }
  void dot(int axis, const T* a, const T* b) const {
    for (int64_t z = 0; z < this->cells.depth; ++z) this->dot_one(axis, a, b, volume, z);
  }
};

// All of them; the pointers are to whole tensors.
template <class T>
struct Banded : Machine<T> {
  int64_t volumes;

  void sweep(int axis, const T* from, T* to, bool reflect) const {
    const int64_t strips = strips_of<T>(this->cells, axis), size = this->cells.size();
    this->call.parallel_for(volumes * strips, [&](int64_t block, int thread) {
      const int64_t volume = block / strips, at = volume * size;
      this->sweep_one(axis, from + at, to + at, volume, block % strips, reflect,
                      this->call.template scratch<T>(thread));
    });
  }
  void combine(T* to, T a, const T* x, T b, const T* y, T c, const T* z) const {
    const int64_t n = volumes * this->cells.size();
    this->call.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
      const int64_t at = block * kElementsPerBlock;
      combine_range(to + at, a, x + at, b, y + at, c, z + at, std::min(kElementsPerBlock, n - at));
    });
  }
  void dot(int axis, const T* a, const T* b) const {
    const int64_t depth = this->cells.depth, size = this->cells.size();
    this->call.parallel_for(volumes * depth, [&](int64_t block, int) {
      const int64_t at = block / depth * size;
      this->dot_one(axis, a + at, b + at, block / depth, block % depth);
    });
  }
};

// w = the step of u; t: three fields (Douglas alone uses them). w is not u.
template <class T, class M>
inline void take_step(const M& m, const T* u, T* w, T* const* t) {
  const DiffusionStep& step = m.step;
  if (step.splitting != Splitting::douglas || step.factorised()) {
    const T* from = u;
    for (int axis = 0; axis < step.axes; ++axis) {
      for (int i = 0; i < step.times(axis); ++i) {
        m.sweep(axis, from, w, step.crank_nicolson());
        from = w;
      }
    }
    return;
  }
  const T scale = step.crank_nicolson() ? T(2) : T(1);
  T *p = t[0], *q = t[1];
  m.sweep(0, u, p, false);
  if (step.axes == 2) {
    m.combine(q, T(2), p, T(-1), u, T(0), u);
    m.sweep(1, q, q, false);
    m.combine(w, T(1), u, scale, q, -scale, p);
    return;
  }
  T* s = t[2];
  m.sweep(1, p, q, false);
  m.combine(s, T(3), p, T(-1), u, T(0), u);
  m.sweep(1, s, s, false);
  m.combine(s, T(1), s, T(-1), p, T(0), p);
  m.sweep(2, s, s, false);
  m.combine(w, T(1), u, scale, s, -scale, q);
}

// What stands right of D_i in the inner product of axis i, but for S_i: into t[0].
template <class T, class M>
inline void right_factor(const M& m, int axis, const T* u, T* const* t) {
  const DiffusionStep& step = m.step;
  if (step.splitting != Splitting::douglas || step.factorised()) {
    const T* from = u;
    for (int j = 0; j < step.axes; ++j) {
      for (int i = j == axis ? 1 : 0; i < step.times(j); ++i) {
        m.sweep(j, from, t[0], true);
        from = t[0];
      }
    }
    if (from == u) m.combine(t[0], T(1), u, T(0), u, T(0), u);
    return;
  }
  const int j = axis == 0 ? 1 : 0;
  if (step.axes == 2) {
    m.sweep(j, u, t[0], false);
    m.combine(t[0], T(2), t[0], T(-1), u, T(0), u);
    return;
  }
  const int k = 3 - axis - j;
  m.sweep(j, u, t[1], false);
  m.combine(t[0], T(3), t[1], T(-1), u, T(0), u);
  m.sweep(k, t[0], t[0], false);
  m.combine(t[0], T(1), t[0], T(-1), t[1], T(0), u);
}

// Fills m.sums for every axis; before the factor rate_scale() below.
template <class T, class M>
inline void diffusivity_sums(const M& m, const T* g, const T* saved, T* const* t) {
  for (int axis = 0; axis < m.step.axes; ++axis) {
    const T* right = saved;
    if (!m.step.saves_output()) {
      right_factor(m, axis, saved, t);
      m.sweep(axis, t[0], t[0], false);
      right = t[0];
    }
    m.sweep(axis, g, t[1], false);
    m.dot(axis, t[1], right);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
