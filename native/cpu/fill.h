// Filling an output with one value. Read once per instruction set, after vector_math.h.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Stands outside the lambda below, which GCC does not compile for the instruction set.
template <class T>
void fill_run(T* to, int64_t n, T value) {
  for (int64_t i = 0; i < n; ++i) to[i] = value;
}

// A number as an element.
template <class T>
struct Filling {
  static T of(double value) { return convert<T>(value); }
};
template <class T>
struct Filling<Complex<T>> {
  static Complex<T> of(double value) { return {static_cast<T>(value), T(0)}; }
};

void fill_with(const Kernel& k, const TensorView& out, double value) {
  const int64_t n = out.size();
  dispatch_any(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* const to = out.as<T>();
    const T v = Filling<T>::of(value);
    k.parallel_for(blocks_of(n, kElementsPerBlock), [&](int64_t block, int) {
      const int64_t begin = block * kElementsPerBlock;
      fill_run(to + begin, std::min(kElementsPerBlock, n - begin), v);
    });
  });
}

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
