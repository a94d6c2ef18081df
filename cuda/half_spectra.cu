// Half spectra of real planes, in one kernel for planes that shared memory holds (8 bytes a cell in float32) or in
// a pass for rows and one for columns (16).
#include "half_spectra.h"

#include <algorithm>

#include "device/half_spectrum.cuh"
#include "tuning.h"

namespace fluxion::cuda {
namespace {

constexpr size_t kRoom = 4096;  // of shared memory, for what a kernel keeps beside its planes

template <class T>
__global__ void __launch_bounds__(kFftThreads)
    planes_to_spectra(const __grid_constant__ SpectralBox<T> s, const T* in, Point<T>* spectra) {
  SharedMemory memory;
  const auto box = memory.take<T>(s.rows * s.pitch);
  const auto staging = memory.take<Point<T>>(s.staging);
  const BoxPlace at = box_place(s);
  load_box(s, at, in, box);
  copy_async_wait<0>();
  __syncthreads();
  analyse_axis(s, at, 0, false, box, staging);
  __syncthreads();
  const int n = s.rows, step = s.basis[1].fft.group;
  Point<T>* to = spectra + static_cast<int64_t>(blockIdx.x) * (s.width / 2 + 1) * n;
  for_columns(s, box, staging, [&](const FftLine<T>& line, const LinePair<T>& pair, int k) {
    fft_line(s.basis[1].fft, line, [&](int y) { return pair.get(y); });
    if (!line.active) return;
    for (int ky = line.lane; ky < n; ky += step) {
      if (k > 0) {
        to[int64_t{k} * n + ky] = T(0.5) * line(ky);
        continue;
      }
      const SplitPair<T> z = split_pair(line(ky), line(ky == 0 ? 0 : n - ky));
      to[ky] = z.a;
      if (pair.has_b) to[int64_t{s.width / 2} * n + ky] = z.b;
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kFftThreads)
    spectra_to_planes(const __grid_constant__ SpectralBox<T> s, const Point<T>* spectra, T* out) {
  SharedMemory memory;
  const auto box = memory.take<T>(s.rows * s.pitch);
  const auto staging = memory.take<Point<T>>(s.staging);
  const BoxPlace at = box_place(s);
  const int n = s.rows, step = s.basis[1].fft.group;
  const Point<T>* from = spectra + static_cast<int64_t>(blockIdx.x) * (s.width / 2 + 1) * n;
  for_columns(s, box, staging, [&](const FftLine<T>& line, const LinePair<T>& pair, int k) {
    fft_line(s.basis[1].fft, line, [&](int ky) {
      Point<T> z = from[int64_t{k} * n + ky];
      if (k == 0 && pair.has_b) z = z - turned(from[int64_t{s.width / 2} * n + ky]);
      return exchanged(z);
    });
    for (int y = line.lane; line.active && y < n; y += step) pair.put(y, exchanged(line(y)));
  });
  __syncthreads();
  for_pairs(s, at, 0, box, staging, [&](const FftLine<T>& line, const LinePair<T>& pair, int, int) {
    synthesise_lines(s.basis[0], line, pair);
  });
  __syncthreads();
  store_box(s, at, box, out);
}

// Rows to and from [kx][ky].
LineSpace row_space(int64_t fields, int64_t height, int64_t width) {
  return {fields, height, height * width, width, 1, 2 * half_bins(height, width), 2, 2 * height};
}
LineSpace turned_round(const LineSpace& s) {
  return {s.outer,    s.inner,    s.out_outer, s.out_inner,
          s.out_step, s.in_outer, s.in_inner,  s.in_step};
}

template <class T>
void transform_columns(const Kernel& call, int64_t fields, int64_t height, int64_t width,
                       bool inverse, Point<T>* spectra) {
  T* numbers = reinterpret_cast<T*>(spectra);
  transform_lines<T>(
      call, line_map<T>(call, LineKind::complex_line, inverse, height, height, height),
      line_space(fields * (width / 2 + 1), 1, height, height, 2, 2), numbers, numbers);
}

}  // namespace

template <class T>
PlaneBox<T>::PlaneBox(const Kernel& call, int64_t planes, int64_t height, int64_t width, int boxes,
                      std::initializer_list<const void*> arrays)
    : planes_(planes) {
  constexpr int kBanks = 128 / static_cast<int>(sizeof(T)),
                kWide = 16 / static_cast<int>(sizeof(T));
  const size_t least = static_cast<size_t>(boxes) * static_cast<size_t>(height * width) * sizeof(T);
  if (least > call.shared_limit() || !fft_fits_block(call, height, sizeof(T)) ||
      !fft_fits_block(call, width, sizeof(T))) {
    return;
  }
  box_.basis[0] = {fft_plan<T>(call, width), LineEnds::periodic, static_cast<int>(width), nullptr};
  box_.basis[1] = {fft_plan<T>(call, height), LineEnds::periodic, static_cast<int>(height),
                   nullptr};
  box_.rows = box_.height = static_cast<int>(height);
  box_.width = static_cast<int>(width);
  box_.depth = 1;
  box_.array_rows = planes * height;
  const int group = box_.basis[1].fft.group;
  int64_t pitch = width % kWide == 0 ? width : width | 1;
  while (group >= 4 && pitch % kBanks != std::max(kWide, kBanks / group)) ++pitch;
  box_.pitch = static_cast<int>(pitch);
  box_.wide = width % kWide == 0;
  for (const void* array : arrays) {
    box_.wide = box_.wide && reinterpret_cast<uintptr_t>(array) % 16 == 0;
  }
  const int64_t lines[2] = {(height + 1) / 2, column_lines(box_.width)};
  for (int i = 0; i < 2; ++i) {
    const int own = box_.basis[i].fft.group;
    while (threads_ < own) threads_ *= 2;
    while (threads_ < kFftBlock && threads_ < lines[i] * own) threads_ *= 2;
  }
  for (int i = 0; i < 2; ++i) {
    const FftPlan<T>& plan = box_.basis[i].fft;
    box_.staging = std::max(box_.staging, threads_ / plan.group * plan.pitch);
  }
  shared_ = static_cast<size_t>(boxes) * shared_bytes<T>(height * pitch) +
            shared_bytes<Point<T>>(box_.staging);
  fits_ = shared_ + kRoom <= call.shared_limit();
}

template <class T>
void to_half_spectra(const Kernel& call, int64_t fields, int64_t height, int64_t width, const T* in,
                     Point<T>* spectra) {
  if (fields == 0) return;
  const PlaneBox<T> plane(call, fields, height, width, 1, {in});
  if (height > 1 && plane.fits()) {
    call.launch(planes_to_spectra<T>, plane.grid(0), plane.box(), in, spectra);
    return;
  }
  const LineMap<T> map = line_map<T>(call, LineKind::to_half, false, width, width, width / 2 + 1);
  transform_lines<T>(call, map, row_space(fields, height, width), in,
                     reinterpret_cast<T*>(spectra));
  if (height > 1) transform_columns<T>(call, fields, height, width, false, spectra);
}

template <class T>
void from_half_spectra(const Kernel& call, int64_t fields, int64_t height, int64_t width,
                       Point<T>* spectra, T* out) {
  if (fields == 0) return;
  const PlaneBox<T> plane(call, fields, height, width, 1, {out});
  if (height > 1 && plane.fits()) {
    call.launch(spectra_to_planes<T>, plane.grid(0), plane.box(), spectra, out);
    return;
  }
  if (height > 1) transform_columns<T>(call, fields, height, width, true, spectra);
  LineMap<T> map = line_map<T>(call, LineKind::from_half, false, width, width / 2 + 1, width);
  map.mirrored = T(2);
  transform_lines<T>(call, map, turned_round(row_space(fields, height, width)),
                     reinterpret_cast<const T*>(spectra), out);
}

#define FLUXION_HALF_SPECTRA(T)                                                                    \
  template class PlaneBox<T>;                                                                      \
  template void to_half_spectra<T>(const Kernel&, int64_t, int64_t, int64_t, const T*, Point<T>*); \
  template void from_half_spectra<T>(const Kernel&, int64_t, int64_t, int64_t, Point<T>*, T*);
FLUXION_HALF_SPECTRA(float)
FLUXION_HALF_SPECTRA(double)
#undef FLUXION_HALF_SPECTRA

}  // namespace fluxion::cuda
