// The outflow rate of a velocity field [N, C, d, *S]: the largest share of a cell that leaves it in a unit of
// time, of which the time step times it is the CFL number.
//     advective     max over the cells of sum_k |a_k| / dx_k
//     conservative  max over the cells of sum_k (max(a_k at the face above, 0) - min(a_k at that below, 0)) / dx_k
//                   with face velocities as in upwind.cpp
// In float64; NaN if any velocity is. A block is one field; the maximum does not depend on the order.
#include "cpu/kernel.h"
#include "ops/upwind.h"

#define FLUXION_KERNELS "cpu/upwind_rate.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// NaN wins.
inline double larger(double a, double b) { return b > a || b != b ? b : a; }

struct Extents {
  int dims;
  int64_t n[3], step[3], cells;  // along x, y, z
  double inverse[3];
  Extents(const OutflowRateParams& p, const Shape& shape) : dims(shape.ndim - 3), cells(1) {
    const double spacing[3] = {p.dx, p.dy, p.dz};
    for (int k = 0; k < dims; ++k) {
      n[k] = shape[shape.ndim - 1 - k];
      step[k] = cells;
      cells *= n[k];
      inverse[k] = 1 / spacing[k];
    }
  }
};

// Outflow through the two faces of a cell along axis k; `cell` points at its velocity component.
template <class T>
double outflow(const T* cell, int64_t position, const Extents& s, int k, Boundary boundary) {
  const int64_t n = s.n[k], step = s.step[k];
  const double a = static_cast<double>(*cell);
  double below = -a, above = -a;  // beyond a wall: the face velocity is 0
  const bool periodic = boundary == Boundary::periodic;
  if (position > 0 || periodic)
    below = static_cast<double>(cell[position > 0 ? -step : (n - 1) * step]);
  if (position < n - 1 || periodic)
    above = static_cast<double>(cell[position < n - 1 ? step : -(n - 1) * step]);
  const double right = (a + above) / 2, left = (below + a) / 2;
  return (right < 0 ? 0 : right) - (left > 0 ? 0 : left);
}

template <class T>
double field_rate(const OutflowRateParams& p, const Extents& s, const T* field) {
  double most = 0;
  for (int64_t i = 0; i < s.cells; ++i) {
    double rate = 0;
    for (int k = 0; k < s.dims; ++k) {
      const T* cell = field + k * s.cells + i;
      rate += s.inverse[k] * (p.form == UpwindForm::advective
                                  ? std::fabs(static_cast<double>(*cell))
                                  : outflow(cell, i / s.step[k] % s.n[k], s, k, p.boundary));
    }
    most = larger(most, rate);
  }
  return most;
}

template <class T>
void largest_rate(const OutflowRateParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  const Extents s(p, shape);
  const int64_t fields = shape[0] * shape[1];
  double* rates = call.workspace<double>();
  const T* velocity = call.in(0).as<T>();
  call.parallel_for(fields, [&](int64_t i, int) {
    rates[i] = field_rate(p, s, velocity + i * s.dims * s.cells);
  });
  double most = 0;
  for (int64_t i = 0; i < fields; ++i) most = larger(most, rates[i]);
  *call.out(0).as<double>() = most;
}

}  // namespace

void k_outflow_rate(const OutflowRateParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    largest_rate<T>(p, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
