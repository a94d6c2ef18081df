// Blocks of dense factorisations and triangular solves for batches of matrices in global memory, kPanel columns at
// a time: a panel is factored by one block a matrix; rows are exchanged and triangles solved by a thread for each
// column; products with a depth of at most kPanel go through tiles in shared memory. Elements are given by their
// strides, so that transposes are strides. Every sum is in a fixed order.
//
// LU with partial pivoting: the first of the largest magnitudes, as on the CPU. Golub and Van Loan, Matrix
// Computations, 3.2, 3.4, 4.2.
#pragma once

#include "fault.cuh"
#include "reduce.cuh"

namespace fluxion::cuda {

inline constexpr int kPanel = 32;
inline constexpr int kDenseThreads = 256;

// Matrices of a batch: element (i, k) of matrix b is at[b * batch + i * row + k * column].
template <class T>
struct Matrices {
  T* at;
  int64_t batch, row, column;
  __device__ __forceinline__ T& operator()(int64_t i, int64_t k) const {
    return at[i * row + k * column];
  }
  __device__ __forceinline__ Matrices of(int64_t b) const {
    return {at + b * batch, batch, row, column};
  }
  __host__ __device__ Matrices block(int64_t i, int64_t k) const {
    return {at + i * row + k * column, batch, row, column};
  }
  __host__ __device__ Matrices transposed() const { return {at, batch, column, row}; }
};

// LU of columns [first, first + width) and rows from `first` on; one block a matrix. failed[b] becomes the first
// column whose pivot is 0. Exchanges the rows of the panel only.
template <class T>
__global__ void factor_panel(Matrices<T> all, int n, int first, int width, int32_t* pivots,
                             int32_t* failed) {
  SharedMemory memory;
  const Shared<Placed<T, int>> partial = memory.take<Placed<T, int>>(kDenseThreads / kWarp);
  const int b = static_cast<int>(blockIdx.x), t = static_cast<int>(threadIdx.x);
  const Matrices<T> a = all.of(b);
  int32_t* const pivot_of = pivots + static_cast<int64_t>(b) * n;
  for (int j = first; j < first + width; ++j) {
    // A NaN is never larger: the CPU keeps the row it has.
    Placed<T, int> best{T(-1), n};
    for (int i = j + t; i < n; i += kDenseThreads) {
      const T value = a(i, j) < T(0) ? -a(i, j) : a(i, j);
      if (value > best.value) best = {value, i};
    }
    best = block_reduce(best, LargestPlaced{}, partial);
    const int row = best.index >= n || a(j, j) != a(j, j) ? j : best.index;
    if (t == 0) pivot_of[j] = row;
    __syncthreads();
    if (row != j && t < width) {
      const T kept = a(j, first + t);
      a(j, first + t) = a(row, first + t);
      a(row, first + t) = kept;
    }
    __syncthreads();
    const T pivot = a(j, j);
    if (pivot == T(0)) {
      if (t == 0 && failed[b] < 0) failed[b] = j;
      __syncthreads();
      continue;
    }
    for (int i = j + 1 + t; i < n; i += kDenseThreads) {
      const T factor = a(i, j) / pivot;
      a(i, j) = factor;
      for (int k = j + 1; k < first + width; ++k) a(i, k) -= factor * a(j, k);
    }
    __syncthreads();
  }
}

// Exchanges rows i and pivots[i] of x for i in [first, last), in order or in reverse; a thread for each column but
// those in [skip, skip + skipped).
template <class T>
__global__ void exchange_rows(Matrices<T> all, int64_t columns, int64_t skip, int64_t skipped,
                              int n, int first, int last, bool reverse, const int32_t* pivots) {
  const int64_t j = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t b = blockIdx.y;
  if (j >= columns || (j >= skip && j < skip + skipped)) return;
  const Matrices<T> x = all.of(b);
  for (int step = 0; step < last - first; ++step) {
    const int i = reverse ? last - 1 - step : first + step;
    const int other = pivots[b * n + i];
    if (other == i) continue;
    const T kept = x(i, j);
    x(i, j) = x(other, j);
    x(other, j) = kept;
  }
}

// X <- triangle^-1 X for a triangle of at most kPanel rows; a thread for each column of X.
template <class T>
__global__ void solve_small(Matrices<const T> triangles, int rows, bool upper, bool unit,
                            Matrices<T> all, int64_t columns) {
  SharedMemory memory;
  const Shared<T> a = memory.take<T>(kPanel * kPanel);
  const int64_t b = blockIdx.y;
  const Matrices<const T> triangle = triangles.of(b);
  for (int e = static_cast<int>(threadIdx.x); e < rows * rows; e += static_cast<int>(blockDim.x)) {
    a[e / rows * kPanel + e % rows] = triangle(e / rows, e % rows);
  }
  __syncthreads();
  const int64_t j = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= columns) return;
  const Matrices<T> x = all.of(b);
  T own[kPanel];
#pragma unroll
  for (int i = 0; i < kPanel; ++i) {
    const int row = upper ? rows - 1 - i : i;
    if (i < rows) own[i] = x(row, j);
  }
#pragma unroll
  for (int i = 0; i < kPanel; ++i) {
    if (i >= rows) break;
    const int row = upper ? rows - 1 - i : i;
    T value = own[i];
#pragma unroll
    for (int k = 0; k < i; ++k) {
      const int column = upper ? rows - 1 - k : k;
      value -= a[row * kPanel + column] * own[k];
    }
    own[i] = unit ? value : value / a[row * kPanel + row];
    x(row, j) = own[i];
  }
}

// C -= A X with a depth of at most kPanel; a block makes a tile of kPanel x kPanel, a thread four elements.
template <class T>
__global__ void subtract_product(Matrices<const T> as, Matrices<const T> xs, Matrices<T> cs,
                                 int64_t rows, int64_t columns, int depth, uint32_t row_tiles) {
  SharedMemory memory;
  const Shared<T> a = memory.take<T>(kPanel * (kPanel + 1));
  const Shared<T> x = memory.take<T>(kPanel * (kPanel + 1));
  const int64_t b = blockIdx.y;
  const int64_t i0 = static_cast<int64_t>(blockIdx.x % row_tiles) * kPanel;
  const int64_t j0 = static_cast<int64_t>(blockIdx.x / row_tiles) * kPanel;
  const int tx = static_cast<int>(threadIdx.x % kPanel),
            ty = static_cast<int>(threadIdx.x / kPanel);
  constexpr int kStep = kDenseThreads / kPanel;
  const Matrices<const T> from = as.of(b), other = xs.of(b);
#pragma unroll
  for (int r = ty; r < kPanel; r += kStep) {
    const bool in_a = i0 + r < rows && tx < depth, in_x = r < depth && j0 + tx < columns;
    a[r * (kPanel + 1) + tx] = in_a ? from(i0 + r, tx) : T(0);
    x[r * (kPanel + 1) + tx] = in_x ? other(r, j0 + tx) : T(0);
  }
  __syncthreads();
  const Matrices<T> c = cs.of(b);
#pragma unroll
  for (int r = ty; r < kPanel; r += kStep) {
    T sum{};
#pragma unroll
    for (int k = 0; k < kPanel; ++k) sum += a[r * (kPanel + 1) + k] * x[k * (kPanel + 1) + tx];
    if (i0 + r < rows && j0 + tx < columns) c(i0 + r, j0 + tx) -= sum;
  }
}

// Cholesky factor of `width` <= kPanel rows from `first` on, in the lower triangle; one block a matrix. failed[b]
// becomes the first column whose pivot is not positive; such a matrix is left alone from then on.
template <class T>
__global__ void factor_symmetric(Matrices<T> all, int first, int width, int32_t* failed) {
  SharedMemory memory;
  const Shared<T> s = memory.take<T>(kPanel * kPanel);
  const int b = static_cast<int>(blockIdx.x), t = static_cast<int>(threadIdx.x);
  const Matrices<T> a = all.of(b).block(first, first);
  for (int e = t; e < width * width; e += kDenseThreads) {
    s[e / width * kPanel + e % width] = a(e / width, e % width);
  }
  __syncthreads();
  bool good = failed[b] < 0;
  for (int j = 0; j < width; ++j) {
    const T pivot = s[j * kPanel + j];
    const bool positive = pivot > T(0);
    __syncthreads();
    if (good && !positive && t == 0) failed[b] = first + j;
    good = good && positive;
    const T root = positive ? sqrt(pivot) : T(1);
    for (int i = j + t; i < width; i += kDenseThreads) {
      s[i * kPanel + j] = i == j ? root : s[i * kPanel + j] / root;
    }
    __syncthreads();
    for (int e = t; e < width * width; e += kDenseThreads) {
      const int i = e / width, k = e % width;
      if (k > j && i >= k) s[i * kPanel + k] -= s[i * kPanel + j] * s[k * kPanel + j];
    }
    __syncthreads();
  }
  for (int e = t; e < width * width; e += kDenseThreads) {
    if (e % width <= e / width) a(e / width, e % width) = s[e / width * kPanel + e % width];
  }
}

// Records the first failure of the batch, by one thread.
__global__ inline void report_failures(const int32_t* failed, int64_t batch, FaultSite site) {
  if (threadIdx.x != 0) return;
  for (int64_t b = 0; b < batch; ++b) {
    if (failed[b] < 0) continue;
    record_fault(site, failed[b], b);
    return;
  }
}

// NaN in the matrices that failed; `lower`: zeros above the diagonal of the others.
template <class T>
__global__ void finish_matrices(T* x, int64_t rows, int64_t columns, bool lower,
                                const int32_t* failed, int64_t n) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= n) return;
  const int64_t b = e / (rows * columns), at = e - b * rows * columns;
  if (failed[b] >= 0) {
    x[e] = static_cast<T>(NAN);
  } else if (lower && at % columns > at / columns) {
    x[e] = T(0);
  }
}

template <class T>
__global__ void write_identity(T* x, int64_t size, int64_t n) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= n) return;
  const int64_t at = e % (size * size);
  x[e] = at / size == at % size ? T(1) : T(0);
}

}  // namespace fluxion::cuda
