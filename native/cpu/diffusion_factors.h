// Factors of constant-coefficient lines for all channels and axes, computed once in float64, rounded to the
// element type and kept in the plan cache, where backward finds those of forward. Read once per
// instruction set, after line_solver.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
class FactorTable {
 public:
  FactorTable(const DiffusionStep& step, const Kernel& call, const TensorView& diffusivity,
              const Cells& cells)
      : step_(step), cells_(cells), diffusivity_(diffusivity) {
    for (int a = 0; a < step.axes; ++a) {
      offset_[a] = channel_size_;
      channel_size_ += padded(line_factor_count(cells.along(a)));
    }
    const int64_t channels = diffusivity.shape[0];
    PlanKey key("constant diffusion factors");
    key.add(sizeof(T)).add(step.boundary).add(step.axes).add(cells);
    for (int64_t c = 0; c < channels; ++c)
      for (int a = 0; a < step.axes; ++a) key.add(r(c, a));
    table_ = static_cast<const T*>(call.plans->find(
        key.text(),
        table_bytes(channels) +
            static_cast<size_t>(line_factor_count(cells.longest())) * sizeof(double),
        [&](void* out) { fill(out, channels); }));
    if (!table_) call.fault(ErrorCode::OutOfMemory, "no memory for the factors of the solver");
  }

  explicit operator bool() const { return table_ != nullptr; }

  // Of (I - r D) with the undivided second difference D.
  double r(int64_t channel, int axis) const {
    const T* k = diffusivity_.as<T>() + channel * diffusivity_.strides[0];
    return static_cast<double>(k[axis * diffusivity_.strides[1]]) * step_.rate(axis);
  }

  LineFactors<T> axis(int64_t channel, int a) const {
    const T* t = table_ + channel * channel_size_ + offset_[a];
    return line_factors_at(t, cells_.along(a), 1);
  }

 private:
  static int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

  // The table is followed by room for one line in double.
  size_t table_bytes(int64_t channels) const {
    return round_to_line(static_cast<size_t>(channels * channel_size_) * sizeof(T));
  }

  void fill(void* out, int64_t channels) const {
    T* line = static_cast<T*>(out);
    double* exact = reinterpret_cast<double*>(static_cast<char*>(out) + table_bytes(channels));
    for (int64_t c = 0; c < channels; ++c) {
      for (int a = 0; a < step_.axes; ++a) {
        const int64_t n = cells_.along(a);
        factor_line(r(c, a), n, step_.boundary, exact);
        T* at = line + c * channel_size_ + offset_[a];
        for (int64_t i = 0; i < line_factor_count(n); ++i) at[i] = static_cast<T>(exact[i]);
      }
    }
  }

  DiffusionStep step_;
  Cells cells_;
  const TensorView& diffusivity_;
  int64_t channel_size_ = 0;
  int64_t offset_[3] = {};
  const T* table_ = nullptr;
};

}  // namespace fluxion::cpu::FLUXION_TARGET
