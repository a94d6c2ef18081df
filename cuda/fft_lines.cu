// Transforms of lines, with maps on both sides (device/fft_map.cuh).
//
// Lines that a block's shared memory holds: a block loads a tile of lines through the map, transforms it, and
// writes results through the map. Along strided axes neighbouring threads take neighbouring lines, so that
// runs of kFftRunBytes are read and written. Bytes moved: the input once and the output once.
//
// Longer lines, in global memory: N = n1 n2 in four steps (Bailey): transforms of n1 points with stride n2, in
// place, times e^(-2 pi i j2 k1 / N); transforms of n2 points, stored transposed. Where n2 does not fit either
// (beyond 2^24 points), its transforms are made the same way and a pass of its own transposes them. Lengths with
// a large prime factor become a convolution with a chirp over a power of two. Six times the bytes of a point for
// the maps and the steps, fourteen for a convolution.
// Sources: Bailey, J. Supercomputing 4 (1990); Bluestein (1970).
#include "fft_lines.h"

#include <algorithm>

#include "tuning.h"

namespace fluxion::cuda {
namespace {

// Results times e^(-2 pi i (line * k) / N), line being the position along the inner axis; null: none.
// Angle t is looked up as high[t / 1024] low[t % 1024].
template <class T>
struct Twist {
  const Point<T>* low = nullptr;
  const Point<T>* high = nullptr;
  __device__ __forceinline__ Point<T> at(int64_t angle) const {
    return fetch(high + (angle >> 10)) * fetch(low + (angle & 1023));
  }
};
constexpr int64_t kTwistLow = 1024;
constexpr int64_t kLongestLine = int64_t{1} << 29;

// How a block walks over its tile, and how many lines that has.
struct Tile {
  int lines;
  bool across_in, across_out;  // neighbouring threads take neighbouring lines
  PointDivisor by_points, by_results;
};

template <class T>
__global__ void __launch_bounds__(kFftThreads, 1)
    fft_tile(const __grid_constant__ FftPlan<T> plan, LineMap<T> map, FftLines space,
             Twist<T> twist, Tile tile, const T* in, T* out) {
  SharedMemory memory;
  const auto points = memory.take<Point<T>>(tile.lines * plan.pitch);
  const auto in_base = memory.take<int64_t>(tile.lines);
  const auto out_base = memory.take<int64_t>(tile.lines);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * tile.lines;
  const int64_t left = space.outer * space.inner - first;
  const int count = left < tile.lines ? static_cast<int>(left) : tile.lines;
  for (int l = static_cast<int>(threadIdx.x); l < count; l += static_cast<int>(blockDim.x)) {
    const int64_t outer = (first + l) / space.inner, inner = first + l - outer * space.inner;
    in_base[l] = outer * space.in_outer + inner * space.in_inner;
    out_base[l] = outer * space.out_outer + inner * space.out_inner;
  }
  __syncthreads();
  const PointDivisor by_lines(count);
  for (int e = static_cast<int>(threadIdx.x); e < count * map.points;
       e += static_cast<int>(blockDim.x)) {
    const int slow = tile.across_in ? by_lines.of(e) : tile.by_points.of(e);
    const int fast = e - slow * (tile.across_in ? count : map.points);
    const int l = tile.across_in ? fast : slow, j = tile.across_in ? slow : fast;
    points[l * plan.pitch + fft_place(j)] =
        gather_point(map, LineInput<T>{in + in_base[l], space.in_step}, j);
  }
  __syncthreads();
  const int groups = static_cast<int>(blockDim.x) / plan.group;
  const int own = static_cast<int>(threadIdx.x) / plan.group;
  const int lane = static_cast<int>(threadIdx.x) - own * plan.group;
  for (int l = 0; l < count; l += groups) {
    const FftLine<T> line{points, (l + own) * plan.pitch, lane, l + own < count};
    fft_line(plan, line, [&](int j) { return line(j); });
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < count * map.to;
       e += static_cast<int>(blockDim.x)) {
    const int slow = tile.across_out ? by_lines.of(e) : tile.by_results.of(e);
    const int fast = e - slow * (tile.across_out ? count : map.to);
    const int l = tile.across_out ? fast : slow, k = tile.across_out ? slow : fast;
    const auto read = [&](int i) { return points[l * plan.pitch + fft_place(i)]; };
    Point<T> value = line_result(map, read, k);
    if (twist.low) value = value * twist.at((first + l) % space.inner * k);
    T* to = out + out_base[l] + k * space.out_step;
    if (complex_out(map)) {
      *reinterpret_cast<Point<T>*>(to) = value;
    } else {
      *to = value.re;
    }
  }
}

// --- long lines: maps and convolutions between global arrays

template <class T>
__global__ void long_gather(LineMap<T> map, FftLines space, int64_t first, int64_t lines,
                            int64_t length, const Point<T>* chirp, const T* in, Point<T>* to) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= lines * length) return;
  const int64_t l = at / length;
  const int j = static_cast<int>(at - l * length);
  const int64_t outer = (first + l) / space.inner, inner = (first + l) % space.inner;
  const LineInput<T> line{in + outer * space.in_outer + inner * space.in_inner, space.in_step};
  Point<T> value{T(0), T(0)};
  if (j < map.points) value = gather_point(map, line, j);
  if (chirp && j < map.points) value = value * fetch(chirp + j);
  to[at] = value;
}

template <class T>
__global__ void times_spectrum(int64_t count, int64_t length, const Point<T>* spectrum,
                               Point<T>* points) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at < count) points[at] = exchanged(points[at] * fetch(spectrum + at % length));
}

template <class T>
__global__ void long_scatter(LineMap<T> map, FftLines space, int64_t first, int64_t lines,
                             int64_t length, const Point<T>* chirp, const Point<T>* from, T* out) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= lines * map.to) return;
  const int64_t l = at / map.to;
  const int k = static_cast<int>(at - l * map.to);
  const int64_t outer = (first + l) / space.inner, inner = (first + l) % space.inner;
  const auto read = [&](int i) {
    const Point<T> z = from[l * length + i];
    return chirp ? exchanged(z) * fetch(chirp + i) : z;
  };
  const Point<T> value = line_result(map, read, k);
  T* to = out + outer * space.out_outer + inner * space.out_inner + k * space.out_step;
  if (complex_out(map)) {
    *reinterpret_cast<Point<T>*>(to) = value;
  } else {
    *to = value.re;
  }
}

// to [lines, n2, n1] = from [lines, n1, n2]; a block takes kWarp x kWarp points.
template <class T>
__global__ void transpose_points(int64_t n1, int64_t n2, const Point<T>* from, Point<T>* to) {
  SharedMemory memory;
  const auto tile = memory.take<Point<T>>(kWarp * (kWarp + 1));
  const int64_t tiles1 = (n1 + kWarp - 1) / kWarp, tiles2 = (n2 + kWarp - 1) / kWarp;
  const int64_t line = blockIdx.x / (tiles1 * tiles2), at = blockIdx.x % (tiles1 * tiles2);
  const int64_t first1 = at / tiles2 * kWarp, first2 = at % tiles2 * kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int rows = static_cast<int>(blockDim.x) / kWarp;
  for (int r = static_cast<int>(threadIdx.x) / kWarp; r < kWarp; r += rows) {
    const int64_t i = first1 + r, j = first2 + lane;
    if (i < n1 && j < n2) tile[r * (kWarp + 1) + lane] = from[(line * n1 + i) * n2 + j];
  }
  __syncthreads();
  for (int r = static_cast<int>(threadIdx.x) / kWarp; r < kWarp; r += rows) {
    const int64_t i = first1 + lane, j = first2 + r;
    if (i < n1 && j < n2) to[(line * n2 + j) * n1 + i] = tile[lane * (kWarp + 1) + r];
  }
}

template <class T>
LineMap<T> plain_map(int64_t n) {
  const int size = static_cast<int>(n);
  return {LineKind::complex_line,
          false,
          size,
          size,
          0,
          size,
          size,
          T(1),
          T(1),
          T(1),
          T(1),
          nullptr,
          nullptr,
          nullptr};
}

template <class T>
void launch_tiles(const Kernel& call, const LineMap<T>& map, const FftLines& space,
                  const Twist<T>& twist, const T* in, T* out) {
  const FftPlan<T> plan = fft_plan<T>(call, map.points);
  const int threads = std::max(kFftBlock, plan.group), groups = threads / plan.group;
  const size_t line_bytes = static_cast<size_t>(plan.pitch) * sizeof(Point<T>) + 16;
  const auto fitting = static_cast<int>((call.shared_limit() - 64) / line_bytes);
  Tile tile{std::min(groups, fitting),
            space.inner > 1 && space.in_inner<space.in_step, space.inner> 1 &&
                space.out_inner < space.out_step,
            PointDivisor(map.points), PointDivisor(std::max(map.to, 1))};
  if (tile.across_in || tile.across_out) {
    const int run = kFftRunBytes / static_cast<int>(sizeof(Point<T>));
    tile.lines = std::min(std::max(groups, run), fitting);
  }
  const size_t shared = shared_bytes<Point<T>>(int64_t{tile.lines} * plan.pitch) +
                        2 * shared_bytes<int64_t>(tile.lines);
  call.launch(fft_tile<T>, {blocks_of(space.lines(), tile.lines), threads, shared}, plan, map,
              space, twist, tile, in, out);
}

// n = n1 n2, where blocks hold both, n1 as near to the root as possible; else they hold n1, which is as large as
// possible. 0: there are none.
int64_t split(const Kernel& call, int64_t n, size_t element) {
  if (!fft_is_smooth(n)) return 0;
  int64_t both = 0, one = 0;
  for (int64_t d = 2; d * d <= n; ++d) {
    if (n % d != 0) continue;
    if (fft_fits_block(call, n / d, element)) both = d;
    if (fft_fits_block(call, d, element)) one = d;
  }
  return both != 0 ? both : one;
}

// `lines` lines of n = n1 n2 points in a, transformed: in `a` or in `b`, as is returned.
template <class T>
Point<T>* four_steps(const Kernel& call, int64_t n, int64_t n1, int64_t lines, Point<T>* a,
                     Point<T>* b) {
  const int64_t n2 = n / n1;
  const Twist<T> twist{root_table<T>(call, n, 1, std::min(kTwistLow, n)),
                       root_table<T>(call, n, kTwistLow, blocks_of(n, kTwistLow))};
  T* from = reinterpret_cast<T*>(a);
  launch_tiles<T>(call, plain_map<T>(n1), {lines, n2, 2 * n, 2, 2 * n2, 2 * n, 2, 2 * n2}, twist,
                  from, from);
  if (fft_fits_block(call, n2, sizeof(T))) {
    launch_tiles<T>(call, plain_map<T>(n2), {lines, n1, 2 * n, 2 * n2, 2, 2 * n, 2, 2 * n1}, {},
                    from, reinterpret_cast<T*>(b));
    return b;
  }
  Point<T>* const made = four_steps(call, n2, split(call, n2, sizeof(T)), lines * n1, a, b);
  Point<T>* const other = made == a ? b : a;
  const int64_t blocks = lines * blocks_of(n1, kWarp) * blocks_of(n2, kWarp);
  call.launch(transpose_points<T>, {blocks, kFftBlock, shared_bytes<Point<T>>(kWarp * (kWarp + 1))},
              n1, n2, made, other);
  return other;
}

template <class T>
void long_lines(const Kernel& call, const LineMap<T>& map, const FftLines& space, const T* in,
                T* out) {
  int64_t length = map.points, n1 = split(call, length, sizeof(T));
  const bool convolution = n1 == 0;
  if (convolution) {
    length = 1;
    while (length < 2 * int64_t{map.points} - 1) length *= 2;
    n1 = split(call, length, sizeof(T));
  }
  if (n1 == 0) return call.refuse("the GPU's shared memory is too small for this transform");
  const Point<T>* chirp = convolution ? chirp_table<T>(call, map.points) : nullptr;
  const Point<T>* spectrum = convolution ? chirp_spectrum<T>(call, map.points, length) : nullptr;
  const int64_t bytes = 2 * length * static_cast<int64_t>(sizeof(Point<T>));
  const int64_t chunk = std::clamp<int64_t>(kFftScratchBytes / bytes, 1, space.lines());
  auto* a = call.scratch<Point<T>>(chunk * length);
  auto* b = call.scratch<Point<T>>(chunk * length);
  if (!a || !b) return;
  constexpr int kThreads = kElementThreads;
  for (int64_t first = 0; first < space.lines(); first += chunk) {
    const int64_t lines = std::min(chunk, space.lines() - first), count = lines * length;
    call.launch(long_gather<T>, {blocks_of(count, kThreads), kThreads}, map, space, first, lines,
                length, chirp, in, a);
    const Point<T>* made = four_steps(call, length, n1, lines, a, b);
    if (convolution) {
      Point<T>* const points = made == a ? a : b;
      call.launch(times_spectrum<T>, {blocks_of(count, kThreads), kThreads}, count, length,
                  spectrum, points);
      made = four_steps(call, length, n1, lines, points, made == a ? b : a);
    }
    call.launch(long_scatter<T>, {blocks_of(lines * map.to, kThreads), kThreads}, map, space, first,
                lines, length, chirp, made, out);
  }
}

// For r < n, 2 j + sign bit of the point in place r; then for k < n, 2 t + sign bit of its bin. Every orbit
// {a, -a, 4 n + a, 4 n - a} of odd numbers mod 8 n, cos being equal up to sign on it, has one member = 1 mod 8,
// which its residue mod n names; among those a b / 8 n = alpha / 8 + beta a b / n mod 1.
void fill_permutation(int64_t n, int* to) {
  int64_t beta = 0;
  while (8 * beta % n != 1 % n) ++beta;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t a = 2 * j + 1;
    const int64_t orbit[4] = {a, 8 * n - a, 4 * n + a, 4 * n - a};
    for (int i = 0; i < 4; ++i) {
      if (orbit[i] % 8 != 1) continue;
      const int sign = i >= 2;
      to[orbit[i] % n] = static_cast<int>(2 * j) + sign;
      to[n + j] = static_cast<int>(2 * (beta * orbit[i] % n)) + sign;
    }
  }
}

// e^(-pi i (4 j + 1) / 4 n), then e^(-pi i k / n), j, k < n / 2.
template <class T>
void fill_rotations(int64_t n, Point<T>* to) {
  for (int64_t j = 0; 2 * j < n; ++j) to[j] = rounded<T>(unit_root(4 * j + 1, 8 * n));
  for (int64_t k = 0; 2 * k < n; ++k) to[n / 2 + k] = rounded<T>(unit_root(k, 2 * n));
}

}  // namespace

FftLines line_space(int64_t outer, int64_t inner, int64_t from, int64_t to, int from_parts,
                    int to_parts) {
  return {outer,
          inner,
          from * inner * from_parts,
          from_parts,
          inner * from_parts,
          to * inner * to_parts,
          to_parts,
          inner * to_parts};
}

template <class T>
LineMap<T> line_map(const Kernel& call, LineKind kind, bool inverse, int64_t n, int64_t from,
                    int64_t to) {
  if (std::max({n, from, to}) >
      kLongestLine) {  // positions, and those of twice the period, fit 31 bits
    call.refuse("lines of more than 2^29 points have no transform on a GPU");
    return plain_map<T>(1);
  }
  LineMap<T> map = plain_map<T>(n);
  map.kind = kind;
  map.inverse = inverse;
  map.from = static_cast<int>(from);
  map.to = static_cast<int>(to);
  if (kind == LineKind::complex_line) return map;
  const bool four = kind == LineKind::cos4 || kind == LineKind::sin4;
  int64_t period = n;
  if (kind == LineKind::cos1) period = 2 * (n - 1);
  if (kind == LineKind::sin1) period = 2 * (n + 1);
  map.period = static_cast<int>(period);
  if (period % 2 == 0) map.points = map.period / 2;
  if (period % 2 == 0) map.halves = root_table<T>(call, period, 1, period / 2 + 1);
  if (kind == LineKind::cos2 || kind == LineKind::cos3 || kind == LineKind::sin2 ||
      kind == LineKind::sin3) {
    map.roots = root_table<T>(call, 4 * n, 1, n / 2 + 1);
  }
  const std::string key = std::to_string(sizeof(T)) + " " + std::to_string(n);
  if (four && n % 2 == 0) {
    map.roots = call.table<Point<T>>("fft rotations " + key, n,
                                     [n](Point<T>* to_table) { fill_rotations(n, to_table); });
  }
  if (four && n % 2 == 1) {
    map.permuted = call.table<int>("fft permutation " + key, 2 * n,
                                   [n](int* to_table) { fill_permutation(n, to_table); });
  }
  return map;
}

template <class T>
void transform_lines(const Kernel& call, const LineMap<T>& map, const FftLines& space, const T* in,
                     T* out) {
  if (space.lines() == 0 || map.to == 0) return;
  if (fft_fits_block(call, map.points, sizeof(T))) {
    launch_tiles<T>(call, map, space, {}, in, out);
  } else {
    long_lines<T>(call, map, space, in, out);
  }
}

#define FLUXION_FFT_LINES(T)                                                                 \
  template LineMap<T> line_map<T>(const Kernel&, LineKind, bool, int64_t, int64_t, int64_t); \
  template void transform_lines<T>(const Kernel&, const LineMap<T>&, const FftLines&, const T*, T*);
FLUXION_FFT_LINES(float)
FLUXION_FFT_LINES(double)
#undef FLUXION_FFT_LINES

}  // namespace fluxion::cuda
