// What variable diffusion does cell by cell: the operator itself, and the gradient in the diffusivity
//     d<p, A q>/dk = -sum over faces of df/dk (p_{i+1} - p_i)(q_{i+1} - q_i) / dx^2
// in gather form: each cell adds the faces beside it, so results do not depend on any order. A thread
// owns a cell; the sum over the volumes that share a diffusivity is taken in order by the cell's thread.
#include "tuning.h"
#include "variable_diffusion.h"

namespace fluxion::cuda {
namespace {

// The cells beside cell i of a line; a ring joins its ends.
struct Beside {
  int64_t left, right;  // offsets; 0: none
  bool has_left, has_right;
};

__device__ __forceinline__ Beside beside(int64_t i, int64_t n, int64_t stride, bool ring) {
  Beside b;
  b.has_left = i > 0 || ring;
  b.has_right = i + 1 < n || ring;
  b.left = i > 0 ? -stride : ring ? (n - 1) * stride : 0;
  b.right = i + 1 < n ? stride : ring ? -(n - 1) * stride : 0;
  return b;
}

template <class T>
struct FluxSum {
  VariableFields fields;
  FaceRule<T> rules[3];
  const T *k, *x, *base;
  T* to;
};

template <class T>
__global__ void sum_fluxes(FluxSum<T> p) {
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const VariableFields& fields = p.fields;
  if (cell >= fields.volumes * fields.cells) return;
  const int64_t volume = cell / fields.cells;
  int64_t rest = cell - volume * fields.cells;
  const T* k = p.k + fields.k_volume(volume) * fields.cells + rest;
  const T* x = p.x + cell;
  T sum = p.base ? p.base[cell] : T(0);
  for (int axis = 0; axis < fields.axes; ++axis) {
    const FaceRule<T>& rule = p.rules[axis];
    const int64_t n = fields.extent[axis], next = rest / n, i = rest - next * n;
    rest = next;
    const Beside at = beside(i, n, fields.stride(axis), rule.ends == 2);
    const T kc = rule.scaled(k[0]), xc = x[0];
    const T entering = at.has_left
                           ? rule.face(rule.scaled(k[at.left]), kc) * (xc - x[at.left])
                           : rule.wall() * kc * xc;
    const T leaving = at.has_right
                          ? rule.face(kc, rule.scaled(k[at.right])) * (x[at.right] - xc)
                          : -(rule.wall() * kc * xc);
    sum += leaving - entering;
  }
  p.to[cell] = sum;
}

template <class T>
__global__ void sum_fields(const T* u, const T* v, T* to, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) to[i] = u[i] + v[i];
}

template <class T>
struct FaceProducts {
  VariableFields fields;
  int axis, ends;
  bool harmonic, first;
  T weight, inner;
  const T *k, *p, *q;
  T* gk;
};

template <class T>
__global__ void sum_faces(FaceProducts<T> f) {
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const VariableFields& fields = f.fields;
  if (cell >= fields.volumes * fields.cells) return;
  const int64_t volume = cell / fields.cells, own = cell - volume * fields.cells;
  const T* k = f.k + fields.k_volume(volume) * fields.cells + own;
  const T *p = f.p + cell, *q = f.q + cell;
  const int64_t n = fields.extent[f.axis], stride = fields.stride(f.axis);
  const Beside at = beside(own / stride % n, n, stride, f.ends == 2);
  const T wall = f.ends == 1 ? -f.weight * (p[0] * q[0]) : T(0);
  T left = wall, right = wall;
  if (at.has_left)
    left = face_derivative(f.harmonic, k[0], k[at.left]) * -f.inner *
           ((p[0] - p[at.left]) * (q[0] - q[at.left]));
  if (at.has_right)
    right = face_derivative(f.harmonic, k[0], k[at.right]) * -f.inner *
            ((p[at.right] - p[0]) * (q[at.right] - q[0]));
  f.gk[cell] = (f.first ? T(0) : f.gk[cell]) + (left + right);
}

template <class T>
__global__ void sum_shared(VariableFields fields, const T* every, T* gk) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= fields.k_samples * fields.k_channels * fields.cells) return;
  const int64_t k_volume = at / fields.cells, cell = at - k_volume * fields.cells;
  const int64_t k_sample = k_volume / fields.k_channels;
  const int64_t k_channel = k_volume - k_sample * fields.k_channels;
  const int64_t samples = fields.volumes / fields.channels;
  const int64_t first_sample = fields.k_samples == 1 ? 0 : k_sample;
  const int64_t end_sample = fields.k_samples == 1 ? samples : k_sample + 1;
  const int64_t first_channel = fields.k_channels == 1 ? 0 : k_channel;
  const int64_t end_channel = fields.k_channels == 1 ? fields.channels : k_channel + 1;
  double sum = 0;
  for (int64_t n = first_sample; n < end_sample; ++n) {
    for (int64_t c = first_channel; c < end_channel; ++c)
      sum += static_cast<double>(every[(n * fields.channels + c) * fields.cells + cell]);
  }
  gk[at] = static_cast<T>(sum);
}

Grid grid_of(int64_t n) { return {blocks_of(n, kElementThreads), kElementThreads}; }

}  // namespace

template <class T>
void add_flux(const VariableBatch<T>& b, const T* x, const T* base, T* to) {
  FluxSum<T> p{b.fields, {}, b.k, x, base, to};
  for (int i = 0; i < b.sweeps.count; ++i) p.rules[b.sweeps.at[i].axis] = b.rule(i, 1);
  b.call.launch(sum_fluxes<T>, grid_of(b.fields.size()), p);
}

template <class T>
void add_fields(const VariableBatch<T>& b, const T* u, const T* v, T* to) {
  b.call.launch(sum_fields<T>, grid_of(b.fields.size()), u, v, to, b.fields.size());
}

template <class T>
void face_gradient(const VariableBatch<T>& b, int i, double fraction, const T* p, const T* q,
                   bool first, T* gk) {
  const double scale = b.harmonic() ? 2.0 : 0.5, weight = b.tau(i) * fraction;
  const FaceProducts<T> f{b.fields,
                          b.sweeps.at[i].axis,
                          static_cast<int>(b.p.boundary),
                          b.harmonic(),
                          first,
                          static_cast<T>(weight),
                          static_cast<T>(static_cast<T>(weight) * static_cast<T>(scale)),
                          b.k,
                          p,
                          q,
                          gk};
  b.call.launch(sum_faces<T>, grid_of(b.fields.size()), f);
}

template <class T>
void share_gradient(const VariableBatch<T>& b, const T* every, T* gk) {
  const int64_t n = b.fields.k_samples * b.fields.k_channels * b.fields.cells;
  b.call.launch(sum_shared<T>, grid_of(n), b.fields, every, gk);
}

#define FLUXION_FACES(T)                                                                        \
  template void add_flux<T>(const VariableBatch<T>&, const T*, const T*, T*);                   \
  template void add_fields<T>(const VariableBatch<T>&, const T*, const T*, T*);                 \
  template void face_gradient<T>(const VariableBatch<T>&, int, double, const T*, const T*, bool, T*); \
  template void share_gradient<T>(const VariableBatch<T>&, const T*, T*);
FLUXION_FACES(float)
FLUXION_FACES(double)
#undef FLUXION_FACES

}  // namespace fluxion::cuda
