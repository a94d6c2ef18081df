// X = A^-1 B, A^-1 and the Cholesky factor of batches of matrices.
//
// LU with partial pivoting (P A = L U), right-looking by panels of kFactorPanel columns that are copied to
// contiguous memory: a panel is factored by halves, then every chunk of columns to its right exchanges its
// rows, solves with the panel's triangle and subtracts L21 U12. Cholesky (A = L L^T) reads the lower triangle.
// Parallel: systems below kSharedSystem one by one; in larger ones chunks of columns (LU, right sides) or rows
// (Cholesky). An element is computed by the same operations in the same order in both.
// Source: Golub and Van Loan, Matrix Computations, 3.2, 3.4, 4.2; Toledo, SIAM J. Matrix Anal. 18 (1997).
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/dense_solve.h"

#define FLUXION_KERNELS "cpu/dense_solve.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"

#include "cpu/dense_factor.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kChunk = 64;  // columns or rows of a block

// All threads work on one system, or this one alone.
struct Team {
  const Kernel* shared;
  template <class F>
  void each_chunk(int64_t n, const F& f) const {
    const int64_t chunks = blocks_of(n, kChunk);
    const auto chunk = [&](int64_t c, int) { f(c * kChunk, std::min(kChunk, n - c * kChunk)); };
    if (shared) return shared->parallel_for(chunks, chunk);
    for (int64_t c = 0; c < chunks; ++c) chunk(c, 0);
  }
};

template <class T>
struct Factors {
  T* lu;
  T* panel;
  int32_t* pivots;
  int64_t n;
};

// One panel and what is right of it. Returns the first column with a zero pivot, or -1.
template <class T>
int64_t eliminate(const Team& team, const Factors<T>& f, int64_t j) {
  const int64_t n = f.n, width = std::min(kFactorPanel, n - j), rows = n - j;
  T* const corner = f.lu + j * n + j;
  copy_rows(corner, n, rows, width, f.panel, kFactorPanel);
  int32_t* const pivots = f.pivots + j;
  const int64_t zero = factor_columns(f.panel, rows, kFactorPanel, width, 0, width, pivots);
  copy_rows(f.panel, kFactorPanel, rows, width, corner, n);
  exchange_rows(pivots, 0, width, false, f.lu + j * n, n, j);
  const Coefficients<T> lower{f.panel, kFactorPanel, 1};
  team.each_chunk(rows - width, [&](int64_t at, int64_t columns) {
    T* const x = corner + width + at;
    exchange_rows(pivots, 0, width, false, x, n, columns);
    solve_triangle(Triangle{false, true}, lower, width, x, n, columns);
    update(lower.block(width, 0), rows - width, width, x, n, columns, x + width * n, n);
  });
  for (int64_t i = 0; i < width; ++i) pivots[i] += static_cast<int32_t>(j);
  return zero < 0 ? -1 : j + zero;
}

template <class T>
int64_t factor(const Team& team, const Factors<T>& f) {
  int64_t zero = -1;
  for (int64_t j = 0; j < f.n; j += kFactorPanel) {
    const int64_t found = eliminate(team, f, j);
    if (zero < 0) zero = found;
  }
  return zero;
}

// X <- A^-1 X or A^-T X for some columns.
template <class T>
void substitute(const T* lu, const int32_t* pivots, int64_t n, bool transposed, T* x, int64_t pitch,
                int64_t columns) {
  if (transposed) {
    const Coefficients<T> a{lu, 1, n};
    solve_triangle(Triangle{false, false}, a, n, x, pitch, columns);
    solve_triangle(Triangle{true, true}, a, n, x, pitch, columns);
    exchange_rows(pivots, 0, n, true, x, pitch, columns);
  } else {
    const Coefficients<T> a{lu, n, 1};
    exchange_rows(pivots, 0, n, false, x, pitch, columns);
    solve_triangle(Triangle{false, true}, a, n, x, pitch, columns);
    solve_triangle(Triangle{true, false}, a, n, x, pitch, columns);
  }
}

template <class T>
int64_t cholesky(const Team& team, T* a, T* panel, int64_t n) {
  for (int64_t j = 0; j < n; j += kFactorPanel) {
    const int64_t width = std::min(kFactorPanel, n - j), below = n - j - width;
    T* const corner = a + j * n + j;
    const int64_t bad = factor_symmetric(corner, width, n);
    if (bad >= 0) return j + bad;
    // The panel holds L21^T: the triangle is solved for its columns.
    T* const left = corner + width * n;
    team.each_chunk(below, [&](int64_t at, int64_t rows) {
      transpose_rows(left + at * n, n, rows, width, panel + at, below);
      solve_triangle(Triangle{false, false}, Coefficients<T>{corner, n, 1}, width, panel + at,
                     below, rows);
      transpose_rows(panel + at, below, width, rows, left + at * n, n);
    });
    team.each_chunk(below, [&](int64_t at, int64_t rows) {
      update(Coefficients<T>{panel + at, 1, below}, rows, width, panel, below, at + rows,
             left + at * n + width, n);
    });
  }
  for (int64_t i = 0; i < n; ++i)
    std::memset(a + i * n + i + 1, 0, static_cast<size_t>(n - i - 1) * sizeof(T));
  return -1;
}

template <class T>
void fill_nan(T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = std::numeric_limits<T>::quiet_NaN();
}

// Calls system(team, b, memory) for each matrix of the batch; it returns the column at which it failed, or -1.
// The first failure is the fault.
template <class F>
void each_system(const Kernel& k, int64_t n, const char* requirement, const F& system) {
  const Shape& shape = k.in(0).shape;
  int64_t batch = 1;
  for (int i = 0; i + 2 < shape.ndim; ++i) batch *= shape[i];
  int32_t* const failed = k.workspace<int32_t>();
  if (n >= kSharedSystem) {
    char* const memory = k.workspace<char>() + (batch * 4 + 63) / 64 * 64;
    for (int64_t b = 0; b < batch; ++b)
      failed[b] = static_cast<int32_t>(system(Team{&k}, b, memory));
  } else {
    const int64_t per_block = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, n * n));
    k.parallel_for(blocks_of(batch, per_block), [&](int64_t block, int thread) {
      const int64_t end = std::min(batch, (block + 1) * per_block);
      for (int64_t b = block * per_block; b < end; ++b)
        failed[b] = static_cast<int32_t>(system(Team{nullptr}, b, k.scratch<char>(thread)));
    });
  }
  for (int64_t b = 0; b < batch; ++b) {
    if (failed[b] < 0) continue;
    return k.fault(ErrorCode::InvalidArgument, "A must be %s %d in batch element %lld", requirement,
                   failed[b], static_cast<long long>(b));
  }
}

template <class T>
Factors<T> factors_in(char* memory, int64_t n) {
  const FactorMemory layout(n, sizeof(T));
  return {reinterpret_cast<T*>(memory), reinterpret_cast<T*>(memory + layout.panel),
          reinterpret_cast<int32_t*>(memory + layout.pivots), n};
}

// Factors a and solves for the right sides that right_sides(x) writes into x (may be null); NaN where a is singular.
template <class T, class Sides>
int64_t factor_and_solve(const Team& team, const Factors<T>& f, const T* a, T* x, int64_t sides,
                         const Sides& right_sides) {
  const int64_t n = f.n;
  std::memcpy(f.lu, a, static_cast<size_t>(n * n) * sizeof(T));
  const int64_t zero = factor(team, f);
  if (!x) return zero;
  if (zero >= 0) {
    fill_nan(x, n * sides);
    return zero;
  }
  right_sides(x);
  team.each_chunk(sides, [&](int64_t at, int64_t columns) {
    substitute(f.lu, f.pivots, n, false, x + at, sides, columns);
  });
  return zero;
}

constexpr const char* kInvertible = "invertible, got the pivot 0 in column";

template <class T>
void solve(const Kernel& k) {
  const Shape& shape = k.out(0).shape;
  const int64_t n = shape[shape.ndim - 2], sides = shape[shape.ndim - 1];
  each_system(k, n, kInvertible, [&](const Team& team, int64_t b, char* memory) {
    Factors<T> f = factors_in<T>(memory, n);
    if (k.out(1).data) f.lu = k.out(1).as<T>() + b * n * n;
    if (k.out(2).data) f.pivots = k.out(2).as<int32_t>() + b * n;
    T* const x = k.out(0).data ? k.out(0).as<T>() + b * n * sides : nullptr;
    return factor_and_solve(team, f, k.in(0).as<T>() + b * n * n, x, sides, [&](T* to) {
      std::memcpy(to, k.in(1).as<T>() + b * n * sides, static_cast<size_t>(n * sides) * sizeof(T));
    });
  });
}

template <class T>
void invert(const Kernel& k) {
  const Shape& shape = k.out(0).shape;
  const int64_t n = shape[shape.ndim - 1];
  each_system(k, n, kInvertible, [&](const Team& team, int64_t b, char* memory) {
    const Factors<T> f = factors_in<T>(memory, n);
    const T* const a = k.in(0).as<T>() + b * n * n;
    return factor_and_solve(team, f, a, k.out(0).as<T>() + b * n * n, n, [&](T* identity) {
      std::memset(identity, 0, static_cast<size_t>(n * n) * sizeof(T));
      for (int64_t i = 0; i < n; ++i) identity[i * n + i] = T(1);
    });
  });
}

template <class T>
void factor_cholesky(const Kernel& k) {
  const Shape& shape = k.out(0).shape;
  const int64_t n = shape[shape.ndim - 1];
  each_system(k, n, "positive definite, got a pivot that is not positive in column",
              [&](const Team& team, int64_t b, char* memory) {
                T* const a = k.out(0).as<T>() + b * n * n;
                std::memcpy(a, k.in(0).as<T>() + b * n * n, static_cast<size_t>(n * n) * sizeof(T));
                const int64_t bad = cholesky(team, a, factors_in<T>(memory, n).panel, n);
                if (bad >= 0) fill_nan(a, n * n);
                return bad;
              });
}

// f(matrix, first column, columns) for chunks of the right sides of all systems.
template <class F>
void each_sides(const Kernel& k, int64_t batch, int64_t sides, const F& f) {
  const int64_t chunks = blocks_of(sides, kChunk);
  k.parallel_for(batch * chunks, [&](int64_t block, int) {
    const int64_t at = block % chunks * kChunk;
    f(block / chunks, at, std::min(kChunk, sides - at));
  });
}

// The right sides of input `from` in the output, and their shape.
struct Sides {
  int64_t n, sides, batch = 0;
  explicit Sides(const Kernel& k, int from) {
    const Shape& shape = k.out(0).shape;
    n = shape[shape.ndim - 2];
    sides = shape[shape.ndim - 1];
    const int64_t size = shape.size();
    if (size == 0) return;
    batch = size / (n * sides);
    std::memcpy(k.out(0).data, k.in(from).data,
                static_cast<size_t>(size) * size_of(k.out(0).dtype));
  }
};

}  // namespace

void k_solve(const NoParams&, const Kernel& k) {
  dispatch_floating(k.in(0).dtype, [&](auto tag) { solve<typename decltype(tag)::type>(k); });
}

void k_inv(const NoParams&, const Kernel& k) {
  dispatch_floating(k.in(0).dtype, [&](auto tag) { invert<typename decltype(tag)::type>(k); });
}

void k_cholesky(const NoParams&, const Kernel& k) {
  dispatch_floating(k.in(0).dtype,
                    [&](auto tag) { factor_cholesky<typename decltype(tag)::type>(k); });
}

void k_lu_solve(const LuSolveParams& p, const Kernel& k) {
  const Sides s(k, 3);
  if (s.batch == 0) return;
  dispatch_floating(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_sides(k, s.batch, s.sides, [&](int64_t b, int64_t at, int64_t columns) {
      substitute(k.in(1).as<T>() + b * s.n * s.n, k.in(2).as<int32_t>() + b * s.n, s.n,
                 p.transposed, k.out(0).as<T>() + b * s.n * s.sides + at, s.sides, columns);
    });
  });
}

void k_solve_triangular(const SolveTriangularParams& p, const Kernel& k) {
  const Sides s(k, 1);
  if (s.batch == 0) return;
  dispatch_floating(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    each_sides(k, s.batch, s.sides, [&](int64_t b, int64_t at, int64_t columns) {
      const Coefficients<T> a{k.in(0).as<T>() + b * s.n * s.n, s.n, 1};
      solve_triangle(Triangle{p.upper, p.unitriangular}, a, s.n,
                     k.out(0).as<T>() + b * s.n * s.sides + at, s.sides, columns);
    });
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
