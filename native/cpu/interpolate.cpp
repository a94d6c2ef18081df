// Resampling of regular grids and its adjoint: along every axis the product with a banded matrix
// (ops/interpolate.h), forward with the matrix, backward with its transpose, so both are gathers.
//
// Layout: [planes, H, W]; with a depth that changes, [planes, D, H, W] in two passes over a workspace.
// Where an image grows, rows are stretched first and kept while outputs need them, `taps` rows at a time;
// where it shrinks, rows are combined into one before that is stretched. So a plane is read and written once.
// Parallel: planes, or strips of their rows, of a size fixed by the shape; each output is computed alike in
// every strip.
// Source: Keys, IEEE Trans. ASSP 29 (1981), for the cubic convolution.
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/kernel.h"
#include "ops/interpolate.h"

#define FLUXION_KERNELS "cpu/interpolate.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/simd_gather.h"

#include "cpu/interpolate_band.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kStripElements = 32768;  // of the output
constexpr int64_t kStreamedBytes = 4 << 20;

// Whether rows of n elements from `base` on may be written around the caches.
template <class T>
bool streamable(const T* base, int64_t n, int64_t total) {
  return total * static_cast<int64_t>(sizeof(T)) >= kStreamedBytes && n % kLanes<T> == 0 &&
         reinterpret_cast<uintptr_t>(base) % 64 == 0;
}

template <class T>
struct PlanePass {
  Band<T> h, w;
  bool rows_first;
  const T* from;
  T* to;
  int64_t planes, strip;  // rows of the output in a block
  bool streams;

  int64_t strips() const { return (h.out + strip - 1) / strip; }

  void run(int64_t block, T* scratch) const {
    const int64_t plane = block / strips(), begin = block % strips() * strip;
    const int64_t end = std::min(h.out, begin + strip);
    const T* const x = from + plane * h.in * w.in;
    T* const y = to + plane * h.out * w.out;
    if (h.identity) {
      for (int64_t i = begin; i < end; ++i) stretch(w, x + i * w.in, y + i * w.out);
    } else if (w.identity) {
      for (int64_t i = begin; i < end; ++i)
        combine_window(h, i, x, w.in, w.in, y + i * w.out, streams);
    } else if (rows_first) {
      stretched_rows(x, y, begin, end, scratch);
    } else {
      for (int64_t i = begin; i < end; ++i) {
        combine_window(h, i, x, w.in, w.in, scratch, false);
        stretch(w, scratch, y + i * w.out);
      }
    }
    if (streams) stream_fence();
  }

  // Row r of the input, stretched, lies in place r % taps of the ring.
  void stretched_rows(const T* x, T* y, int64_t begin, int64_t end, T* ring) const {
    const int64_t pitch = InterpolationPlan::padded(w.out);
    const T* rows[kKeptRows];
    int64_t next = h.start[begin];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t start = h.start[i];
      for (next = std::max(next, start); next < start + h.taps; ++next)
        stretch(w, x + next * w.in, ring + next % h.taps * pitch);
      for (int64_t t = 0; t < h.taps; ++t) rows[t] = ring + (start + t) % h.taps * pitch;
      combine(rows, h.weight + i, h.pitch, h.taps, w.out, y + i * w.out, streams);
    }
  }
};

template <class T>
void resample_planes(const Kernel& k, const InterpolationPlan& plan, const Band<T>& h,
                     const Band<T>& w, const T* from, T* to, int64_t planes) {
  const bool streams = streamable(to, w.out, planes * h.out * w.out) && !h.identity &&
                       (w.identity || plan.rows_first());
  const int64_t strip = std::max<int64_t>(1, kStripElements / w.out);
  const PlanePass<T> pass{h, w, plan.rows_first(), from, to, planes, strip, streams};
  k.parallel_for(planes * pass.strips(),
                 [&](int64_t block, int thread) { pass.run(block, k.scratch<T>(thread)); });
}

// Planes of n elements combined along the depth.
template <class T>
void resample_depth(const Kernel& k, const Band<T>& d, const T* from, T* to, int64_t volumes,
                    int64_t n) {
  const int64_t parts = blocks_of(n, kElementsPerBlock);
  k.parallel_for(volumes * d.out * parts, [&](int64_t block, int) {
    const int64_t volume = block / parts / d.out, i = block / parts % d.out;
    const int64_t at = block % parts * kElementsPerBlock;
    combine_window(d, i, from + volume * d.in * n + at, n, std::min(kElementsPerBlock, n - at),
                   to + (volume * d.out + i) * n + at, false);
  });
}

template <class T>
void resample(const Kernel& k, const InterpolationPlan& plan) {
  const T* const x = k.in(0).as<T>();
  T* const y = k.out(0).as<T>();
  Band<T> d, h, w;
  if (!make_band(k, plan, plan.d, &d) || !make_band(k, plan, plan.h, &h) ||
      !make_band(k, plan, plan.w, &w))
    return k.fault(ErrorCode::OutOfMemory, "there is no memory for the table of weights");
  if (!plan.depth()) return resample_planes(k, plan, h, w, x, y, plan.planes);
  T* const between = k.workspace<T>();
  if (plan.planes_first()) {
    resample_planes(k, plan, h, w, x, between, plan.planes * d.in);
    resample_depth(k, d, between, y, plan.planes, h.out * w.out);
  } else {
    resample_depth(k, d, x, between, plan.planes, h.in * w.in);
    resample_planes(k, plan, h, w, between, y, plan.planes * d.out);
  }
}

void interpolate(const Kernel& k, const InterpolateParams& p, const Shape& x, bool adjoint) {
  if (k.out(0).size() == 0) return;
  const InterpolationPlan plan(p, x, adjoint, k.in(0).dtype == DType::f32);
  dispatch_floating(k.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    resample<T>(k, plan);
  });
}

}  // namespace

void k_interpolate(const InterpolateParams& p, const Kernel& k) {
  interpolate(k, p, k.in(0).shape, false);
}

void k_interpolate_vjp(const InterpolateVjpParams& p, const Kernel& k) {
  interpolate(k, p, p.input_shape, true);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
