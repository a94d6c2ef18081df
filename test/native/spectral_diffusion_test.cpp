// Spectral and stencil diffusion on every instruction set of this machine, called without the engine: the
// result is put back into the equations; outputs and scratch lie between guard bytes and start as NaN, and
// two threads must give the bits of one.
#include "kernel_ops.h"
#include "ops/spectral_diffusion.h"

using namespace fluxion;
using namespace fluxion::test;

#define SPECTRAL_OPS(X)                                 \
  X(spectral_diffusion_1d, SpectralDiffusionParams)     \
  X(spectral_diffusion_1d_vjp, SpectralDiffusionParams) \
  X(spectral_diffusion_2d, SpectralDiffusionParams)     \
  X(spectral_diffusion_2d_vjp, SpectralDiffusionParams) \
  X(spectral_diffusion_3d, SpectralDiffusionParams)     \
  X(spectral_diffusion_3d_vjp, SpectralDiffusionParams) \
  X(stencil_diffusion_2d, StencilDiffusionParams)       \
  X(stencil_diffusion_2d_vjp, StencilDiffusionParams)
FLUXION_TEST_DECLARE(SPECTRAL_OPS)

namespace {

FLUXION_TEST_DEFINE(SPECTRAL_OPS)

const Op<SpectralDiffusionParams>* const kForward[] = {
    &spectral_diffusion_1d, &spectral_diffusion_2d, &spectral_diffusion_3d};
const Op<SpectralDiffusionParams>* const kBackward[] = {
    &spectral_diffusion_1d_vjp, &spectral_diffusion_2d_vjp, &spectral_diffusion_3d_vjp};

// v - r (second differences along all axes but the first two).
std::vector<double> equations(const Array& v, double r, Boundary boundary) {
  std::vector<double> out = v.v;
  int64_t stride = 1;
  for (int d = v.shape.ndim - 1; d >= 2; --d) {
    const int64_t n = v.shape[d];
    for (int64_t p = 0; p < v.shape.size(); ++p) {
      const int64_t q = p / stride % n;
      for (const int64_t to : {q - 1, q + 1}) {
        double value = v[p];
        if (to >= 0 && to < n) {
          value = v[p + (to - q) * stride];
        } else if (boundary == Boundary::dirichlet) {
          value = 0;
        } else if (boundary == Boundary::periodic) {
          value = v[p + ((to + n) % n - q) * stride];
        }
        out[static_cast<size_t>(p)] -= r * (value - v[p]);
      }
    }
    stride *= n;
  }
  return out;
}

void test_spectral(int isa, DType t, const Shape& shape, Boundary boundary, SpectralScheme scheme) {
  const int dims = shape.ndim - 2;
  const SpectralDiffusionParams p{0.7, 1, 1, 1, boundary, scheme, SpectralSymbol::discrete, 1};
  const Array u = noise(shape, t), g = noise(shape, t);
  const Array k{std::vector<double>(static_cast<size_t>(shape[1]), 0.5), {shape[1], 1}, t};
  const Array v = run(*kForward[dims - 1], isa, p, {u, k})[0];
  const auto both = run(*kBackward[dims - 1], isa, p, {g, k, u});
  const auto one = run(*kBackward[dims - 1], isa, p, {g, k, u}, 2);
  CHECK(one[1].v == both[1].v);
  double left = 0, right = 0;  // <g, v> = <gu, u>
  for (int64_t i = 0; i < shape.size(); ++i) left += g[i] * v[i], right += both[0][i] * u[i];
  CHECK(std::abs(left - right) < (t == DType::f64 ? 1e-11 : 1e-3) * (1 + std::abs(left)));
  if (scheme != SpectralScheme::backward_euler) return;
  near(Array{equations(v, 0.35, boundary), shape, t}, u.v, 200, "spectral diffusion");
}

void test_stencil(int isa, DType t, const Shape& shape) {
  const StencilDiffusionParams p{0.7};
  const Array u = noise(shape, t), g = noise(shape, t), l = noise({shape[1], 3, 3}, t);
  const Array v = run(stencil_diffusion_2d, isa, p, {u, l})[0];
  const auto both = run(stencil_diffusion_2d_vjp, isa, p, {g, l, u});
  const auto one = run(stencil_diffusion_2d_vjp, isa, p, {g, l, u}, 2);
  CHECK(one[1].v == both[1].v);
  double left = 0, right = 0;
  for (int64_t i = 0; i < shape.size(); ++i) left += g[i] * v[i], right += both[0][i] * u[i];
  CHECK(std::abs(left - right) < (t == DType::f64 ? 1e-11 : 1e-3) * (1 + std::abs(left)));
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (const Boundary b : {Boundary::periodic, Boundary::neumann, Boundary::dirichlet}) {
        for (const SpectralScheme s :
             {SpectralScheme::backward_euler, SpectralScheme::exponential}) {
          for (const int64_t n : {1, 2, 3, 15, 16, 17, 33, 127, 131})
            test_spectral(isa, t, {3, 5, n}, b, s);
          test_spectral(isa, t, {2, 32, 20}, b, s);
          test_spectral(isa, t, {2, 3, 17, 35}, b, s);
          test_spectral(isa, t, {2, 1, 131, 2}, b, s);  // a convolution beside a short transform
          test_spectral(isa, t, {1, 2, 5, 3, 18}, b, s);
        }
      }
      test_stencil(isa, t, {2, 3, 1, 1});
      test_stencil(isa, t, {2, 3, 2, 17});
      test_stencil(isa, t, {2, 2, 33, 16});
      test_stencil(isa, t, {1, 1, 131, 4});
    }
  }
  return finish();
}
