// fft, rfft, irfft: discrete Fourier transforms along one or several dimensions, a pass of fft_lines.cu for
// each. trigonometric: cosine and sine transforms along one dimension. Equations and sources are with
// device/fft_map.cuh; bytes moved are those of the input and the output of each dimension.
#include "ops/fourier.h"

#include <algorithm>

#include "fft_lines.h"

namespace fluxion::cuda {
namespace {

LineKind line_kind(FourierKind kind) {
  if (kind == FourierKind::to_half) return LineKind::to_half;
  return kind == FourierKind::from_half ? LineKind::from_half : LineKind::complex_line;
}

template <class T>
void transform(const FourierParams& p, FourierKind kind, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  const FourierSchedule schedule = fourier_schedule(p, kind, call.in(0).shape, sizeof(T));
  const int64_t blocks = std::max<int64_t>(schedule.blocks, 1);
  const T* from = call.in(0).as<T>();
  T* buffers[2] = {nullptr, nullptr};
  for (int i = 0; i < schedule.stages; ++i) {
    const FourierStage& s = schedule.stage[i];
    const bool last = i + 1 == schedule.stages;
    if (!last && !buffers[i % 2]) buffers[i % 2] = call.scratch<T>(schedule.buffer * blocks);
    T* to = last ? call.out(0).as<T>() : buffers[i % 2];
    if (!to) return;
    LineMap<T> map =
        line_map<T>(call, line_kind(s.kind), s.kind == FourierKind::inverse, s.n, s.from, s.to);
    map.scale = last ? static_cast<T>(p.scale) : T(1);
    map.mirrored = static_cast<T>(p.mirrored);
    const int from_parts = s.kind == FourierKind::to_half ? 1 : 2;
    const int to_parts = s.kind == FourierKind::from_half ? 1 : 2;
    transform_lines<T>(call, map,
                       line_space(s.outer * blocks, s.inner, s.from, s.to, from_parts, to_parts),
                       from, to);
    from = to;
  }
}

LineKind line_kind(TrigonometricKind kind) {
  return static_cast<LineKind>(static_cast<int>(kind) + static_cast<int>(LineKind::cos1));
}

}  // namespace

void k_fft(const FourierParams& params, const Kernel& call) {
  dispatch_floating(real_of(call.out(0).dtype), [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(params, params.inverse ? FourierKind::inverse : FourierKind::forward, call);
  });
}

void k_rfft(const FourierParams& params, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(params, FourierKind::to_half, call);
  });
}

void k_irfft(const FourierParams& params, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(params, FourierKind::from_half, call);
  });
}

void k_trigonometric(const TrigonometricParams& params, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Shape& shape = call.in(0).shape;
    const int dim = static_cast<int>(params.dim);
    int64_t outer = 1, inner = 1;
    for (int d = 0; d < dim; ++d) outer *= shape[d];
    for (int d = dim + 1; d < shape.ndim; ++d) inner *= shape[d];
    LineMap<T> map =
        line_map<T>(call, line_kind(params.kind), false, params.length, shape[dim], params.size);
    map.scale = static_cast<T>(params.scale);
    map.end_in = static_cast<T>(params.end_in);
    map.end_out = static_cast<T>(params.end_out);
    transform_lines<T>(call, map, line_space(outer, inner, shape[dim], params.size, 1, 1),
                       call.in(0).as<T>(), call.out(0).as<T>());
  });
}

}  // namespace fluxion::cuda
