// X = A^-1 B, A^-1 and the Cholesky factor of batches of matrices, from the blocks of device/dense.cuh.
//
// A factorisation takes n / kPanel rounds of: panel, exchanges, triangle, product; a solve 2 n / kPanel rounds of
// triangle and product. Matrices of at most kPanel rows take one launch of each. Batches are cut where they exceed
// the grid's second axis.
#include "ops/dense_solve.h"

#include <algorithm>

#include "device/dense.cuh"
#include "kernel.h"

namespace fluxion::cuda {
namespace {

constexpr int64_t kBatchRun = 65535;

template <class T>
Matrices<const T> reading(const Matrices<T>& m) {
  return {m.at, m.batch, m.row, m.column};
}

template <class T>
class Dense {
 public:
  Dense(const Kernel& call, int64_t batch, int64_t n) : call_(call), batch_(batch), n_(n) {}

  int64_t n() const { return n_; }

  // f(first matrix, matrices) for runs of the batch that fit the grid.
  template <class F>
  void runs(const F& f) const {
    for (int64_t b = 0; b < batch_; b += kBatchRun) f(b, std::min(kBatchRun, batch_ - b));
  }

  // C -= A X.
  void product(const Matrices<const T>& a, const Matrices<const T>& x, const Matrices<T>& c,
               int64_t rows, int64_t columns, int64_t depth) const {
    if (rows <= 0 || columns <= 0) return;
    const int64_t row_tiles = blocks_of(rows, kPanel);
    const int64_t tiles = row_tiles * blocks_of(columns, kPanel);
    runs([&](int64_t b, int64_t count) {
      call_.launch(subtract_product<T>,
                   {tiles, kDenseThreads, 2 * shared_bytes<T>(kPanel * (kPanel + 1)),
                    static_cast<int>(count)},
                   at(a, b), at(x, b), at(c, b), rows, columns, static_cast<int>(depth),
                   static_cast<uint32_t>(row_tiles));
    });
  }

  // X <- A^-1 X for a triangular A of `rows` rows.
  void triangle(const Matrices<const T>& a, int64_t rows, bool upper, bool unit,
                const Matrices<T>& x, int64_t columns) const {
    if (columns <= 0) return;
    const int64_t blocks = blocks_of(rows, kPanel);
    for (int64_t k = 0; k < blocks; ++k) {
      const int64_t first = (upper ? blocks - 1 - k : k) * kPanel;
      const int64_t width = std::min<int64_t>(kPanel, rows - first);
      runs([&](int64_t b, int64_t count) {
        call_.launch(solve_small<T>,
                     {blocks_of(columns, kDenseThreads), kDenseThreads,
                      shared_bytes<T>(kPanel * kPanel), static_cast<int>(count)},
                     at(a.block(first, first), b), static_cast<int>(width), upper, unit,
                     at(x.block(first, 0), b), columns);
      });
      const int64_t rest = upper ? 0 : first + width, left = upper ? first : rows - rest;
      product(a.block(rest, first), reading(x.block(first, 0)), x.block(rest, 0), left, columns,
              width);
    }
  }

  void exchange(const Matrices<T>& x, int64_t columns, int64_t skip, int64_t skipped, int64_t first,
                int64_t last, bool reverse, const int32_t* pivots) const {
    if (columns <= 0) return;
    runs([&](int64_t b, int64_t count) {
      call_.launch(exchange_rows<T>,
                   {blocks_of(columns, kDenseThreads), kDenseThreads, 0, static_cast<int>(count)},
                   at(x, b), columns, skip, skipped, static_cast<int>(n_), static_cast<int>(first),
                   static_cast<int>(last), reverse, pivots + b * n_);
    });
  }

  // P A = L U in place.
  void factor(T* lu, int32_t* pivots, int32_t* failed) const {
    const Matrices<T> a{lu, n_ * n_, n_, 1};
    for (int64_t j = 0; j < n_; j += kPanel) {
      const int64_t width = std::min<int64_t>(kPanel, n_ - j), right = n_ - j - width;
      call_.launch(factor_panel<T>,
                   {batch_, kDenseThreads, shared_bytes<Placed<T, int>>(kDenseThreads / kWarp)}, a,
                   static_cast<int>(n_), static_cast<int>(j), static_cast<int>(width), pivots,
                   failed);
      exchange(a, n_, j, width, j, j + width, false, pivots);
      const Matrices<T> top = a.block(j, j + width);
      triangle(reading(a.block(j, j)), width, false, true, top, right);
      product(reading(a.block(j + width, j)), reading(top), a.block(j + width, j + width), right,
              right, width);
    }
  }

  // X <- A^-1 X or A^-T X.
  void substitute(const T* lu, const int32_t* pivots, bool transposed, T* to, int64_t sides) const {
    const Matrices<const T> a{lu, n_ * n_, n_, 1};
    const Matrices<T> x{to, n_ * sides, sides, 1};
    if (!transposed) {
      exchange(x, sides, 0, 0, 0, n_, false, pivots);
      triangle(a, n_, false, true, x, sides);
      triangle(a, n_, true, false, x, sides);
    } else {
      triangle(a.transposed(), n_, false, false, x, sides);
      triangle(a.transposed(), n_, true, true, x, sides);
      exchange(x, sides, 0, 0, 0, n_, true, pivots);
    }
  }

  // A = L L^T, in the lower triangle.
  void cholesky(T* to, int32_t* failed) const {
    const Matrices<T> a{to, n_ * n_, n_, 1};
    for (int64_t j = 0; j < n_; j += kPanel) {
      const int64_t width = std::min<int64_t>(kPanel, n_ - j), below = n_ - j - width;
      call_.launch(factor_symmetric<T>, {batch_, kDenseThreads, shared_bytes<T>(kPanel * kPanel)},
                   a, static_cast<int>(j), static_cast<int>(width), failed);
      const Matrices<T> left = a.block(j + width, j);
      triangle(reading(a.block(j, j)), width, false, false, left.transposed(), below);
      product(reading(left), reading(left.transposed()), a.block(j + width, j + width), below,
              below, width);
    }
  }

  // Flags of the batch: the column where a matrix failed, or -1.
  int32_t* no_failures() const {
    int32_t* failed = call_.scratch<int32_t>(batch_);
    call_.fill(failed, 0xFF, static_cast<size_t>(batch_) * sizeof(int32_t));
    return failed;
  }

  void report(const int32_t* failed, const char* pattern) const {
    call_.launch(report_failures, {1, kWarp}, failed, batch_,
                 call_.fault_site(ErrorCode::InvalidArgument, pattern));
  }

  void finish(T* x, int64_t columns, bool lower, const int32_t* failed) const {
    const int64_t size = batch_ * n_ * columns;
    call_.launch(finish_matrices<T>, {blocks_of(size, kDenseThreads), kDenseThreads}, x, n_,
                 columns, lower, failed, size);
  }

 private:
  template <class M>
  static M at(const M& m, int64_t b) {
    return {m.at + b * m.batch, m.batch, m.row, m.column};
  }

  const Kernel& call_;
  int64_t batch_, n_;
};

constexpr const char* kSingular =
    "A must be invertible, got the pivot 0 in column %lld in batch element %lld";
constexpr const char* kIndefinite =
    "A must be positive definite, got a pivot that is not positive in column %lld in batch element "
    "%lld";

int64_t batch_of(const Shape& a) {
  int64_t n = 1;
  for (int i = 0; i + 2 < a.ndim; ++i) n *= a[i];
  return n;
}

template <class T>
Dense<T> dense_of(const Kernel& call, const Shape& a) {
  return Dense<T>(call, batch_of(a), a[a.ndim - 1]);
}

void copy_all(const Kernel& call, const TensorView& from, void* to) {
  call.copy(to, from.data, static_cast<size_t>(from.size()) * size_of(from.dtype));
}

template <class T>
void solve(const Kernel& call) {
  const TensorView &a = call.in(0), &b = call.in(1), &x = call.out(0);
  const Dense<T> dense = dense_of<T>(call, a.shape);
  if (a.size() == 0) return;
  T* lu = call.out(1).data ? call.out(1).as<T>() : call.scratch<T>(a.size());
  int32_t* pivots =
      call.out(2).data ? call.out(2).as<int32_t>() : call.scratch<int32_t>(a.size() / dense.n());
  int32_t* failed = dense.no_failures();
  copy_all(call, a, lu);
  dense.factor(lu, pivots, failed);
  if (x.data && x.size() > 0) {
    const int64_t sides = b.shape[b.ndim() - 1];
    copy_all(call, b, x.data);
    dense.substitute(lu, pivots, false, x.as<T>(), sides);
    dense.finish(x.as<T>(), sides, false, failed);
  }
  dense.report(failed, kSingular);
}

template <class T>
void invert(const Kernel& call) {
  const TensorView &a = call.in(0), &x = call.out(0);
  const Dense<T> dense = dense_of<T>(call, a.shape);
  if (a.size() == 0) return;
  T* lu = call.scratch<T>(a.size());
  int32_t* pivots = call.scratch<int32_t>(a.size() / dense.n());
  int32_t* failed = dense.no_failures();
  copy_all(call, a, lu);
  dense.factor(lu, pivots, failed);
  call.launch(write_identity<T>, {blocks_of(x.size(), kDenseThreads), kDenseThreads}, x.as<T>(),
              dense.n(), x.size());
  dense.substitute(lu, pivots, false, x.as<T>(), dense.n());
  dense.finish(x.as<T>(), dense.n(), false, failed);
  dense.report(failed, kSingular);
}

template <class T>
void factor_cholesky(const Kernel& call) {
  const TensorView &a = call.in(0), &x = call.out(0);
  const Dense<T> dense = dense_of<T>(call, a.shape);
  if (a.size() == 0) return;
  int32_t* failed = dense.no_failures();
  copy_all(call, a, x.data);
  dense.cholesky(x.as<T>(), failed);
  dense.finish(x.as<T>(), dense.n(), true, failed);
  dense.report(failed, kIndefinite);
}

}  // namespace

void k_solve(const NoParams&, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) { solve<typename decltype(tag)::type>(call); });
}

void k_inv(const NoParams&, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { invert<typename decltype(tag)::type>(call); });
}

void k_cholesky(const NoParams&, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { factor_cholesky<typename decltype(tag)::type>(call); });
}

void k_lu_solve(const LuSolveParams& p, const Kernel& call) {
  const TensorView &lu = call.in(1), &b = call.in(3), &x = call.out(0);
  if (x.size() == 0) return;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    copy_all(call, b, x.data);
    dense_of<T>(call, lu.shape)
        .substitute(lu.as<T>(), call.in(2).as<int32_t>(), p.transposed, x.as<T>(),
                    b.shape[b.ndim() - 1]);
  });
}

void k_solve_triangular(const SolveTriangularParams& p, const Kernel& call) {
  const TensorView &a = call.in(0), &b = call.in(1), &x = call.out(0);
  if (x.size() == 0) return;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Dense<T> dense = dense_of<T>(call, a.shape);
    const int64_t n = dense.n(), sides = b.shape[b.ndim() - 1];
    copy_all(call, b, x.data);
    dense.triangle(Matrices<const T>{a.as<const T>(), n * n, n, 1}, n, p.upper, p.unitriangular,
                   Matrices<T>{x.as<T>(), n * sides, sides, 1}, sides);
  });
}

}  // namespace fluxion::cuda
