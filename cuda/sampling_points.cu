// Sampling of fields in global memory: volumes, planes that do not fit into shared memory, and the gradient of
// positions that channels share.
//
// gather_point: a thread owns a point, works out its taps once and walks through channels, whose taps come
// through L1 and L2; it adds up the gradient of its position in registers. Bytes of DRAM a cell in float32: 8 (to
// gather), 8 (the gradient: the field and what is carried), and of the positions once. Where channels are spread
// over several threads, each leaves a partial sum, and these are added in order.
// scatter_point: the accumulators in fixed point lie in global memory; the largest values are found first, and
// the sums converted last: 8 + 4 + 28 bytes a cell in float32, four atomics of L2 a point.
#include "device/block_sum.cuh"
#include "device/fixed_sum.cuh"
#include "sampling.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct GatherPoints {
  Sampling<T> s;
  T* sums;  // of the position gradient: [batch][chunk][axes * points]
  int64_t chunk, chunks, tiles;
};

template <class T, int K, int AXES, bool SLOPES>
__global__ void __launch_bounds__(kSamplePointThreads) gather_point(GatherPoints<T> args) {
  const Sampling<T>& s = args.s;
  const Split block = split(blockIdx.x, args.tiles), at = split(block.whole, args.chunks);
  const int64_t item = block.whole, point = int64_t{block.rest} * blockDim.x + threadIdx.x;
  if (point >= s.points) return;
  const int p = static_cast<int>(point);
  const int64_t field = at.whole, first = at.rest * args.chunk;
  const int64_t last = first + args.chunk < s.channels ? first + args.chunk : s.channels;
  Taps<T, K, AXES, SLOPES> taps;
  find_taps(s, s.positions_of(field, first), p, taps);
  T total[3] = {};
#pragma unroll 2
  for (int64_t c = first; c < last; ++c) {
    const int64_t channel = field * s.channels + c;
    T slope[3];
    const T value = interpolate(taps, s.image + channel * s.cells, 0, slope);
    if (s.gathered) s.gathered[channel * s.points + p] = value;
    if constexpr (SLOPES) {
      const T carried = s.carried[channel * s.points + p];
#pragma unroll
      for (int axis = 0; axis < AXES; ++axis) total[axis] += slope[axis] * carried;
    }
  }
  if constexpr (SLOPES) put_slopes<T, AXES>(s, args.sums + item * AXES * s.points, p, total);
}

template <class T>
__global__ void add_chunks(const T* sums, int64_t chunks, int64_t size, int64_t n, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const T* from = sums + i / size * chunks * size + i % size;
  T sum = from[0];
  for (int64_t chunk = 1; chunk < chunks; ++chunk) sum += from[chunk * size];
  to[i] = sum;
}

// --- scattering into global memory

// Some planes of a sampling, with their accumulators.
template <class T>
struct ScatterPoints {
  using Word = typename FixedPoint<T>::Word;
  using Bits = typename FixedPoint<T>::Bits;
  Sampling<T> s;
  int64_t first;  // plane
  int64_t tiles;
  Word *low, *high;
  unsigned* marks;
  Bits* largest;
  int words;  // of marks, of a plane
};

template <class T>
__global__ void __launch_bounds__(kSamplePointThreads) find_largest(ScatterPoints<T> args) {
  using Bits = typename FixedPoint<T>::Bits;
  SharedMemory memory;
  const Shared<Bits> room = memory.take<Bits>(kSamplePointThreads / kWarp);
  const Split block = split(blockIdx.x, args.tiles);
  const int64_t plane = block.whole, p = int64_t{block.rest} * blockDim.x + threadIdx.x;
  const T* carried = args.s.carried + (args.first + plane) * args.s.points;
  Bits largest = 0;
  if (p < args.s.points && finite_value(carried[p])) largest = FixedPoint<T>::bits_of(carried[p]);
  largest = block_max(largest, room);
  if (threadIdx.x == 0 && largest > 0) atomicMax(&args.largest[plane], largest);
}

// Adds in one atomic where the accumulator has 64 bits.
struct WideSink {
  unsigned long long* sums;
  unsigned* marks;
  __device__ __forceinline__ void add(int cell, float value) const {
    if (!finite_value(value)) {
      atomicOr(&marks[cell / kMarksPerWord], mark_of(value, cell));
      return;
    }
    const auto whole = static_cast<unsigned long long>(llrintf(value));
    if (whole != 0) atomicAdd(&sums[cell], whole);
  }
};

template <class T, int K, int AXES>
__global__ void __launch_bounds__(kSamplePointThreads) scatter_point(ScatterPoints<T> args) {
  using Word = typename FixedPoint<T>::Word;
  const Sampling<T>& s = args.s;
  const Split block = split(blockIdx.x, args.tiles);
  const int64_t here = block.whole, plane = args.first + here;
  const int64_t point = int64_t{block.rest} * blockDim.x + threadIdx.x;
  if (point >= s.points) return;
  const int p = static_cast<int>(point);
  Taps<T, K, AXES, false> taps;
  const Split at = split(plane, s.channels);
  find_taps(s, s.positions_of(at.whole, at.rest), p, taps);
  const FixedScale<T> scale = FixedScale<T>::of(args.largest[here], s.points);
  const T carried = scale.scaled(s.carried[plane * s.points + p]);
  unsigned* marks = args.marks + here * args.words;
  if constexpr (sizeof(T) == 4) {
    push(taps, carried,
         WideSink{reinterpret_cast<unsigned long long*>(args.low) + here * s.cells, marks});
  } else {
    push(taps, carried,
         FixedSink<T, Word*, unsigned*>{args.low + here * s.cells, args.high + here * s.cells,
                                        marks});
  }
}

template <class T>
__global__ void finish_sums(ScatterPoints<T> args) {
  using Word = typename FixedPoint<T>::Word;
  const Split block = split(blockIdx.x, args.tiles);
  const int64_t here = block.whole, at = int64_t{block.rest} * blockDim.x + threadIdx.x;
  if (at >= args.s.cells) return;
  const int cell = static_cast<int>(at);
  const int64_t i = here * args.s.cells + cell;
  Word low, high;
  if constexpr (sizeof(T) == 4) {
    const unsigned long long sum = reinterpret_cast<const unsigned long long*>(args.low)[i];
    low = static_cast<Word>(sum);
    high = static_cast<Word>(sum >> 32);
  } else {
    low = args.low[i];
    high = args.high[i];
  }
  const FixedScale<T> scale = FixedScale<T>::of(args.largest[here], args.s.points);
  const unsigned marks = args.marks[here * args.words + cell / kMarksPerWord];
  args.s.scattered[args.first * args.s.cells + i] = finished(low, high, marks, cell, scale);
}

}  // namespace

template <class T>
void gather_points(const Kernel& call, const Sampling<T>& s, bool slopes) {
  GatherPoints<T> args{s, s.position_gradient, s.channels, 1,
                       blocks_of(s.points, kSamplePointThreads)};
  const int64_t wanted = call.multiprocessors() * kSampleThreadsWanted;
  if (!slopes) args.chunk = std::min(args.chunk, kSampleChannels);
  while (args.chunk > 1 && s.batch * s.points * blocks_of(s.channels, args.chunk) < wanted)
    args.chunk = (args.chunk + 1) / 2;
  if (s.position_channel_stride) args.chunk = 1;
  args.chunks = blocks_of(s.channels, args.chunk);
  const bool partial = slopes && args.chunks > 1 && !s.position_channel_stride;
  const int64_t size = int64_t{s.axes} * s.points;
  if (partial) args.sums = call.scratch<T>(s.batch * args.chunks * size);
  if (slopes && !args.sums) return;
  const cuda::Grid grid{s.batch * args.chunks * args.tiles, kSamplePointThreads};
  dispatch_taps(s.taps, [&](auto taps) {
    constexpr int K = decltype(taps)::value;
    if constexpr (K > 1) {
      if (slopes) {
        return s.axes == 2 ? call.launch(gather_point<T, K, 2, true>, grid, args)
                           : call.launch(gather_point<T, K, 3, true>, grid, args);
      }
    }
    s.axes == 2 ? call.launch(gather_point<T, K, 2, false>, grid, args)
                : call.launch(gather_point<T, K, 3, false>, grid, args);
  });
  if (partial) {
    call.launch(add_chunks<T>, {blocks_of(s.batch * size, kElementThreads), kElementThreads},
                args.sums, args.chunks, size, s.batch * size, s.position_gradient);
  }
}

template <class T>
void scatter_points(const Kernel& call, const Sampling<T>& s) {
  using Word = typename FixedPoint<T>::Word;
  using Bits = typename FixedPoint<T>::Bits;
  ScatterPoints<T> args{};
  args.s = s;
  args.words = static_cast<int>(blocks_of(s.cells, kMarksPerWord));
  const int64_t planes = s.batch * s.channels;
  const int64_t bytes_of_plane = int64_t{s.cells} * 2 * sizeof(Word) + args.words * 4;
  const int64_t at_once =
      std::min(planes, std::max<int64_t>(1, kSampleScratchBytes / bytes_of_plane));
  args.low = call.scratch<Word>(2 * at_once * s.cells);
  args.marks = call.scratch<unsigned>(at_once * args.words);
  args.largest = call.scratch<Bits>(at_once);
  if (!args.low || !args.marks || !args.largest) return;
  args.high = args.low + at_once * s.cells;
  for (args.first = 0; args.first < planes; args.first += at_once) {
    const int64_t count = std::min(at_once, planes - args.first);
    call.fill(args.low, 0, static_cast<size_t>(2 * at_once * s.cells) * sizeof(Word));
    call.fill(args.marks, 0, static_cast<size_t>(at_once * args.words) * sizeof(unsigned));
    call.fill(args.largest, 0, static_cast<size_t>(at_once) * sizeof(Bits));
    args.tiles = blocks_of(s.points, kSamplePointThreads);
    const cuda::Grid grid{count * args.tiles, kSamplePointThreads,
                          shared_bytes<Bits>(kSamplePointThreads / kWarp)};
    call.launch(find_largest<T>, grid, args);
    dispatch_taps(s.taps, [&](auto taps) {
      constexpr int K = decltype(taps)::value;
      s.axes == 2 ? call.launch(scatter_point<T, K, 2>, grid, args)
                  : call.launch(scatter_point<T, K, 3>, grid, args);
    });
    args.tiles = blocks_of(s.cells, kSamplePointThreads);
    call.launch(finish_sums<T>, {count * args.tiles, kSamplePointThreads}, args);
  }
}

template void gather_points<float>(const Kernel&, const Sampling<float>&, bool);
template void gather_points<double>(const Kernel&, const Sampling<double>&, bool);
template void scatter_points<float>(const Kernel&, const Sampling<float>&);
template void scatter_points<double>(const Kernel&, const Sampling<double>&);

}  // namespace fluxion::cuda
