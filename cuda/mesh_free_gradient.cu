// Gradients of the symbols of mesh-free convolutions. A block owns kTile x kTile pairs of an output and an input and
// a group of bins, a thread every blockDim-th bin of it: the cross spectra of the pairs are summed over the samples
// in registers and at once become sums for the coefficients. Sums of a block: a tree over lanes, warps in order;
// then over groups in order, in float64. Spectra are read Ci / kTile + Co / kTile times, from L2.
#include "mesh_free_gradient.h"

#include <algorithm>

#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr int kTile = 2;
constexpr int64_t kGroups = 16, kPartials = int64_t{1} << 22;
constexpr int kChannelSums = 3;

// Sums of one number of each thread of the block, by thread 0; `warps` holds a number for each warp.
__device__ __forceinline__ double block_sum(double value, const Shared<double>& warps) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) warps[static_cast<int>(threadIdx.x) / kWarp] = value;
  __syncthreads();
  if (threadIdx.x != 0) return 0;
  value = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) value += warps[w];
  return value;
}

// partials [group][output][input][9]
template <class T>
__global__ void __launch_bounds__(kMeshFreeThreads)
    correlate_pairs(MeshFreeModes<T> m, int64_t groups, int64_t samples, const Point<T>* x,
                    const Point<T>* g, double* partials) {
  SharedMemory memory;
  const auto warps = memory.take<double>(kWarp);
  const int64_t across = (m.inputs + kTile - 1) / kTile, down = (m.outputs + kTile - 1) / kTile;
  const int64_t i0 = blockIdx.x % across * kTile, o0 = blockIdx.x / across % down * kTile;
  const int64_t group = blockIdx.x / (across * down);
  const int64_t end = (group + 1) * m.bins / groups;
  T sums[kTile][kTile][kPairSums] = {};
  for (int64_t bin = group * m.bins / groups + threadIdx.x; bin < end; bin += blockDim.x) {
    Point<T> cross[kTile][kTile] = {};
    for (int64_t n = 0; n < samples; ++n) {
      Point<T> a[kTile], b[kTile];
#pragma unroll
      for (int t = 0; t < kTile; ++t) {
        // Channels that are not there stand in for the last one; their sums are not written.
        const int64_t i = i0 + t < m.inputs ? i0 + t : m.inputs - 1;
        const int64_t o = o0 + t < m.outputs ? o0 + t : m.outputs - 1;
        a[t] = conjugate(x[(n * m.inputs + i) * m.bins + bin]);
        b[t] = g[(n * m.outputs + o) * m.bins + bin];
      }
#pragma unroll
      for (int o = 0; o < kTile; ++o) {
#pragma unroll
        for (int i = 0; i < kTile; ++i) cross[o][i] = cross[o][i] + a[i] * b[o];
      }
    }
    const Mode<T> mode = m.mode(bin);
#pragma unroll
    for (int o = 0; o < kTile; ++o) {
#pragma unroll
      for (int i = 0; i < kTile; ++i) {
        if (i0 + i >= m.inputs || o0 + o >= m.outputs) continue;
        const T* gaussian = m.layout.shared ? m.gaussian + (i0 + i) * m.layout.widths() : nullptr;
        add_pair(m.layout, m.pair(o0 + o, i0 + i), gaussian, mode, cross[o][i], sums[o][i]);
      }
    }
  }
#pragma unroll
  for (int o = 0; o < kTile; ++o) {
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      const bool there = i0 + i < m.inputs && o0 + o < m.outputs;
      double* to = partials + ((group * m.outputs + o0 + o) * m.inputs + i0 + i) * kPairSums;
#pragma unroll
      for (int s = 0; s < kPairSums; ++s) {
        const double total = block_sum(static_cast<double>(sums[o][i][s]), warps);
        if (there && threadIdx.x == 0) to[s] += total;
      }
    }
  }
}

// Gradient sums of a shared Gaussian, from x and the gradient gx, which has its factor E: a block for a channel.
template <class T>
__global__ void __launch_bounds__(kMeshFreeThreads)
    correlate_channels(MeshFreeModes<T> m, int64_t samples, const Point<T>* x, const Point<T>* gx,
                       double* sums) {
  SharedMemory memory;
  const auto warps = memory.take<double>(kWarp);
  const int64_t i = blockIdx.x;
  const Widths<T> p(m.layout, m.gaussian + i * m.layout.widths());
  double total[kChannelSums] = {};
  for (int64_t bin = threadIdx.x; bin < m.bins; bin += blockDim.x) {
    const Mode<T> mode = m.mode(bin);
    T q = T(0);
    for (int64_t n = 0; n < samples; ++n) {
      const Point<T> a = x[(n * m.inputs + i) * m.bins + bin];
      const Point<T> b = gx[(n * m.inputs + i) * m.bins + bin];
      q += a.re * b.re + a.im * b.im;
    }
    q *= T(-2) * mode.weight;
    const T along = p.sum(mode);
    total[0] += static_cast<double>(q * (along * mode.x.odd + p.p1 * mode.x.edge));
    total[1] += static_cast<double>(q * (along * mode.y.odd + p.p2 * mode.y.edge));
    total[2] += static_cast<double>(q * p.p3 * mode.y.square);
  }
  for (int s = 0; s < kChannelSums; ++s) {
    const double value = block_sum(total[s], warps);
    if (threadIdx.x == 0) sums[kChannelSums * i + s] += value;
  }
}

template <class T>
__global__ void gather_weight(MeshFreeModes<T> m, int64_t groups, const double* partials, T* to) {
  const int64_t last = m.layout.last(), pairs = m.inputs * m.outputs;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= pairs * last) return;
  const int64_t pair = at / last;
  int place = static_cast<int>(at - pair * last);
  if (place >= m.layout.moments()) {
    place += 6 - m.layout.moments();
  } else if (m.layout.line && place == 2) {
    place = 3;
  }
  double total = 0;
  for (int64_t group = 0; group < groups; ++group) {
    total += partials[(group * pairs + pair) * kPairSums + place];
  }
  to[at] = static_cast<T>(total * static_cast<double>(m.scale));
}

// gx has the factor 1 / cells already.
template <class T>
__global__ void gather_gaussian(int64_t count, int widths, const double* sums, T* to) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int64_t channel = at / widths;
  to[at] = static_cast<T>(sums[kChannelSums * channel + at - channel * widths]);
}

template <class T>
__global__ void sum_plane(int64_t cells, const T* g, double* sums) {
  SharedMemory memory;
  const auto warps = memory.take<double>(kWarp);
  const T* plane = g + blockIdx.x * cells;
  double total = 0;
  for (int64_t i = threadIdx.x; i < cells; i += blockDim.x) total += static_cast<double>(plane[i]);
  total = block_sum(total, warps);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

template <class T>
__global__ void sum_batch(int64_t batch, int64_t outputs, const double* sums, T* to) {
  const int64_t o = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (o >= outputs) return;
  double total = 0;
  for (int64_t n = 0; n < batch; ++n) total += sums[n * outputs + o];
  to[o] = static_cast<T>(total);
}

}  // namespace

template <class T>
MeshFreeSums<T>::MeshFreeSums(const Kernel& call, const MeshFreeModes<T>& modes, bool pairs,
                              bool channels)
    : call_(call), modes_(modes) {
  const int64_t numbers = modes.inputs * modes.outputs * kPairSums;
  groups_ = std::clamp<int64_t>(kPartials / std::max<int64_t>(numbers, 1), 1, kGroups);
  groups_ = std::min(groups_, blocks_of(modes.bins, kMeshFreeThreads));
  const int64_t sums = modes.inputs * kChannelSums;
  if (pairs) pairs_ = call.scratch<double>(groups_ * numbers);
  if (channels) channels_ = call.scratch<double>(sums);
  const auto bytes = [](int64_t count) { return static_cast<size_t>(count) * sizeof(double); };
  if (pairs_) call.fill(pairs_, 0, bytes(groups_ * numbers));
  if (channels_) call.fill(channels_, 0, bytes(sums));
}

template <class T>
void MeshFreeSums<T>::add_pairs(int64_t samples, const Point<T>* x, const Point<T>* g) {
  if (!pairs_) return;
  const int64_t tiles = blocks_of(modes_.inputs, kTile) * blocks_of(modes_.outputs, kTile);
  call_.launch(correlate_pairs<T>, {tiles * groups_, kMeshFreeThreads, shared_bytes<double>(kWarp)},
               modes_, groups_, samples, x, g, pairs_);
}

template <class T>
void MeshFreeSums<T>::add_channels(int64_t samples, const Point<T>* x, const Point<T>* gx) {
  if (!channels_) return;
  call_.launch(correlate_channels<T>,
               {modes_.inputs, kMeshFreeThreads, shared_bytes<double>(kWarp)}, modes_, samples, x,
               gx, channels_);
}

template <class T>
void MeshFreeSums<T>::write_weight(T* gradient) const {
  if (!pairs_) return;
  const int64_t count = modes_.inputs * modes_.outputs * modes_.layout.last();
  call_.launch(gather_weight<T>, {blocks_of(count, kMeshFreeThreads), kMeshFreeThreads}, modes_,
               groups_, pairs_, gradient);
}

template <class T>
void MeshFreeSums<T>::write_gaussian(T* gradient) const {
  if (!channels_) return;
  const int widths = modes_.layout.widths();
  const int64_t count = modes_.inputs * widths;
  call_.launch(gather_gaussian<T>, {blocks_of(count, kMeshFreeThreads), kMeshFreeThreads}, count,
               widths, channels_, gradient);
}

template <class T>
void sum_outputs(const Kernel& call, const MeshFreeModes<T>& modes, int64_t batch, const T* g,
                 T* gradient) {
  auto* sums = call.scratch<double>(batch * modes.outputs);
  if (!sums) return;
  call.launch(sum_plane<T>, {batch * modes.outputs, kMeshFreeThreads, shared_bytes<double>(kWarp)},
              int64_t{modes.height} * modes.width, g, sums);
  call.launch(sum_batch<T>, {blocks_of(modes.outputs, kMeshFreeThreads), kMeshFreeThreads}, batch,
              modes.outputs, sums, gradient);
}

#define FLUXION_MESH_FREE(T)      \
  template class MeshFreeSums<T>; \
  template void sum_outputs<T>(const Kernel&, const MeshFreeModes<T>&, int64_t, const T*, T*);
FLUXION_MESH_FREE(float)
FLUXION_MESH_FREE(double)
#undef FLUXION_MESH_FREE

}  // namespace fluxion::cuda
