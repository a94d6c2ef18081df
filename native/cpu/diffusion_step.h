// The step on all channels, by the cheapest path for the size: planes (2d) and stacks of planes (3d) that
// fit the cache are read and written once; other splittings and larger channels run as programs of sweeps.
// Read once per instruction set, after diffusion_program.h and diffusion_plane.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct Batch {
  const DiffusionStep& step;
  const Kernel& call;
  const FactorTable<T>& factors;
  Cells cells;
  int64_t volumes, channels;

  Machine<T> machine(double* sums) const { return {step, call, factors, cells, channels, sums}; }
  bool plane_fits() const { return resident({1, cells.height, cells.width}, sizeof(T)); }
  PlaneFactors<T> plane_factors(int64_t volume) const {
    return {factors.axis(volume % channels, 0), factors.axis(volume % channels, 1)};
  }
};

// Every plane of every channel, in both directions; from may be to.
template <class T>
void diffuse_planes(const Batch<T>& b, const T* from, T* to) {
  const int64_t plane = b.cells.plane(), planes = b.volumes * b.cells.depth;
  const bool around = from != to && streamable(to, b.cells.width);
  b.call.parallel_for(planes, [&](int64_t i, int thread) {
    const PlaneScratch<T> scratch(b.call.template scratch<char>(thread), b.cells);
    const T* u = from + i * plane;
    const PlaneJob<T> job{u,
                          to + i * plane,
                          b.cells.width,
                          b.cells.height,
                          b.cells.width,
                          i + 1 < planes ? u + plane : nullptr,
                          around};
    diffuse_plane(b.step, job, b.plane_factors(i / b.cells.depth), scratch);
    stream_fence();
  });
}

// to_i = from_i + rm previous_i, and the sum of p to_i where periodic.
template <class T, bool kPeriodic>
inline void forward_layer(const T* from, const T* previous, T* to, T* first, T rm, T p, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T e = from[i] + (previous ? rm * previous[i] : T(0));
    to[i] = e;
    if (kPeriodic) first[i] = (previous ? first[i] : T(0)) + p * e;
  }
}

// One channel of 3 axes: forward along z into the scratch volume, then for each plane from the last: backward
// along z and the plane itself.
template <class T, bool kPeriodic>
void diffuse_volume(const Batch<T>& b, const T* u, T* w, int64_t volume, char* base) {
  const Cells& n = b.cells;
  const int64_t plane = n.plane(), depth = n.depth;
  const LineFactors<T> z = b.factors.axis(volume % b.channels, 2);
  const PlaneScratch<T> scratch(base, n);
  T* layers = reinterpret_cast<T*>(reinterpret_cast<char*>(scratch.plane) +
                                   scratch_plane_bytes(n, sizeof(T)));
  T *first = layers + plane * depth, *value = first + plane;
  for (int64_t k = 0; k < depth; ++k) {
    T* e = layers + k * plane;
    forward_layer<T, kPeriodic>(u + k * plane, k ? e - plane : nullptr, e, first, z.rm[k - 1],
                                z.p[k], plane);
  }
  if (kPeriodic) {
    const T* last = layers + (depth - 1) * plane;
    for (int64_t i = 0; i < plane; ++i) first[i] += *z.w_last * last[i];
  }
  const bool reflect = b.step.crank_nicolson(), around = streamable(w, n.width);
  for (int64_t k = depth - 1; k >= 0; --k) {
    T* v = layers + k * plane;
    const T* before = u + k * plane;
    const T rm = z.rm[k + 1], m = z.m[k], zk = z.z[k];
    for (int64_t i = 0; i < plane; ++i) {
      v[i] += k + 1 < depth ? rm * v[i + plane] : T(0);
      const T x = kPeriodic ? m * v[i] - zk * first[i] : m * v[i];
      value[i] = reflect ? T(2) * x - before[i] : x;
    }
    const PlaneJob<T> job{value, w + k * plane, n.width, n.height, n.width, nullptr, around};
    diffuse_plane(b.step, job, b.plane_factors(volume), scratch);
  }
  stream_fence();
}

template <class T>
void diffuse_volumes(const Batch<T>& b, const T* u, T* w) {
  const int64_t size = b.cells.size();
  b.call.parallel_for(b.volumes, [&](int64_t volume, int thread) {
    char* scratch = b.call.template scratch<char>(thread);
    const int64_t at = volume * size;
    if (b.step.boundary == Boundary::periodic) {
      diffuse_volume<T, true>(b, u + at, w + at, volume, scratch);
    } else {
      diffuse_volume<T, false>(b, u + at, w + at, volume, scratch);
    }
  });
}

// Working fields of a resident channel, in the scratch of a thread behind that of the sweeps.
template <class T>
struct ResidentFields {
  T* field[kWorkingFields];
  ResidentFields(char* scratch, const Cells& n) {
    char* base = scratch + sweep_bytes(n);
    const size_t bytes = round_to_line(static_cast<size_t>(n.size()) * sizeof(T));
    for (int i = 0; i < kWorkingFields; ++i)
      field[i] = reinterpret_cast<T*>(base + bytes * static_cast<size_t>(i));
  }
};

// `workspace`: kWorkingFields tensors for channels that are not resident.
template <class T>
void run_program(const Batch<T>& b, const T* u, T* w, T* workspace) {
  const int64_t size = b.cells.size();
  if (!resident(b.cells, sizeof(T))) {
    T* fields[kWorkingFields];
    for (int i = 0; i < kWorkingFields; ++i) fields[i] = workspace + i * b.volumes * size;
    take_step(Banded<T>{b.machine(nullptr), b.volumes}, u, w, fields);
    return;
  }
  b.call.parallel_for(b.volumes, [&](int64_t volume, int thread) {
    char* scratch = b.call.template scratch<char>(thread);
    ResidentFields<T> fields(scratch, b.cells);
    const Resident<T> machine{b.machine(nullptr), volume, reinterpret_cast<T*>(scratch)};
    take_step(machine, u + volume * size, w + volume * size, fields.field);
  });
}

template <class T>
void diffuse(const Batch<T>& b, const T* u, T* w, T* workspace) {
  if (!b.step.factorised() || !b.plane_fits()) return run_program(b, u, w, workspace);
  if (b.step.axes == 2) return diffuse_planes(b, u, w);
  if (b.volumes > 0 && resident(b.cells, sizeof(T))) return diffuse_volumes(b, u, w);
  Banded<T>{b.machine(nullptr), b.volumes}.sweep(2, u, w, b.step.crank_nicolson());
  diffuse_planes(b, w, w);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
