// Implicit diffusion on lines [N, C, L], and its adjoint. A block is one vector of lines, transposed while
// it is swept: lane i holds line first + i of the batch, which may be of another channel than its
// neighbour, so factors stand side by side in vectors as well. Groups of channels that follow each other in the
// batch repeat after `groups` vectors; where too many would be needed, vectors begin anew with each sample.
//     backward Euler  w = S u, dL/dr = <S g, D w>      Crank-Nicolson  w = 2 S u - u, dL/dr = 2 <S g, D S u>
// Memory floor 8 bytes per cell forward and 12 backward in float32.
#include <numeric>
#include <utility>

#include "cpu/kernel.h"
#include "ops/diffusion.h"

#define FLUXION_KERNELS "cpu/diffusion_lines.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/line_solver.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// How the lines of a batch are dealt to vectors, and the factors of each group of channels.
template <class T>
class LineGroups {
 public:
  static constexpr int w = kLanes<T>;
  static constexpr int64_t kMaxRepeat = 16;

  LineGroups(const DiffusionStep& step, const Kernel& call, const Shape& shape)
      : step_(step), k_(call.in(1)), channels_(shape[1]), n_(shape[2]) {
    const int64_t repeat = channels_ / std::gcd(channels_, int64_t{w});
    by_sample_ = repeat > kMaxRepeat;
    groups_ = by_sample_ ? blocks_of(channels_, w) : repeat;
    const int64_t lines = shape[0] * channels_;
    lines_ = lines;
    vectors_ = by_sample_ ? shape[0] * groups_ : blocks_of(lines, w);
    PlanKey key("constant diffusion factors of lines");
    key.add(sizeof(T)).add(w).add(step.boundary).add(n_);
    for (int64_t c = 0; c < channels_; ++c) key.add(r(c));
    table_ = static_cast<const T*>(call.plans->find(
        key.text(), table_bytes() + static_cast<size_t>(line_factor_count(n_)) * sizeof(double),
        [&](void* out) { fill(out); }));
    if (!table_) call.fault(ErrorCode::OutOfMemory, "no memory for the factors of the solver");
  }

  explicit operator bool() const { return table_ != nullptr; }
  int64_t vectors() const { return vectors_; }
  int64_t first_line(int64_t vector) const {
    return by_sample_ ? vector / groups_ * channels_ + vector % groups_ * w : vector * w;
  }
  int lines(int64_t vector) const {
    const int64_t left =
        by_sample_ ? channels_ - vector % groups_ * w : lines_ - first_line(vector);
    return static_cast<int>(std::min<int64_t>(w, left));
  }
  LineFactors<T> factors(int64_t vector) const {
    const T* t = table_ + vector % groups_ * group_size();
    return line_factors_at<T>(t, n_, w);
  }

 private:
  int64_t group_size() const { return line_factor_count(n_) * w; }
  size_t table_bytes() const {
    return round_to_line(static_cast<size_t>(groups_ * group_size()) * sizeof(T));
  }
  double r(int64_t channel) const {
    return static_cast<double>(k_.as<T>()[channel * k_.strides[0]]) * step_.rate(0);
  }
  void fill(void* out) const {
    T* table = static_cast<T*>(out);
    double* exact = reinterpret_cast<double*>(static_cast<char*>(out) + table_bytes());
    for (int64_t lane = 0; lane < groups_ * w; ++lane) {
      factor_line(r(lane % channels_), n_, step_.boundary, exact);
      T* to = table + lane / w * group_size() + lane % w;
      for (int64_t i = 0; i < line_factor_count(n_); ++i) to[i * w] = static_cast<T>(exact[i]);
    }
  }

  const DiffusionStep& step_;
  const TensorView& k_;
  int64_t channels_, n_, lines_ = 0, groups_ = 1, vectors_ = 0;
  bool by_sample_ = false;
  const T* table_ = nullptr;
};

template <class T, bool kPeriodic, bool kReflect>
void step_lines(const LineGroups<T>& groups, const Kernel& call, const T* u, T* to, int64_t n) {
  const bool around = streamable(to, n);
  call.parallel_for(groups.vectors(), [&](int64_t vector, int thread) {
    const int64_t at = groups.first_line(vector) * n;
    const RowBlock<T> rows{u + at, n, to + at, n, groups.lines(vector), n, around, nullptr};
    solve_row_block<T, true, kPeriodic, kReflect>(rows, groups.factors(vector),
                                                  call.scratch<T>(thread));
    stream_fence();
  });
}

template <class T>
void step_all(const DiffusionStep& step, const LineGroups<T>& groups, const Kernel& call,
              const T* u, T* to, int64_t n) {
  const bool periodic = step.boundary == Boundary::periodic;
  if (step.crank_nicolson()) {
    if (periodic) return step_lines<T, true, true>(groups, call, u, to, n);
    return step_lines<T, false, true>(groups, call, u, to, n);
  }
  if (periodic) return step_lines<T, true, false>(groups, call, u, to, n);
  return step_lines<T, false, false>(groups, call, u, to, n);
}

template <class T>
struct LinesJob {
  const T *g, *saved;
  T* gu;
  int64_t n;
  Boundary boundary;
  bool around_caches;
};

// The gradient in u and, for each lane, minus the inner product: of S g with D w or D S u.
template <class T, bool kPeriodic, bool kCrank>
void adjoint_block(const LinesJob<T>& job, int rows, const LineFactors<T>& f, T* lines, T* sums) {
  constexpr int w = kLanes<T>;
  const int64_t n = job.n;
  T *swept = lines, *other = swept + n * w, *g_lines = other + n * w;
  LineCarry<T> carry, carry_u;
  Vec<T> tile[w], second[w];
  int64_t j = 0;
  for (; j < n; j += w) {
    const int left = static_cast<int>(std::min<int64_t>(w, n - j));
    load_tile(job.g + j, n, rows, left, tile);
    transpose_tile<T>(tile);
    if (kCrank)
      for (int i = 0; i < left; ++i) store(g_lines + (j + i) * w, tile[i]);
    forward_tile<T, true, kPeriodic>(tile, j, left, f, swept, carry);
    load_tile(job.saved + j, n, rows, left, tile);
    transpose_tile<T>(tile);
    if (kCrank) {
      forward_tile<T, true, kPeriodic>(tile, j, left, f, other, carry_u);
    } else {
      for (int i = 0; i < left; ++i) store(other + (j + i) * w, tile[i]);
    }
  }
  turn<T, true, kPeriodic>(f, carry);
  turn<T, true, kPeriodic>(f, carry_u);
  Vec<T> sum{}, a{}, b{}, last_a{}, last_b{};
  for (j -= w; j >= 0; j -= w) {
    const int left = static_cast<int>(std::min<int64_t>(w, n - j));
    backward_tile<T, true, kPeriodic>(swept, j, left, f, carry, tile);
    if (kCrank) {
      backward_tile<T, true, kPeriodic>(other, j, left, f, carry_u, second);
    } else {
      for (int i = 0; i < left; ++i) second[i] = load(other + (j + i) * w);
    }
    if (j + left == n) {
      a = last_a = tile[left - 1];
      b = last_b = second[left - 1];
    }
    for (int i = left - 1; i >= 0; --i) {
      sum += (tile[i] - a) * (second[i] - b);
      a = tile[i];
      b = second[i];
    }
    if (!job.gu) continue;
    if (kCrank)
      for (int i = 0; i < left; ++i) tile[i] = T(2) * tile[i] - load(g_lines + (j + i) * w);
    transpose_tile<T>(tile);
    store_tile(tile, job.gu + j, n, rows, left, job.around_caches);
  }
  if (job.boundary == Boundary::dirichlet) sum += a * b + last_a * last_b;
  if (job.boundary == Boundary::periodic) sum += (a - last_a) * (b - last_b);
  store_partial(sums, sum, rows);
}

template <class T>
void adjoint_lines(const DiffusionStep& step, const LineGroups<T>& groups, const Kernel& call,
                   const LinesJob<T>& all, T* sums) {
  call.parallel_for(groups.vectors(), [&](int64_t vector, int thread) {
    const int64_t line = groups.first_line(vector), at = line * all.n;
    LinesJob<T> job = all;
    job.g += at;
    job.saved += at;
    if (job.gu) job.gu += at;
    const int rows = groups.lines(vector);
    const LineFactors<T> f = groups.factors(vector);
    T* lines = call.scratch<T>(thread);
    const bool periodic = step.boundary == Boundary::periodic, crank = step.crank_nicolson();
    if (crank && periodic) {
      adjoint_block<T, true, true>(job, rows, f, lines, sums + line);
    } else if (crank) {
      adjoint_block<T, false, true>(job, rows, f, lines, sums + line);
    } else if (periodic) {
      adjoint_block<T, true, false>(job, rows, f, lines, sums + line);
    } else {
      adjoint_block<T, false, false>(job, rows, f, lines, sums + line);
    }
    stream_fence();
  });
}

template <class T>
void run(const DiffusionStep& step, const Kernel& call) {
  const TensorView& u = call.in(0);
  const LineGroups<T> groups(step, call, u.shape);
  if (groups) step_all(step, groups, call, u.as<T>(), call.out(0).as<T>(), u.shape[2]);
}

template <class T>
void run_adjoint(const DiffusionStep& step, const Kernel& call) {
  const TensorView& g = call.in(0);
  const LineGroups<T> groups(step, call, g.shape);
  if (!groups) return;
  T *gu = call.out(0).as<T>(), *gk = call.out(1).as<T>();
  const int64_t n = g.shape[2], channels = g.shape[1];
  if (!gk) return step_all(step, groups, call, g.as<T>(), gu, n);
  T* sums = call.workspace<T>();
  const LinesJob<T> job{g.as<T>(), call.in(2).as<T>(), gu,
                        n,         step.boundary,      gu && streamable(gu, n)};
  adjoint_lines(step, groups, call, job, sums);
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0;
    for (int64_t line = c; line < g.shape[0] * channels; line += channels)
      total -= static_cast<double>(sums[line]);
    gk[c] = static_cast<T>(step.gradient_scale(0) * total);
  }
}

}  // namespace

void k_implicit_diffusion_1d(const ImplicitDiffusion1dParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  if (call.out(0).dtype == DType::f64) {
    run<double>(step_of(p), call);
  } else {
    run<float>(step_of(p), call);
  }
}

void k_implicit_diffusion_1d_vjp(const ImplicitDiffusion1dParams& p, const Kernel& call) {
  if (call.in(0).size() == 0) {
    const TensorView& gk = call.out(1);
    if (gk.data) std::memset(gk.data, 0, static_cast<size_t>(gk.size()) * size_of(gk.dtype));
    return;
  }
  if (call.in(0).dtype == DType::f64) {
    run_adjoint<double>(step_of(p), call);
  } else {
    run_adjoint<float>(step_of(p), call);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
