// The fused step on every instruction set, called without the engine: it is the three steps one after the other,
// gradients are those of differences, displacements that are far or not finite stay inside the memory.
#include "kernel_ops.h"
#include "ops/adr_step.h"

using namespace fluxion;
using namespace fluxion::test;

#define STEP_OPS(X)                                  \
  X(adr_step_2d, AdrStep2dParams)                    \
  X(adr_step_2d_vjp, AdrStep2dParams)                \
  X(advect_semi_lagrangian_2d, SemiLagrangianParams) \
  X(implicit_diffusion_2d, ImplicitDiffusion2dParams)
FLUXION_TEST_DECLARE(STEP_OPS)

namespace {

FLUXION_TEST_DEFINE(STEP_OPS)

struct Step {
  int isa;
  AdrStep2dParams p;
  // u, displacement, diffusivity, and of the reaction weight1, bias1, weight2, bias2
  std::vector<Array> in;

  Array forward() const {
    return run(adr_step_2d, isa, p, std::vector<Input>(in.begin(), in.end()))[0];
  }
  std::vector<Array> backward(const Array& g, uint32_t wanted = ~0u) const {
    std::vector<Input> inputs{g};
    inputs.insert(inputs.end(), in.begin(), in.end());
    return run(adr_step_2d_vjp, isa, p, inputs, wanted);
  }
};

double activate(ReactionActivation a, double x) {
  if (a == ReactionActivation::relu) return x > 0 ? x : 0;
  if (a == ReactionActivation::silu) return x / (1 + std::exp(-x));
  if (a == ReactionActivation::gelu) return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
  return std::tanh(x);
}

// The three steps one after the other.
Array composed(const Step& s) {
  const SemiLagrangianParams path{s.p.advection_boundary, Interpolation::bilinear,
                                  Transport::color};
  const ImplicitDiffusion2dParams heat{
      s.p.dt,        s.p.dx, s.p.dy, s.p.diffusion_boundary, DiffusionScheme::backward_euler,
      Splitting::lie};
  const Shape& u = s.in[0].shape;
  const int64_t pixels = u[2] * u[3], fields = s.in[1].shape[0];
  const Input displacement(s.in[1], {u[0], 2, u[2], u[3]},
                           {fields == 1 ? 0 : 2 * pixels, pixels, u[3], 1});
  const Array moved = run(advect_semi_lagrangian_2d, s.isa, path, {s.in[0], displacement})[0];
  Array v = run(implicit_diffusion_2d, s.isa, heat, {moved, s.in[2]})[0];
  const int64_t batch = v.shape[0], channels = v.shape[1], hidden = s.in[3].shape[0];
  Array w = v;
  for (int64_t at = 0; at < batch * pixels; ++at) {
    const int64_t first = at / pixels * channels * pixels + at % pixels;
    for (int64_t c = 0; c < channels; ++c)
      w.v[static_cast<size_t>(first + c * pixels)] += s.p.dt * s.in[6][c];
    for (int64_t m = 0; m < hidden; ++m) {
      double sum = s.in[4][m];
      for (int64_t c = 0; c < channels; ++c)
        sum += s.in[3][m * channels + c] * v[first + c * pixels];
      const double h = s.p.dt * activate(s.p.activation, sum);
      for (int64_t c = 0; c < channels; ++c)
        w.v[static_cast<size_t>(first + c * pixels)] += h * s.in[5][c * hidden + m];
    }
  }
  return w;
}

void test_step(int isa, DType t, const Shape& u, bool shared, int64_t hidden,
               const AdrStep2dParams& p) {
  const int64_t c = u[1];
  Step s{isa,
         p,
         {noise(u, t), noise({shared ? 1 : u[0], 2, u[2], u[3]}, t, -3, 3), noise({c, 2}, t, 0, 2),
          noise({hidden, c}, t, -0.5, 0.5), noise({hidden}, t), noise({c, hidden}, t, -0.5, 0.5),
          noise({c}, t)}};
  const Array v = s.forward(), g = noise(u, t);
  near(v, composed(s).v, 200, "advection, diffusion and reaction");

  // Gradients of u, displacement, diffusivity, and all of the reaction in one.
  const std::vector<Array> all = s.backward(g);
  for (const uint32_t wanted : {1u, 2u, 4u, 8u, 5u, 10u}) {
    const std::vector<Array> some = s.backward(g, wanted);
    for (size_t i = 0; i < 4; ++i)
      if (wanted >> i & 1) near(some[i], all[i].v, 20, "some of the gradients");
  }
  size_t at = 0;  // in the gradients of the reaction
  for (size_t i = 0; t == DType::f64 && i < s.in.size(); ++i) {
    const Array direction = noise(s.in[i].shape, t);
    double expected = 0, got = 0;
    for (const double h : {1e-7, -1e-7}) {
      Step moved = s;
      for (size_t j = 0; j < direction.v.size(); ++j) moved.in[i].v[j] += h * direction.v[j];
      expected += dot(g, moved.forward()) / (2 * h);
    }
    for (size_t j = 0; j < direction.v.size(); ++j)
      got += direction.v[j] * (i < 3 ? all[i].v[j] : all[3].v[at + j]);
    if (i >= 3) at += direction.v.size();
    CHECK(same(got, expected, 1e-6, std::sqrt(dot(g, g)) + std::abs(expected)));
  }
  s.in[1] = with_extremes(s.in[1]);
  s.forward();
  s.backward(g);
  s.backward(g, 2);
}

}  // namespace

int main() {
  for (int isa = 0; isa < isa_count(); ++isa) {
    for (const DType t : {DType::f32, DType::f64}) {
      for (int choice = 0; choice < 12; ++choice) {
        for (int kind = 0; kind < 4; ++kind) {
          const AdrStep2dParams p{0.3,
                                  1.1,
                                  0.9,
                                  static_cast<SampleBoundary>(choice % 4),
                                  static_cast<Boundary>(choice / 4),
                                  static_cast<ReactionActivation>(kind)};
          test_step(isa, t, {2, 3, 5, 7}, kind % 2 == 0, 4, p);
          if (kind != choice % 4) continue;  // sizes: one activation is enough
          test_step(isa, t, {1, 1, 1, 1}, true, 1, p);
          test_step(isa, t, {2, 2, 2, 3}, false, 17, p);
          test_step(isa, t, {1, 17, 3, 16}, true, 3, p);
          test_step(isa, t, {1, 16, 1, 17}, false, 33, p);
          test_step(isa, t, {3, 15, 17, 2}, true, 7, p);
          test_step(isa, t, {1, 33, 3, 33}, true, 16, p);
        }
      }
    }
  }
  return finish();
}
