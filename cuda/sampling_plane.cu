// Sampling where a plane fits into shared memory (2-D).
//
// gather_plane: a block owns one field of the batch and some of its channels that share positions, as many as
// leave room for three blocks on a multiprocessor, and works out the taps of a point once for them. Bytes of
// DRAM a cell in float32: 8, and 8 of the positions once for all channels (from L2 the more often).
// scatter_plane: a block owns a plane of accumulators in fixed point (8.25 bytes a cell in float32): it reads
// the carried values for their largest magnitude, adds them to the taps, and writes the sums: 8 bytes a cell,
// the second reading comes from L1 or L2. With the slopes, of positions that only this plane has, 12, and the
// taps of the image are read through L1.
#include "device/block_sum.cuh"
#include "device/fixed_sum.cuh"
#include "device/plane_copy.cuh"
#include "sampling.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

template <class T, int K>
__global__ void __launch_bounds__(kSampleThreads) gather_plane(Sampling<T> s, int group,
                                                               int64_t groups) {
  SharedMemory memory;
  const Split block = split(blockIdx.x, groups);
  const int64_t field = block.whole, first = int64_t{block.rest} * group;
  const int count = static_cast<int>(s.channels - first < group ? s.channels - first : group);
  const int64_t channel = field * s.channels + first;
  Shared<T> planes = memory.take<T>(group * s.cells);
  copy_plane(s.image + channel * s.cells, planes, count * s.cells);
  copy_async_wait<0>();
  __syncthreads();
  const T* positions = s.positions_of(field, first);
  for (int p = threadIdx.x; p < s.points; p += blockDim.x) {
    Taps<T, K, 2, false> taps;
    find_taps(s, positions, p, taps);
    T* to = s.gathered + channel * s.points + p;
    T unused[3];
    for (int c = 0; c < count; ++c)
      to[static_cast<int64_t>(c) * s.points] = interpolate(taps, planes, c * s.cells, unused);
  }
}

template <class T>
using SharedSink =
    FixedSink<T, Shared<typename FixedPoint<T>::Word>, Shared<unsigned>>;

template <class T, int K, bool SLOPES>
__global__ void __launch_bounds__(1024) scatter_plane(Sampling<T> s) {
  using Word = typename FixedPoint<T>::Word;
  using Bits = typename FixedPoint<T>::Bits;
  SharedMemory memory;
  const int words = (s.cells + kMarksPerWord - 1) / kMarksPerWord;
  const SharedSink<T> sink{memory.take<Word>(s.cells), memory.take<Word>(s.cells),
                           memory.take<unsigned>(words)};
  const Shared<Bits> room = memory.take<Bits>(1024 / kWarp);
  const int64_t plane = blockIdx.x;
  const Split at = split(plane, s.channels);
  const T* carried = s.carried + plane * s.points;
  for (int i = threadIdx.x; i < s.cells; i += blockDim.x) sink.low[i] = sink.high[i] = 0;
  for (int i = threadIdx.x; i < words; i += blockDim.x) sink.marks[i] = 0;
  Bits largest = 0;
  for (int p = threadIdx.x; p < s.points; p += blockDim.x) {
    const T value = carried[p];
    const Bits bits = FixedPoint<T>::bits_of(value);
    if (bits > largest && finite_value(value)) largest = bits;
  }
  const FixedScale<T> scale = FixedScale<T>::of(block_max(largest, room), s.points);
  const T* positions = s.positions_of(at.whole, at.rest);
  for (int p = threadIdx.x; p < s.points; p += blockDim.x) {
    Taps<T, K, 2, SLOPES> taps;
    find_taps(s, positions, p, taps);
    const T value = carried[p];
    push(taps, scale.scaled(value), sink);
    if constexpr (SLOPES) {
      T slope[3];
      interpolate(taps, s.image + plane * s.cells, 0, slope);
      for (int axis = 0; axis < 2; ++axis) slope[axis] *= value;
      put_slopes<T, 2>(s, s.position_gradient + plane * 2 * s.points, p, slope);
    }
  }
  __syncthreads();
  T* to = s.scattered + plane * s.cells;
  for (int i = threadIdx.x; i < s.cells; i += blockDim.x)
    to[i] = finished(sink.low[i], sink.high[i], sink.marks[i / kMarksPerWord], i, scale);
}

template <class T>
size_t scatter_shared(const Sampling<T>& s) {
  using F = FixedPoint<T>;
  return 2 * shared_bytes<typename F::Word>(s.cells) +
         shared_bytes<unsigned>((s.cells + kMarksPerWord - 1) / kMarksPerWord) +
         shared_bytes<typename F::Bits>(1024 / kWarp);
}

int threads_for(int points, int most) {
  const int64_t wanted = blocks_of(points, 4 * kWarp) * kWarp;
  return static_cast<int>(wanted < most ? wanted : most);
}

}  // namespace

template <class T>
bool gather_planes_fit(const Kernel& call, const Sampling<T>& s) {
  return s.axes == 2 && shared_bytes<T>(s.cells) <= call.shared_limit();
}
template <class T>
bool scatter_planes_fit(const Kernel& call, const Sampling<T>& s) {
  return s.axes == 2 && scatter_shared(s) <= call.shared_limit();
}

template <class T>
void gather_planes(const Kernel& call, const Sampling<T>& s) {
  const int64_t plane = static_cast<int64_t>(shared_bytes<T>(s.cells));
  const int64_t room = static_cast<int64_t>(call.shared_limit()) / 3;
  int64_t group = s.position_channel_stride ? 1 : std::max<int64_t>(1, room / plane);
  group = std::min({group, s.channels, kSampleChannels});
  // Not fewer blocks than there are multiprocessors.
  while (group > 1 && s.batch * blocks_of(s.channels, group) < call.multiprocessors())
    group = (group + 1) / 2;
  const int64_t groups = blocks_of(s.channels, group);
  dispatch_taps(s.taps, [&](auto taps) {
    call.launch(gather_plane<T, decltype(taps)::value>,
                {s.batch * groups, threads_for(s.points, kSampleThreads),
                 shared_bytes<T>(group * s.cells)},
                s, static_cast<int>(group), groups);
  });
}

template <class T>
void scatter_planes(const Kernel& call, const Sampling<T>& s, bool slopes) {
  const cuda::Grid grid{s.batch * s.channels, threads_for(std::max(s.points, s.cells), 1024),
                        scatter_shared(s)};
  dispatch_taps(s.taps, [&](auto taps) {
    constexpr int K = decltype(taps)::value;
    if constexpr (K > 1) {
      if (slopes) return call.launch(scatter_plane<T, K, true>, grid, s);
    }
    call.launch(scatter_plane<T, K, false>, grid, s);
  });
}

template bool gather_planes_fit<float>(const Kernel&, const Sampling<float>&);
template bool gather_planes_fit<double>(const Kernel&, const Sampling<double>&);
template bool scatter_planes_fit<float>(const Kernel&, const Sampling<float>&);
template bool scatter_planes_fit<double>(const Kernel&, const Sampling<double>&);
template void gather_planes<float>(const Kernel&, const Sampling<float>&);
template void gather_planes<double>(const Kernel&, const Sampling<double>&);
template void scatter_planes<float>(const Kernel&, const Sampling<float>&, bool);
template void scatter_planes<double>(const Kernel&, const Sampling<double>&, bool);

}  // namespace fluxion::cuda
