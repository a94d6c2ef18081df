// out_i = x_0 + ... + x_i along an axis, or x_i + ... + x_(n-1).
//
// Layout: [outer, n, inner], contiguous; the parts of complex numbers are lines of their own. Sums are in
// float64 (integers: modulo 2^32), so that a line of any length is as exact as its elements. Rows (inner = 1)
// are scanned by a team, a part of a warp or a block: packs of 16 bytes within threads, threads by shuffles,
// steps one after the other. Lines side by side have a thread each. Where lines are few they are cut in chunks,
// whose totals come first and are added in order by those that need them. Bytes: 8 a float32 element, the
// floor; with chunks 12. The order of additions follows from the shape.
#include "device/line.cuh"
#include "fold.h"
#include "ops/cumsum.h"

namespace fluxion::cuda {
namespace {

template <class T>
using Running = std::conditional_t<std::is_floating_point_v<T>, double, uint32_t>;

struct ScanSpace {
  int64_t outer, n, inner;
  int64_t length, chunks;  // of a chunk; chunks of a line
  int team;                // of rows
  bool reverse, packs;
};

// Where place i of the scan lies in its line.
__device__ __forceinline__ int64_t place_in_line(const ScanSpace& s, int64_t i) {
  return s.reverse ? s.n - 1 - i : i;
}

template <class T>
inline constexpr int kScanPack = sizeof(T) == 8 ? 2 : 4;

// The elements from place i on, zeros from `end` on.
template <class T>
__device__ __forceinline__ void load_places(const T* line, const ScanSpace& s, int64_t i,
                                            int64_t end, T (&v)[kScanPack<T>]) {
  constexpr int kPack = kScanPack<T>;
  if (s.packs && i + kPack <= end) {
    const int64_t low = s.reverse ? s.n - kPack - i : i;
    const Pack<T, kPack> pack = *reinterpret_cast<const Pack<T, kPack>*>(line + low);
#pragma unroll
    for (int j = 0; j < kPack; ++j) v[j] = pack.at[s.reverse ? kPack - 1 - j : j];
    return;
  }
#pragma unroll
  for (int j = 0; j < kPack; ++j) v[j] = i + j < end ? line[place_in_line(s, i + j)] : T(0);
}

template <class T, int kCount>
__device__ __forceinline__ void store_places(T* line, const ScanSpace& s, int64_t i, int64_t end,
                                             const T (&v)[kCount]) {
  if (s.packs && i + kCount <= end) {
    const int64_t low = s.reverse ? s.n - kCount - i : i;
    Pack<T, kCount> pack;
#pragma unroll
    for (int j = 0; j < kCount; ++j) pack.at[j] = v[s.reverse ? kCount - 1 - j : j];
    *reinterpret_cast<Pack<T, kCount>*>(line + low) = pack;
    return;
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    if (i + j < end) line[place_in_line(s, i + j)] = v[j];
  }
}

template <class T>
struct TeamScan {
  T before, all;  // of the members before this one, of the team
};

template <class T>
__device__ __forceinline__ TeamScan<T> team_scan(T own, int team, const Shared<T>& shared) {
  const int lane = lane_index(), lanes = team < kWarp ? team : kWarp, member = lane % lanes;
  T sum = own;
  for (int by = 1; by < lanes; by *= 2) {
    const T other = shuffle_up(sum, static_cast<unsigned>(by));
    if (member >= by) sum = other + sum;
  }
  T before = shuffle_up(sum, 1u);
  if (member == 0) before = T(0);
  T all = shuffle_from(sum, lane - member + lanes - 1);
  if (team <= kWarp) return {before, all};
  if (lane == 0) shared[warp_index()] = all;
  __syncthreads();
  T total = T(0), ahead = T(0);
  for (int w = 0; w < team / kWarp; ++w) {
    if (w == warp_index()) ahead = total;
    total += shared[w];
  }
  __syncthreads();
  return {ahead + before, total};
}

// totals[line][chunk] of rows; a block has a chunk.
template <class From, class To>
__global__ void row_totals(ScanSpace s, const From* from, Running<To>* totals) {
  using Sums = Running<To>;
  constexpr int kPack = kScanPack<From>;
  SharedMemory memory;
  const auto shared = memory.take<Sums>(kWarp);
  const int64_t line = blockIdx.x / s.chunks, chunk = blockIdx.x - line * s.chunks;
  const int64_t begin = chunk * s.length;
  const int64_t end = begin + s.length < s.n ? begin + s.length : s.n;
  Sums own = 0;
  for (int64_t i = begin + static_cast<int64_t>(threadIdx.x) * kPack; i < end;
       i += static_cast<int64_t>(blockDim.x) * kPack) {
    From v[kPack];
    load_places(from + line * s.n, s, i, end, v);
#pragma unroll
    for (int j = 0; j < kPack; ++j) own += static_cast<Sums>(v[j]);
  }
  own = block_reduce(own, Sum{}, shared);
  if (threadIdx.x == 0) totals[blockIdx.x] = own;
}

// totals: null where a line is one chunk.
template <class From, class To>
__global__ void scan_rows(ScanSpace s, const Running<To>* totals, const From* from, To* to) {
  using Sums = Running<To>;
  constexpr int kPack = kScanPack<From>;
  SharedMemory memory;
  const auto shared = memory.take<Sums>(kWarp);
  const int64_t unit = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / s.team;
  const int64_t line = unit / s.chunks, chunk = unit - line * s.chunks;
  const int member = static_cast<int>(threadIdx.x) % s.team;
  const int64_t begin = chunk * s.length;
  const int64_t most = begin + s.length < s.n ? begin + s.length : s.n;
  const int64_t end = line < s.outer ? most : 0;
  const From* const x = from + line * s.n;
  Sums carry = 0;
  if (totals != nullptr) {  // a block has the unit
    for (int64_t c = threadIdx.x; c < chunk; c += blockDim.x) carry += totals[line * s.chunks + c];
    carry = block_reduce(carry, Sum{}, shared);
  }
  const int64_t step = static_cast<int64_t>(s.team) * kPack;
  for (int64_t base = 0; base < s.length; base += step) {
    const int64_t i = begin + base + static_cast<int64_t>(member) * kPack;
    From v[kPack];
    load_places(x, s, i, end, v);
    Sums sums[kPack];
    sums[0] = static_cast<Sums>(v[0]);
#pragma unroll
    for (int j = 1; j < kPack; ++j) sums[j] = sums[j - 1] + static_cast<Sums>(v[j]);
    const TeamScan<Sums> scan = team_scan(sums[kPack - 1], s.team, shared);
    To out[kPack];
#pragma unroll
    for (int j = 0; j < kPack; ++j) out[j] = static_cast<To>(carry + scan.before + sums[j]);
    store_places(to + line * s.n, s, i, end, out);
    carry += scan.all;
  }
}

// A thread has a chunk of a line: neighbours have lines side by side. Without `to` it leaves the total.
template <class From, class To>
__global__ void scan_columns(ScanSpace s, const Running<To>* totals, Running<To>* total_out,
                             const From* __restrict__ from, To* __restrict__ to) {
  using Sums = Running<To>;
  constexpr int kAhead = 4;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t row = thread / s.inner, column = thread - row * s.inner;
  const int64_t outer = row / s.chunks, chunk = row - outer * s.chunks;
  if (outer >= s.outer) return;
  const int64_t first = outer * s.n * s.inner + column;
  const int64_t begin = chunk * s.length;
  const int64_t end = begin + s.length < s.n ? begin + s.length : s.n;
  Sums sum = 0;
  for (int64_t c = 0; totals != nullptr && c < chunk; ++c) {
    sum += totals[(outer * s.chunks + c) * s.inner + column];
  }
  for (int64_t i = begin; i < end; i += kAhead) {
    From ahead[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      ahead[u] = i + u < end ? from[first + place_in_line(s, i + u) * s.inner] : From(0);
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      sum += static_cast<Sums>(ahead[u]);
      if (to != nullptr && i + u < end) {
        to[first + place_in_line(s, i + u) * s.inner] = static_cast<To>(sum);
      }
    }
  }
  if (total_out != nullptr) total_out[thread] = sum;
}

template <class From, class To>
void rows(const Kernel& call, ScanSpace s, const From* from, To* to) {
  using Sums = Running<To>;
  constexpr int kPack = kScanPack<From>;
  s.packs = s.n % kPack == 0 && sizeof(From) == sizeof(To) &&
            reinterpret_cast<uintptr_t>(from) % 16 == 0;
  if (s.outer < kFoldBlocks && s.n > kScanElements) {
    const int64_t chunks =
        std::min(blocks_of(kFoldBlocks, s.outer), blocks_of(s.n, kScanElements));
    s.length = blocks_of(blocks_of(s.n, chunks), kScanElements) * kScanElements;
    s.chunks = blocks_of(s.n, s.length);
  }
  s.team = s.n > 8 * kWarp * kPack
               ? kScanThreads
               : static_cast<int>(std::min<int64_t>(kWarp, power_of_two_from(blocks_of(s.n, kPack))));
  const size_t shared = shared_bytes<Sums>(kWarp);
  Sums* totals = nullptr;
  if (s.chunks > 1) {
    totals = call.scratch<Sums>(s.outer * s.chunks);
    if (!totals) return;
    call.launch(row_totals<From, To>, {s.outer * s.chunks, kScanThreads, shared}, s, from, totals);
  }
  call.launch(scan_rows<From, To>,
              {blocks_of(s.outer * s.chunks * s.team, kScanThreads), kScanThreads, shared}, s,
              totals, from, to);
}

template <class From, class To>
void columns(const Kernel& call, ScanSpace s, const From* from, To* to) {
  using Sums = Running<To>;
  const int64_t lines = s.outer * s.inner;
  const int64_t wanted = blocks_of(int64_t{kFoldBlocks} * kScanThreads, lines);
  const int64_t most = std::min<int64_t>(kScanChunks, blocks_of(s.n, kScanColumn));
  s.length = blocks_of(s.n, std::min(wanted, most));
  s.chunks = blocks_of(s.n, s.length);
  const Grid grid{blocks_of(lines * s.chunks, kScanThreads), kScanThreads};
  Sums* totals = nullptr;
  if (s.chunks > 1) {
    totals = call.scratch<Sums>(lines * s.chunks);
    if (!totals) return;
    call.launch(scan_columns<From, To>, grid, s, nullptr, totals, from, nullptr);
  }
  call.launch(scan_columns<From, To>, grid, s, totals, nullptr, from, to);
}

template <class From, class To>
void cumsum(const CumsumParams& p, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  ScanSpace s{1, 1, parts_of(call.in(0).dtype), 0, 1, 1, p.reverse, false};
  for (int i = 0; i < shape.ndim; ++i) (i < p.dim ? s.outer : i == p.dim ? s.n : s.inner) *= shape[i];
  if (s.outer * s.n * s.inner == 0) return;
  s.length = s.n;
  const From* const from = call.in(0).as<const From>();
  To* const to = call.out(0).as<To>();
  if (s.inner == 1) {
    rows(call, s, from, to);
  } else {
    columns(call, s, from, to);
  }
}

}  // namespace

void k_cumsum(const CumsumParams& p, const Kernel& call) {
  switch (real_of(call.in(0).dtype)) {
    case DType::f64:
      return cumsum<double, double>(p, call);
    case DType::i32:
      return cumsum<int32_t, int32_t>(p, call);
    case DType::u8:
      return cumsum<uint8_t, int32_t>(p, call);
    default:
      return cumsum<float, float>(p, call);
  }
}

}  // namespace fluxion::cuda
