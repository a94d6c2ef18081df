// Semi-Lagrangian kernels of every instruction set, called without the engine: both transports are transposes,
// fused adjoints agree with the transports, positions that are far or not finite stay inside the memory.
#include "kernel_ops.h"
#include "ops/semi_lagrangian.h"

using namespace fluxion;
using namespace fluxion::test;

#define SAMPLING_OPS(X)                                  \
  X(advect_semi_lagrangian_2d, SemiLagrangianParams)     \
  X(advect_semi_lagrangian_2d_vjp, SemiLagrangianParams) \
  X(advect_semi_lagrangian_3d, SemiLagrangianParams)     \
  X(advect_semi_lagrangian_3d_vjp, SemiLagrangianParams) \
  X(grid_sample, GridSampleParams)                       \
  X(grid_sample_vjp, GridSampleParams)
FLUXION_TEST_DECLARE(SAMPLING_OPS)

namespace {

FLUXION_TEST_DEFINE(SAMPLING_OPS)

void test_transport(int isa, DType dtype, const Shape& field, const Shape& displacement,
                    SemiLagrangianParams p) {
  const bool flat = field.ndim == 4;
  const auto& advect = flat ? advect_semi_lagrangian_2d : advect_semi_lagrangian_3d;
  const auto& adjoint = flat ? advect_semi_lagrangian_2d_vjp : advect_semi_lagrangian_3d_vjp;
  const Array x = noise(field, dtype), y = noise(field, dtype);
  const Array d = noise(displacement, dtype, -4, 4);
  p.transport = Transport::color;
  const Array gathered = run(advect, isa, p, {x, d})[0];
  const std::vector<Array> color = run(adjoint, isa, p, {y, x, d});
  p.transport = Transport::mass;
  const Array scattered = run(advect, isa, p, {y, d})[0];
  const std::vector<Array> mass = run(adjoint, isa, p, {x, y, d});
  const double scale = std::sqrt(dot(x, x) * dot(y, y)) + 1;
  CHECK(std::abs(dot(gathered, y) - dot(x, scattered)) <
        (dtype == DType::f64 ? 1e-14 : 1e-5) * scale);
  CHECK(color[0].v == scattered.v);
  CHECK(mass[0].v == gathered.v);
  near(mass[1], color[1].v, 64, "both transports have the same derivative in d");

  const Array far = with_extremes(d);
  for (const Transport transport : {Transport::color, Transport::mass}) {
    p.transport = transport;
    run(advect, isa, p, {x, far});
    run(adjoint, isa, p, {y, x, far});
    run(adjoint, isa, p, {y, x, far}, 2);
  }
}

void test_grid(int isa, DType dtype, const Shape& image, const Shape& grid, GridSampleParams p) {
  const Array x = noise(image, dtype), at = noise(grid, dtype, -1.6, 1.6);
  const Array sampled = run(grid_sample, isa, p, {x, at})[0];
  const Array y = noise(sampled.shape, dtype);
  const Array back = run(grid_sample_vjp, isa, p, {y, x, at})[0];
  const double scale = std::sqrt(dot(x, x) * dot(y, y)) + 1;
  CHECK(std::abs(dot(sampled, y) - dot(x, back)) < (dtype == DType::f64 ? 1e-14 : 1e-5) * scale);
  run(grid_sample, isa, p, {x, with_extremes(at)});
  run(grid_sample_vjp, isa, p, {y, x, with_extremes(at)});
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (int boundary = 0; boundary < 4; ++boundary) {
        for (int cubic = 0; cubic < 2; ++cubic) {
          const SemiLagrangianParams p{static_cast<SampleBoundary>(boundary),
                                       static_cast<Interpolation>(cubic), Transport::color};
          test_transport(isa, t, {2, 3, 5, 17}, {2, 2, 5, 17}, p);
          test_transport(isa, t, {2, 2, 3, 16}, {2, 2, 2, 3, 16}, p);
          test_transport(isa, t, {2, 19, 4, 9}, {2, 2, 4, 9}, p);
          test_transport(isa, t, {8, 9, 1, 1}, {8, 2, 1, 1}, p);
          test_transport(isa, t, {1, 2, 2, 3, 5}, {1, 3, 2, 3, 5}, p);
          test_transport(isa, t, {1, 17, 3, 2, 4}, {1, 3, 3, 2, 4}, p);
        }
      }
      for (int choice = 0; choice < 18; ++choice) {
        const GridSampleParams p{static_cast<GridMode>(choice / 6),
                                 static_cast<GridPadding>(choice / 2 % 3), choice % 2 == 1};
        test_grid(isa, t, {2, 3, 4, 5}, {2, 3, 18, 2}, p);
        test_grid(isa, t, {1, 11, 1, 3}, {1, 7, 2, 2}, p);
        if (p.mode != GridMode::bicubic) test_grid(isa, t, {1, 9, 2, 3, 4}, {1, 2, 1, 5, 3}, p);
      }
    }
  }
  return fluxion::test::finish();
}
