// Adjoint of the factorised step on one plane: the gradient in u and both inner products for the
// diffusivities in one go, as diffusion_plane.h takes the step itself.
//     backward Euler    gu = S_x S_y g,  <S_x g, D_x w>,           <S_y g, D_y w>
//     Crank-Nicolson    gu = C_x C_y g,  <S_x C_y g, D_x S_x u>,   <S_y g, D_y S_y C_x u>
// (diffusion_program.h; the factors commute). The products along x are taken on transposed lines, where
// neighbours are vectors, and are summed over faces. C_x u comes out of the lines from the last row up, so
// its sweep along y begins at the last row: the matrices look the same from both ends.
// Read once per instruction set, after diffusion_plane.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct AdjointJob {
  const T *g, *saved;  // saved: w (backward Euler) or u (Crank-Nicolson)
  T* gu;               // or null
  int64_t rows, columns;
  Boundary boundary;
  const T *next_g, *next_saved;
  bool around_caches;
};

// Face products of two fields along a direction, met from the last cell to the first (or the reverse).
template <class T>
struct FaceSum {
  Vec<T> sum{}, a{}, b{}, end_a{}, end_b{};
  inline __attribute__((always_inline)) void begin(Vec<T> a0, Vec<T> b0) {
    a = end_a = a0;
    b = end_b = b0;
  }
  inline __attribute__((always_inline)) void add(Vec<T> ai, Vec<T> bi) {
    sum += (ai - a) * (bi - b);
    a = ai;
    b = bi;
  }
  // The walls; minus <a, D b>.
  inline __attribute__((always_inline)) double finish(Boundary boundary) {
    if (boundary == Boundary::dirichlet) sum += a * b + end_a * end_b;
    if (boundary == Boundary::periodic) sum += (a - end_a) * (b - end_b);
    return static_cast<double>(sum_lanes<T>(sum));
  }
};

// sum over the faces along x of all rows of a (in a scratch plane) and b.
template <class T>
inline double faces_along_x(const T* a, int64_t pitch, const T* b, int64_t rows, int64_t columns,
                            Boundary boundary) {
  constexpr int w = kLanes<T>;
  double total = 0;
  for (int64_t first = 0; first < rows; first += 16) {
    Vec<T> sum{};
    const int64_t end = std::min(first + 16, rows);
    for (int64_t i = first; i < end; ++i) {
      const T *ai = a + i * pitch, *bi = b + i * columns;
      int64_t j = 0;
      for (; j + w < columns; j += w)
        sum += (load(ai + j + 1) - load(ai + j)) * (load(bi + j + 1) - load(bi + j));
      const int left = static_cast<int>(columns - 1 - j);
      sum += (load_partial(ai + j + 1, left) - load_partial(ai + j, left)) *
             (load_partial(bi + j + 1, left) - load_partial(bi + j, left));
    }
    total += static_cast<double>(sum_lanes<T>(sum));
  }
  if (boundary == Boundary::neumann) return total;
  for (int64_t i = 0; i < rows; ++i)
    total += dot_walls(a + i * pitch, b + i * columns, 1, columns - 1, boundary);
  return total;
}

// Backward Euler.
template <class T, bool kPeriodic>
class BackwardEulerAdjoint {
 public:
  static constexpr int w = kLanes<T>;

  BackwardEulerAdjoint(const AdjointJob<T>& job, const PlaneFactors<T>& f, const PlaneScratch<T>& s)
      : job_(job),
        f_(f),
        s_(s),
        plane_g_(s.plane + s.pitch * job.rows),
        correction_g_(s.correction + s.pitch) {}

  // Minus the inner products for x and y, D undivided.
  void run(double* sums) {
    const PlaneJob<T> job{job_.g,       job_.gu,     job_.columns,      job_.rows,
                          job_.columns, job_.next_g, job_.around_caches};
    solve_rows_of_plane<T, kPeriodic>(job, f_.x, s_);
    sums[0] = faces_along_x(s_.plane, s_.pitch, job_.saved, job_.rows, job_.columns, job_.boundary);
    sums[1] = 0;
    int64_t j = 0;
    for (; j + 4 * w <= job_.columns; j += 4 * w) sums[1] += strip<4>(job, j, 4 * w);
    for (; j < job_.columns; j += w)
      sums[1] += strip<1>(job, j, static_cast<int>(std::min<int64_t>(w, job_.columns - j)));
  }

 private:
  // G vectors of columns along y: of g for the products, of S_x g for gu.
  template <int G>
  double strip(const PlaneJob<T>& job, int64_t j, int count) {
    T* c = plane_g_ + j;
    forward_strip<T, G, kPeriodic>(job_.g + j, job_.columns, c, s_.pitch, job_.rows, count, f_.y,
                                   correction_g_ + j);
    if (job_.next_saved) {
      for (int64_t i = 0; i < job_.rows; ++i)
        for (int g = 0; g < G; ++g)
          __builtin_prefetch(job_.next_saved + i * job_.columns + j + g * w, 0, 2);
    }
    const double faces = backward_faces<G>(c, j, count);
    if (job_.gu) solve_columns_of_plane<T, G, kPeriodic>(job, j, count, f_.y, s_);
    return faces;
  }

  template <int G>
  double backward_faces(const T* c, int64_t j, int count) const {
    Vec<T> v[G] = {}, correction[G] = {};
    FaceSum<T> faces[G];
    const bool whole = count == G * w;
    if (kPeriodic) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) correction[g] = load(correction_g_ + j + g * w);
    }
    for (int64_t i = job_.rows - 1; i >= 0; --i) {
      const Vec<T> rm = broadcast(f_.y.rm[i + 1]), m = broadcast(f_.y.m[i]);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const T* other = job_.saved + i * job_.columns + j + g * w;
        v[g] = fused(rm, v[g], load(c + i * s_.pitch + g * w));
        Vec<T> x = rounded<T>(m * v[g]);
        if (kPeriodic) x = fused(broadcast(-f_.y.z[i]), correction[g], x);
        const Vec<T> b = whole ? load(other) : load_partial(other, count);
        if (i == job_.rows - 1) faces[g].begin(x, b);
        faces[g].add(x, b);
      }
    }
    double total = 0;
    for (int g = 0; g < G; ++g) total += faces[g].finish(job_.boundary);
    return total;
  }

  const AdjointJob<T>& job_;
  const PlaneFactors<T>& f_;
  const PlaneScratch<T>& s_;
  T *plane_g_, *correction_g_;
};

// Crank-Nicolson.
template <class T, bool kPeriodic>
class CrankNicolsonAdjoint {
 public:
  static constexpr int w = kLanes<T>;

  CrankNicolsonAdjoint(const AdjointJob<T>& job, const PlaneFactors<T>& f, const PlaneScratch<T>& s)
      : job_(job), f_(f), s_(s) {
    const int64_t line = job.columns * w;
    swept_g_ = s.lines;
    swept_u_ = swept_g_ + line;
    plane_u_ = s.plane + s.pitch * job.rows;
    carry_u_ = s.correction + s.pitch;
    correction_u_ = carry_u_ + s.pitch;
  }

  // Minus the inner products for x and y, D undivided.
  void run(double* sums) {
    const PlaneJob<T> job{job_.g, nullptr, 0, job_.rows, job_.columns, nullptr, false};
    forward_plane<T, kPeriodic>(job, f_.y, s_);
    backward_plane<T, kPeriodic>(job, f_.y, s_, nullptr);
    clear_carry_u();
    sums[0] = sums[1] = 0;
    for (int64_t row = (job_.rows - 1) / w * w; row >= 0; row -= w)
      sums[0] += band(row, static_cast<int>(std::min<int64_t>(w, job_.rows - row)));
    int64_t j = 0;
    for (; j + 4 * w <= job_.columns; j += 4 * w) sums[1] += backward_down<4>(j);
    for (; j < job_.columns; j += w) sums[1] += backward_down<1>(j);
  }

 private:
  // One band of rows through lines along x: C_y g and u, swept.
  double band(int64_t row, int count) {
    LineCarry<T> carry_e, carry_u;
    for (int64_t j = 0; j < job_.columns; j += w) {
      if (count == w && j + w <= job_.columns) {
        enter<true>(row, w, j, carry_e, carry_u);
      } else {
        enter<false>(row, count, j, carry_e, carry_u);
      }
    }
    turn<T, false, kPeriodic>(f_.x, carry_e);
    turn<T, false, kPeriodic>(f_.x, carry_u);
    FaceSum<T> faces;
    for (int64_t j = (job_.columns - 1) / w * w; j >= 0; j -= w) {
      if (count == w && j + w <= job_.columns) {
        leave<true>(row, w, j, carry_e, carry_u, faces);
      } else {
        leave<false>(row, count, j, carry_e, carry_u, faces);
      }
    }
    return faces.finish(job_.boundary);
  }

  // C_y g = 2 S_y g - g.
  inline __attribute__((always_inline)) void load_reflected(int64_t row, int count, int64_t j,
                                                            int left,
                                                            Vec<T> (&tile)[kLanes<T>]) const {
    load_tile(s_.plane + row * s_.pitch + j, s_.pitch, count, w, tile);
    reflect_tile(tile, job_.g + row * job_.columns + j, job_.columns, count, left);
  }

  template <bool kWhole>
  inline __attribute__((always_inline)) void enter(int64_t row, int count, int64_t j,
                                                   LineCarry<T>& carry_e, LineCarry<T>& carry_u) {
    const int left = kWhole ? w : columns_at(j);
    const int64_t at = row * job_.columns + j;
    Vec<T> tile[w];
    load_reflected(row, count, j, left, tile);
    transpose_tile<T>(tile);
    forward_tile<T, false, kPeriodic>(tile, j, left, f_.x, swept_g_, carry_e);
    load_tile(job_.saved + at, job_.columns, count, left, tile);
    if (kWhole) prefetch(at);
    transpose_tile<T>(tile);
    forward_tile<T, false, kPeriodic>(tile, j, left, f_.x, swept_u_, carry_u);
  }

  template <bool kWhole>
  inline __attribute__((always_inline)) void leave(int64_t row, int count, int64_t j,
                                                   LineCarry<T>& carry_e, LineCarry<T>& carry_u,
                                                   FaceSum<T>& faces) {
    const int left = kWhole ? w : columns_at(j);
    const int64_t at = row * job_.columns + j;
    Vec<T> tile[w];
    backward_tile<T, false, kPeriodic>(swept_g_, j, left, f_.x, carry_e, tile);
#pragma GCC unroll 16
    for (int i = 0; i < w; ++i)
      if (i < left) store(swept_g_ + (j + i) * w, tile[i]);
    if (job_.gu) {
      transpose_tile<T>(tile);
      Vec<T> e[w];
      load_reflected(row, count, j, left, e);
#pragma GCC unroll 16
      for (int i = 0; i < w; ++i) tile[i] = T(2) * tile[i] - e[i];
      store_tile(tile, job_.gu + at, job_.columns, count, left, job_.around_caches);
    }
    backward_tile<T, false, kPeriodic>(swept_u_, j, left, f_.x, carry_u, tile);
    if (j + left == job_.columns) faces.begin(load(swept_g_ + (j + left - 1) * w), tile[left - 1]);
#pragma GCC unroll 16
    for (int i = w - 1; i >= 0; --i)
      if (i < left) faces.add(load(swept_g_ + (j + i) * w), tile[i]);
    transpose_tile<T>(tile);
    reflect_tile(tile, job_.saved + at, job_.columns, count, left);
    forward_up(tile, row, count, j);
  }

  int columns_at(int64_t j) const {
    return static_cast<int>(std::min<int64_t>(w, job_.columns - j));
  }

  inline __attribute__((always_inline)) void prefetch(int64_t at) const {
    if (!job_.next_g) return;
    prefetch_tile(job_.next_g + at, job_.columns);
    prefetch_tile(job_.next_saved + at, job_.columns);
  }

  void clear_carry_u() {
    for (int64_t j = 0; j < job_.columns; j += w) {
      store(carry_u_ + j, Vec<T>{});
      store(correction_u_ + j, Vec<T>{});
    }
  }

  // The sweep of C_x u along y, from the last row up, into the second scratch plane.
  inline __attribute__((always_inline)) void forward_up(const Vec<T> (&tile)[kLanes<T>],
                                                        int64_t row, int count, int64_t j) {
    Vec<T> carry = load(carry_u_ + j), first{};
    if (kPeriodic) first = load(correction_u_ + j);
    T* e = plane_u_ + row * s_.pitch + j;
    const int64_t mirrored = job_.rows - 1 - row;
#pragma GCC unroll 16
    for (int i = w - 1; i >= 0; --i) {
      if (i < count) {
        const int64_t q = mirrored - i;
        carry = fused(broadcast(f_.y.rm[q - 1]), carry, tile[i]);
        if (kPeriodic) first = fused(broadcast(f_.y.p[q]), carry, first);
        store(e + i * s_.pitch, carry);
      }
    }
    store(carry_u_ + j, carry);
    if (kPeriodic) store(correction_u_ + j, first);
  }

  // Its way back, and the products with S_y g.
  template <int G>
  double backward_down(int64_t j) {
    Vec<T> v[G] = {}, correction[G] = {};
    FaceSum<T> faces[G];
    if (kPeriodic) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g)
        correction[g] = fused(broadcast(*f_.y.w_last), load(carry_u_ + j + g * w),
                              load(correction_u_ + j + g * w));
    }
    for (int64_t i = 0; i < job_.rows; ++i) {
      const int64_t q = job_.rows - 1 - i;
      const Vec<T> rm = broadcast(f_.y.rm[q + 1]), m = broadcast(f_.y.m[q]);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const int64_t at = i * s_.pitch + j + g * w;
        v[g] = fused(rm, v[g], load(plane_u_ + at));
        Vec<T> x = rounded<T>(m * v[g]);
        if (kPeriodic) x = fused(broadcast(-f_.y.z[q]), correction[g], x);
        const Vec<T> a = load(s_.plane + at);
        if (i == 0) faces[g].begin(a, x);
        faces[g].add(a, x);
      }
    }
    double total = 0;
    for (int g = 0; g < G; ++g) total += faces[g].finish(job_.boundary);
    return total;
  }

  const AdjointJob<T>& job_;
  const PlaneFactors<T>& f_;
  const PlaneScratch<T>& s_;
  T *swept_g_, *swept_u_;
  T *carry_u_, *correction_u_, *plane_u_;
};

}  // namespace fluxion::cpu::FLUXION_TARGET
