// The linear half of the advection-diffusion-reaction step: a block owns a plane, gathers it at the displaced
// points into shared memory and solves its lines there, along x and then along y, a thread a line. Rows stand
// an odd number of elements apart, so that lines along x meet no bank twice. Planes that do not fit stay in
// global memory, worked on by the same block.
// Bytes of DRAM a cell in float32: 8 forward (u in, v out), and of the displacement once; 8 backward, 12 with
// the gradient of the diffusivity. Factors: a block for each line of a channel, once an op.
#include "adr_plan.h"
#include "device/block_sum.cuh"

namespace fluxion::cuda {
namespace {

template <class T>
struct FactorArgs {
  const T* diffusivity;  // [channel][x, y]
  double rate[2];        // dt over the square of the spacing
  int n[2];
  Wall wall;
  T* tables;
  int64_t table_size;
  double* room;  // 3 lines for each block, or null: shared memory
};

template <class T>
__global__ void __launch_bounds__(128) factor_lines(FactorArgs<T> args) {
  SharedMemory memory;
  const int axis = blockIdx.x % 2, n = args.n[axis];
  const int most = args.n[0] > args.n[1] ? args.n[0] : args.n[1];
  double* m = args.room ? args.room + int64_t{blockIdx.x} * 3 * most
                        : memory.take<double>(3 * most).data();
  double *rm = m + n, *z = rm + n;
  const double r = static_cast<double>(args.diffusivity[blockIdx.x]) * args.rate[axis];
  factor_line(r, n, args.wall, m, rm, z);
  __syncthreads();
  T* to = args.tables + blockIdx.x * args.table_size;
  for (int i = threadIdx.x; i < 3 * n; i += blockDim.x) to[i] = static_cast<T>(m[i]);
  if (threadIdx.x == 0) to[3 * n] = static_cast<T>(r / (1 + 2 * r));
}

// A plane with rows `pitch` apart, in shared or global memory.
template <class T, class Field>
struct LinePlane {
  const DiffusionLines<T>& lines;
  int pitch;
  Field data;

  __device__ int place(int cell) const {
    const int row = lines.by_columns.split(cell);
    return row * pitch + cell;
  }
  __device__ int cells() const { return lines.rows * lines.columns; }
  __device__ void solve_x(int64_t plane) const {
    const LineTable<T> f = lines.along(plane, 0);
    for (int i = threadIdx.x; i < lines.rows; i += blockDim.x)
      solve_line(data, i * pitch, 1, lines.columns, f);
    __syncthreads();
  }
  __device__ void solve_y(int64_t plane) const {
    const LineTable<T> f = lines.along(plane, 1);
    for (int i = threadIdx.x; i < lines.columns; i += blockDim.x)
      solve_line(data, i, pitch, lines.rows, f);
    __syncthreads();
  }
};

template <class T, class Field>
__device__ void transport_plane(const LinePlane<T, Field>& plane, const Sampling<T>& s, T* to) {
  const int64_t index = blockIdx.x;
  const T* image = s.image + index * s.cells;
  const Split at = split(index, s.channels);
  const T* positions = s.positions_of(at.whole, at.rest);
  for (int p = threadIdx.x; p < s.points; p += blockDim.x) {
    Taps<T, 2, 2, false> taps;
    find_taps(s, positions, p, taps);
    T unused[3];
    plane.data[plane.place(p)] = interpolate(taps, image, 0, unused);
  }
  __syncthreads();
  plane.solve_x(index);
  plane.solve_y(index);
  for (int p = threadIdx.x; p < s.points; p += blockDim.x) to[p] = plane.data[plane.place(p)];
}

template <class T, bool kShared>
__global__ void __launch_bounds__(kAdrThreads) transport(DiffusionLines<T> lines, Sampling<T> s,
                                                         T* to) {
  T* out = to + static_cast<int64_t>(blockIdx.x) * s.cells;
  if constexpr (kShared) {
    SharedMemory memory;
    const int pitch = lines.columns | 1;
    const LinePlane<T, Shared<T>> plane{lines, pitch, memory.take<T>(lines.rows * pitch)};
    transport_plane(plane, s, out);
  } else {
    transport_plane(LinePlane<T, T*>{lines, lines.columns, out}, s, out);
  }
}

// What the lines of a thread add to <a, D v>, by parts over the faces.
template <class T, class Field>
__device__ double line_products(const LinePlane<T, Field>& a, const T* v, int axis) {
  const DiffusionLines<T>& s = a.lines;
  const int n = axis == 0 ? s.columns : s.rows, step = axis == 0 ? 1 : s.columns;
  double sum = 0;
  for (int cell = threadIdx.x; cell < a.cells(); cell += blockDim.x) {
    int x = cell;
    const int row = s.by_columns.split(x), at = axis == 0 ? x : row;
    const T own = a.data[a.place(cell)];
    if (at < n - 1) {
      sum -= static_cast<double>((a.data[a.place(cell + step)] - own) * (v[cell + step] - v[cell]));
    } else if (s.wall == Wall::periodic) {
      const int first = cell - at * step;
      sum -= static_cast<double>((a.data[a.place(first)] - own) * (v[first] - v[cell]));
    }
    if (s.wall == Wall::dirichlet)
      sum -= static_cast<double>(own * v[cell]) * ((at == 0) + (at == n - 1));
  }
  return sum;
}

template <class T, class Field>
__device__ void pull_plane(const LinePlane<T, Field>& x, const LinePlane<T, Field>& y, const T* v,
                           T* field, double* sums, const Shared<double>& room) {
  const int64_t index = blockIdx.x;
  for (int i = threadIdx.x; i < x.cells(); i += blockDim.x) {
    x.data[x.place(i)] = field[i];
    if (sums) y.data[y.place(i)] = field[i];
  }
  __syncthreads();
  x.solve_x(index);
  if (sums) {
    y.solve_y(index);
    const double along_x = block_sum(line_products(x, v, 0), room);
    const double along_y = block_sum(line_products(y, v, 1), room);
    if (threadIdx.x == 0) sums[index * 2] = along_x, sums[index * 2 + 1] = along_y;
  }
  x.solve_y(index);
  for (int i = threadIdx.x; i < x.cells(); i += blockDim.x) field[i] = x.data[x.place(i)];
}

template <class T, bool kShared>
__global__ void __launch_bounds__(kAdrThreads) diffusion_vjp(DiffusionLines<T> lines, const T* v,
                                                             T* fields, double* sums, T* room) {
  SharedMemory memory;
  const Shared<double> partial = memory.take<double>(kAdrThreads / kWarp);
  const int cells = lines.rows * lines.columns;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * cells;
  T* field = fields + at;
  if constexpr (kShared) {
    const int pitch = lines.columns | 1;
    const Shared<T> x = memory.take<T>(lines.rows * pitch);
    const Shared<T> y = memory.take<T>(sums ? lines.rows * pitch : 0);
    pull_plane(LinePlane<T, Shared<T>>{lines, pitch, x}, LinePlane<T, Shared<T>>{lines, pitch, y},
               v + at, field, sums, partial);
  } else {
    pull_plane(LinePlane<T, T*>{lines, lines.columns, field},
               LinePlane<T, T*>{lines, lines.columns, room ? room + at : nullptr}, v + at, field,
               sums, partial);
  }
}

}  // namespace

template <class T>
DiffusionLines<T> diffusion_lines(const AdrStep2dParams& p, const Kernel& call, const AdrSizes& s,
                                  const T* diffusivity) {
  const int64_t longest = std::max(s.rows, s.columns), size = line_table_size(longest);
  const int64_t blocks = 2 * s.channels;
  DiffusionLines<T> lines{s.batch * s.channels,
                          s.channels,
                          static_cast<int>(s.rows),
                          static_cast<int>(s.columns),
                          Divisor(s.columns),
                          static_cast<Wall>(p.diffusion_boundary),
                          call.scratch<T>(blocks * size),
                          size};
  const size_t shared = shared_bytes<double>(3 * longest);
  const bool fits = shared <= call.shared_limit();
  double* room = fits ? nullptr : call.scratch<double>(blocks * 3 * longest);
  if (!lines.tables || (!fits && !room)) {
    lines.tables = nullptr;
    return lines;
  }
  const FactorArgs<T> args{diffusivity,
                           {p.dt / (p.dx * p.dx), p.dt / (p.dy * p.dy)},
                           {lines.columns, lines.rows},
                           lines.wall,
                           const_cast<T*>(lines.tables),
                           size,
                           room};
  call.launch(factor_lines<T>, {blocks, 128, fits ? shared : 0}, args);
  return lines;
}

template <class T>
void launch_transport(const Kernel& call, const DiffusionLines<T>& lines, const Sampling<T>& s,
                      T* to) {
  const size_t shared = shared_bytes<T>(int64_t{lines.rows} * (lines.columns | 1));
  if (shared <= call.shared_limit()) {
    call.launch(transport<T, true>, {lines.planes, kAdrThreads, shared}, lines, s, to);
  } else {
    call.launch(transport<T, false>, {lines.planes, kAdrThreads}, lines, s, to);
  }
}

template <class T>
void launch_diffusion_vjp(const Kernel& call, const DiffusionLines<T>& lines, const T* v, T* field,
                          double* sums) {
  const size_t plane = shared_bytes<T>(int64_t{lines.rows} * (lines.columns | 1));
  const size_t partial = shared_bytes<double>(kAdrThreads / kWarp);
  const size_t shared = partial + (sums ? 2 : 1) * plane;
  T* room = nullptr;
  if (shared <= call.shared_limit()) {
    return call.launch(diffusion_vjp<T, true>, {lines.planes, kAdrThreads, shared}, lines, v,
                       field, sums, room);
  }
  if (sums) {
    room = call.scratch<T>(lines.planes * lines.rows * lines.columns);
    if (!room) return;
  }
  call.launch(diffusion_vjp<T, false>, {lines.planes, kAdrThreads, partial}, lines, v, field, sums,
              room);
}

template DiffusionLines<float> diffusion_lines<float>(const AdrStep2dParams&, const Kernel&,
                                                      const AdrSizes&, const float*);
template DiffusionLines<double> diffusion_lines<double>(const AdrStep2dParams&, const Kernel&,
                                                        const AdrSizes&, const double*);
template void launch_transport<float>(const Kernel&, const DiffusionLines<float>&,
                                      const Sampling<float>&, float*);
template void launch_transport<double>(const Kernel&, const DiffusionLines<double>&,
                                       const Sampling<double>&, double*);
template void launch_diffusion_vjp<float>(const Kernel&, const DiffusionLines<float>&,
                                          const float*, float*, double*);
template void launch_diffusion_vjp<double>(const Kernel&, const DiffusionLines<double>&,
                                           const double*, double*, double*);

}  // namespace fluxion::cuda
