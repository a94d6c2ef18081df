// What an op is, apart from any device: an id, a parameter struct and an infer function.
//
// A parameter struct is trivially copyable (it travels through the queue and across the C ABI) and names
// each field once in `template <class V> void visit(V& v)`; from that come the decoder of JavaScript
// options, the error messages and introspection. Field kinds: double, int64_t, bool, Shape (a list of up
// to kMaxDims integers), DType, and enums through v.choice(name, field, names).
//
// An infer function is pure: it validates parameters and inputs (data pointers may be null), states the
// outputs and what memory the kernel needs. All user errors are raised there, on every device.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "core/tensor_view.h"

namespace fluxion {

// The enumerators are in registry.h; few files need them, and only those change with the list of ops.
enum class OpId : int32_t;

struct NoParams {
  template <class V>
  void visit(V&) {}
};

inline constexpr int kMaxOutputs = 4;
inline constexpr int kMaxInputs = 8;  // of ops with a fixed number of inputs; variadic ops take any

std::string describe(const Shape& shape);  // "[16, 2]"
std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

class Infer {
 public:
  Infer(const char* op, std::span<const TensorView> inputs, uint32_t wanted)
      : op_(op), inputs_(inputs), wanted_(wanted) {}

  // --- what is given
  const char* op() const { return op_; }
  int inputs() const { return static_cast<int>(inputs_.size()); }
  const TensorView& in(int i) const { return inputs_[static_cast<size_t>(i)]; }
  const Shape& shape(int i) const { return in(i).shape; }
  DType dtype(int i) const { return in(i).dtype; }
  bool has(int i) const { return i < inputs() && in(i).present; }
  bool wants(int output) const { return (wanted_ >> output) & 1u; }

  // --- what is demanded; `argument` is the public name of the argument
  void require(bool holds, ErrorCode code, const std::string& message) const {
    if (!holds) fail(code, op_, message);
  }
  void require_argument(bool holds, const std::string& message) const {
    require(holds, ErrorCode::InvalidArgument, message);
  }
  void require_ndim(int i, const char* argument, int ndim) const;
  void require_shape(int i, const char* argument, const Shape& expected) const;
  void require_floating(int i, const char* argument) const;
  void require_dtype(int i, const char* argument, DType expected) const;
  void require_positive(const char* argument, double value) const;  // finite and > 0
  void require_finite(const char* argument, double value) const;

  // --- what is stated
  // The kernel reads input i only as a contiguous array: the engine copies a strided view first.
  void need_contiguous(int i) { contiguous_inputs |= 1u << i; }
  void need_contiguous() { contiguous_inputs = ~0u; }
  // An op takes and returns real numbers unless it says otherwise.
  void allow_complex() { complex_allowed = true; }
  void refuse_complex() const;
  // A view op: its output is a view on a contiguous copy of input 0.
  void need_copy() { copy_input = true; }
  void output(DType dtype, const Shape& shape);
  // The op gives new contents to inputs: of every `item` inputs those whose bit is set. The kernel finds
  // where to write them, in the same order, behind the inputs: the memory of the input itself where nobody
  // else sees it, else fresh memory, which becomes the tensor's.
  void update(int item, uint32_t inputs) {
    updated_item = item;
    updated_inputs = inputs;
  }
  bool updates(int i) const {
    return updated_inputs != 0 && ((updated_inputs >> (i % updated_item)) & 1u) != 0;
  }
  // The output is a view on input 0; no kernel runs. Strides and offset count elements of the output.
  void alias(const Shape& shape, const Shape& strides, int64_t offset);
  void alias_as(DType dtype, const Shape& shape, const Shape& strides, int64_t offset);

  Shape out_shape[kMaxOutputs];
  DType out_dtype[kMaxOutputs] = {};
  int outputs = 0;
  bool aliased = false;
  bool complex_allowed = false;
  bool copy_input = false;
  Shape alias_strides;
  int64_t alias_offset = 0;
  uint32_t contiguous_inputs = 0;
  int updated_item = 1;
  uint32_t updated_inputs = 0;
  size_t workspace = 0;  // bytes shared by all threads of the launch
  size_t scratch = 0;    // bytes of each CPU thread
  // Rough count of element operations: an op of little work runs at once on the calling thread when
  // the queue is empty. Default: the sizes of the outputs.
  int64_t work = 0;

 private:
  const char* op_;
  std::span<const TensorView> inputs_;
  uint32_t wanted_;
};

// --- reading parameters from outside (JavaScript, tests) by field name
class ParamReader {
 public:
  virtual ~ParamReader() = default;
  virtual double number(const char* name) = 0;
  virtual bool boolean(const char* name) = 0;
  virtual std::string text(const char* name) = 0;
  virtual Shape list(const char* name) = 0;
};

// Fills a parameter struct from a reader; every field must be there.
class ParamDecoder {
 public:
  ParamDecoder(const char* op, ParamReader& reader) : op_(op), reader_(reader) {}
  void operator()(const char* name, double& v) { v = reader_.number(name); }
  void operator()(const char* name, int64_t& v) { v = integer(name, reader_.number(name)); }
  void operator()(const char* name, bool& v) { v = reader_.boolean(name); }
  void operator()(const char* name, Shape& v) { v = reader_.list(name); }
  void operator()(const char* name, DType& v) { choice(name, v, kDTypeNames); }
  template <class E, size_t N>
  void choice(const char* name, E& v, const char* const (&names)[N]) {
    v = static_cast<E>(index_of(name, names, N));
  }

 private:
  int64_t integer(const char* name, double value) const;
  int index_of(const char* name, const char* const* names, size_t count);
  const char* op_;
  ParamReader& reader_;
};

// Lists the field names of a parameter struct.
class ParamNames {
 public:
  explicit ParamNames(std::string& out) : out_(out) {}
  template <class T>
  void operator()(const char* name, T&) {
    add(name);
  }
  template <class E, size_t N>
  void choice(const char* name, E&, const char* const (&)[N]) {
    add(name);
  }

 private:
  void add(const char* name) {
    if (!out_.empty()) out_ += ' ';
    out_ += name;
  }
  std::string& out_;
};

inline constexpr size_t kMaxParamBytes = 512;

}  // namespace fluxion
