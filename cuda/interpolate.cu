// Resampling of regular grids and its adjoint: along every axis the product with a banded matrix
// (ops/interpolate.h), forward with the matrix, backward with its transpose, so both are gathers.
//
// Windows of few elements are summed over all axes at once: 8 bytes an element of the larger side. Where the
// product of the windows exceeds kFusedWindow, axis after axis by way of scratch memory.
#include "ops/interpolate.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "device/band.cuh"
#include "kernel.h"
#include "map.h"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

// A table of an axis in one direction; the key is the axis byte by byte.
std::string key_of(const char* what, const InterpolationAxis& axis, bool adjoint, size_t element) {
  std::string key = std::string("interpolate ") + what + (adjoint ? " adjoint " : " ") +
                    std::to_string(element) + ' ';
  key.append(reinterpret_cast<const char*>(&axis), sizeof axis);
  return key;
}

// The window of each output of an axis.
struct Windows {
  int64_t in, out, width;
  std::vector<int32_t> start;
  std::vector<double> weight;

  Windows(const InterpolationAxis& a, bool adjoint)
      : in(adjoint ? a.out : a.in), out(adjoint ? a.in : a.out) {
    width = a.identity() ? 1 : adjoint ? transposed_width(a) : a.width();
    start.resize(static_cast<size_t>(out));
    weight.assign(static_cast<size_t>(out * width), 0.0);
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < out; ++i) {
      if (a.identity()) {
        set(i, 0, 1.0);
        start[static_cast<size_t>(i)] = static_cast<int32_t>(i);
      } else if (!adjoint) {
        start[static_cast<size_t>(i)] = static_cast<int32_t>(a.start(i));
        for (int64_t t = 0; t < width; ++t) set(i, t, a.weight(i, a.start(i) + t));
      } else {  // the outputs low .. high - 1 read element i
        while (high < a.out && a.start(high) <= i) ++high;
        while (low < high && a.start(low) + a.width() <= i) ++low;
        const int64_t begin = std::clamp<int64_t>(low, 0, std::max<int64_t>(0, in - width));
        start[static_cast<size_t>(i)] = static_cast<int32_t>(begin);
        for (int64_t o = low; o < high; ++o) set(i, o - begin, a.weight(o, i));
      }
    }
  }
  void set(int64_t i, int64_t t, double value) {
    weight[static_cast<size_t>(i * width + t)] = value;
  }
};

template <class T>
struct Axis {
  BandAxis<T> band;
  int64_t in, out;

  Axis(const Kernel& call, const InterpolationAxis& a, bool adjoint)
      : in(adjoint ? a.out : a.in), out(adjoint ? a.in : a.out) {
    band.in = static_cast<int>(in);
    band.width = static_cast<int>(a.identity() ? 1 : adjoint ? transposed_width(a) : a.width());
    band.start = call.table<int32_t>(key_of("start", a, adjoint, sizeof(T)), out, [&](int32_t* to) {
      const Windows windows(a, adjoint);
      std::copy(windows.start.begin(), windows.start.end(), to);
    });
    band.weight =
        call.table<T>(key_of("weight", a, adjoint, sizeof(T)), out * band.width, [&](T* to) {
          const Windows windows(a, adjoint);
          std::transform(windows.weight.begin(), windows.weight.end(), to,
                         [](double value) { return static_cast<T>(value); });
        });
  }
};

// y = the bands along d, h and w of x, for `planes` volumes.
template <class T>
void apply(const Kernel& call, int64_t planes, const Axis<T>& d, const Axis<T>& h, const Axis<T>& w,
           const T* x, T* y) {
  const int64_t from = d.in * h.in * w.in, to = d.out * h.out * w.out;
  const int64_t run = std::max<int64_t>(1, kPieceElements / to);
  for (int64_t first = 0; first < planes; first += run) {
    const int64_t n = std::min(run, planes - first) * to;
    call.launch(apply_bands<T>, {blocks_of(n, kElementThreads), kElementThreads}, d.band, h.band,
                w.band, BandCells{Divisor(h.out), Divisor(w.out), Divisor(d.out)},
                static_cast<uint32_t>(n), x + first * from, y + first * to);
  }
}

// y [outer, out, inner] = the band of x [outer, in, inner].
template <class T>
void apply_axis(const Kernel& call, int64_t outer, int64_t inner, const Axis<T>& axis, const T* x,
                T* y) {
  const int64_t from = axis.in * inner, to = axis.out * inner;
  const int64_t run = std::max<int64_t>(1, kPieceElements / to);
  for (int64_t first = 0; first < outer; first += run) {
    const int64_t n = std::min(run, outer - first) * to;
    call.launch(apply_band<T>, {blocks_of(n, kElementThreads), kElementThreads}, axis.band,
                Divisor(inner), Divisor(axis.out), static_cast<uint32_t>(n), x + first * from,
                y + first * to);
  }
}

template <class T>
void resample(const Kernel& call, const InterpolationPlan& plan) {
  const Axis<T> d(call, plan.d, plan.adjoint), h(call, plan.h, plan.adjoint),
      w(call, plan.w, plan.adjoint);
  const T* x = call.in(0).as<T>();
  T* y = call.out(0).as<T>();
  const int64_t window = int64_t{d.band.width} * h.band.width * w.band.width;
  if (window <= kFusedWindow) return apply(call, plan.planes, d, h, w, x, y);
  // Axis after axis, [outer, axis, inner] as (outer planes, the axis as H, inner as an unchanged W): the
  // one that shrinks most goes first.
  const Axis<T>* axes[] = {&d, &h, &w};
  int64_t size[] = {d.in, h.in, w.in};
  int order[] = {0, 1, 2};
  std::sort(order, order + 3,
            [&](int a, int b) { return axes[a]->out * axes[b]->in < axes[b]->out * axes[a]->in; });
  for (int pass = 0; pass < 3; ++pass) {
    const int at = order[pass];
    int64_t outer = plan.planes, inner = 1;
    for (int i = 0; i < at; ++i) outer *= size[i];
    for (int i = at + 1; i < 3; ++i) inner *= size[i];
    size[at] = axes[at]->out;
    T* to = pass == 2 ? y : call.scratch<T>(plan.planes * size[0] * size[1] * size[2]);
    apply_axis(call, outer, inner, *axes[at], x, to);
    x = to;
  }
}

}  // namespace

void k_interpolate(const InterpolateParams& p, const Kernel& call) {
  const TensorView& x = call.in(0);
  if (call.out(0).size() == 0) return;
  const InterpolationPlan plan(p, x.shape, false, x.dtype == DType::f32);
  dispatch_floating(x.dtype, [&](auto tag) { resample<typename decltype(tag)::type>(call, plan); });
}

void k_interpolate_vjp(const InterpolateVjpParams& p, const Kernel& call) {
  const TensorView& g = call.in(0);
  if (call.out(0).size() == 0) return;
  const InterpolationPlan plan(p, p.input_shape, true, g.dtype == DType::f32);
  dispatch_floating(g.dtype, [&](auto tag) { resample<typename decltype(tag)::type>(call, plan); });
}

}  // namespace fluxion::cuda
