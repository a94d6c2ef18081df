// out[i] = f(a[i], b[i], ...) over a whole output. Read once per instruction set, after simd.h and strided.h.
//
// Layout: the output is contiguous; an input is any strided view, read through an Operand (strided.h) as
// contiguous pieces of a chunk, so that each op is one loop over arrays.
// Parallel: blocks of kElementsPerBlock output elements. Outputs larger than kStreamBytes are written
// around the caches, which saves reading them first: an addition then moves 3 arrays, not 4.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

constexpr int64_t kChunk = 1024;  // elements of up to 8 bytes: float32 buffers take 12 KiB of an L1
constexpr int kMaxOperands = 3;
constexpr int64_t kStreamBytes = 4 << 20;

// out[0..n) = op(in[0][0..n), in[1][0..n), ...) on contiguous arrays.
using ChunkFn = void (*)(const void* op, void* out, const void* const* in, int64_t n);

void stream_out(char* to, const char* from, int64_t bytes) {
  int64_t i = 0;
  for (; i + FLUXION_VECTOR_BYTES <= bytes; i += FLUXION_VECTOR_BYTES)
    stream(reinterpret_cast<float*>(to + i), load(reinterpret_cast<const float*>(from + i)));
  std::memcpy(to + i, from + i, static_cast<size_t>(bytes - i));
}

struct ChunkLoop {
  Operand operands[kMaxOperands];
  int count;
  const void* op;
  ChunkFn fn;
  char* out;
  int64_t element;
  int64_t chunk;
  bool streams;

  void run(int64_t begin, int64_t end) const {
    alignas(64) char buffers[kMaxOperands][kChunk * sizeof(double)];
    alignas(64) char result[kChunk * sizeof(double)];
    const void* in[kMaxOperands];
    for (int i = 0; i < count; ++i) {  // a repeated scalar is laid out once for the block
      if (operands[i].constant())
        in[i] = operands[i].read(0, std::min(chunk, end - begin), buffers[i]);
    }
    for (int64_t at = begin; at < end; at += chunk) {
      const int64_t n = std::min(chunk, end - at);
      for (int i = 0; i < count; ++i)
        if (!operands[i].constant()) in[i] = operands[i].read(at, n, buffers[i]);
      char* to = out + at * element;
      fn(op, streams ? result : to, in, n);
      if (streams) stream_out(to, result, n * element);
    }
    if (streams) stream_fence();
  }
};

// Runs fn over the whole output; the inputs [first, first + count) are its operands.
void for_chunks(const Kernel& k, int first, int count, const void* op, ChunkFn fn) {
  const TensorView& out = k.out(0);
  const int64_t n = out.size();
  if (n == 0) return;
  ChunkLoop loop;
  for (int i = 0; i < count; ++i) loop.operands[i] = Operand(k.in(first + i), out.shape);
  loop.count = count;
  loop.op = op;
  loop.fn = fn;
  loop.out = out.as<char>();
  loop.element = static_cast<int64_t>(size_of(out.dtype));
  // Elements of 16 bytes take two places of a buffer; abs() of complex128 has them in the input only.
  const bool wide = loop.element > 8 || k.in(first).dtype == DType::c128;
  loop.chunk = wide ? kChunk / 2 : kChunk;
  loop.streams =
      n * loop.element >= kStreamBytes && reinterpret_cast<uintptr_t>(loop.out) % 64 == 0;
  k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
    const int64_t begin = block * kElementsPerBlock;
    loop.run(begin, std::min(n, begin + kElementsPerBlock));
  });
}

// The loops of an op whose function is a functor; compiled for the set of the file that uses them.
template <class Op, class T>
void unary_chunk(const void* op, void* out, const void* const* in, int64_t n) {
  const Op f = *static_cast<const Op*>(op);
  const T* __restrict x = static_cast<const T*>(in[0]);
  using R = decltype(f(T()));
  R* __restrict y = static_cast<R*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

template <class Op, class T>
void binary_chunk(const void* op, void* out, const void* const* in, int64_t n) {
  const Op f = *static_cast<const Op*>(op);
  const T* __restrict a = static_cast<const T*>(in[0]);
  const T* __restrict b = static_cast<const T*>(in[1]);
  using R = decltype(f(T(), T()));
  R* __restrict y = static_cast<R*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
}

// kFloating: the op exists for float32 and float64 only.
template <bool kFloating, class Op>
void run_unary(const Kernel& k, const Op& op) {
  const auto run = [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_chunks(k, 0, 1, &op, unary_chunk<Op, T>);
  };
  if constexpr (kFloating) {
    dispatch_floating(k.in(0).dtype, run);
  } else {
    dispatch_all(k.in(0).dtype, run);
  }
}

template <bool kFloating, class Op>
void run_binary(const Kernel& k, const Op& op) {
  const auto run = [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_chunks(k, 0, 2, &op, binary_chunk<Op, T>);
  };
  if constexpr (kFloating) {
    dispatch_floating(k.in(0).dtype, run);
  } else {
    dispatch_all(k.in(0).dtype, run);
  }
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
