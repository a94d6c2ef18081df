// Prefetch of the planes that a thread works on next. Read once per instruction set, before line_spectrum.h.

namespace fluxion::cpu::FLUXION_TARGET {

// Brings the next planes (u, and g of the backward pass) from memory to the cache while this one is worked on:
// strided reads of columns would wait for each line. A core has about 16 lines on their way at a time and
// waits for a place beyond that, so each part is about that many, and parts are a transform apart.
class NextPlanes {
 public:
  NextPlanes() = default;
  // parts: how often fetch_part() is called until they are needed.
  NextPlanes(const void* first, const void* second, size_t bytes, int64_t parts)
      : at_(static_cast<const char*>(first)),
        end_(at_ + bytes),
        second_(static_cast<const char*>(second)),
        bytes_(bytes) {
    constexpr size_t kLargest = size_t{1} << 19;  // a quarter of L2
    if (bytes > kLargest) {
      at_ = end_;
      second_ = nullptr;
    }
    step_ = ((second ? 2 : 1) * bytes / static_cast<size_t>(parts) + 63) / 64 * 64;
  }
  void fetch_part() {
    const char* stop = at_ + std::min(step_, static_cast<size_t>(end_ - at_));
    for (; at_ < stop; at_ += 64) __builtin_prefetch(at_, 0, 2);
    at_ = stop;
    if (at_ == end_ && second_) {
      at_ = second_;
      end_ = at_ + bytes_;
      second_ = nullptr;
    }
  }

 private:
  const char *at_ = nullptr, *end_ = nullptr, *second_ = nullptr;
  size_t bytes_ = 0, step_ = 0;
};

// A part of the next planes, where there are any.
inline __attribute__((always_inline)) void fetch_part(NextPlanes* next) {
  if (next) next->fetch_part();
}

// Calls of fetch_part for each pair of vectors of lines, one way: before its loads or stores, before its
// transform and behind it.
inline constexpr int64_t kFetchesOneWay = 3;

}  // namespace fluxion::cpu::FLUXION_TARGET
