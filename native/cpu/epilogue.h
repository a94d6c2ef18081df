// y = act(sum + bias + residual), done to an output while it is still in registers or L1. No include guard:
// read once per instruction set, after simd.h and activation.h.
//
// A kernel adds bias and residual and applies `floor` (relu, without a branch: the floor is -infinity where
// there is none) to the vectors that it stores, or calls finish_rows() on rows that it has just written.
// The smooth activations are always a second pass over the written rows, in L1: their many constants would
// push the accumulators of a matrix product out of the registers.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct Epilogue {
  const T* bias = nullptr;      // of the rows (the channels of an image)
  const T* columns = nullptr;   // a bias of the columns (the features of a linear layer)
  const T* residual = nullptr;  // laid out as the output
  Activation activation = Activation::none;

  T floor() const {
    return activation == Activation::relu ? T(0) : -std::numeric_limits<T>::infinity();
  }
  bool empty() const { return !bias && !columns && !residual && activation == Activation::none; }
  bool smooth() const { return activation != Activation::none && activation != Activation::relu; }
  // The epilogue of a part of the output that begins at this row, column and element.
  Epilogue at(int64_t row, int64_t column, int64_t element) const {
    return {bias ? bias + row : nullptr, columns ? columns + column : nullptr,
            residual ? residual + element : nullptr, activation};
  }
};

template <class T>
__attribute__((noinline)) void activate_rows(Activation activation, T* y, int64_t pitch,
                                             int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; ++i, y += pitch) activate(activation, y, cols);
}

// The whole epilogue on rows of sums that lie in L1: for kernels without a place for it in their stores.
// Row i has bias[i]; the residual has the pitch of y.
template <class T>
__attribute__((noinline)) void finish_rows(const Epilogue<T>& e, T* y, int64_t pitch, int64_t rows,
                                           int64_t cols) {
  for (int64_t i = 0; i < rows; ++i) {
    T* to = y + i * pitch;
    const T bias = e.bias ? e.bias[i] : T{};
    const T* residual = e.residual ? e.residual + i * pitch : nullptr;
    if (residual) {
      for (int64_t j = 0; j < cols; ++j) to[j] = to[j] + bias + residual[j];
    } else if (e.bias) {
      for (int64_t j = 0; j < cols; ++j) to[j] += bias;
    }
    for (int64_t j = 0; e.columns && j < cols; ++j) to[j] += e.columns[j];
  }
  activate_rows(e.activation, y, pitch, rows, cols);
}

}  // namespace fluxion::cpu::FLUXION_TARGET
