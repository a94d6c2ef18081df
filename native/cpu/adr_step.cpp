// One step of advection, diffusion and reaction, split in this order, without its fields ever leaving the
// cache:
//     a = u(x + d(x))  bilinear,   v = (I - dt k_y D_yy)^-1 (I - dt k_x D_xx)^-1 a,   w = v + dt R(v)
//     R(v) = W2 act(W1 v + b1) + b2 at each pixel
// A block is one sample. Its channels go through advection and diffusion in groups, one channel in each
// SIMD lane (channel_tile.h); the result, 4 C H W bytes in float32, waits in L2 for the reaction, which
// takes a tile of pixels of all channels through both matrix products in L1 (reaction_tile.h).
//
// Backward starts from u again: nothing but the inputs is saved. The cotangent passes the reaction tile by
// tile, then the (symmetric) diffusion, then the transposed gather. Gradients of the weights are summed
// over the pixels of a sample, then over the samples in order: the same bits for any number of threads.
//
// Floor in float32: 8 bytes a cell forward (u in, w out), 12 backward; 4 C M flops a pixel forward for M
// hidden units, 10 C M backward.
#include <utility>

#include "cpu/kernel.h"
#include "ops/adr_step.h"
#include "ops/activation.h"

#define FLUXION_KERNELS "cpu/adr_step.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/line_solver.h"
#include "cpu/vector_math.h"
#include "cpu/activation.h"
#include "cpu/epilogue.h"
#include "cpu/gemm.h"
#include "cpu/channel_tile.h"
#include "cpu/simd_gather.h"
#include "cpu/semi_lagrangian_taps.h"
#include "cpu/channel_gather.h"
#include "cpu/reaction_tile.h"
#include "cpu/adr_fields.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// --- forward

// Rows of v + dt R, from the panels of v and R.
template <class T>
inline void write_step(const T* v, const T* product, T dt, int64_t channels, int64_t pixels,
                       int valid, T* out) {
  constexpr int w = kLanes<T>;
  const bool aligned = reinterpret_cast<uintptr_t>(out) % FLUXION_VECTOR_BYTES == 0 &&
                       pixels % w == 0 && valid == kTileCols<T>;
  for (int64_t c = 0; c < channels; ++c) {
    for (int j = 0; j < valid; j += w) {
      const int64_t at = c * kTileCols<T> + j;
      const Vec<T> x = load(v + at) + dt * load(product + at);
      T* to = out + c * pixels + j;
      if (aligned) {
        stream(to, x);
      } else {
        store_partial(to, x, std::min(valid - j, w));
      }
    }
  }
}

template <class T>
void react(const Step<T>& step, const T* a1, const T* a2, const T* field, Arena<T> arena, T* out) {
  const AdrSizes& s = step.size;
  T* v = arena.take(s.panel(s.padded_channels()));
  T* product = arena.take(s.panel(s.padded_channels()));
  T* hidden = arena.take(s.panel(s.padded_hidden()));
  for (int64_t first = 0; first < s.pixels(); first += kTileCols<T>) {
    const int valid = static_cast<int>(std::min<int64_t>(kTileCols<T>, s.pixels() - first));
    step.read_panel(field, first, valid, v);
    panel_product(a1, v, s.hidden, s.channels, false, step.b1, hidden);
    activate_panel(step.p.activation, hidden, hidden, s.hidden * kTileCols<T>);
    panel_product(a2, hidden, s.channels, s.hidden, false, step.b2, product);
    write_step(v, product, static_cast<T>(step.p.dt), s.channels, s.pixels(), valid, out + first);
  }
  stream_fence();
}

template <class T>
void adr_step(const AdrStep2dParams& p, const Kernel& call) {
  Step<T> step(p, call, 0);
  const AdrSizes& s = step.size;
  if (!step.prepare_factors(call))
    return call.fault(ErrorCode::OutOfMemory, "no memory for the factors of the diffusion");
  T* a1 = call.workspace<T>();
  T* a2 = a1 + s.packed();
  pack_weight(step.w1, s.hidden, s.channels, s.channels, 1, a1);
  pack_weight(step.w2, s.channels, s.hidden, s.hidden, 1, a2);
  call.parallel_for(s.batch, [&](int64_t sample, int thread) {
    PixelTap<T>* taps = call.scratch<PixelTap<T>>(thread);
    Arena<T> arena{reinterpret_cast<T*>(call.scratch<char>(thread) + s.tap_bytes())};
    find_pixel_taps(step.displacement_of(sample), s.rows, s.columns,
                    static_cast<Padding>(p.advection_boundary), taps);
    T* field = arena.take(s.field());
    T* work = arena.take(s.group());
    step.transport(sample, taps, work, field);
    react(step, a1, a2, field, arena, call.out(0).as<T>() + sample * s.channels * s.pixels());
  });
}

// --- backward

// What a block of the backward pass leaves behind: partial sums of a sample.
template <class T>
struct Partials {
  T *w1, *w2, *b1, *b2;  // w1 and the transpose of w2 are [hidden][padded channels]
  T* displacement;       // [2][pixels]
  double* diffusivity;   // [2][padded channels]
};

template <class T>
struct Backward {
  const Step<T>& step;
  const T* g;
  T *gu, *gdisplacement, *gdiffusivity, *gparameters;  // null where nobody asked
  const T *a1, *a1_transposed, *a2_transposed;
  T* sums;
  double* diffusivity_sums;

  Partials<T> partials(int64_t sample) const {
    const AdrSizes& s = step.size;
    T* at = sums + sample * s.partial();
    T* w2 = at + s.padded_hidden() * s.padded_channels();
    T* b1 = w2 + s.padded_hidden() * s.padded_channels();
    T* shared = sums + s.batch * s.partial() + sample * 2 * s.pixels();
    return {at,
            w2,
            b1,
            b1 + s.padded_hidden(),
            step.shared_displacement ? shared : gdisplacement + sample * 2 * s.pixels(),
            diffusivity_sums + sample * 2 * s.padded_channels()};
  }

  // Takes the cotangent through the reaction: `field` v and, out, `back` = g + dt R'(v)^T g, both as tiles.
  void react(int64_t sample, const T* field, T* back, const Partials<T>& sum, Arena<T> arena) const;
  void react_tile(const T* field, T* back, int64_t first, int valid, const Partials<T>& sum, T* v,
                  T* gradient, T* hidden, T* inner, T* slope) const;
  // Takes `back` through diffusion and advection; `field` is v and is overwritten.
  void transport(int64_t sample, T* field, T* back, const PixelTap<T>* taps, T* work,
                 const Partials<T>& sum) const;
  void diffuse(int64_t group, const T* v, T* back, T* work, const Partials<T>& sum) const;
  void displace(const T* field, const T* back, const PixelTap<T>* taps, T* to) const;
  void add_samples(const Kernel& call) const;
};

template <class T>
void Backward<T>::react_tile(const T* field, T* back, int64_t first, int valid,
                             const Partials<T>& sum, T* v, T* gradient, T* hidden, T* inner,
                             T* slope) const {
  const AdrSizes& s = step.size;
  constexpr int w = kLanes<T>;
  const int64_t pitch = s.padded_channels();
  const T dt = static_cast<T>(step.p.dt);
  panel_product(a1, v, s.hidden, s.channels, false, step.b1, inner);
  activate_panel(step.p.activation, inner, hidden, s.hidden * kTileCols<T>);
  panel_product(a2_transposed, gradient, s.hidden, s.channels, false,
                static_cast<const T*>(nullptr), slope);
  for (int64_t i = 0; i < s.hidden * kTileCols<T>; ++i) slope[i] *= dt;
  scale_by_slope(step.p.activation, inner, slope, s.hidden * kTileCols<T>);
  if (gparameters) {
    add_row_sums(gradient, s.channels, sum.b2);
    add_row_sums(slope, s.hidden, sum.b1);
    for (int64_t group = 0; group < step.groups(); ++group) {
      T* tile = back + group * step.group_size() + first * w;
      load_transposed(gradient + group * w * kTileCols<T>, kTileCols<T>, w, valid, tile, w);
      weight_gradient(hidden, s.hidden, tile, valid, sum.w2 + group * w, pitch);
      weight_gradient(slope, s.hidden, field + group * step.group_size() + first * w, valid,
                      sum.w1 + group * w, pitch);
    }
  }
  panel_product(a1_transposed, slope, s.channels, s.hidden, true, static_cast<const T*>(nullptr),
                gradient);
  for (int64_t group = 0; group < step.groups(); ++group) {
    load_transposed(gradient + group * w * kTileCols<T>, kTileCols<T>, w, valid,
                    back + group * step.group_size() + first * w, w);
  }
}

template <class T>
void Backward<T>::react(int64_t sample, const T* field, T* back, const Partials<T>& sum,
                        Arena<T> arena) const {
  const AdrSizes& s = step.size;
  T* v = arena.take(s.panel(s.padded_channels()));
  T* gradient = arena.take(s.panel(s.padded_channels()));
  T* hidden = arena.take(s.panel(s.padded_hidden()));
  T* inner = arena.take(s.panel(s.padded_hidden()));
  T* slope = arena.take(s.panel(s.padded_hidden()));
  const T* from = g + sample * s.channels * s.pixels();
  if (gparameters) std::fill_n(sum.w1, s.partial(), T(0));
  std::fill_n(gradient, s.panel(s.padded_channels()), T(0));
  for (int64_t first = 0; first < s.pixels(); first += kTileCols<T>) {
    const int valid = static_cast<int>(std::min<int64_t>(kTileCols<T>, s.pixels() - first));
    step.read_panel(field, first, valid, v);
    for (int64_t c = 0; c < s.channels; ++c) {
      T* row = gradient + c * kTileCols<T>;
      std::fill_n(row + valid, kTileCols<T> - valid, T(0));
      __builtin_memcpy(row, from + c * s.pixels() + first, static_cast<size_t>(valid) * sizeof(T));
    }
    react_tile(field, back, first, valid, sum, v, gradient, hidden, inner, slope);
  }
}

// S_x and S_y commute and are symmetric: back = S_y S_x back. Gradients of the diffusivities as in
// cpu/diffusion.cpp: dt <S_x g, D_x v> and dt <S_y g, D_y v>.
template <class T>
void Backward<T>::diffuse(int64_t group, const T* v, T* back, T* work,
                          const Partials<T>& sum) const {
  const AdrSizes& s = step.size;
  constexpr int w = kLanes<T>;
  const int64_t row = s.columns * w;
  T* along_x = work;
  T* along_y = work + s.group();
  step.diffuse_x(back, along_x, group);
  if (gdiffusivity) {
    double* sums = sum.diffusivity + group * w;
    std::fill_n(sums, w, 0.0);
    std::fill_n(sums + s.padded_channels(), w, 0.0);
    add_tile_laplacian(along_x, v, w, row, s.columns, s.rows, step.p.diffusion_boundary, sums);
    step.diffuse_y(back, along_y, group);
    add_tile_laplacian(along_y, v, row, w, s.rows, s.columns, step.p.diffusion_boundary,
                       sums + s.padded_channels());
  }
  step.diffuse_y(along_x, back, group);
}

template <class T>
void Backward<T>::transport(int64_t sample, T* field, T* back, const PixelTap<T>* taps, T* work,
                            const Partials<T>& sum) const {
  const AdrSizes& s = step.size;
  for (int64_t group = 0; group < step.groups(); ++group) {
    T* v = field + group * step.group_size();
    T* cotangent = back + group * step.group_size();
    diffuse(group, v, cotangent, work, sum);
    if (gu) {
      std::fill_n(work, step.group_size(), T(0));
      scatter_tile(cotangent, s.pixels(), taps, work);
      store_tile(work, s.pixels(), step.lanes_of(group),
                 gu + (sample * s.channels + group * kLanes<T>)*s.pixels());
    }
    if (gdisplacement)
      load_tile(step.planes(step.u, sample, group), s.pixels(), step.lanes_of(group), v);
  }
  if (gdisplacement) displace(field, back, taps, sum.displacement);
}

template <class T>
void Backward<T>::displace(const T* field, const T* back, const PixelTap<T>* taps, T* to) const {
  const int64_t pixels = step.size.pixels(), groups = step.groups(), size = step.group_size();
  for (int64_t p = 0; p < pixels; ++p) {
    Vec<T> x{}, y{};
    for (int64_t group = 0; group < groups; ++group) {
      const Vec<T> cotangent = load(back + group * size + p * kLanes<T>);
      x += cotangent * combine(field + group * size, taps[p].index, taps[p].along_x);
      y += cotangent * combine(field + group * size, taps[p].index, taps[p].along_y);
    }
    to[p] = sum_lanes<T>(x);
    to[pixels + p] = sum_lanes<T>(y);
  }
}

// The partial sums of the samples, in order.
template <class T>
void Backward<T>::add_samples(const Kernel& call) const {
  const AdrSizes& s = step.size;
  const T dt = static_cast<T>(step.p.dt);
  for (int64_t c = 0; gdiffusivity && c < s.channels; ++c) {
    for (int axis = 0; axis < 2; ++axis) {
      double total = 0;
      for (int64_t n = 0; n < s.batch; ++n)
        total += partials(n).diffusivity[axis * s.padded_channels() + c];
      const double spacing = axis == 0 ? step.p.dx : step.p.dy;
      gdiffusivity[2 * c + axis] = static_cast<T>(step.p.dt * total / (spacing * spacing));
    }
  }
  if (gdisplacement && step.shared_displacement) {
    for (int64_t i = 0; i < 2 * s.pixels(); ++i) {
      T total{};
      for (int64_t n = 0; n < s.batch; ++n) total += partials(n).displacement[i];
      gdisplacement[i] = total;
    }
  }
  if (!gparameters) return;
  T* gw1 = gparameters;
  T* gb1 = gw1 + s.hidden * s.channels;
  T* gw2 = gb1 + s.hidden;
  T* gb2 = gw2 + s.hidden * s.channels;
  call.parallel_for(s.hidden, [&](int64_t m, int) {
    for (int64_t c = 0; c < s.channels; ++c) {
      const int64_t at = m * s.padded_channels() + c;
      T first{}, second{};
      for (int64_t n = 0; n < s.batch; ++n) {
        first += partials(n).w1[at];
        second += partials(n).w2[at];
      }
      gw1[m * s.channels + c] = first;
      gw2[c * s.hidden + m] = dt * second;
    }
  });
  for (int64_t m = 0; m < s.hidden; ++m) {
    gb1[m] = T{};
    for (int64_t n = 0; n < s.batch; ++n) gb1[m] += partials(n).b1[m];
  }
  for (int64_t c = 0; c < s.channels; ++c) {
    T total{};
    for (int64_t n = 0; n < s.batch; ++n) total += partials(n).b2[c];
    gb2[c] = dt * total;
  }
}

template <class T>
void adr_step_vjp(const AdrStep2dParams& p, const Kernel& call) {
  Step<T> step(p, call, 1);
  const AdrSizes& s = step.size;
  if (!step.prepare_factors(call))
    return call.fault(ErrorCode::OutOfMemory, "no memory for the factors of the diffusion");
  double* doubles = call.workspace<double>();
  T* a1 = reinterpret_cast<T*>(doubles + s.diffusivity_partials());
  T *a1_transposed = a1 + s.packed(), *a2_transposed = a1_transposed + s.packed();
  pack_weight(step.w1, s.hidden, s.channels, s.channels, 1, a1);
  pack_weight(step.w1, s.channels, s.hidden, 1, s.channels, a1_transposed);
  pack_weight(step.w2, s.hidden, s.channels, 1, s.hidden, a2_transposed);
  const Backward<T> backward{step,
                             call.in(0).as<T>(),
                             call.out(0).as<T>(),
                             call.out(1).as<T>(),
                             call.out(2).as<T>(),
                             call.out(3).as<T>(),
                             a1,
                             a1_transposed,
                             a2_transposed,
                             a2_transposed + s.packed(),
                             doubles};
  call.parallel_for(s.batch, [&](int64_t sample, int thread) {
    PixelTap<T>* taps = call.scratch<PixelTap<T>>(thread);
    Arena<T> arena{reinterpret_cast<T*>(call.scratch<char>(thread) + s.tap_bytes())};
    find_pixel_taps(step.displacement_of(sample), s.rows, s.columns,
                    static_cast<Padding>(p.advection_boundary), taps);
    T* field = arena.take(s.field());
    T* back = arena.take(s.field());
    T* work = arena.take(2 * s.group());
    const Partials<T> sum = backward.partials(sample);
    step.transport(sample, taps, work, field);
    backward.react(sample, field, back, sum, arena);
    backward.transport(sample, field, back, taps, work, sum);
  });
  backward.add_samples(call);
}

}  // namespace

void k_adr_step_2d(const AdrStep2dParams& p, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    if (call.out(0).size() > 0) adr_step<typename decltype(tag)::type>(p, call);
  });
}

void k_adr_step_2d_vjp(const AdrStep2dParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (call.in(0).size() > 0) return adr_step_vjp<T>(p, call);
    for (int i = 1; i < 4; ++i) {
      if (T* to = call.out(i).as<T>()) std::fill_n(to, call.out(i).size(), T(0));
    }
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif
