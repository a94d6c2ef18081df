// A plane (or line, or volume) on which upwind advection works row by row: where the rows at the other side
// of a boundary are, rows with ghost cells, and the stages of a step. No include guard: see simd.h.
//
// Outside the domain stand: of u the edge cell (Neumann) or 0 (Dirichlet); of the velocity minus that of the
// edge cell, so that the velocity of a wall face, the mean of both, is 0; of the cotangent the edge cell, or
// 0 where what flows in through the wall depends on no cell (Dirichlet, advective). With these the adjoint
// has no special case either. Periodic boundaries wrap all three.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

enum class Ghost { edge, zero, opposite, wrap };

struct Grid {
  int dims;
  int64_t width, height, depth, rows, cells;

  explicit Grid(const Shape& u) : dims(u.ndim - 2) {
    width = u[u.ndim - 1];
    height = dims > 1 ? u[u.ndim - 2] : 1;
    depth = dims > 2 ? u[u.ndim - 3] : 1;
    rows = depth * height;
    cells = rows * width;
  }
  // The row at offset q from a row along axis 1 (y) or 2 (z), or the nearest one: `outside` says which.
  int64_t neighbour(int64_t row, int axis, int q, bool periodic, bool& outside) const {
    const int64_t n = axis == 1 ? height : depth, step = axis == 1 ? 1 : height;
    const int64_t at = axis == 1 ? row % height : row / height;
    int64_t to = at + q;
    outside = false;
    if (to < 0 || to >= n) {
      if (periodic) {
        to = (to % n + n) % n;
      } else {
        outside = true;
        to = to < 0 ? 0 : n - 1;
      }
    }
    return row + (to - at) * step;
  }
};

// The rows of one thread beside the planes, each with 64 bytes for ghost cells before and after it.
template <class T>
class WorkRows {
 public:
  WorkRows(char* base, int64_t width)
      : base_(base),
        pitch_(padded_row_bytes(width, sizeof(T))),
        ahead_(rows_ahead(width)),
        width_(width) {
    T* zero = zeros();
    for (int64_t j = 0; j < width; ++j) zero[j] = T(0);
  }
  // Rows with ghost cells: of u, of the velocity along x, of the cotangent.
  T* padded(int which, int64_t i) const { return row(which * ahead_ + i); }
  T* zeros() const { return named(0); }
  T* opposite(int axis, bool above) const { return named(1 + 2 * (axis - 1) + above); }
  T* constant(int component) const { return named(5 + component); }
  T* sum(int component) const { return named(8 + component); }
  T* accumulator() const { return named(11); }
  T* pulled(int q) const { return named(12 + q); }  // 5 and the velocity gradient
  int64_t pitch() const { return pitch_ / static_cast<int64_t>(sizeof(T)); }
  int64_t ahead() const { return ahead_; }
  char* planes() const { return base_ + upwind_row_count(width_) * pitch_; }

 private:
  T* row(int64_t i) const { return reinterpret_cast<T*>(base_ + i * pitch_ + 64); }
  T* named(int64_t i) const { return row(3 * ahead_ + i); }
  char* base_;
  int64_t pitch_, ahead_, width_;
};

// Copies a row and sets two ghost cells at both ends.
template <class T>
void pad_row(const T* from, T* to, int64_t n, Ghost ghost) {
  constexpr int w = kLanes<T>;
  int64_t j = 0;
  for (; j + w <= n; j += w) store(to + j, load(from + j));
  for (; j < n; ++j) to[j] = from[j];
  const T first = from[0], last = from[n - 1];
  if (ghost == Ghost::wrap) {
    to[-1] = last;
    to[-2] = from[n > 1 ? n - 2 : 0];
    to[n] = first;
    to[n + 1] = from[n > 1 ? 1 : 0];
    return;
  }
  const T sign = ghost == Ghost::edge ? T(1) : ghost == Ghost::zero ? T(0) : T(-1);
  to[-1] = to[-2] = ghost == Ghost::zero ? T(0) : sign * first;
  to[n] = to[n + 1] = ghost == Ghost::zero ? T(0) : sign * last;
}

// Adds the ghost cells of a row of cotangents to the cells that they were copies of.
template <class T>
void fold_row(T* row, int64_t n, Ghost ghost) {
  if (ghost == Ghost::zero) return;
  if (ghost == Ghost::edge) {
    row[0] += row[-1] + row[-2];
    row[n - 1] += row[n] + row[n + 1];
    return;
  }
  row[n - 1] += row[-1];
  row[n > 1 ? n - 2 : 0] += row[-2];
  row[0] += row[n];
  row[n > 1 ? 1 : 0] += row[n + 1];
}

// Velocity component k of a row stands at data + k * component + row * row_stride; constants have row
// stride 0. Gradients are laid out in the same way.
template <class T>
struct ComponentRows {
  T* data;
  int64_t component, row_stride;
  T* row(int k, int64_t r) const { return data + k * component + r * row_stride; }
};

template <class T>
struct Stage {
  Grid grid;
  WorkRows<T> work;
  bool conservative, periodic;
  UpwindScheme scheme;
  Ghost field, cotangent, velocity_ghost;
  T courant[3];  // time step over spacing
  ComponentRows<const T> velocity;

  Stage(const AdvectUpwindParams& p, const Shape& u, char* scratch)
      : grid(u),
        work(scratch, grid.width),
        conservative(p.form == UpwindForm::conservative),
        periodic(p.boundary == Boundary::periodic),
        scheme(p.scheme),
        velocity{nullptr, 0, 0} {
    const bool zero = p.boundary == Boundary::dirichlet;
    field = periodic ? Ghost::wrap : zero ? Ghost::zero : Ghost::edge;
    cotangent = periodic ? Ghost::wrap : zero && !conservative ? Ghost::zero : Ghost::edge;
    velocity_ghost = periodic ? Ghost::wrap : Ghost::opposite;
    const double step = p.dt / static_cast<double>(p.steps), spacing[3] = {p.dx, p.dy, p.dz};
    for (int k = 0; k < 3; ++k) courant[k] = static_cast<T>(step / spacing[k]);
  }

  T* plane(int64_t i) const {
    return reinterpret_cast<T*>(work.planes() + i * upwind_plane_bytes(grid.cells, sizeof(T)));
  }
  const T* row_of(const T* data, int64_t r, int axis, int q, Ghost ghost) const {
    bool outside;
    const int64_t to = grid.neighbour(r, axis, q, periodic, outside);
    return outside && ghost == Ghost::zero ? work.zeros() : data + to * grid.width;
  }
  const T* velocity_row(int64_t r, int axis, int q) const {
    bool outside;
    const T* row = velocity.row(axis, grid.neighbour(r, axis, q, periodic, outside));
    if (!outside) return row;
    T* opposite = work.opposite(axis, q > 0);
    for (int64_t j = 0; j < grid.width; ++j) opposite[j] = -row[j];
    return opposite;
  }
};

// Fills in what the rows [begin, end) need, a few at a time, and calls run(row, axes) for each.
// `reach` is how many neighbours of u are read; faces: whether neighbouring velocities are.
template <class T>
struct RowSweep {
  const Stage<T>& stage;
  const T* u;  // null: not read
  const T* g;  // null: not read
  int reach;
  bool faces, cotangent_neighbours;

  void pad(int64_t begin, int64_t end) const {
    const int64_t width = stage.grid.width;
    for (int64_t r = begin; r < end; ++r) {
      const int64_t i = r - begin;
      if (u) pad_row(u + r * width, stage.work.padded(0, i), width, stage.field);
      if (faces)
        pad_row(stage.velocity.row(0, r), stage.work.padded(1, i), width, stage.velocity_ghost);
      if (cotangent_neighbours)
        pad_row(g + r * width, stage.work.padded(2, i), width, stage.cotangent);
    }
  }

  // How many rows from r to `stop` have their neighbours at the same distances: 1 beside a wall.
  int64_t run(int64_t r, int64_t stop) const {
    const Grid& grid = stage.grid;
    if (grid.dims == 1) return 1;
    const int64_t y = r % grid.height, z = r / grid.height;
    const bool at_wall =
        grid.dims == 3 && !stage.periodic && (z < reach || z >= grid.depth - reach);
    if (at_wall || y < reach || y >= grid.height - reach) return 1;
    return std::min(stop - r, grid.height - reach - y);
  }

  // Row r is padded row i.
  void rows(int64_t r, int64_t i, AxisRows<T>* axes) const {
    for (int axis = 0; axis < stage.grid.dims; ++axis) {
      AxisRows<T>& out = axes[axis];
      out = {};
      out.courant = stage.courant[axis];
      if (axis == 0) {
        row_along_x(r, i, out);
      } else {
        row_across(r, axis, out);
      }
    }
  }

 private:
  void row_along_x(int64_t r, int64_t i, AxisRows<T>& out) const {
    const WorkRows<T>& work = stage.work;
    for (int q = -2; u && q <= 2; ++q) out.u[q + 2] = work.padded(0, i) + q;
    out.u_step = work.pitch();
    out.a[1] = stage.velocity.row(0, r);
    for (int q = -1; faces && q <= 1; ++q) out.a[q + 1] = work.padded(1, i) + q;
    out.a_step = faces ? work.pitch() : stage.velocity.row_stride;
    if (g) out.g[1] = g + r * stage.grid.width;
    for (int q = -1; cotangent_neighbours && q <= 1; ++q) out.g[q + 1] = work.padded(2, i) + q;
    out.g_step = cotangent_neighbours ? work.pitch() : stage.grid.width;
  }
  void row_across(int64_t r, int axis, AxisRows<T>& out) const {
    for (int q = -reach; u && q <= reach; ++q)
      out.u[q + 2] = stage.row_of(u, r, axis, q, stage.field);
    out.a[1] = stage.velocity.row(axis, r);
    for (int q = -1; faces && q <= 1; q += 2) out.a[q + 1] = stage.velocity_row(r, axis, q);
    if (g) out.g[1] = g + r * stage.grid.width;
    for (int q = -1; cotangent_neighbours && q <= 1; q += 2)
      out.g[q + 1] = stage.row_of(g, r, axis, q, stage.cotangent);
    out.u_step = out.g_step = stage.grid.width;
    out.a_step = stage.velocity.row_stride;
  }
};

// out = u + dt L(u) on the rows [begin, end); with a base, out = (base + u + dt L(u)) / 2.
template <class T>
void advect_rows(const Stage<T>& stage, const T* u, const T* base, T* out, int64_t begin,
                 int64_t end, bool streaming) {
  const bool first = stage.scheme == UpwindScheme::first_order;
  const int64_t width = stage.grid.width, ahead = stage.work.ahead();
  const RowSweep<T> sweep{stage, u, nullptr, first ? 1 : 2, stage.conservative, false};
  const RunOfRows<T> advect = stage.conservative ? advect_run_of<T, true>(stage.grid.dims)
                                                 : advect_run_of<T, false>(stage.grid.dims);
  const LimitedRow<T> limited = stage.conservative ? limited_row_of<T, true>(stage.scheme)
                                                   : limited_row_of<T, false>(stage.scheme);
  AxisRows<T> axes[3];
  for (int64_t r0 = begin; r0 < end; r0 += ahead) {
    const int64_t stop = std::min(r0 + ahead, end);
    sweep.pad(r0, stop);
    for (int64_t r = r0, count = 1; r < stop; r += count) {
      sweep.rows(r, r - r0, axes);
      T* to = out + r * width;
      if (first) {
        count = sweep.run(r, stop);
        advect(axes, to, width, count, streaming);
        continue;
      }
      T* sum = stage.work.accumulator();
      const T* from = axes[0].u[2];
      for (int axis = 0; axis < stage.grid.dims; ++axis) {
        limited(axes[axis], from, sum, width);
        from = sum;
      }
      const T* before = base ? base + r * width : sum;
      average_row(before, sum, to, width, streaming);
    }
  }
}

// gu = (I + dt L)^T g on the rows [begin, end), first order; gu or the velocity gradients may be null.
template <class T>
void pull_rows(const Stage<T>& stage, const T* u, const T* g, T* gu, const ComponentRows<T>& ga,
               VelocityGradient gradient, int64_t begin, int64_t end, bool streaming) {
  const int64_t width = stage.grid.width, ahead = stage.work.ahead();
  const RowSweep<T> sweep{stage, gradient == VelocityGradient::none ? nullptr : u, g, 1, true,
                          true};
  const RunOfRows<T> pull = stage.conservative ? pull_run_of<T, true>(stage.grid.dims, gradient)
                                               : pull_run_of<T, false>(stage.grid.dims, gradient);
  AxisRows<T> axes[3];
  for (int64_t r0 = begin; r0 < end; r0 += ahead) {
    const int64_t stop = std::min(r0 + ahead, end);
    sweep.pad(r0, stop);
    for (int64_t r = r0, count = 1; r < stop; r += count) {
      sweep.rows(r, r - r0, axes);
      for (int axis = 0; ga.data && axis < stage.grid.dims; ++axis) {
        axes[axis].ga = ga.row(axis, r);
        axes[axis].ga_step = ga.row_stride;
      }
      count = sweep.run(r, stop);
      pull(axes, gu ? gu + r * width : nullptr, width, count, streaming);
    }
  }
}

// What the rows of one axis give, added to where it belongs.
template <class T>
struct PulledTarget {
  const Stage<T>& stage;
  T* gu;
  const ComponentRows<T>& ga;

  void add_along_x(int64_t r, const PulledRows<T>& from) const {
    const int64_t width = stage.grid.width;
    T* sum = stage.work.accumulator();
    for (int64_t j = -2; j < width + 2; ++j) sum[j] = T(0);
    for (int q = -2; q <= 2; ++q) add_row(from.e[q + 2], sum + q, width);
    fold_row(sum, width, stage.field);
    add_row(sum, gu + r * width, width);
    if (!ga.data) return;
    T* own = ga.row(0, r);
    add_row(from.ga, own, width);
    if (!stage.conservative) return;
    add_row(from.ga, own + 1, width - 1);
    if (stage.periodic) own[0] += from.ga[width - 1];
  }
  void add_along(int axis, int64_t r, const PulledRows<T>& from) const {
    const int64_t width = stage.grid.width;
    bool outside;
    for (int q = -2; q <= 2; ++q) {
      const int64_t to = stage.grid.neighbour(r, axis, q, stage.periodic, outside);
      if (outside && stage.field == Ghost::zero) continue;
      add_row(from.e[q + 2], gu + to * width, width);
    }
    if (!ga.data) return;
    add_row(from.ga, ga.row(axis, r), width);
    if (!stage.conservative) return;
    const int64_t above = stage.grid.neighbour(r, axis, 1, stage.periodic, outside);
    if (!outside) add_row(from.ga, ga.row(axis, above), width);
  }
};

// gu += (dt L)^T g and ga += its velocity gradient on the whole plane, second order; gu is not g.
template <class T>
void pull_limited(const Stage<T>& stage, const T* u, const T* g, T* gu,
                  const ComponentRows<T>& ga) {
  const int64_t width = stage.grid.width, ahead = stage.work.ahead();
  const RowSweep<T> sweep{stage, u, g, 2, stage.conservative, stage.conservative};
  const PullLimitedRow<T> pull = stage.conservative ? pull_limited_row_of<T, true>(stage.scheme)
                                                    : pull_limited_row_of<T, false>(stage.scheme);
  PulledRows<T> pulled;
  for (int q = 0; q < 5; ++q) pulled.e[q] = stage.work.pulled(q);
  pulled.ga = stage.work.pulled(5);
  const PulledTarget<T> target{stage, gu, ga};
  AxisRows<T> axes[3];
  for (int64_t r0 = 0; r0 < stage.grid.rows; r0 += ahead) {
    const int64_t stop = std::min(r0 + ahead, stage.grid.rows);
    sweep.pad(r0, stop);
    for (int64_t r = r0; r < stop; ++r) {
      sweep.rows(r, r - r0, axes);
      for (int axis = 0; axis < stage.grid.dims; ++axis) {
        pull(axes[axis], pulled, width);
        if (axis == 0) {
          target.add_along_x(r, pulled);
        } else {
          target.add_along(axis, r, pulled);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
