// Discrete Fourier transforms of tensors, complex and real (half spectra), along one or several dimensions:
//     Z_k = scale sum_j z_j e^(-+ 2 pi i j k / n)
//
// A stage per dimension; a block is a vector of lines (fft_lanes.h, fft_real.h), or one long line
// (fft_single.h). Stages over trailing dimensions run one after another on blocks that
// stay in the cache, so that memory is read once and written once; where a block is too large, each stage
// runs over the whole array. Source: docs/numerics/fourier.md.
#include <utility>

#include "cpu/kernel.h"
#include "ops/fourier.h"

#define FLUXION_KERNELS "cpu/fourier.cpp"
#include "cpu/targets.h"

#ifdef FLUXION_TARGET
#include "cpu/simd.h"
#include "cpu/transpose.h"
#include "cpu/fft.h"
#include "cpu/fft_lanes.h"
#include "cpu/fft_real.h"
#include "cpu/fft_rows.h"
#include "cpu/fft_single.h"

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

template <class T>
struct Stage {
  FourierStage s;
  T scale, mirrored;
  FftPlan<T> plan;
  RealPlan<T> real;
  const T* row_factors = nullptr;  // of the lines of fft_rows.h
  SinglePlan<T> single;

  bool real_input() const { return s.kind == FourierKind::to_half; }
  bool real_output() const { return s.kind == FourierKind::from_half; }
  bool inverse() const { return s.kind == FourierKind::inverse || real_output(); }
  LaneGroups groups() const { return {s.outer, s.inner, row_factors ? kRowsInGroup : kLanes<T>}; }
  int64_t from_size() const { return s.outer * s.from * s.inner * (real_input() ? 1 : 2); }
  int64_t to_size() const { return s.outer * s.to * s.inner * (real_output() ? 1 : 2); }
};

// The points whose mirror images are left out, times a factor.
template <class T>
void scale_interior(T* lines, int64_t n, T factor) {
  if (factor == T(1)) return;
  for (int64_t k = 1; 2 * k < n; ++k) {
    const FftVec<T> z = fft_get(lines, k);
    fft_set(lines, k, FftVec<T>{z.re * factor, z.im * factor});
  }
}

template <class T>
void run_group(const Stage<T>& stage, const T* from, T* to, int64_t group, T* lines) {
  constexpr int w = kLanes<T>;
  const FourierStage& s = stage.s;
  const LaneGroups groups = stage.groups();
  const LineGroup<const T> in{from,
                              groups.order(),
                              s.from,
                              groups.inner,
                              groups.first_line(group),
                              static_cast<int>(groups.lines(group)),
                              stage.real_input() ? 1 : 2};
  const LineGroup<T> out{
      to, in.order, s.to, in.inner, in.first, in.count, stage.real_output() ? 1 : 2};
  const int64_t half = s.n / 2 + 1;
  if (stage.real_input()) {
    load_real_lines(in, s.n, lines, w);
    real_forward(stage.real, lines, lines + 2 * w * real_fft_room(s.n));
    scale_interior(lines, s.n, stage.mirrored);
    store_complex_lines(lines, half, stage.scale, out);
  } else if (stage.real_output()) {
    load_complex_lines(in, half, lines);
    scale_interior(lines, s.n, stage.mirrored * T(0.5));
    real_inverse(stage.real, lines, lines + 2 * w * real_fft_room(s.n));
    store_real_lines(lines, w, s.n, stage.scale, out);
  } else if (stage.row_factors) {
    transform_rows<T>(stage.row_factors, stage.inverse(), stage.scale, in.begin(in.first),
                      out.begin(in.first), in.count);
  } else {
    load_complex_lines(in, s.n, lines);
    const FftLines<T> here{lines, lines + w, 2 * w};
    fft_lines<T>(stage.plan, here, here, stage.inverse(), lines + 2 * w * s.n);
    store_complex_lines(lines, s.n, stage.scale, out);
  }
}

// Brings a line into array 0 of the run in the form that is transformed; may return the line itself.
template <class T>
const T* collect_line(const Stage<T>& stage, const SingleRun<T>& run, const T* from) {
  const FourierStage& s = stage.s;
  const bool pairs = stage.single.n != s.n;  // a real line of even length
  const int parts = stage.real_input() ? 1 : 2;
  const int64_t step = s.inner * parts, points = stage.real_input() ? s.n : stage.single.n;
  if (s.inner == 1 && s.from == s.n && !stage.real_output() && (pairs || !stage.real_input())) {
    return from;
  }
  T* to = run.array[0];
  run.each(blocks_of(points, kSingleBlock), [&](int64_t block, int) {
    const int64_t begin = block * kSingleBlock, end = std::min(points, begin + kSingleBlock);
    if (stage.real_input() && !pairs) {
      widen_line<T>(from, step, s.from, to, begin, end);
    } else if (!stage.real_output()) {
      gather_line<T>(from, step, s.from, parts, to, begin, end);
    } else if (pairs) {
      fold_pairs<T>(from, step, s.from, points, stage.single.halves, stage.mirrored, to, begin,
                    end);
    } else {
      extend_line<T>(from, step, s.from, points, stage.mirrored, to, begin, end);
    }
  });
  return to;
}

// Brings the transform z of a line where it belongs.
template <class T>
void deliver_line(const Stage<T>& stage, const SingleRun<T>& run, const T* z, T* to) {
  const FourierStage& s = stage.s;
  const bool pairs = stage.single.n != s.n;
  const int parts = stage.real_output() ? 1 : 2;
  const int64_t step = s.inner * parts;
  const int64_t known = stage.real_input() ? s.n / 2 + 1 : s.n;
  run.each(blocks_of(s.to, kSingleBlock), [&](int64_t block, int) {
    const int64_t begin = block * kSingleBlock, end = std::min(s.to, begin + kSingleBlock);
    const int64_t full = std::max(begin, std::min(end, known));
    if (stage.real_input() && pairs) {
      unfold_pairs<T>(z, stage.single.n, stage.single.halves, stage.scale, stage.mirrored, to, step,
                      begin, full);
      scatter_line<T>(z, 0, 2, to, step, full, end);
    } else if (stage.real_output() && !pairs) {
      for (int64_t j = begin; j < end; ++j) to[j * step] = j < s.n ? z[2 * j] : T(0);
    } else {
      scatter_line<T>(z, known, parts, to, step, begin, end);
    }
    if (stage.real_input() && !pairs) {
      for (int64_t j = std::max<int64_t>(begin, 1); j < full; ++j) {
        to[j * step] *= stage.mirrored;
        to[j * step + 1] *= stage.mirrored;
      }
    }
  });
}

template <class T>
void run_line(const Stage<T>& stage, const SingleRun<T>& run, const T* from, T* to) {
  const FourierStage& s = stage.s;
  const bool pairs = stage.single.n != s.n;
  const bool unfolds = stage.real_input() && pairs;
  const T* in = collect_line(stage, run, from);
  const bool direct =
      s.inner == 1 && s.to == s.n && !stage.real_input() && (pairs || !stage.real_output());
  T* out = direct ? to : run.array[1];
  single_transform<T>(run, stage.single, in, out, stage.inverse(), unfolds ? T(1) : stage.scale);
  if (!direct) deliver_line(stage, run, out, to);
}

template <class T>
void run_single(const Kernel& call, const Stage<T>& stage, const FourierSchedule& schedule,
                T* shared, const T* from, T* to) {
  const FourierStage& s = stage.s;
  const int64_t from_parts = stage.real_input() ? 1 : 2, to_parts = stage.real_output() ? 1 : 2;
  const auto line = [&](int64_t l, T* arrays, int64_t points, size_t lanes, int thread) {
    const SingleRun<T> run{
        &call, lanes, {arrays, arrays + 2 * points, arrays + 4 * points}, thread};
    const int64_t outer = l / s.inner, inner = l % s.inner;
    run_line(stage, run, from + (outer * s.from * s.inner + inner) * from_parts,
             to + (outer * s.to * s.inner + inner) * to_parts);
  };
  const int64_t lines = s.outer * s.inner;
  if (stage.s.serial) {
    const size_t arrays = 6 * static_cast<size_t>(schedule.serial_points) * sizeof(T);
    call.parallel_for(lines, [&](int64_t l, int thread) {
      line(l, call.scratch<T>(thread), schedule.serial_points, arrays, thread);
    });
    return;
  }
  for (int64_t l = 0; l < lines; ++l) line(l, shared, schedule.shared_points, 0, -1);
}

// The stages of a block one after another, between two buffers.
template <class T>
void run_block(const Stage<T>* stages, int count, const T* from, T* to, T* buffers, int64_t buffer,
               T* lines) {
  const T* in = from;
  for (int i = 0; i < count; ++i) {
    T* out = i + 1 == count ? to : buffers + i % 2 * buffer;
    const int64_t groups = stages[i].groups().count();
    for (int64_t g = 0; g < groups; ++g) run_group(stages[i], in, out, g, lines);
    in = out;
  }
}

template <class T>
bool make_plan(const Kernel& call, Stage<T>& stage) {
  if (stage.s.single) return single_plan<T>(call, stage.s, stage.single);
  if (stage.real_input() || stage.real_output()) return real_plan<T>(call, stage.s.n, stage.real);
  const FourierStage& s = stage.s;
  if (kLanes<T> == 16 && s.n == kRowPoints && s.from == s.n && s.to == s.n && s.inner == 1) {
    stage.row_factors = row_factors<T>(call);
    return stage.row_factors != nullptr;
  }
  stage.plan = fft_plan<T>(call, s.n);
  return stage.plan.table != nullptr;
}

template <class T>
bool prepare(const Kernel& call, const FourierParams& p, const FourierSchedule& schedule,
             Stage<T>* stages) {
  for (int i = 0; i < schedule.stages; ++i) {
    const bool last = i + 1 == schedule.stages;
    stages[i].s = schedule.stage[i];
    stages[i].scale = last ? static_cast<T>(p.scale) : T(1);
    stages[i].mirrored = static_cast<T>(p.mirrored);
    if (make_plan(call, stages[i])) continue;
    call.fault(ErrorCode::OutOfMemory, "no memory for the tables of a transform of %lld points",
               static_cast<long long>(stages[i].s.n));
    return false;
  }
  return true;
}

template <class T>
void transform(const FourierParams& p, FourierKind kind, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  const FourierSchedule schedule = fourier_schedule(p, kind, call.in(0).shape, sizeof(T));
  Stage<T> stages[kMaxDims];
  if (!prepare<T>(call, p, schedule, stages)) return;
  const int count = schedule.stages;
  const T* from = call.in(0).as<T>();
  T* to = call.out(0).as<T>();
  const int64_t buffer = (schedule.buffer + 64 / static_cast<int64_t>(sizeof(T)) - 1) * sizeof(T) /
                         64 * 64 / sizeof(T);
  if (schedule.blocks) {
    call.parallel_for(schedule.blocks, [&](int64_t block, int thread) {
      T* scratch = call.scratch<T>(thread);
      run_block(stages, count, from + block * stages[0].from_size(),
                to + block * stages[count - 1].to_size(), scratch, buffer,
                scratch + (count > 2 ? 2 : 1) * buffer);
    });
    return;
  }
  T* shared = call.workspace<T>();
  T* buffers = shared + 6 * schedule.shared_points;
  for (int i = 0; i < count; ++i) {
    T* out = i + 1 == count ? to : buffers + i % 2 * buffer;
    if (stages[i].s.single) {
      run_single(call, stages[i], schedule, shared, from, out);
    } else {
      call.parallel_for_turning(stages[i].groups().count(), [&](int64_t group, int thread) {
        run_group(stages[i], from, out, group, call.scratch<T>(thread));
      });
    }
    from = out;
  }
}

}  // namespace

void k_fft(const FourierParams& p, const Kernel& call) {
  dispatch_floating(real_of(call.out(0).dtype), [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(p, p.inverse ? FourierKind::inverse : FourierKind::forward, call);
  });
}

void k_rfft(const FourierParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(p, FourierKind::to_half, call);
  });
}

void k_irfft(const FourierParams& p, const Kernel& call) {
  dispatch_floating(call.out(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    transform<T>(p, FourierKind::from_half, call);
  });
}

}  // namespace fluxion::cpu::FLUXION_TARGET
#endif  // FLUXION_TARGET
