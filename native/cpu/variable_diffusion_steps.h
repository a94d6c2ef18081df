// The steps of variable diffusion on one plane: each walks over the lines of an axis in chunks of up to
// four vectors of lines. Read once per instruction set, after variable_diffusion_lines.h and row_lines.h.
//
// Lines along y and z lie side by side and are read in place; rows (lines along x) and chunks that do not
// fill their vectors pass through line buffers, [cell][lane], with zeros in the lanes that are missing
// (a line without diffusivity is the identity).

namespace fluxion::cpu::FLUXION_TARGET {

// The lines of a plane along an axis: `outer` groups of `inner` lines of n cells.
struct AxisLines {
  int64_t n, stride, inner, outer;
  bool rows;  // contiguous: lines are the rows of the plane

  int64_t block_lines(int lanes) const { return vectors_in_flight(n) * lanes; }
  int64_t blocks_per_group(int lanes) const { return blocks_of(inner, block_lines(lanes)); }
  int64_t blocks(int lanes) const { return outer * blocks_per_group(lanes); }
};

template <class T, int G>
struct Chunk {
  static constexpr int w = kLanes<T>, pitch = G * w;
  AxisLines axis;
  int64_t group, first, count;  // lines [first, first + count) of a group, count <= G * w

  int64_t offset() const {
    return axis.rows ? first * axis.n : group * axis.n * axis.stride + first;
  }
  // Where the factors of the chunk stand in an array of those of the plane.
  int64_t factor_offset() const { return (group * blocks_of(axis.inner, w) * w + first) * axis.n; }
  bool in_place() const { return !axis.rows && count == pitch; }
  int lanes_of(int g) const {
    return static_cast<int>(std::max<int64_t>(0, std::min<int64_t>(count - g * w, w)));
  }

  Lines<const T> fetch(const T* field, T* buffer) const {
    const T* from = field + offset();
    if (in_place()) return {from, axis.stride};
    if (axis.rows) {
      for (int g = 0; g < G; ++g)
        rows_to_lines(from + g * w * axis.n, axis.n, lanes_of(g), axis.n, buffer + g * w, pitch);
    } else {
      for (int64_t i = 0; i < axis.n; ++i) {
        for (int g = 0; g < G; ++g)
          store(buffer + i * pitch + g * w,
                load_partial(from + i * axis.stride + g * w, lanes_of(g)));
      }
    }
    return {buffer, pitch};
  }

  template <Put kPut>
  void put(const T* lines, T* field) const {
    T* to = field + offset();
    if (axis.rows) {
      for (int g = 0; g < G; ++g)
        put_rows<T, kPut>(lines + g * w, pitch, lanes_of(g), axis.n, to + g * w * axis.n);
      return;
    }
    for (int64_t i = 0; i < axis.n; ++i) {
      for (int g = 0; g < G; ++g) {
        T* cell = to + i * axis.stride + g * w;
        const Vec<T> x = load(lines + i * pitch + g * w);
        if (count == pitch) {
          put_vector<T, kPut>(cell, x);
        } else {
          put_part<T, kPut>(cell, x, lanes_of(g));
        }
      }
    }
  }
};

// Calls step.run<G>(chunk) for the lines of a block (see AxisLines::blocks).
template <class T, class Step>
void run_block(const Step& step, int64_t block) {
  constexpr int w = kLanes<T>;
  const AxisLines& axis = step.axis;
  const int64_t per_group = axis.blocks_per_group(w), group = block / per_group;
  int64_t first = block % per_group * axis.block_lines(w);
  const int64_t end = std::min(first + axis.block_lines(w), axis.inner);
  while (first < end) {
    const int64_t left = end - first;
    if (left >= 4 * w) {
      step.template run<4>(Chunk<T, 4>{axis, group, first, 4 * w});
      first += 4 * w;
    } else if (left >= 2 * w) {
      step.template run<2>(Chunk<T, 2>{axis, group, first, 2 * w});
      first += 2 * w;
    } else {
      step.template run<1>(Chunk<T, 1>{axis, group, first, std::min<int64_t>(left, w)});
      first += w;
    }
  }
}

// What all steps know: the operator along one axis.
template <class T>
struct AxisOperator {
  AxisLines axis;
  const T* k;
  bool harmonic;
  Boundary boundary;
  double tau;  // time over spacing^2
  T* buffers;  // kLineBuffers of buffer_size
  int64_t buffer_size;

  T* buffer(int i) const { return buffers + i * buffer_size; }
  T scale() const { return static_cast<T>(tau * (harmonic ? 2.0 : 0.5)); }
};

// to = S from, S = (I - tau A)^-1, or 2 S - I when reflecting.
template <class T>
struct SolveStep : AxisOperator<T> {
  const T* from;
  T* to;                  // may be null when `solution` or `gk` is wanted
  T* solution = nullptr;  // S from, also when reflecting
  bool reflect = false, stream = false;
  Factors<T>
      table{};  // factors of the plane, or null: they are computed for each chunk and dropped
  bool factored = false;  // the table is filled
  // gk += gradient of weight <S from, A state> in k
  const T* state = nullptr;
  T* gk = nullptr;
  double weight = 0;

  template <int G>
  void run(const Chunk<T, G>& chunk) const {
    if (this->harmonic) {
      run_with<G, true>(chunk);
    } else {
      run_with<G, false>(chunk);
    }
  }

 private:
  template <int G>
  Factors<T> factors(const Chunk<T, G>& chunk) const {
    if (!table.c) return {this->buffer(3), this->buffer(4), this->buffer(5)};
    const int64_t at = chunk.factor_offset();
    return {table.c + at, table.m + at, table.z + at};
  }

  // The forward sweep with factors yet unknown.
  template <int G, bool kHarmonic, bool kKeep>
  void factor(const Factors<T>& f, Lines<const T> k, Lines<const T> b, T* d) const {
    Elimination<T, G, kHarmonic> sweep{};
    sweep.scale = this->scale();
    sweep.wall =
        this->boundary == Boundary::dirichlet ? static_cast<T>(1 / kFaceScale<kHarmonic>) : T(0);
    sweep.template run<kKeep>(k, b, d, f.c, f.m, this->axis.n);
  }

  template <int G, bool kHarmonic>
  void run_with(const Chunk<T, G>& chunk) const {
    const int64_t n = this->axis.n;
    const Factors<T> f = factors(chunk);
    Lines<const T> k{nullptr, 0}, b{nullptr, 0};
    if (!factored || gk) k = chunk.fetch(this->k, this->buffer(0));
    b = chunk.fetch(from, this->buffer(1));
    T* d = chunk.in_place() || reflect ? this->buffer(2) : this->buffer(1);
    if (factored) {
      eliminate<T, G>(f, b, d, n);
    } else if (table.c || this->boundary == Boundary::periodic) {
      factor<G, kHarmonic, true>(f, k, b, d);
      if (this->boundary == Boundary::periodic)
        corner_vector<T, G, kHarmonic>(k, this->scale(), f, n);
    } else {
      factor<G, kHarmonic, false>(f, k, b, d);
    }
    if (gk || solution) return differentiate<G, kHarmonic>(chunk, f, k, b, d);
    const Lines<T> lines{d, Chunk<T, G>::pitch};
    if (chunk.in_place()) {
      back<G>(f, d, b, {to + chunk.offset(), this->axis.stride}, reflect, stream);
    } else {
      back<G>(f, d, b, lines, reflect, false);
      deliver(chunk, d);
    }
  }

  template <int G>
  void deliver(const Chunk<T, G>& chunk, const T* lines) const {
    if (stream) {
      chunk.template put<Put::stream>(lines, to);
    } else {
      chunk.template put<Put::store>(lines, to);
    }
  }

  // Keeps the solution, adds the gradient, and only then reflects.
  template <int G, bool kHarmonic>
  void differentiate(const Chunk<T, G>& chunk, const Factors<T>& f, Lines<const T> k,
                     Lines<const T> b, T* d) const {
    constexpr int64_t pitch = Chunk<T, G>::pitch;
    const int64_t n = this->axis.n;
    back<G>(f, d, b, {d, pitch}, false, false);
    if (solution) chunk.template put<Put::store>(d, solution);
    if (gk) {
      const Lines<const T> q = chunk.fetch(state, this->buffer(6));
      T* sums = this->buffer(7);
      if (chunk.in_place()) {
        add_face_gradient<T, G, kHarmonic>(k, {d, pitch}, q, static_cast<T>(weight), this->boundary,
                                           {gk + chunk.offset(), this->axis.stride}, n);
      } else {
        std::memset(sums, 0, static_cast<size_t>(n * pitch) * sizeof(T));
        add_face_gradient<T, G, kHarmonic>(k, {d, pitch}, q, static_cast<T>(weight), this->boundary,
                                           {sums, pitch}, n);
        chunk.template put<Put::add>(sums, gk);
      }
    }
    if (!to) return;
    if (reflect) {
      for (int64_t i = 0; i < n; ++i) {
        for (int g = 0; g < G; ++g) {
          T* x = d + i * pitch + g * kLanes<T>;
          finish<T, Finish::reflect>(x, load(x), b.at + i * b.pitch + g * kLanes<T>);
        }
      }
    }
    deliver(chunk, d);
  }

  template <int G, Finish kFinish>
  void back_as(const Factors<T>& f, T* d, Lines<const T> b, Lines<T> x) const {
    const int64_t n = this->axis.n;
    if (this->boundary == Boundary::periodic) {
      substitute_back<T, G, Finish::plain>(f.c, d, b, {d, Chunk<T, G>::pitch}, n);
      close_ring<T, G, kFinish>(d, f.z, b, x, n);
    } else {
      substitute_back<T, G, kFinish>(f.c, d, b, x, n);
    }
  }

  template <int G>
  void back(const Factors<T>& f, T* d, Lines<const T> b, Lines<T> x, bool reflects,
            bool streams) const {
    if (reflects) {
      if (streams) return back_as<G, Finish::stream_reflect>(f, d, b, x);
      return back_as<G, Finish::reflect>(f, d, b, x);
    }
    if (streams) return back_as<G, Finish::stream>(f, d, b, x);
    back_as<G, Finish::plain>(f, d, b, x);
  }
};

// to += tau A from.
template <class T>
struct FluxStep : AxisOperator<T> {
  const T* from;
  T* to;

  template <int G>
  void run(const Chunk<T, G>& chunk) const {
    const Lines<const T> k = chunk.fetch(this->k, this->buffer(0));
    const Lines<const T> x = chunk.fetch(from, this->buffer(1));
    if (chunk.in_place()) return add(chunk, k, x, {to + chunk.offset(), this->axis.stride});
    T* sums = this->buffer(7);
    constexpr int64_t pitch = Chunk<T, G>::pitch;
    std::memset(sums, 0, static_cast<size_t>(this->axis.n * pitch) * sizeof(T));
    add(chunk, k, x, {sums, pitch});
    chunk.template put<Put::add>(sums, to);
  }

 private:
  template <int G>
  void add(const Chunk<T, G>&, Lines<const T> k, Lines<const T> x, Lines<T> sums) const {
    const int64_t n = this->axis.n;
    if (this->harmonic) {
      add_flux_divergence<T, G, true>(k, this->scale(), x, this->boundary, sums, n);
    } else {
      add_flux_divergence<T, G, false>(k, this->scale(), x, this->boundary, sums, n);
    }
  }
};

// gk += gradient of tau <p, A q> in k.
template <class T>
struct FaceGradientStep : AxisOperator<T> {
  const T *p, *q;
  T* gk;

  template <int G>
  void run(const Chunk<T, G>& chunk) const {
    const Lines<const T> k = chunk.fetch(this->k, this->buffer(0));
    const Lines<const T> pl = chunk.fetch(p, this->buffer(1));
    const Lines<const T> ql = chunk.fetch(q, this->buffer(6));
    if (chunk.in_place()) return add(chunk, k, pl, ql, {gk + chunk.offset(), this->axis.stride});
    T* sums = this->buffer(7);
    constexpr int64_t pitch = Chunk<T, G>::pitch;
    std::memset(sums, 0, static_cast<size_t>(this->axis.n * pitch) * sizeof(T));
    add(chunk, k, pl, ql, {sums, pitch});
    chunk.template put<Put::add>(sums, gk);
  }

 private:
  template <int G>
  void add(const Chunk<T, G>&, Lines<const T> k, Lines<const T> pl, Lines<const T> ql,
           Lines<T> sums) const {
    const int64_t n = this->axis.n;
    const T weight = static_cast<T>(this->tau);
    if (this->harmonic) {
      add_face_gradient<T, G, true>(k, pl, ql, weight, this->boundary, sums, n);
    } else {
      add_face_gradient<T, G, false>(k, pl, ql, weight, this->boundary, sums, n);
    }
  }
};

}  // namespace fluxion::cpu::FLUXION_TARGET
