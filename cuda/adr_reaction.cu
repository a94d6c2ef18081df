// The reaction of the advection-diffusion-reaction step, w = v + dt (W2 act(W1 v + b1) + b2), and its adjoint. A
// block takes a tile of pixels of all channels through both products in shared memory; the weights come through
// L1. Bytes of DRAM a cell in float32: 8 forward (the field is changed in place), 12 backward.
// Backward, a block walks over tiles and keeps the gradients of the weights of its tiles in memory of its own
// (in L2), which are added over the blocks in order.
// Operations a pixel for C channels and M hidden units: 4 C M forward, 10 C M backward.
#include "adr_plan.h"

namespace fluxion::cuda {
namespace {

template <class T>
struct ReactionArgs {
  Reaction<T> reaction;
  const T *v, *g;
  T* to;
  T* sums;  // of the parameters, for each block; may be null
  int tile, pitch;
  int64_t tiles;  // of a sample
};

// Where a tile begins in a field, and how many of its pixels are there.
struct TilePlace {
  int64_t first;
  int valid;
};

template <class T>
__device__ __forceinline__ TilePlace place_of(const ReactionArgs<T>& args, int64_t tile) {
  const AdrSizes& s = args.reaction.size;
  const Split at = split(tile, args.tiles);
  const int64_t pixels = s.rows * s.columns, pixel = int64_t{at.rest} * args.tile;
  const int64_t left = pixels - pixel;
  return {at.whole * s.channels * pixels + pixel,
          static_cast<int>(left < args.tile ? left : args.tile)};
}

// A tile of all channels; pixels that are not there are 0.
template <class T>
__device__ void load_tile(const ReactionArgs<T>& args, const T* field, const TilePlace& place,
                          const Shared<T>& to) {
  const AdrSizes& s = args.reaction.size;
  const int64_t pixels = s.rows * s.columns;
  for (int i = threadIdx.x; i < s.channels * args.tile; i += blockDim.x) {
    const Split at = split(i, args.tile);
    const int channel = static_cast<int>(at.whole), p = at.rest;
    to[channel * args.pitch + p] =
        p < place.valid ? field[place.first + channel * pixels + p] : T(0);
  }
}

template <class T>
__global__ void __launch_bounds__(kAdrThreads) react(ReactionArgs<T> args) {
  const Reaction<T>& r = args.reaction;
  const int channels = static_cast<int>(r.size.channels), hidden = static_cast<int>(r.size.hidden);
  const int64_t pixels = r.size.rows * r.size.columns;
  SharedMemory memory;
  const Shared<T> v = memory.take<T>(channels * args.pitch);
  const Shared<T> h = memory.take<T>(hidden * args.pitch);
  const TilePlace place = place_of(args, blockIdx.x);
  load_tile(args, args.v, place, v);
  __syncthreads();
  panel_product(Weight<T>{r.w1, hidden, channels, channels, 1, r.b1}, v, args.pitch, args.tile,
                [&](int row, int p, T x) {
                  T slope;
                  h[row * args.pitch + p] = activated(r.kind, x, slope);
                });
  __syncthreads();
  panel_product(Weight<T>{r.w2, channels, hidden, hidden, 1, r.b2}, h, args.pitch, args.tile,
                [&](int row, int p, T x) {
                  if (p < place.valid)
                    args.to[place.first + row * pixels + p] = v[row * args.pitch + p] + r.dt * x;
                });
}

// What the gradients of the parameters take from a tile, added to those of the block.
template <class T>
__device__ void add_gradients(const ReactionArgs<T>& args, const Shared<T>& v, const Shared<T>& g,
                              const Shared<T>& h, const Shared<T>& slope, bool first) {
  const int channels = static_cast<int>(args.reaction.size.channels);
  const int hidden = static_cast<int>(args.reaction.size.hidden);
  T* w1 = args.sums + static_cast<int64_t>(blockIdx.x) * args.reaction.size.parameters();
  T* b1 = w1 + static_cast<int64_t>(hidden) * channels;
  T* w2 = b1 + hidden;
  T* b2 = w2 + static_cast<int64_t>(hidden) * channels;
  const auto add = [&](T* to, T value) { *to = first ? value : *to + value; };
  panel_outer(slope, hidden, v, channels, args.pitch, args.tile, [&](int m, int c, T value) {
    add(w1 + static_cast<int64_t>(m) * channels + c, value);
  });
  panel_outer(g, channels, h, hidden, args.pitch, args.tile, [&](int c, int m, T value) {
    add(w2 + static_cast<int64_t>(c) * hidden + m, value);
  });
  for (int i = threadIdx.x; i < hidden + channels; i += blockDim.x) {
    const int row = i < hidden ? i : i - hidden;
    T sum = T(0);
    for (int p = 0; p < args.tile; ++p)
      sum += i < hidden ? slope[row * args.pitch + p] : g[row * args.pitch + p];
    add(i < hidden ? b1 + row : b2 + row, sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kAdrThreads) react_vjp(ReactionArgs<T> args) {
  const Reaction<T>& r = args.reaction;
  const int channels = static_cast<int>(r.size.channels), hidden = static_cast<int>(r.size.hidden);
  const int64_t pixels = r.size.rows * r.size.columns;
  SharedMemory memory;
  const Shared<T> v = memory.take<T>(channels * args.pitch);
  const Shared<T> g = memory.take<T>(channels * args.pitch);
  const Shared<T> h = memory.take<T>(hidden * args.pitch);
  const Shared<T> slope = memory.take<T>(hidden * args.pitch);
  bool first = true;
  for (int64_t tile = blockIdx.x; tile < args.tiles * r.size.batch; tile += gridDim.x) {
    const TilePlace place = place_of(args, tile);
    load_tile(args, args.v, place, v);
    load_tile(args, args.g, place, g);
    __syncthreads();
    panel_product(Weight<T>{r.w1, hidden, channels, channels, 1, r.b1}, v, args.pitch, args.tile,
                  [&](int row, int p, T x) {
                    T derivative;
                    h[row * args.pitch + p] = activated(r.kind, x, derivative);
                    slope[row * args.pitch + p] = r.dt * derivative;
                  });
    __syncthreads();
    panel_product(Weight<T>{r.w2, hidden, channels, 1, hidden, nullptr}, g, args.pitch, args.tile,
                  [&](int row, int p, T x) { slope[row * args.pitch + p] *= x; });
    __syncthreads();
    panel_product(Weight<T>{r.w1, channels, hidden, 1, channels, nullptr}, slope, args.pitch,
                  args.tile, [&](int row, int p, T x) {
                    if (p < place.valid)
                      args.to[place.first + row * pixels + p] = g[row * args.pitch + p] + x;
                  });
    if (args.sums) add_gradients(args, v, g, h, slope, first);
    first = false;
    __syncthreads();
  }
}

// The gradients of the parameters over the blocks, in order; those of w2 and b2 lack dt.
template <class T>
__global__ void add_blocks(const T* sums, int64_t blocks, int64_t n, int64_t second, T dt, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T sum = T(0);
  for (int64_t block = 0; block < blocks; ++block) sum += sums[block * n + i];
  to[i] = i < second ? sum : dt * sum;
}

// The largest tile whose `panels` rows fit. 0: none does.
template <class T>
int tile_pixels(const Kernel& call, int64_t panels) {
  for (const int tile : {64, 32, 16, 8, 4}) {
    const size_t bytes = static_cast<size_t>(panels * (tile + 4)) * sizeof(T) + 64;
    if (bytes <= call.shared_limit()) return tile;
  }
  return 0;
}

template <class T>
__global__ void refuse(FaultSite site, int64_t channels, int64_t hidden) {
  if (threadIdx.x == 0) record_fault(site, channels, hidden);
}

// Sets the tiles of the arguments; false where the op has failed.
template <class T>
bool cut_tiles(const Kernel& call, int64_t panels, ReactionArgs<T>& args) {
  const AdrSizes& s = args.reaction.size;
  args.tile = tile_pixels<T>(call, panels);
  if (args.tile == 0) {
    call.launch(refuse<T>, {1, kWarp},
                call.fault_site(ErrorCode::Unsupported,
                                "%lld channels and %lld hidden units do not fit this device"),
                s.channels, s.hidden);
    return false;
  }
  args.pitch = args.tile + 4;
  args.tiles = blocks_of(s.pixels(), args.tile);
  return true;
}

}  // namespace

template <class T>
void launch_reaction(const Kernel& call, const Reaction<T>& reaction, T* field) {
  const AdrSizes& s = reaction.size;
  ReactionArgs<T> args{reaction, field, nullptr, field, nullptr, 0, 0, 0};
  if (!cut_tiles(call, s.channels + s.hidden, args)) return;
  const size_t shared =
      shared_bytes<T>(s.channels * args.pitch) + shared_bytes<T>(s.hidden * args.pitch);
  call.launch(react<T>, {s.batch * args.tiles, kAdrThreads, shared}, args);
}

template <class T>
void launch_reaction_vjp(const Kernel& call, const Reaction<T>& reaction, const T* v, const T* g,
                         T* back, T* parameters) {
  const AdrSizes& s = reaction.size;
  ReactionArgs<T> args{reaction, v, g, back, nullptr, 0, 0, 0};
  if (!cut_tiles(call, 2 * (s.channels + s.hidden), args)) return;
  const size_t shared =
      2 * (shared_bytes<T>(s.channels * args.pitch) + shared_bytes<T>(s.hidden * args.pitch));
  const int64_t resident = std::clamp<int64_t>(
      static_cast<int64_t>(call.shared_limit() / shared), 1, 2048 / kAdrThreads);
  const int64_t blocks = std::min(s.batch * args.tiles, resident * call.multiprocessors());
  if (parameters) {
    args.sums = call.scratch<T>(blocks * s.parameters());
    if (!args.sums) return;
  }
  call.launch(react_vjp<T>, {blocks, kAdrThreads, shared}, args);
  if (!parameters) return;
  call.launch(add_blocks<T>, {blocks_of(s.parameters(), kElementThreads), kElementThreads},
              args.sums, blocks, s.parameters(), s.hidden * (s.channels + 1), reaction.dt,
              parameters);
}

template void launch_reaction<float>(const Kernel&, const Reaction<float>&, float*);
template void launch_reaction<double>(const Kernel&, const Reaction<double>&, double*);
template void launch_reaction_vjp<float>(const Kernel&, const Reaction<float>&, const float*,
                                         const float*, float*, float*);
template void launch_reaction_vjp<double>(const Kernel&, const Reaction<double>&, const double*,
                                          const double*, double*, double*);

}  // namespace fluxion::cuda
