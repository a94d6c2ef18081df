// Implicit diffusion and tridiagonal kernels on every instruction set: the solution is put back into the
// equations, results are the same bits for one and two threads, and no kernel writes past its output.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "backend/engine.h"
#include "cpu/cpu_backend.h"
#include "ops/diffusion.h"
#include "check.h"

using namespace fluxion;

namespace {

template <class T>
struct Machine {
  char reason[256] = {};
  Device device{cpu::backend(), cpu::backend()->open(0, reason, sizeof reason), "cpu",
                host_memory_limit()};
  Engine engine{device};

  Machine() { device.set_checked(true); }

  Tensor upload(const std::vector<T>& values, const Shape& shape) {
    Tensor t = engine.empty(DTypeOf<T>::value, shape, "test");
    device.write(t.view().data, values.data(), values.size() * sizeof(T));
    return t;
  }
  std::vector<T> read(const Tensor& t) {
    std::vector<T> values(static_cast<size_t>(t.view().size()));
    device.read(values.data(), t.view().data, values.size() * sizeof(T));
    device.drain();
    return values;
  }
};

template <class T>
std::vector<T> noise(size_t n, double low, double high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> values(n);
  for (T& v : values) v = static_cast<T>(uniform(random));
  return values;
}

// values + factor * second difference along an axis of a plane.
std::vector<double> stencil(const std::vector<double>& u, int64_t rows, int64_t columns, int axis,
                            double factor, Boundary boundary) {
  const int64_t n = axis == 0 ? columns : rows, step = axis == 0 ? 1 : columns;
  std::vector<double> out(u.size());
  for (int64_t p = 0; p < rows * columns; ++p) {
    const int64_t q = axis == 0 ? p % columns : p / columns;
    const auto at = [&](int64_t other) {
      if (other < 0 || other >= n) {
        if (boundary == Boundary::dirichlet) return 0.0;
        other = boundary == Boundary::neumann ? q : (other + n) % n;
      }
      return u[static_cast<size_t>(p + (other - q) * step)];
    };
    out[static_cast<size_t>(p)] = at(q) + factor * (at(q - 1) - 2 * at(q) + at(q + 1));
  }
  return out;
}

template <class T>
void test_diffusion(Machine<T>& m, int64_t rows, int64_t columns, Boundary boundary,
                    DiffusionScheme scheme) {
  const Shape shape{2, 3, rows, columns};
  const std::vector<T> u = noise<T>(static_cast<size_t>(shape.size()), -1, 1, 1);
  const std::vector<T> k = noise<T>(6, 0, 3, 2);
  const ImplicitDiffusion2dParams p{0.7, 1.1, 0.9, boundary, scheme, Splitting::lie};
  Tensor tu = m.upload(u, shape), tk = m.upload(k, {3, 2}), w;
  const Operand inputs[] = {{&tu}, {&tk}};
  m.engine.run(OpId::implicit_diffusion_2d, &p, inputs, 1, &w);
  const std::vector<T> result = m.read(w);

  const double implicit = scheme == DiffusionScheme::crank_nicolson ? 0.5 : 1;
  const size_t cells = static_cast<size_t>(rows * columns);
  double worst = 0;
  for (size_t plane = 0; plane < 6; ++plane) {
    const size_t c = plane % 3;
    const double rx = static_cast<double>(k[2 * c]) * p.dt / (p.dx * p.dx);
    const double ry = static_cast<double>(k[2 * c + 1]) * p.dt / (p.dy * p.dy);
    std::vector<double> left(result.begin() + static_cast<long>(plane * cells),
                             result.begin() + static_cast<long>((plane + 1) * cells));
    std::vector<double> right(u.begin() + static_cast<long>(plane * cells),
                              u.begin() + static_cast<long>((plane + 1) * cells));
    left = stencil(stencil(left, rows, columns, 0, -implicit * rx, boundary), rows, columns, 1,
                   -implicit * ry, boundary);
    right = stencil(stencil(right, rows, columns, 0, (1 - implicit) * rx, boundary), rows, columns,
                    1, (1 - implicit) * ry, boundary);
    for (size_t i = 0; i < cells; ++i) worst = std::max(worst, std::abs(left[i] - right[i]));
  }
  CHECK(worst < (sizeof(T) == 8 ? 1e-13 : 3e-5));

  // The fused adjoint writes what it says and no more; its values are checked from TypeScript.
  Tensor saved = scheme == DiffusionScheme::crank_nicolson ? tu.share() : w.share();
  const Operand adjoint[] = {{&tu}, {&tk}, {&saved}};
  Tensor outputs[kMaxOutputs];
  m.engine.run(OpId::implicit_diffusion_2d_vjp, &p, adjoint, 3, outputs);
  bool finite = true;
  for (const T v : m.read(outputs[0])) finite = finite && std::isfinite(v);
  for (const T v : m.read(outputs[1])) finite = finite && std::isfinite(v);
  CHECK(finite);

  const std::vector<T> gk = m.read(outputs[1]);
  cpu::set_threads(m.device.handle(), 1);
  m.engine.run(OpId::implicit_diffusion_2d_vjp, &p, adjoint, 3, outputs);
  CHECK(std::memcmp(gk.data(), m.read(outputs[1]).data(), gk.size() * sizeof(T)) == 0);
  cpu::set_threads(m.device.handle(), 2);
}

// Lines and volumes, every splitting: what memory the kernels touch, and the same bits for 1 and 2 threads. The
// values are checked from TypeScript.
template <class T, class Params>
void test_other(Machine<T>& m, OpId op, OpId vjp, const Shape& shape, const Params& p) {
  const int64_t axes = shape.ndim - 2;
  Tensor tu = m.upload(noise<T>(static_cast<size_t>(shape.size()), -1, 1, 1), shape);
  Tensor tk = m.upload(noise<T>(static_cast<size_t>(shape[1] * axes), 0, 3, 2), {shape[1], axes});
  Tensor w, outputs[kMaxOutputs];
  std::vector<T> first[3];
  for (const int threads : {2, 1}) {
    cpu::set_threads(m.device.handle(), threads);
    const Operand inputs[] = {{&tu}, {&tk}};
    m.engine.run(op, &p, inputs, 1, &w);
    const Operand adjoint[] = {{&tu}, {&tk}, {&w}};
    m.engine.run(vjp, &p, adjoint, 3, outputs);
    const std::vector<T> results[] = {m.read(w), m.read(outputs[0]), m.read(outputs[1])};
    for (int i = 0; i < 3; ++i) {
      for (const T v : results[i]) CHECK(std::isfinite(v));
      if (threads == 2) {
        first[i] = results[i];
      } else {
        CHECK(std::memcmp(first[i].data(), results[i].data(), first[i].size() * sizeof(T)) == 0);
      }
    }
  }
  cpu::set_threads(m.device.handle(), 2);
}

template <class T>
void test_others(Machine<T>& m, Boundary boundary, DiffusionScheme scheme) {
  const ImplicitDiffusion1dParams line{0.7, 1.1, boundary, scheme};
  for (const int64_t n : {1, 2, 17, 40}) {
    for (const int64_t channels : {1, 3, 35}) {
      test_other(m, OpId::implicit_diffusion_1d, OpId::implicit_diffusion_1d_vjp, {2, channels, n},
                 line);
    }
  }
  for (const Splitting splitting : {Splitting::lie, Splitting::strang, Splitting::douglas}) {
    const ImplicitDiffusion2dParams plane{0.7, 1.1, 0.9, boundary, scheme, splitting};
    test_other(m, OpId::implicit_diffusion_2d, OpId::implicit_diffusion_2d_vjp, {2, 2, 5, 19},
               plane);
    const ImplicitDiffusion3dParams volume{0.7, 1.1, 0.9, 1.2, boundary, scheme, splitting};
    test_other(m, OpId::implicit_diffusion_3d, OpId::implicit_diffusion_3d_vjp, {1, 2, 1, 1, 1},
               volume);
    test_other(m, OpId::implicit_diffusion_3d, OpId::implicit_diffusion_3d_vjp, {1, 2, 3, 17, 9},
               volume);
  }
}

template <class T>
void test_tridiagonal(Machine<T>& m, int64_t systems, int64_t n) {
  const size_t size = static_cast<size_t>(systems * n);
  const std::vector<T> l = noise<T>(size, -1, 1, 3), d = noise<T>(size, 2.5, 4, 4),
                       u = noise<T>(size, -1, 1, 5), b = noise<T>(size, -1, 1, 6);
  const Shape shape{systems, n};
  Tensor tl = m.upload(l, shape), td = m.upload(d, shape), tu = m.upload(u, shape),
         tb = m.upload(b, shape), x;
  const Operand inputs[] = {{&tl}, {&td}, {&tu}, {&tb}};
  const TridiagonalParams open{false};
  m.engine.run(OpId::tridiagonal_solve, &open, inputs, 1, &x);
  const std::vector<T> result = m.read(x);
  double worst = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t row = i % static_cast<size_t>(n);
    double sum = static_cast<double>(d[i]) * static_cast<double>(result[i]);
    if (row > 0) sum += static_cast<double>(l[i]) * static_cast<double>(result[i - 1]);
    if (row + 1 < static_cast<size_t>(n))
      sum += static_cast<double>(u[i]) * static_cast<double>(result[i + 1]);
    worst = std::max(worst, std::abs(sum - static_cast<double>(b[i])));
  }
  CHECK(worst < (sizeof(T) == 8 ? 1e-14 : 3e-6));
  const Operand adjoint[] = {{&tb}, {&tl}, {&td}, {&tu}, {&x}};
  Tensor outputs[kMaxOutputs];
  m.engine.run(OpId::tridiagonal_solve_vjp, &open, adjoint, 15, outputs);
  CHECK(m.read(outputs[0])[0] == T(0));  // lower_0 is not read
}

template <class T>
void test_all(const char* instruction_set) {
  Machine<T> m;
  CHECK(cpu::select_instruction_set(m.device.handle(), instruction_set));
  for (const int64_t rows : {1, 2, 3, 17, 70}) {
    for (const int64_t columns : {1, 2, 7, 16, 33, 64}) {
      for (const Boundary boundary : {Boundary::neumann, Boundary::dirichlet, Boundary::periodic}) {
        test_diffusion(m, rows, columns, boundary, DiffusionScheme::backward_euler);
        test_diffusion(m, rows, columns, boundary, DiffusionScheme::crank_nicolson);
      }
    }
  }
  test_diffusion(m, 131, 140, Boundary::neumann, DiffusionScheme::backward_euler);
  for (const Boundary boundary : {Boundary::neumann, Boundary::dirichlet, Boundary::periodic}) {
    test_others(m, boundary, DiffusionScheme::backward_euler);
    test_others(m, boundary, DiffusionScheme::crank_nicolson);
  }
  // Larger than the cache: swept axis by axis.
  const ImplicitDiffusion3dParams volume{
      0.7, 1, 1, 1, Boundary::periodic, DiffusionScheme::crank_nicolson, Splitting::douglas};
  test_other(m, OpId::implicit_diffusion_3d, OpId::implicit_diffusion_3d_vjp, {1, 1, 66, 65, 67},
             volume);
  for (const int64_t systems : {1, 5, 16, 33}) {
    for (const int64_t n : {1, 2, 3, 40}) test_tridiagonal(m, systems, n);
  }
}

}  // namespace

int main() {
  std::string sets = cpu::instruction_sets() + " ";
  for (size_t at = 0, end; (end = sets.find(' ', at)) != std::string::npos; at = end + 1) {
    const std::string name = sets.substr(at, end - at);
    test_all<float>(name.c_str());
    test_all<double>(name.c_str());
  }
  return fluxion::test::finish();
}
