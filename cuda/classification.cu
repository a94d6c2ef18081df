// Cross entropy of logits z[N, C, S] with labels t[N, S], class weights w and label smoothing e, reduced over
// the positions in the same pass:
//
//   loss_i = (1 - e) w_t (lse - z_t) + e/C sum_c w_c (lse - z_c),   lse = log sum_c exp(z_c)
//   gz_c = g_i (softmax(z)_c ((1 - e) w_t + e/C sum w) - (1 - e) w_t [c = t] - e/C w_c)
//
// and the negative log likelihood -w_t z_t of log probabilities. The mean is over the weights w_t. Forward
// keeps the largest logit and the sum of exponentials of each position, so that backward is one pass.
//
// Decomposition: a position is a line of classes (device/line.cuh); a block leaves the sums of its losses and
// weights, which one block adds in order. Bytes of float32: 4 an element forward (lines beyond the registers
// twice with smoothing), 8 backward; of log probabilities 4 a position forward and 4 an element backward. A
// label outside of [0, C) gives NaN and a fault; nothing is read through it. (Szegedy et al., arXiv:1512.00567.)
#include "device/line_exp.cuh"
#include "lines.h"
#include "ops/classification.h"

namespace fluxion::cuda {
namespace {

enum class Label : int { valid, ignored, wrong };

template <class T>
struct Entropy {
  const T *z, *weight;  // weight: of classes, or null
  const int32_t* labels;
  const uint8_t* byte_labels;
  const double* all_weights;  // sum of the class weights; null: C
  int64_t ignored;
  double smoothing;
  FaultSite fault;

  __device__ int64_t label_at(int64_t line) const {
    return byte_labels != nullptr ? byte_labels[line] : labels[line];
  }
  __device__ Label kind_of(int64_t label, int64_t classes, bool records) const {
    if (label == ignored) return Label::ignored;
    if (label >= 0 && label < classes) return Label::valid;
    if (records) record_fault(fault, classes, label);
    return Label::wrong;
  }
  __device__ double weight_of(int64_t label) const {
    return weight != nullptr ? static_cast<double>(weight[label]) : 1.0;
  }
  __device__ double total_weight(int64_t classes) const {
    return all_weights != nullptr ? *all_weights : static_cast<double>(classes);
  }
};

// Of one position: a its loss, b its weight. `total`: sum of w (z - top), with smoothing only.
template <class T>
__device__ SumPair loss_of(const Entropy<T>& e, const LineSpace& s, const LineThread& t,
                           const ExpSum<T>& sum, double total) {
  const int64_t label = e.label_at(t.line);
  const Label kind = e.kind_of(label, s.n, true);
  if (kind == Label::ignored) return {0, 0};
  if (kind == Label::wrong) return {std::numeric_limits<double>::quiet_NaN(), 0};
  const double weight = e.weight_of(label);
  const double log_sum = static_cast<double>(std::log(static_cast<T>(sum.sum)));
  const T below = e.z[t.first + label * s.inner] - sum.top;
  double value = weight * (log_sum - static_cast<double>(below));
  if (e.smoothing != 0) {  // without it, infinite logits of other classes must not count
    value = (1 - e.smoothing) * value + e.smoothing / static_cast<double>(s.n) *
                                            (e.total_weight(s.n) * log_sum - total);
  }
  return {value, weight};
}

// Losses, statistics [top of each, sum of each] and the sums of the block; any of the three may be null.
template <class T>
struct EntropyResults {
  T *losses, *statistics;
  SumPair* partial;
};

template <class T>
__device__ __forceinline__ void put_position(const EntropyResults<T>& out, int64_t lines,
                                             int64_t line, const SumPair& own,
                                             const ExpSum<T>& sum) {
  if (out.losses != nullptr) out.losses[line] = static_cast<T>(own.a);
  if (out.statistics == nullptr) return;
  out.statistics[line] = sum.top;
  out.statistics[lines + line] = static_cast<T>(sum.sum);
}

template <class T>
__global__ void __launch_bounds__(kLineBlock)
    entropy_near(LineSpace s, Entropy<T> e, EntropyResults<T> out) {
  SharedMemory memory;
  const ExpSumMemory<T> shared{memory.take<T>(line_shared(s)), memory.take<double>(line_shared(s))};
  const auto pairs = memory.take<SumPair>(kWarp);
  const LineThread t = line_thread(s);
  T v[kLineElements], terms[kLineElements];
  load_line(e.z, s, t, -std::numeric_limits<T>::infinity(), v);
#pragma unroll
  for (int k = 0; k < kLineElements; ++k) terms[k] = v[k];
  const ExpSum<T> sum = near_exp_sum<false>(terms, s, shared);
  double total = 0;
  if (e.smoothing != 0) {
#pragma unroll
    for (int k = 0; k < kLineElements; ++k) {
      const int64_t c = line_index<T>(s, t.member, k);
      if (c < s.n) total += e.weight_of(c) * static_cast<double>(v[k] - sum.top);
    }
    total = line_reduce(total, s, Sum{}, shared.sums);
  }
  SumPair own{0, 0};
  if (t.active && t.member == 0) {
    own = loss_of(e, s, t, sum, total);
    put_position(out, s.lines, t.line, own, sum);
  }
  own = block_reduce(own, AddPairs{}, pairs);
  if (threadIdx.x == 0) out.partial[blockIdx.x] = own;
}

template <class T>
__global__ void __launch_bounds__(kLongLineThreads)
    entropy_far(LineSpace s, Entropy<T> e, EntropyResults<T> out) {
  SharedMemory memory;
  const auto shared = memory.take<ExpSum<T>>(line_shared(s));
  const auto totals = memory.take<double>(line_shared(s));
  const auto pairs = memory.take<SumPair>(kWarp);
  const LineThread t = line_thread(s);
  const ExpSum<T> sum = far_exp_sum<false>(e.z, s, t, shared);
  double total = 0;
  if (e.smoothing != 0) {
    for (int64_t c = t.member; t.active && c < s.n; c += s.team) {
      total += e.weight_of(c) * static_cast<double>(e.z[t.first + c * s.inner] - sum.top);
    }
    total = line_reduce(total, s, Sum{}, totals);
  }
  SumPair own{0, 0};
  if (t.active && t.member == 0) {
    own = loss_of(e, s, t, sum, total);
    put_position(out, s.lines, t.line, own, sum);
  }
  own = block_reduce(own, AddPairs{}, pairs);
  if (threadIdx.x == 0) out.partial[blockIdx.x] = own;
}

// Of log probabilities: a thread has a position.
template <class T>
__global__ void likelihood(LineSpace s, Entropy<T> e, EntropyResults<T> out) {
  SharedMemory memory;
  const auto pairs = memory.take<SumPair>(kWarp);
  const int64_t line = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  SumPair own{0, 0};
  if (line < s.lines) {
    const int64_t label = e.label_at(line), outer = line / s.inner;
    const Label kind = e.kind_of(label, s.n, true);
    if (kind == Label::wrong) own.a = std::numeric_limits<double>::quiet_NaN();
    if (kind == Label::valid) {
      own.b = e.weight_of(label);
      own.a = -own.b * static_cast<double>(
                           e.z[(outer * s.n + label) * s.inner + (line - outer * s.inner)]);
    }
    if (out.losses != nullptr) out.losses[line] = static_cast<T>(own.a);
  }
  own = block_reduce(own, AddPairs{}, pairs);
  if (threadIdx.x == 0) out.partial[blockIdx.x] = own;
}

// The sums of the blocks; one block. out: the reduced loss or null; weight: of all positions or null.
template <class T>
__global__ void finish_entropy(const SumPair* partial, int64_t count, bool mean, T* out,
                               T* weight) {
  SharedMemory memory;
  const auto pairs = memory.take<SumPair>(kWarp);
  SumPair own{0, 0};
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) own = AddPairs{}(own, partial[i]);
  own = block_reduce(own, AddPairs{}, pairs);
  if (threadIdx.x != 0) return;
  if (out != nullptr) *out = static_cast<T>(mean ? own.a / own.b : own.a);
  if (weight != nullptr) *weight = static_cast<T>(own.b);
}

template <class T>
__global__ void sum_weights(const T* weight, int64_t n, double* out) {
  SharedMemory memory;
  const auto sums = memory.take<double>(kWarp);
  double own = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) own += static_cast<double>(weight[i]);
  own = block_reduce(own, Sum{}, sums);
  if (threadIdx.x == 0) *out = own;
}

struct EntropyScale {
  bool plain;     // of log probabilities
  bool each;      // a cotangent for each position
  bool mean;      // divided by the weight of all positions
};

template <class T>
__global__ void __launch_bounds__(kLineBlock)
    entropy_gradient(LineSpace s, Entropy<T> e, EntropyScale how, const T* g,
                     const T* __restrict__ statistics, T* __restrict__ gz) {
  const LineThread t = line_thread(s);
  if (!t.active) return;
  const int64_t label = e.label_at(t.line);
  const Label kind = e.kind_of(label, s.n, t.member == 0);
  const double spread = e.smoothing / static_cast<double>(s.n);
  const double of_g = static_cast<double>(g[how.each ? t.line : 0]);
  const double weights = how.mean ? static_cast<double>(statistics[2 * s.lines]) : 1.0;
  const double factor = kind == Label::valid     ? of_g / weights
                        : kind == Label::ignored ? 0.0
                                                 : std::numeric_limits<double>::quiet_NaN();
  const double own = kind == Label::valid ? (1 - e.smoothing) * e.weight_of(label) : 0.0;
  const T at_label = static_cast<T>(factor * own);
  const T share = static_cast<T>(factor * spread);
  T top = T(0), scale = T(0);
  if (!how.plain) {
    const double sum = static_cast<double>(statistics[s.lines + t.line]);
    top = statistics[t.line];
    scale = static_cast<T>(factor * (own + spread * e.total_weight(s.n)) / sum);
  }
  // An ignored position has a zero gradient even where its logits are not finite.
  const bool reads = !how.plain && factor != 0;
#pragma unroll 4
  for (int64_t c = t.member; c < s.n; c += s.team) {
    const int64_t at = t.first + c * s.inner;
    T v = reads ? scale * std::exp(e.z[at] - top) : T(0);
    if (e.weight != nullptr) {
      if (e.smoothing != 0) v -= static_cast<T>(factor * spread * e.weight_of(c));
    } else if (reads) {
      v -= share;
    }
    if (kind == Label::valid && c == label) v -= at_label;
    gz[at] = v;
  }
}

// Inputs from `first` on: logits, target, weight.
template <class T>
Entropy<T> entropy_of(const CrossEntropyParams& p, const Kernel& call, int first,
                      int64_t classes) {
  const TensorView &target = call.in(first + 1), &weight = call.in(first + 2);
  Entropy<T> e{};
  e.z = call.in(first).as<const T>();
  e.weight = weight.present ? weight.as<const T>() : nullptr;
  e.labels = target.dtype == DType::i32 ? target.as<const int32_t>() : nullptr;
  e.byte_labels = target.dtype == DType::u8 ? target.as<const uint8_t>() : nullptr;
  e.ignored = p.ignoreIndex;
  e.smoothing = p.labelSmoothing;
  e.fault =
      call.fault_site(ErrorCode::InvalidArgument, "target must be in [0, %lld), got %lld");
  if (e.weight && p.labelSmoothing != 0) {
    double* const sum = call.scratch<double>(1);
    call.launch(sum_weights<T>, {1, kFoldThreads, shared_bytes<double>(kWarp)}, e.weight, classes,
                sum);
    e.all_weights = sum;
  }
  return e;
}

template <class T>
void cross_entropy(const CrossEntropyParams& p, const Kernel& call) {
  const LineShape shape(call.in(0).shape, 1);
  const Entropy<T> e = entropy_of<T>(p, call, 0, shape.n);
  const LinePlan plan(shape.outer, shape.n, shape.inner, kLinePack<T>, aligned_packs(e.z));
  const bool reduced = p.reduction != LossReduction::none;
  T* const out = call.out(0).as<T>();
  T* const statistics = call.out(1).as<T>();
  if (shape.n == 0 && plan.space.lines > 0) {  // without classes no label is valid
    constexpr int kNaN = 0xFF;
    if (statistics) call.fill(statistics + 2 * plan.space.lines, 0, sizeof(T));
    if (out) call.fill(out, kNaN, static_cast<size_t>(call.out(0).size()) * sizeof(T));
    return;
  }
  Grid grid = p.logProbabilities ? Grid{blocks_of(plan.space.lines, kFoldThreads), kFoldThreads}
              : plan.near        ? plan.with_shared<T, double>()
                                 : plan.with_shared<ExpSum<T>, double>();
  grid.shared += shared_bytes<SumPair>(kWarp);
  SumPair* const partial = call.scratch<SumPair>(grid.blocks + 1);
  if (!partial) return;
  const EntropyResults<T> results{reduced ? nullptr : out, statistics, partial};
  call.launch(p.logProbabilities ? likelihood<T> : plan.near ? entropy_near<T> : entropy_far<T>,
              grid, plan.space, e, results);
  call.launch(finish_entropy<T>, {1, kFoldThreads, shared_bytes<SumPair>(kWarp)}, partial,
              grid.blocks, p.reduction == LossReduction::mean, reduced ? out : nullptr,
              statistics ? statistics + 2 * plan.space.lines : nullptr);
}

template <class T>
void cross_entropy_vjp(const CrossEntropyParams& p, const Kernel& call) {
  if (call.out(0).size() == 0) return;
  const LineShape shape(call.in(1).shape, 1);
  const Entropy<T> e = entropy_of<T>(p, call, 1, shape.n);
  const LinePlan plan(shape.outer, shape.n, shape.inner, kLinePack<T>, false);
  const EntropyScale how{p.logProbabilities, p.reduction == LossReduction::none,
                         p.reduction == LossReduction::mean};
  call.launch(entropy_gradient<T>, plan.grid, plan.space, e, how, call.in(0).as<const T>(),
              call.in(4).as<const T>(), call.out(0).as<T>());
}

}  // namespace

void k_cross_entropy(const CrossEntropyParams& p, const Kernel& call) {
  dispatch_floating(call.in(0).dtype,
                    [&](auto tag) { cross_entropy<typename decltype(tag)::type>(p, call); });
}
void k_cross_entropy_vjp(const CrossEntropyParams& p, const Kernel& call) {
  dispatch_floating(call.in(1).dtype,
                    [&](auto tag) { cross_entropy_vjp<typename decltype(tag)::type>(p, call); });
}

// Ops of their own, so that errors name them.
void k_nll_loss(const CrossEntropyParams& p, const Kernel& call) { k_cross_entropy(p, call); }
void k_nll_loss_vjp(const CrossEntropyParams& p, const Kernel& call) {
  k_cross_entropy_vjp(p, call);
}

}  // namespace fluxion::cuda
