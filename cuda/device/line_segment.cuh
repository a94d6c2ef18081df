// Sweeps along lines cut into segments of kSegment cells that lie in registers, one segment in each thread.
// A sweep goes over a segment twice: with nothing carried in, which gives what the segment passes on; then,
// after the segments of the line have been composed, with what it is really given. Composition is a scan with
// constant weights: across lanes by shuffles, across warps through shared memory.
#pragma once

#include "line_factors.cuh"

namespace fluxion::cuda {

// c_{-1} .. c_15 of a segment.
template <class T>
using SegmentFactors = T[kSegment + 1];

template <class T>
__device__ __forceinline__ T forward_total(const SegmentFactors<T>& c, const T (&b)[kSegment]) {
  T e = b[0];
#pragma unroll
  for (int i = 1; i < kSegment; ++i) e = c[i] * e + b[i];
  return e;
}

template <class T>
__device__ __forceinline__ void forward_sweep(const SegmentFactors<T>& c, T carry,
                                              T (&b)[kSegment]) {
  T e = carry;
#pragma unroll
  for (int i = 0; i < kSegment; ++i) {
    e = c[i] * e + b[i];
    b[i] = e;
  }
}

template <class T>
__device__ __forceinline__ T backward_total(const SegmentFactors<T>& c, const T (&e)[kSegment]) {
  T x = e[kSegment - 1];
#pragma unroll
  for (int i = kSegment - 2; i >= 0; --i) x = c[i + 1] * x + e[i];
  return x;
}

template <class T>
__device__ __forceinline__ void backward_sweep(const SegmentFactors<T>& c, T carry,
                                               T (&e)[kSegment]) {
  T x = carry;
#pragma unroll
  for (int i = kSegment - 1; i >= 0; --i) {
    x = c[i + 1] * x + e[i];
    e[i] = x;
  }
}

// What a ring's carry leaves in the cells that only fill a segment.
template <class T>
__device__ __forceinline__ void clear_beyond(int valid, T (&x)[kSegment]) {
  if (valid >= kSegment) return;
#pragma unroll
  for (int i = 0; i < kSegment; ++i) {
    if (i >= valid) x[i] = T(0);
  }
}

// --- lines across `lanes` neighbouring lanes of a warp (a power of two; lane s has segment s)

inline constexpr int kMaxLaneSteps = 5;

template <class T>
struct LaneScan {
  T forth[kMaxLaneSteps], back[kMaxLaneSteps];  // weights of the steps; 0 where nothing comes in
  T before, after;  // products over the segments before and after this one
  T gain;

  // `forth_product`, `back_product`: of this lane's segment.
  __device__ __forceinline__ void prepare(int s, int lanes, T forth_product, T back_product,
                                          T ring_gain) {
    T f = forth_product, b = back_product;
    before = f;
    after = b;
#pragma unroll
    for (int k = 0; k < kMaxLaneSteps; ++k) {
      const int by = 1 << k;
      if (by < lanes) {
        forth[k] = s >= by ? f : T(0);
        back[k] = s + by < lanes ? b : T(0);
        const T f_left = __shfl_up_sync(kAllLanes, f, by, lanes);
        const T b_right = __shfl_down_sync(kAllLanes, b, by, lanes);
        f *= f_left;
        b *= b_right;
        const T p = __shfl_up_sync(kAllLanes, before, by, lanes);
        const T q = __shfl_down_sync(kAllLanes, after, by, lanes);
        if (s >= by) before *= p;
        if (s + by < lanes) after *= q;
      }
    }
    const T p = __shfl_up_sync(kAllLanes, before, 1, lanes);
    const T q = __shfl_down_sync(kAllLanes, after, 1, lanes);
    before = s > 0 ? p : T(1);
    after = s + 1 < lanes ? q : T(1);
    gain = ring_gain;
  }

  // What segment s is given, from what each passes on. `given` enters the line from outside.
  __device__ __forceinline__ T forward(int s, int lanes, T total, T given) const {
#pragma unroll
    for (int k = 0; k < kMaxLaneSteps; ++k) {
      if ((1 << k) < lanes) total += forth[k] * __shfl_up_sync(kAllLanes, total, 1 << k, lanes);
    }
    const T left = __shfl_up_sync(kAllLanes, total, 1, lanes);
    const T around = __shfl_sync(kAllLanes, total, lanes - 1, lanes) * gain + given;
    return (s > 0 ? left : T(0)) + before * around;
  }
  __device__ __forceinline__ T backward(int s, int lanes, T total, T given) const {
#pragma unroll
    for (int k = 0; k < kMaxLaneSteps; ++k) {
      if ((1 << k) < lanes) total += back[k] * __shfl_down_sync(kAllLanes, total, 1 << k, lanes);
    }
    const T right = __shfl_down_sync(kAllLanes, total, 1, lanes);
    const T around = __shfl_sync(kAllLanes, total, 0, lanes) * gain + given;
    return (s + 1 < lanes ? right : T(0)) + after * around;
  }
};

// --- lines across warps: warp group * segments + s has segment s of 32 lines

template <class T>
struct WarpScan {
  Shared<T> totals;  // two for each thread of the block

  // Called by all threads of the block.
  __device__ __forceinline__ T forward(const LineTable<T>& table, int s, T total, T given) const {
    const int k = table.segments, mine = static_cast<int>(threadIdx.x);
    if (k == 1) return total * table.gain() + given;
    totals[mine] = total;
    __syncthreads();
    T carry = 0, before = 1;
    const int first = mine - s * kWarp;
    for (int j = 0; j < s; ++j) {
      carry = table.forth(j) * carry + totals[first + j * kWarp];
      before *= table.forth(j);
    }
    if (table.gain() == T(0)) return carry + before * given;
    T all = carry;
    for (int j = s; j < k; ++j) all = table.forth(j) * all + totals[first + j * kWarp];
    return carry + before * (all * table.gain() + given);
  }
  __device__ __forceinline__ T backward(const LineTable<T>& table, int s, T total, T given) const {
    const int k = table.segments, mine = static_cast<int>(threadIdx.x);
    if (k == 1) return total * table.gain() + given;
    const int base = static_cast<int>(blockDim.x);
    totals[base + mine] = total;
    __syncthreads();
    T carry = 0, after = 1;
    const int first = base + mine - s * kWarp;
    for (int j = k - 1; j > s; --j) {
      carry = table.back(j) * carry + totals[first + j * kWarp];
      after *= table.back(j);
    }
    if (table.gain() == T(0)) return carry + after * given;
    T all = carry;
    for (int j = s; j >= 0; --j) all = table.back(j) * all + totals[first + j * kWarp];
    return carry + after * (all * table.gain() + given);
  }
};

// --- inner products with D, summed by parts over faces

// Sum over the faces of one segment of (a_{i+1} - a_i)(b_{i+1} - b_i); `valid` of its cells belong to the line, and
// next_a, next_b follow the last of those: of the next segment, or what stands outside of the line. A
// mirror has no face at its end.
template <class T>
__device__ __forceinline__ T face_sum(const T (&a)[kSegment], T next_a, const T (&b)[kSegment],
                                      T next_b, int valid, bool face_at_end) {
  T sum = 0;
  if (valid >= kSegment) {
#pragma unroll
    for (int i = 0; i + 1 < kSegment; ++i) sum += (a[i + 1] - a[i]) * (b[i + 1] - b[i]);
    if (face_at_end) sum += (next_a - a[kSegment - 1]) * (next_b - b[kSegment - 1]);
    return sum;
  }
#pragma unroll
  for (int i = 0; i + 1 < kSegment; ++i) {
    const bool last = i + 1 == valid;
    const T right_a = last ? next_a : a[i + 1], right_b = last ? next_b : b[i + 1];
    if (i < valid && (!last || face_at_end)) sum += (right_a - a[i]) * (right_b - b[i]);
  }
  return sum;
}

}  // namespace fluxion::cuda
