// Calls one op on the CPU without device, queue or engine: infer, then the kernel of every instruction set
// this machine has, with one and with two threads. Outputs start as garbage and lie between guard bytes.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "check.h"
#include "cpu/kernel_table.h"
#include "ops/registry.h"

namespace fluxion::test {

// A tensor in memory of its own, with values seen as doubles.
struct Array {
  DType dtype = DType::f32;
  Shape shape, strides;
  int64_t offset = 0;  // elements
  std::shared_ptr<std::vector<char>> memory;
  bool present = true;

  static constexpr size_t kGuard = 64;

  static Array empty(DType dtype, const Shape& shape) {
    Array a{dtype, shape, contiguous_strides(shape), 0, nullptr, true};
    const size_t bytes = static_cast<size_t>(shape.size()) * size_of(dtype);
    a.memory = std::make_shared<std::vector<char>>(bytes + 3 * kGuard, static_cast<char>(0xFB));
    return a;
  }
  static Array of(DType dtype, const Shape& shape, const std::vector<double>& values) {
    Array a = empty(dtype, shape);
    for (int64_t i = 0; i < shape.size(); ++i) a.set(i, values[static_cast<size_t>(i)]);
    return a;
  }
  static Array absent() {
    Array a = empty(DType::f32, {});
    a.present = false;
    return a;
  }
  char* base() const {
    const uintptr_t start = reinterpret_cast<uintptr_t>(memory->data()) + kGuard;
    return reinterpret_cast<char*>((start + 63) / 64 * 64);
  }
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(base()) + offset;
  }
  double raw(int64_t i) const {
    switch (dtype) {
      case DType::f32:
        return data<float>()[i];
      case DType::f64:
        return data<double>()[i];
      case DType::i32:
        return data<int32_t>()[i];
      default:
        return data<uint8_t>()[i];
    }
  }
  void set(int64_t i, double v) {
    cpu::dispatch_all(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      data<T>()[i] = static_cast<T>(v);
    });
  }
  std::vector<double> values() const {  // in row-major order of the shape
    std::vector<double> out;
    for (int64_t i = 0; i < shape.size(); ++i) {
      int64_t rest = i, at = 0;
      for (int d = shape.ndim - 1; d >= 0; --d) {
        at += rest % shape[d] * strides[d];
        rest /= shape[d];
      }
      out.push_back(raw(at));
    }
    return out;
  }
  bool guarded() const {
    const char* end = base() + static_cast<size_t>(shape.size()) * size_of(dtype);
    for (const char* p = end; p < memory->data() + memory->size(); ++p)
      if (*p != static_cast<char>(0xFB)) return false;
    return true;
  }
  Array contiguous() const {
    Array a = empty(dtype, shape);
    const size_t size = size_of(dtype);
    for (int64_t i = 0; i < shape.size(); ++i) {
      int64_t from = offset, rest = i;
      for (int d = shape.ndim - 1; d >= 0; --d) {
        from += rest % shape[d] * strides[d];
        rest /= shape[d];
      }
      std::memcpy(a.base() + static_cast<size_t>(i) * size,
                  base() + static_cast<size_t>(from) * size, size);
    }
    return a;
  }
  Array permuted(std::initializer_list<int> dims) const {
    Array a = *this;
    a.shape = a.strides = Shape{};
    for (const int d : dims) {
      a.shape.push(shape[d]);
      a.strides.push(strides[d]);
    }
    return a;
  }
  Array sliced(int dim, int64_t start, int64_t step) const {
    Array a = *this;
    a.offset += start * strides[dim];
    a.shape[dim] = (shape[dim] - start + step - 1) / step;
    a.strides[dim] *= step;
    return a;
  }
  TensorView view() const {
    return {base() + offset * static_cast<int64_t>(size_of(dtype)),
            dtype,
            present,
            false,
            shape,
            strides};
  }
};

inline std::vector<double> noise(int64_t n, double low, double high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> values(static_cast<size_t>(n));
  for (double& v : values) v = uniform(random);
  return values;
}

struct Result {
  std::vector<Array> outputs;
  bool faulted = false;
};

inline Result call_on(int isa, int threads, OpId op, const void* params, std::vector<Array> inputs,
                      uint32_t wanted = ~0u) {
  const OpInfo& info = info_of(op);
  std::vector<TensorView> views;
  for (const Array& a : inputs) views.push_back(a.view());
  Infer infer(info.name, views, wanted);
  info.infer(params, infer);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool copies = (infer.contiguous_inputs >> std::min<size_t>(i, 31)) & 1u;
    if (copies && inputs[i].present) {
      inputs[i] = inputs[i].contiguous();
      views[i] = inputs[i].view();
    }
  }
  Result result;
  if (infer.aliased) {
    Array out = inputs[0];
    if (infer.out_dtype[0] != out.dtype) out.offset *= 2;  // of a complex tensor as numbers
    out.dtype = infer.out_dtype[0];
    out.shape = infer.out_shape[0];
    out.strides = infer.alias_strides;
    out.offset += infer.alias_offset;
    result.outputs.push_back(out);
    return result;
  }
  std::vector<TensorView> outputs;
  for (int i = 0; i < infer.outputs; ++i) {
    result.outputs.push_back(Array::empty(infer.out_dtype[i], infer.out_shape[i]));
    outputs.push_back(result.outputs.back().view());
    if (!((wanted >> i) & 1u)) outputs.back().data = nullptr;
  }
  // New contents of inputs: in fresh memory, which a test reads behind the outputs.
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!infer.updates(static_cast<int>(i))) continue;
    result.outputs.push_back(Array::empty(inputs[i].dtype, inputs[i].shape));
    views.push_back(result.outputs.back().view());
  }
  const Array workspace = Array::empty(DType::u8, {static_cast<int64_t>(infer.workspace)});
  const size_t stride = (infer.scratch + 63) / 64 * 64;
  const Array scratch = Array::empty(DType::u8, {static_cast<int64_t>(stride) * threads});
  ThreadPool pool(threads);
  Fault fault;
  cpu::PlanCache plans;
  const cpu::Kernel kernel{views.data(),
                           static_cast<int>(views.size()),
                           outputs.data(),
                           infer.outputs,
                           workspace.base(),
                           scratch.base(),
                           stride,
                           &pool,
                           &plans,
                           &fault,
                           op};
  cpu::kKernels[isa][static_cast<int>(op)](params, kernel);
  result.faulted = fault.ready.load() != 0;
  for (const Array& out : result.outputs) CHECK(out.guarded());
  CHECK(workspace.guarded() && scratch.guarded());
  return result;
}

// |got - want| <= absolute + relative |want|; NaN and infinities must agree.
inline bool close(double got, double want, double relative, double absolute) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return want == got;
  return std::abs(got - want) <= absolute + relative * std::abs(want);
}

// Runs everywhere, compares the bits of one and two threads and calls `judge` with each result.
inline void call(OpId op, const void* params, const std::vector<Array>& inputs,
                 const std::function<void(const Result&)>& judge) {
  for (int isa = 0; isa <= cpu::best_isa(); ++isa) {
    const Result one = call_on(isa, 1, op, params, inputs);
    const Result two = call_on(isa, 2, op, params, inputs);
    for (size_t i = 0; i < one.outputs.size(); ++i)
      CHECK(*one.outputs[i].memory == *two.outputs[i].memory ||
            std::memcmp(one.outputs[i].base(), two.outputs[i].base(),
                        static_cast<size_t>(one.outputs[i].shape.size()) *
                            size_of(one.outputs[i].dtype)) == 0);
    judge(two);
  }
}

// The first output must be `want`.
inline void expect(OpId op, const void* params, const std::vector<Array>& inputs,
                   const std::vector<double>& want, double relative = 0, double absolute = 0) {
  call(op, params, inputs, [&](const Result& result) {
    const std::vector<double> got = result.outputs[0].values();
    if (!CHECK(got.size() == want.size())) return;
    for (size_t i = 0; i < got.size(); ++i) {
      if (close(got[i], want[i], relative, absolute)) continue;
      std::fprintf(stderr, "%s: element %zu must be %.9g, got %.9g\n", info_of(op).name, i, want[i],
                   got[i]);
      CHECK(false);
      return;
    }
    CHECK(true);
  });
}

// The call must be refused with this code.
inline void expect_error(ErrorCode code, OpId op, const void* params,
                         const std::vector<Array>& inputs) {
  try {
    call_on(0, 1, op, params, inputs);
    std::fprintf(stderr, "%s: must fail\n", info_of(op).name);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code == code);
  }
}

}  // namespace fluxion::test
