// What the Fourier ops accept and return. Real input and output are float32 or float64, spectra complex.
//   fft(z)  -> z',    z and z' complex
//   rfft(x) -> z      x real, the last of dims becomes a half spectrum
//   irfft(z) -> x     the inverse; the last of dims is transformed last
//   trigonometric(x) -> y  cosine and sine transforms, real
// The public functions (fft2, irfftn, dct, ...) check options under their own names.
#include "ops/fourier.h"

#include <algorithm>

namespace fluxion {
namespace {

// A block and the buffers between its stages, together within the L2 cache.
constexpr int64_t kBlockBytes = 512 << 10;
// Beyond this a vector of lines leaves the L2 cache.
constexpr int64_t kLongestLaneBytes = 256 << 10;
// From this length on a line is faster in all lanes than in one: if it is contiguous, or if there are few.
constexpr int64_t kShortestSingle = 512;
constexpr int64_t kLongestSerial = 65536;

bool goes_single(const FourierStage& s, size_t element) {
  const int64_t lanes = 64 / static_cast<int64_t>(element);
  if (s.n * 128 > kLongestLaneBytes) return true;
  return s.n >= kShortestSingle && (s.inner == 1 || s.outer * s.inner <= lanes / 4);
}

void check_fourier(const FourierParams& p, const Infer& infer) {
  const int count = p.dims.ndim;
  infer.require_argument(count >= 1 && count == p.lengths.ndim && count == p.sizes.ndim,
                         "dims, lengths and sizes must have the same number of elements");
  uint32_t seen = 0;
  for (int i = 0; i < count; ++i) {
    const int64_t d = p.dims[i];
    infer.require_argument(d >= 0 && d < infer.shape(0).ndim && !(seen >> d & 1u),
                           "dims must be different dimensions of the input");
    seen |= 1u << d;
    infer.require_argument(
        p.lengths[i] >= 1 && p.sizes[i] >= 0,
        format("n must be >= 1, got %lld", static_cast<long long>(p.lengths[i])));
  }
  infer.require_finite("scale", p.scale);
}

// Bytes of the three arrays of a single line.
size_t single_bytes(int64_t points, size_t element) {
  return 3 * 2 * static_cast<size_t>(points) * element;
}

void infer_fourier(const FourierParams& p, FourierKind kind, DType to, Infer& infer) {
  const size_t element = size_of(real_of(to));
  const FourierSchedule s = fourier_schedule(p, kind, infer.shape(0), element);
  infer.need_contiguous(0);
  infer.output(to, s.result);
  const size_t buffers = s.stages > 2 ? 2 : s.stages - 1;
  const size_t between = (static_cast<size_t>(s.buffer) * element + 63) / 64 * 64 * buffers;
  infer.scratch = s.lanes + (s.blocks ? between : 0) + single_bytes(s.serial_points, element);
  infer.workspace = (s.blocks ? 0 : between) + single_bytes(s.shared_points, element);
  for (int i = 0; i < s.stages; ++i) {
    const FourierStage& stage = s.stage[i];
    infer.work += 16 * stage.outer * std::max(stage.from, stage.to) * stage.inner;
  }
}

}  // namespace

int64_t fft_split(int64_t n) {
  int64_t best = 1;
  for (int64_t d = 1; d * d <= n; ++d) {
    if (n % d == 0) best = d;
  }
  return best;
}

int64_t fft_single_length(const FourierStage& stage) {
  const bool real = stage.kind == FourierKind::to_half || stage.kind == FourierKind::from_half;
  return real ? real_fft_points(stage.n) : stage.n;
}

FourierSchedule fourier_schedule(const FourierParams& p, FourierKind kind, const Shape& input,
                                 size_t element) {
  FourierSchedule s;
  Shape shape = input;
  const int count = p.dims.ndim;
  const bool half = kind == FourierKind::to_half || kind == FourierKind::from_half;
  int first = input.ndim;
  bool any_single = false;
  // The half spectrum is the first stage of rfft and the last of irfft; others go from the last dim on.
  const int special = count - 1;
  for (int i = 0; i < count; ++i) {
    int at = special - i;
    if (kind == FourierKind::from_half) at = i == count - 1 ? special : special - 1 - i;
    const int axis = static_cast<int>(p.dims[at]);
    FourierStage& stage = s.stage[s.stages++];
    stage.kind = half && at == special ? kind
                 : kind == FourierKind::inverse || kind == FourierKind::from_half
                     ? FourierKind::inverse
                     : FourierKind::forward;
    stage.n = p.lengths[at];
    stage.from = shape[axis];
    stage.to = p.sizes[at];
    stage.outer = stage.inner = 1;
    for (int d = 0; d < axis; ++d) stage.outer *= shape[d];
    for (int d = axis + 1; d < shape.ndim; ++d) stage.inner *= shape[d];
    stage.single = goes_single(stage, element);
    any_single = any_single || stage.single;
    shape[axis] = stage.to;
    first = std::min(first, axis);
    if (i + 1 < count) s.buffer = std::max(s.buffer, 2 * shape.size());
    if (stage.single) {
      const int64_t points = fft_single_points(fft_single_length(stage));
      stage.serial = stage.outer * stage.inner > 2 && points <= kLongestSerial;
      // Room for an odd real line, too; rounded to vectors.
      int64_t& room = stage.serial ? s.serial_points : s.shared_points;
      room = std::max(room, (points + 31) / 16 * 16);
      const int64_t longest = points / fft_split(points);
      s.lanes = std::max(s.lanes, 2 * fft_scratch_bytes(longest));
    } else {
      // A vector of lines, and the transform's scratch.
      const bool real = stage.kind == FourierKind::to_half || stage.kind == FourierKind::from_half;
      const int64_t room = real ? real_fft_room(stage.n) : stage.n;
      const int64_t points = real ? real_fft_points(stage.n) : stage.n;
      s.lanes = std::max(s.lanes, 128 * static_cast<size_t>(room) + fft_scratch_bytes(points));
    }
  }
  s.result = shape;
  int64_t blocks = 1;
  for (int d = 0; d < first; ++d) blocks *= input[d];
  if (count > 1 && !any_single && blocks > 0 &&
      s.buffer / blocks * static_cast<int64_t>(element) <= kBlockBytes) {
    s.blocks = blocks;
    s.buffer /= blocks;
    for (int i = 0; i < s.stages; ++i) s.stage[i].outer /= blocks;
  }
  return s;
}

void infer_fft(const FourierParams& p, Infer& infer) {
  infer.allow_complex();
  infer.require(is_complex(infer.dtype(0)), ErrorCode::DTypeMismatch,
                format("input must be complex, got %s", name_of(infer.dtype(0))));
  check_fourier(p, infer);
  infer_fourier(p, p.inverse ? FourierKind::inverse : FourierKind::forward, infer.dtype(0), infer);
}

void infer_rfft(const FourierParams& p, Infer& infer) {
  infer.allow_complex();
  infer.require_floating(0, "input");
  check_fourier(p, infer);
  infer_fourier(p, FourierKind::to_half, complex_of(infer.dtype(0)), infer);
}

void infer_irfft(const FourierParams& p, Infer& infer) {
  infer.allow_complex();
  infer.require(is_complex(infer.dtype(0)), ErrorCode::DTypeMismatch,
                format("input must be complex, got %s", name_of(infer.dtype(0))));
  check_fourier(p, infer);
  infer_fourier(p, FourierKind::from_half, real_of(infer.dtype(0)), infer);
}

int64_t trigonometric_period(TrigonometricKind kind, int64_t n) {
  if (kind == TrigonometricKind::cos1) return 2 * (n - 1);
  return kind == TrigonometricKind::sin1 ? 2 * (n + 1) : n;
}

void infer_trigonometric(const TrigonometricParams& p, Infer& infer) {
  infer.require_floating(0, "input");
  const Shape& shape = infer.shape(0);
  infer.require_argument(p.dim >= 0 && p.dim < shape.ndim, "dim must be a dimension of the input");
  infer.require_argument(p.length >= 1,
                         format("n must be >= 1, got %lld", static_cast<long long>(p.length)));
  infer.require_argument(p.length >= 2 || p.kind != TrigonometricKind::cos1,
                         "n must be >= 2 for type 1, got 1");
  infer.need_contiguous(0);
  Shape result = shape;
  result[static_cast<int>(p.dim)] = p.size;
  infer.output(infer.dtype(0), result);
  infer.work = 16 * std::max(shape.size(), result.size());
  // A vector of lines, one of the transform, and its scratch.
  const int64_t period = trigonometric_period(p.kind, p.length);
  infer.scratch = 64 * static_cast<size_t>(p.length) +
                  128 * static_cast<size_t>(real_fft_room(period)) +
                  fft_scratch_bytes(real_fft_points(period));
}

}  // namespace fluxion
