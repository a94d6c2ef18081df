// Reading and adding at positions given by a tensor: index_select, embedding, gather, scatter_add, adjoints.
//
// Reading: a thread for a word of the output. Adding gathers: the places of the index are sorted by the row
// that they add to (device/sort.cuh), and a thread for an element of the output adds those of its row, in
// their order. No atomics: the same bits from run to run.
// An index out of range is a fault; what it would have touched is NaN, or 0 for integers.
#pragma once

#include "divide.cuh"
#include "fault.cuh"
#include "reduce.cuh"
#include "sort.cuh"
#include "strided.cuh"

namespace fluxion::cuda {

// Sets *bad where an index is outside of [0, size).
static __global__ void check_index(const int32_t* index, int64_t n, int64_t size, FaultSite site,
                                   int* bad) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n || (index[i] >= 0 && index[i] < size)) return;
  *bad = 1;
  record_fault(site, size, index[i]);
}

// Rows of x, [outer, size, width] words, at `count` indices: those from place `phase` of the outer place
// `first_outer` on.
template <class W>
__global__ void select_words(Divisor width, Divisor count, int64_t first_outer, uint32_t phase,
                             uint32_t n, int64_t size, const int32_t* index, W poison,
                             FaultSite site, const W* x, W* out) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const uint32_t line = width.quotient(i), at = i - line * width.by, row = line + phase;
  const uint32_t outer = count.quotient(row), chosen = row - outer * count.by;
  const int64_t from = index[chosen];
  const bool valid = from >= 0 && from < size;
  if (!valid && at == 0) record_fault(site, size, from);
  out[(first_outer * count.by + phase) * width.by + i] =
      valid ? x[((first_outer + outer) * size + from) * width.by + at] : poison;
}

// Keys (row, place) of an index of n places; the rest are all ones. Without `bad` only.
static __global__ void index_keys(const int32_t* index, uint32_t n, int64_t skip, uint64_t* keys) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const bool counts = i < n && index[i] != skip && index[i] >= 0;
  keys[i] = counts ? (static_cast<uint64_t>(index[i]) << 32 | i) : ~uint64_t{0};
}

// out [outer, size, inner] = sum over the places of a row of g [outer, n, inner].
template <class T>
__global__ void add_rows(Divisor inner, Divisor size, int64_t first_outer, uint32_t elements,
                         const uint64_t* keys, uint32_t places, int64_t n, const int* bad, T poison,
                         const T* g, T* out) {
  const uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= elements) return;
  const uint32_t line = inner.quotient(e), column = e - line * inner.by;
  const uint32_t outer = size.quotient(line), row = line - outer * size.by;
  T sum{};
  const T* from = g + (first_outer + outer) * n * inner.by + column;
  for (uint32_t p = lower_bound(keys, places, uint64_t{row} << 32);
       p < places && keys[p] >> 32 == row; ++p) {
    sum = Sum{}(sum, from[static_cast<int64_t>(keys[p] & 0xffffffffu) * inner.by]);
  }
  out[first_outer * size.by * inner.by + e] = *bad ? poison : sum;
}

// --- along a dimension: the places of an index tensor, and where they point in a target tensor.
struct IndexedLines {
  int ndim, dim;
  Divisor size[kMaxAxes];           // of the index
  int64_t target_stride[kMaxAxes];  // of the target
  int64_t target_size;              // along dim

  // Where place i points, with `at` along dim.
  __device__ __forceinline__ int64_t target(uint32_t i, int64_t at) const {
    int64_t offset = at * target_stride[dim];
    for (int axis = ndim - 1; axis >= 0; --axis) {
      const uint32_t next = size[axis].quotient(i);
      if (axis != dim) offset += int64_t{i - next * size[axis].by} * target_stride[axis];
      i = next;
    }
    return offset;
  }
};

template <class W>
__global__ void gather_words(IndexedLines lines, uint32_t n, const int32_t* index, W poison,
                             FaultSite site, const W* x, W* out) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int64_t at = index[i];
  const bool valid = at >= 0 && at < lines.target_size;
  if (!valid) record_fault(site, lines.target_size, at);
  out[i] = valid ? x[lines.target(i, at)] : poison;
}

// Keys (target, place) of an index of n places, which have `bits` bits; the rest are all ones.
static __global__ void line_keys(IndexedLines lines, uint32_t n, int bits, const int32_t* index,
                                 const int* bad, uint64_t* keys) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const bool counts = i < n && *bad == 0;
  keys[i] = counts ? (static_cast<uint64_t>(lines.target(i, index[i])) << bits | i) : ~uint64_t{0};
}

// out = base + the values of the places that point here; base may be null.
template <class T>
__global__ void add_places(int64_t n, const uint64_t* keys, uint32_t places, int bits,
                           const int* bad, T poison, const T* values, const T* base, T* out) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= n) return;
  T sum = base != nullptr ? base[e] : T{};
  const auto target = static_cast<uint64_t>(e);
  for (uint32_t p = lower_bound(keys, places, target << bits);
       p < places && keys[p] >> bits == target; ++p) {
    sum = Sum{}(sum, values[keys[p] - (target << bits)]);
  }
  out[e] = *bad ? poison : sum;
}

}  // namespace fluxion::cuda
