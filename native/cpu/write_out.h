// Results of vector expressions to memory. Read once per instruction set, after simd.h.

namespace fluxion::cpu::FLUXION_TARGET {
namespace {

// Outputs of this size are written around the caches, which saves reading them first.
constexpr int64_t kStreamedBytes = 4 << 20;

template <class T>
inline bool streams_to(const T* to, int64_t elements) {
  return elements * static_cast<int64_t>(sizeof(T)) >= kStreamedBytes &&
         reinterpret_cast<uintptr_t>(to) % 64 == 0;
}

// to[i] = f(i). f has full(i), a vector, and part(i, n), its first n lanes. Streaming needs an aligned
// vector: the elements before it are written as a part.
template <class T, class F>
inline __attribute__((always_inline)) void write_out(T* to, int64_t n, bool streams, const F& f) {
  constexpr int w = kLanes<T>;
  int64_t i = 0;
  if (streams) {
    const uintptr_t past = reinterpret_cast<uintptr_t>(to) % FLUXION_VECTOR_BYTES;
    if (past != 0) {
      i = std::min<int64_t>(n, static_cast<int64_t>((FLUXION_VECTOR_BYTES - past) / sizeof(T)));
      store_partial(to, f.part(0, static_cast<int>(i)), static_cast<int>(i));
    }
    for (; i + w <= n; i += w) stream(to + i, f.full(i));
  } else {
    for (; i + w <= n; i += w) store(to + i, f.full(i));
  }
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    store_partial(to + i, f.part(i, rest), rest);
  }
}

template <class T>
struct Copied {
  const T* from;
  inline __attribute__((always_inline)) Vec<T> full(int64_t i) const { return load(from + i); }
  inline __attribute__((always_inline)) Vec<T> part(int64_t i, int n) const {
    return load_partial(from + i, n);
  }
};

}  // namespace
}  // namespace fluxion::cpu::FLUXION_TARGET
