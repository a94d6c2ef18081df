// A pointwise convolution or its input gradient as the kernels take it. No include guard: read once per instruction
// set, after epilogue.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct Pointwise {
  int64_t images, groups, rows, channels, plane;  // rows (of the output) and channels of a group
  const T* in;
  T* out;
  Epilogue<T> epilogue;
  const T* weights;  // weight(group, row, channel) = weights[.. * strides]
  int64_t group_stride, row_stride, channel_stride;
};

template <class T>
inline const T* optional_input(const Kernel& kernel, int i) {
  return kernel.n_inputs > i && kernel.in(i).present ? kernel.in(i).as<T>() : nullptr;
}

template <class T>
inline Epilogue<T> epilogue_of(Activation activation, const Kernel& kernel) {
  return {optional_input<T>(kernel, 2), nullptr, optional_input<T>(kernel, 3), activation};
}

template <class T>
inline Pointwise<T> pointwise_forward(const Conv2dForwardParams& p, const Kernel& kernel) {
  const Shape &x = kernel.in(0).shape, &weight = kernel.in(1).shape;
  const int64_t rows = weight[0] / p.groups, channels = weight[1];
  return {x[0],
          p.groups,
          rows,
          channels,
          x[2] * x[3],
          kernel.in(0).as<T>(),
          kernel.out(0).as<T>(),
          epilogue_of<T>(p.activation, kernel),
          kernel.in(1).as<T>(),
          rows * channels,
          channels,
          1};
}

template <class T>
inline Pointwise<T> pointwise_input_vjp(const Conv2dInputVjpParams& p, const Kernel& kernel) {
  const Shape &x = p.inputShape, &weight = kernel.in(1).shape;
  const int64_t rows = weight[1], channels = weight[0] / p.groups;
  return {x[0],
          p.groups,
          rows,
          channels,
          x[2] * x[3],
          kernel.in(0).as<T>(),
          kernel.out(0).as<T>(),
          {optional_input<T>(kernel, 2), nullptr, nullptr, Activation::none},
          kernel.in(1).as<T>(),
          rows * channels,
          1,
          rows};
}

}  // namespace fluxion::cpu::FLUXION_TARGET
