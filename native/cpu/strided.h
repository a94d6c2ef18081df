// Reading a strided or broadcast view in the order of a contiguous output. No include guard: the file is
// read once per instruction set, like simd.h.
//
// An Operand is a view with its mergeable dimensions merged. read() gives `count` elements that follow
// each other in the output's order as a contiguous array: the view's own memory where that is already so,
// else the caller's buffer, filled row by row. Kernels then need one loop, over contiguous arrays, for
// all layouts; the buffer stays in the first-level cache.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

class Operand {
 public:
  Operand() = default;
  // The view broadcasts to `shape` as in NumPy: missing and unit dimensions repeat.
  Operand(const TensorView& view, const Shape& shape)
      : data_(view.as<const char>()), element_(static_cast<int64_t>(size_of(view.dtype))) {
    const int added = shape.ndim - view.ndim();
    for (int i = 0; i < shape.ndim; ++i) {
      const bool repeats = i < added || (view.shape[i - added] == 1 && shape[i] != 1);
      if (shape[i] != 1) append(shape[i], repeats ? 0 : view.strides[i - added]);
    }
  }

  bool contiguous() const { return ndim_ == 0 || (ndim_ == 1 && stride_[0] == 1); }
  bool constant() const { return ndim_ == 0 || (ndim_ == 1 && stride_[0] == 0); }

  const void* read(int64_t begin, int64_t count, void* buffer) const {
    if (contiguous()) return data_ + begin * element_;
    switch (element_) {
      case 1:
        return read_as<uint8_t>(begin, count, buffer);
      case 4:
        return read_as<uint32_t>(begin, count, buffer);
      case 8:
        return read_as<uint64_t>(begin, count, buffer);
      default:
        return read_as<Complex<double>>(begin, count, buffer);
    }
  }

 private:
  void append(int64_t size, int64_t stride) {
    if (ndim_ > 0 && stride_[ndim_ - 1] == size * stride) {
      dim_[ndim_ - 1] *= size;
      stride_[ndim_ - 1] = stride;
    } else {
      dim_[ndim_] = size;
      stride_[ndim_++] = stride;
    }
  }

  template <class U>
  const void* read_as(int64_t begin, int64_t count, void* buffer) const {
    const U* data = reinterpret_cast<const U*>(data_);
    const int last = ndim_ - 1;
    const int64_t row = dim_[last], step = stride_[last];
    int64_t at[kMaxDims], offset = 0, rest = begin;
    for (int i = last; i >= 0; --i) {
      at[i] = rest % dim_[i];
      rest /= dim_[i];
      offset += at[i] * stride_[i];
    }
    if (step == 1 && at[last] + count <= row) return data + offset;
    U* out = static_cast<U*>(buffer);
    for (;;) {
      const int64_t run = std::min(row - at[last], count);
      copy_run(out, data + offset, run, step);
      out += run;
      count -= run;
      if (count == 0) return buffer;
      offset -= at[last] * step;
      at[last] = 0;
      for (int i = last - 1; i >= 0; --i) {  // next row
        offset += stride_[i];
        if (++at[i] < dim_[i]) break;
        offset -= at[i] * stride_[i];
        at[i] = 0;
      }
    }
  }

  template <class U>
  static void copy_run(U* __restrict out, const U* __restrict in, int64_t n, int64_t step) {
    if (step == 1) {
      for (int64_t i = 0; i < n; ++i) out[i] = in[i];
    } else if (step == 0) {
      const U value = *in;
      for (int64_t i = 0; i < n; ++i) out[i] = value;
    } else {
      for (int64_t i = 0; i < n; ++i) out[i] = in[i * step];
    }
  }

  const char* data_ = nullptr;
  int64_t element_ = 0;
  int ndim_ = 0;
  int64_t dim_[kMaxDims], stride_[kMaxDims];
};

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
