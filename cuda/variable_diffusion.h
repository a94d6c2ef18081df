// Implicit diffusion with cell-centred diffusivity on the GPU: what its launchers share.
#pragma once

#include "device/variable_line.cuh"
#include "kernel.h"
#include "ops/variable_diffusion.h"

namespace fluxion::cuda {

// u [N, C, ...cells] and k [N or 1, C or 1, ...cells], contiguous.
struct VariableFields {
  int axes;
  int64_t extent[3];  // from x on
  int64_t cells;      // of a volume
  int64_t volumes;
  int64_t channels, k_samples, k_channels;

  int64_t size() const { return volumes * cells; }
  __host__ __device__ bool shared() const { return k_samples * k_channels != volumes; }
  __device__ __forceinline__ int64_t k_volume(int64_t volume) const {
    if (!shared()) return volume;
    const int64_t sample = volume / channels;
    return (k_samples == 1 ? 0 : sample) * k_channels +
           (k_channels == 1 ? 0 : volume - sample * channels);
  }
  __host__ __device__ int64_t stride(int axis) const {
    return axis == 0 ? 1 : axis == 1 ? extent[0] : extent[0] * extent[1];
  }
};

template <class T>
struct VariableBatch {
  const VariableDiffusionParams& p;
  const Kernel& call;
  VariableFields fields;
  SweepList sweeps;
  const T* k;

  bool crank() const { return p.scheme == DiffusionScheme::crank_nicolson; }
  // The whole time of sweep i over spacing^2.
  double tau(int i) const {
    const double spacing[] = {p.dx, p.dy, p.dz};
    const Sweep& sweep = sweeps.at[i];
    return p.dt * sweep.fraction / (spacing[sweep.axis] * spacing[sweep.axis]);
  }
  bool harmonic() const { return p.face_mean == FaceMean::harmonic; }
  FaceRule<T> rule(int sweep, double fraction) const {
    return {harmonic(), static_cast<int>(p.boundary),
            static_cast<T>(tau(sweep) * fraction * (harmonic() ? 2.0 : 0.5))};
  }
};

// --- variable_sweep.cu
// solution = S from with sweep i, and to = the same or, reflecting, 2 S from - from. Either may be null; any may be `from`
// but solution of to.
template <class T>
void variable_sweep(const VariableBatch<T>& b, int i, const T* from, T* to, bool reflect,
                    T* solution = nullptr);

// --- variable_faces.cu
// to = base + tau A x over all axes (base may be null: 0). to is not x.
template <class T>
void add_flux(const VariableBatch<T>& b, const T* x, const T* base, T* to);
// to = u + v.
template <class T>
void add_fields(const VariableBatch<T>& b, const T* u, const T* v, T* to);
// gk (of every volume) = (first ? 0 : gk) + the gradient of <p, fraction tau A q> along the axis of sweep i.
template <class T>
void face_gradient(const VariableBatch<T>& b, int i, double fraction, const T* p, const T* q,
                   bool first, T* gk);
// gk of a shared diffusivity, over the volumes that share it in order.
template <class T>
void share_gradient(const VariableBatch<T>& b, const T* every, T* gk);

}  // namespace fluxion::cuda
