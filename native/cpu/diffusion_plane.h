// Both directions of a plane [rows][columns] in one go, each cell read from memory once and written once,
// around the caches where the rows are aligned, while the next plane is prefetched. The operators commute:
// backward Euler goes along x first, from memory into a scratch plane, then along y in it and out; with
// Crank-Nicolson, where either direction needs its own input once more, y comes first. The adjoint
// (diffusion_plane_vjp.h) takes the same ways, so that its results are the same bits.
// Read once per instruction set, after line_solver.h.

namespace fluxion::cpu::FLUXION_TARGET {

// Scratch of one thread; sizes as in ops/diffusion.h.
template <class T>
struct PlaneScratch {
  T* lines;       // transposed lines of a band, of up to four fields
  T* correction;  // along y, of each column, where periodic
  T* plane;       // rows `pitch` apart
  int64_t pitch;

  PlaneScratch(char* base, const Cells& n) {
    const size_t row = scratch_row_bytes(n.width, sizeof(T));
    lines = reinterpret_cast<T*>(base);
    correction = reinterpret_cast<T*>(base + 4 * vector_line_bytes(n.width));
    pitch = static_cast<int64_t>(row / sizeof(T));
    plane = reinterpret_cast<T*>(base + plane_lines_bytes(n, sizeof(T)));
  }
};

template <class T>
struct PlaneFactors {
  LineFactors<T> x, y;
};

template <class T>
struct PlaneJob {
  const T* from;
  T* to;
  int64_t to_pitch;
  int64_t rows, columns;
  const T* next;       // a plane to prefetch meanwhile, or null
  bool around_caches;  // write with streaming stores
};

template <class T, bool kPeriodic>
inline void forward_plane(const PlaneJob<T>& job, const LineFactors<T>& y,
                          const PlaneScratch<T>& s) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + 4 * w <= job.columns; j += 4 * w) {
    forward_strip<T, 4, kPeriodic>(job.from + j, job.columns, s.plane + j, s.pitch, job.rows, 4 * w,
                                   y, s.correction + j);
  }
  for (; j < job.columns; j += w) {
    const int count = static_cast<int>(std::min<int64_t>(w, job.columns - j));
    forward_strip<T, 1, kPeriodic>(job.from + j, job.columns, s.plane + j, s.pitch, job.rows, count,
                                   y, s.correction + j);
  }
}

template <class T, bool kPeriodic>
inline void backward_plane(const PlaneJob<T>& job, const LineFactors<T>& y,
                           const PlaneScratch<T>& s, const T* reflected) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + 4 * w <= job.columns; j += 4 * w) {
    backward_strip<T, 4, kPeriodic>(s.plane + j, s.pitch, s.plane + j, s.pitch, job.rows, 4 * w, y,
                                    s.correction + j, reflected ? reflected + j : nullptr,
                                    job.columns, false);
  }
  for (; j < job.columns; j += w) {
    const int count = static_cast<int>(std::min<int64_t>(w, job.columns - j));
    backward_strip<T, 1, kPeriodic>(s.plane + j, s.pitch, s.plane + j, s.pitch, job.rows, count, y,
                                    s.correction + j, reflected ? reflected + j : nullptr,
                                    job.columns, false);
  }
}

// y, then x.
template <class T, bool kPeriodic>
inline void crank_nicolson_plane(const PlaneJob<T>& job, const PlaneFactors<T>& f,
                                 const PlaneScratch<T>& s) {
  constexpr int w = kLanes<T>;
  forward_plane<T, kPeriodic>(job, f.y, s);
  backward_plane<T, kPeriodic>(job, f.y, s, job.from);
  for (int64_t row = 0; row < job.rows; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(w, job.rows - row));
    const T* next = job.next && count == w ? job.next + row * job.columns : nullptr;
    const RowBlock<T> block{s.plane + row * s.pitch,
                            s.pitch,
                            job.to + row * job.to_pitch,
                            job.to_pitch,
                            count,
                            job.columns,
                            job.around_caches,
                            next};
    solve_row_block<T, false, kPeriodic, true>(block, f.x, s.lines);
  }
}

// S_x of the plane into the scratch plane; lanes beyond the columns are 0.
template <class T, bool kPeriodic>
inline void solve_rows_of_plane(const PlaneJob<T>& job, const LineFactors<T>& x,
                                const PlaneScratch<T>& s) {
  constexpr int w = kLanes<T>;
  const int64_t whole = job.columns / w * w;
  for (int64_t row = 0; row < job.rows; row += w) {
    const int count = static_cast<int>(std::min<int64_t>(w, job.rows - row));
    const int64_t at = row * job.columns;
    const RowBlock<T> block{job.from + at,
                            job.columns,
                            s.plane + row * s.pitch,
                            s.pitch,
                            count,
                            job.columns,
                            false,
                            job.next && count == w ? job.next + at : nullptr};
    for (int i = 0; whole < job.columns && i < count; ++i)
      store(s.plane + (row + i) * s.pitch + whole, Vec<T>{});
    solve_row_block<T, false, kPeriodic, false>(block, x, s.lines);
  }
}

// S_y of G vectors of columns of the scratch plane, out to memory.
template <class T, int G, bool kPeriodic>
inline void solve_columns_of_plane(const PlaneJob<T>& job, int64_t j, int count,
                                   const LineFactors<T>& y, const PlaneScratch<T>& s) {
  T *e = s.plane + j, *correction = s.correction + j;
  forward_strip<T, G, kPeriodic>(e, s.pitch, e, s.pitch, job.rows, G * kLanes<T>, y, correction);
  backward_strip<T, G, kPeriodic>(e, s.pitch, job.to + j, job.to_pitch, job.rows, count, y,
                                  correction, nullptr, 0, job.around_caches);
}

// x, then y.
template <class T, bool kPeriodic>
inline void backward_euler_plane(const PlaneJob<T>& job, const PlaneFactors<T>& f,
                                 const PlaneScratch<T>& s) {
  constexpr int w = kLanes<T>;
  solve_rows_of_plane<T, kPeriodic>(job, f.x, s);
  int64_t j = 0;
  for (; j + 4 * w <= job.columns; j += 4 * w)
    solve_columns_of_plane<T, 4, kPeriodic>(job, j, 4 * w, f.y, s);
  for (; j < job.columns; j += w) {
    const int count = static_cast<int>(std::min<int64_t>(w, job.columns - j));
    solve_columns_of_plane<T, 1, kPeriodic>(job, j, count, f.y, s);
  }
}

// The step of the scheme on one plane; to may be from.
template <class T>
inline void diffuse_plane(const DiffusionStep& step, const PlaneJob<T>& job,
                          const PlaneFactors<T>& f, const PlaneScratch<T>& s) {
  const bool periodic = step.boundary == Boundary::periodic;
  if (step.crank_nicolson()) {
    if (periodic) return crank_nicolson_plane<T, true>(job, f, s);
    return crank_nicolson_plane<T, false>(job, f, s);
  }
  if (periodic) return backward_euler_plane<T, true>(job, f, s);
  return backward_euler_plane<T, false>(job, f, s);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
