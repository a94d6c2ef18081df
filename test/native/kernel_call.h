// Calls a CPU kernel of one instruction set without the engine: outputs start as NaN, everything is followed
// by guard bytes, and two threads must give the bits of one.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/instruction_sets.h"
#include "cpu/kernel.h"
#include "ops/op.h"

namespace fluxion::test {

template <class Params>
struct Op {
  void (*infer)(const Params&, Infer&);
  void (*kernels[3])(const Params&, const cpu::Kernel&);
};
inline int isa_count() {
#if FLUXION_WIDE_SETS
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) return 3;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 2;
#endif
  return 1;
}

inline constexpr size_t kGuard = 192;

// Memory of exactly n bytes, 64-byte aligned, with guard bytes behind.
class Block {
 public:
  explicit Block(size_t n)
      : n_(n), memory_(static_cast<char*>(std::aligned_alloc(64, (n + kGuard + 63) / 64 * 64))) {
    std::memset(memory_, 0xff, n + kGuard);  // NaN as floating-point
  }
  ~Block() { std::free(memory_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  char* data() const { return memory_; }
  size_t size() const { return n_; }
  bool intact() const {
    for (size_t i = n_; i < n_ + kGuard; ++i)
      if (static_cast<unsigned char>(memory_[i]) != 0xff) return false;
    return true;
  }

 private:
  size_t n_;
  char* memory_;
};

struct Array {
  std::vector<double> v;
  Shape shape;
  DType dtype = DType::f32;
  double operator[](int64_t i) const { return v[static_cast<size_t>(i)]; }
};

inline std::mt19937 generator(7);

inline Array noise(const Shape& shape, DType dtype, double low = -1, double high = 1) {
  std::uniform_real_distribution<double> uniform(low, high);
  Array a{std::vector<double>(static_cast<size_t>(shape.size())), shape, dtype};
  for (double& x : a.v)
    x = dtype == DType::f64 ? uniform(generator) : static_cast<float>(uniform(generator));
  return a;
}

inline void write(const Array& a, char* to) {
  for (size_t i = 0; i < a.v.size(); ++i) {
    if (a.dtype == DType::f32) reinterpret_cast<float*>(to)[i] = static_cast<float>(a.v[i]);
    if (a.dtype == DType::f64) reinterpret_cast<double*>(to)[i] = a.v[i];
    if (a.dtype == DType::i32) reinterpret_cast<int32_t*>(to)[i] = static_cast<int32_t>(a.v[i]);
    if (a.dtype == DType::u8) reinterpret_cast<uint8_t*>(to)[i] = static_cast<uint8_t>(a.v[i]);
  }
}

inline Array read(const char* from, const Shape& shape, DType dtype) {
  Array a{std::vector<double>(static_cast<size_t>(shape.size())), shape, dtype};
  for (size_t i = 0; i < a.v.size(); ++i) {
    if (dtype == DType::f32) a.v[i] = static_cast<double>(reinterpret_cast<const float*>(from)[i]);
    if (dtype == DType::f64) a.v[i] = reinterpret_cast<const double*>(from)[i];
    if (dtype == DType::i32) a.v[i] = reinterpret_cast<const int32_t*>(from)[i];
  }
  return a;
}

// Bit by bit, but for the sign and payload of a NaN, which the hardware takes from either operand.
inline bool same_bits(const Block& a, const Block& b, DType dtype) {
  if (std::memcmp(a.data(), b.data(), a.size()) == 0) return true;
  if (dtype != DType::f32 && dtype != DType::f64) return false;
  const size_t element = size_of(dtype);
  const Shape all{static_cast<int64_t>(a.size() / element)};
  const Array x = read(a.data(), all, dtype), y = read(b.data(), all, dtype);
  for (size_t i = 0; i < x.v.size(); ++i) {
    if (std::isnan(x.v[i]) && std::isnan(y.v[i])) continue;
    if (std::memcmp(a.data() + i * element, b.data() + i * element, element) != 0) return false;
  }
  return true;
}

struct Input {
  const Array* array;    // null: absent
  Shape shape, strides;  // a view on the array when shape.ndim > 0
  Input(const Array& a) : array(&a) {}
  Input(std::nullptr_t) : array(nullptr) {}
  Input(const Array& a, const Shape& view, const Shape& view_strides)
      : array(&a), shape(view), strides(view_strides) {}
};

inline ThreadPool* pool(int threads) {
  static ThreadPool one(1), two(2);
  return threads == 1 ? &one : &two;
}

inline int faults = 0;  // that kernels have reported

// Runs an op on one instruction set with one and two threads; outputs nobody wants come back empty.
template <class P>
std::vector<Array> run(const Op<P>& op, int isa, const P& params, const std::vector<Input>& inputs,
                       uint32_t wanted = ~0u) {
  std::vector<TensorView> in;
  std::vector<std::unique_ptr<Block>> held;
  for (const Input& i : inputs) {
    TensorView view;
    if (i.array) {
      held.push_back(std::make_unique<Block>(i.array->v.size() * size_of(i.array->dtype)));
      write(*i.array, held.back()->data());
      view.data = held.back()->data();
      view.present = true;
      view.dtype = i.array->dtype;
      view.shape = i.shape.ndim ? i.shape : i.array->shape;
      view.strides = i.shape.ndim ? i.strides : contiguous_strides(view.shape);
    }
    in.push_back(view);
  }
  Infer infer("op", in, wanted);
  op.infer(params, infer);
  std::vector<Array> results;
  std::vector<std::unique_ptr<Block>> first;
  for (int threads = 1; threads <= 2; ++threads) {
    std::vector<std::unique_ptr<Block>> out;
    std::vector<TensorView> views;
    for (int i = 0; i < infer.outputs; ++i) {
      out.push_back(std::make_unique<Block>(static_cast<size_t>(infer.out_shape[i].size()) *
                                            size_of(infer.out_dtype[i])));
      TensorView view;  // all empty where nobody wants the output
      if (infer.wants(i)) {
        view.data = out.back()->data();
        view.dtype = infer.out_dtype[i];
        view.present = true;
        view.shape = infer.out_shape[i];
        view.strides = contiguous_strides(view.shape);
      }
      views.push_back(view);
    }
    const size_t stride = (infer.scratch + kGuard + 63) / 64 * 64;
    Block workspace(infer.workspace), scratch(stride * static_cast<size_t>(threads));
    Fault fault;
    cpu::PlanCache plans;
    const cpu::Kernel kernel{in.data(),
                             static_cast<int>(in.size()),
                             views.data(),
                             infer.outputs,
                             workspace.data(),
                             scratch.data(),
                             stride,
                             pool(threads),
                             &plans,
                             &fault,
                             OpId{}};
    op.kernels[isa](params, kernel);
    faults += fault.taken.load();
    CHECK(workspace.intact() && scratch.intact());
    for (int t = 0; t < threads; ++t) {
      const char* end = scratch.data() + stride * static_cast<size_t>(t);
      for (size_t i = infer.scratch; i < stride; ++i) {
        if (static_cast<unsigned char>(end[i]) != 0xff) {
          CHECK(!"scratch overrun");
          break;
        }
      }
    }
    for (int i = 0; i < infer.outputs; ++i) {
      const Block& block = *out[static_cast<size_t>(i)];
      CHECK(block.intact());
      if (threads == 2) CHECK(same_bits(block, *first[static_cast<size_t>(i)], infer.out_dtype[i]));
      if (threads == 1) {
        results.push_back(
            infer.wants(i) ? read(block.data(), infer.out_shape[i], infer.out_dtype[i]) : Array{});
      }
    }
    if (threads == 1) first = std::move(out);
  }
  return results;
}

inline double dot(const Array& a, const Array& b) {
  double sum = 0;
  for (size_t i = 0; i < a.v.size(); ++i) sum += a.v[i] * b.v[i];
  return sum;
}

inline bool same(double a, double b, double tolerance, double scale) {
  return std::abs(a - b) <= tolerance * (1 + scale);
}

// Every third value replaced by one that must not steer an address.
inline Array with_extremes(Array d) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  const double extremes[] = {
      std::numeric_limits<double>::quiet_NaN(), kInfinite, -kInfinite, 1e30, -1e30, 3e9};
  for (size_t i = 0; i < d.v.size(); i += 3) d.v[i] = extremes[i / 3 % 6];
  return d;
}

// Largest difference relative to the largest value, in units of the type's epsilon.
inline bool near(const Array& got, const std::vector<double>& expected, double epsilons,
                 const std::string& what) {
  const double eps = got.dtype == DType::f64 ? 2.2e-16 : 1.2e-7;
  double scale = 1e-3, worst = 0;
  for (double e : expected) scale = std::max(scale, std::isfinite(e) ? std::abs(e) : 0);
  bool same = got.v.size() == expected.size();
  for (size_t i = 0; same && i < expected.size(); ++i) {
    if (std::isnan(expected[i]) || std::isinf(expected[i])) {
      same = std::isnan(expected[i]) ? std::isnan(got.v[i]) : got.v[i] == expected[i];
    } else {
      worst = std::max(worst, std::isnan(got.v[i]) ? 1e300 : std::abs(got.v[i] - expected[i]));
    }
  }
  const bool holds = same && worst <= epsilons * eps * scale;
  if (!holds) std::fprintf(stderr, "%s: off by %g epsilons\n", what.c_str(), worst / (eps * scale));
  CHECK(holds);
  return holds;
}

// Whether infer refuses float32 inputs of these shapes with a message.
template <class P>
bool refuses(const Op<P>& op, const P& params, const std::vector<Shape>& shapes) {
  std::vector<TensorView> in;
  for (const Shape& s : shapes) {
    TensorView v;
    v.present = true, v.shape = s, v.strides = contiguous_strides(s);
    in.push_back(v);
  }
  try {
    Infer infer("op", in, ~0u);
    op.infer(params, infer);
  } catch (const Error& e) {
    return !e.message.empty();
  }
  return false;
}

}  // namespace fluxion::test
