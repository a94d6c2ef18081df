// The linear half of the advection-diffusion-reaction step: its operands, the cached factors of the diffusion,
// and advection and diffusion of a sample as tiles [group][pixel][lane]. Read once per instruction set, after
// channel_gather.h and gemm.h.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
struct Step {
  const AdrStep2dParams& p;
  AdrSizes size;
  const T *u, *displacement, *diffusivity, *w1, *b1, *w2, *b2;
  bool shared_displacement;
  const T* factors = nullptr;  // of all groups: the lines along x, then along y

  Step(const AdrStep2dParams& params, const Kernel& call, int first)
      : p(params),
        size{call.in(first).shape[0], call.in(first).shape[1], call.in(first).shape[2],
             call.in(first).shape[3], call.in(first + 3).shape[0]},
        u(call.in(first).as<T>()),
        displacement(call.in(first + 1).as<T>()),
        diffusivity(call.in(first + 2).as<T>()),
        w1(call.in(first + 3).as<T>()),
        b1(call.in(first + 4).as<T>()),
        w2(call.in(first + 5).as<T>()),
        b2(call.in(first + 6).as<T>()),
        shared_displacement(call.in(first + 1).shape[0] == 1) {}

  int64_t groups() const { return ceil_div(size.channels, kLanes<T>); }
  int lanes_of(int64_t group) const {
    return static_cast<int>(std::min<int64_t>(kLanes<T>, size.channels - group * kLanes<T>));
  }
  int64_t group_size() const { return kLanes<T> * size.pixels(); }
  const T* displacement_of(int64_t sample) const {
    return displacement + (shared_displacement ? 0 : sample * 2 * size.pixels());
  }
  const T* planes(const T* field, int64_t sample, int64_t group) const {
    return field + (sample * size.channels + group * kLanes<T>)*size.pixels();
  }

  int64_t factor_step() const {
    return tile_factor_size<T>(size.columns) + tile_factor_size<T>(size.rows);
  }
  TileFactors<T> along_x(int64_t group) const {
    return tile_factors_at(factors + group * factor_step(), size.columns, p.diffusion_boundary);
  }
  TileFactors<T> along_y(int64_t group) const {
    const T* table = factors + group * factor_step() + tile_factor_size<T>(size.columns);
    return tile_factors_at(table, size.rows, p.diffusion_boundary);
  }

  // False without memory.
  bool prepare_factors(const Kernel& call) {
    const int64_t longest = std::max(size.rows, size.columns);
    PlanKey key("adr diffusion");
    key.add(size.channels).add(size.rows).add(size.columns).add(sizeof(T)).add(kLanes<T>);
    key.add(p.dt).add(p.dx).add(p.dy).add(p.diffusion_boundary);
    key.add(diffusivity, static_cast<size_t>(2 * size.channels) * sizeof(T));
    const size_t bytes = static_cast<size_t>(groups() * factor_step()) * sizeof(T) + 64;
    const size_t lines = static_cast<size_t>(line_factor_count(longest)) * sizeof(double);
    factors = static_cast<const T*>(call.plans->find(key.text(), bytes + lines, [&](void* to) {
      factor_groups(static_cast<T*>(to),
                    reinterpret_cast<double*>(static_cast<char*>(to) + bytes / 64 * 64));
    }));
    return factors != nullptr;
  }

  void factor_groups(T* to, double* line) const {
    for (int64_t group = 0; group < groups(); ++group, to += factor_step()) {
      for (int axis = 0; axis < 2; ++axis) {
        const double spacing = axis == 0 ? p.dx : p.dy;
        double rates[kLanes<T>] = {};
        for (int lane = 0; lane < lanes_of(group); ++lane) {
          rates[lane] = static_cast<double>(diffusivity[2 * (group * kLanes<T> + lane) + axis]) *
                        p.dt / (spacing * spacing);
        }
        factor_tile(rates, axis == 0 ? size.columns : size.rows, p.diffusion_boundary, line,
                    axis == 0 ? to : to + tile_factor_size<T>(size.columns));
      }
    }
  }

  void diffuse_x(const T* from, T* to, int64_t group) const {
    constexpr int w = kLanes<T>;
    solve_tile(from, to, w, size.columns * w, size.columns, size.rows, along_x(group));
  }
  void diffuse_y(const T* from, T* to, int64_t group) const {
    constexpr int w = kLanes<T>;
    solve_tile(from, to, size.columns * w, w, size.rows, size.columns, along_y(group));
  }

  // The field after advection and diffusion as tiles [group][pixel][lane].
  void transport(int64_t sample, const PixelTap<T>* taps, T* work, T* field) const {
    for (int64_t group = 0; group < groups(); ++group) {
      T* tile = field + group * group_size();
      load_tile(planes(u, sample, group), size.pixels(), lanes_of(group), work);
      gather_tile(work, size.pixels(), taps, tile);
      diffuse_x(tile, tile, group);
      diffuse_y(tile, tile, group);
    }
  }

  // Panel [channel][pixel] of `valid` pixels from `first` on, out of the tiles; the others are zero.
  void read_panel(const T* field, int64_t first, int valid, T* panel) const {
    if (valid < kTileCols<T>) std::fill_n(panel, groups() * kLanes<T> * kTileCols<T>, T(0));
    for (int64_t group = 0; group < groups(); ++group) {
      store_transposed<T>(field + group * group_size() + first * kLanes<T>, kLanes<T>, kLanes<T>,
                          valid, panel + group * kLanes<T> * kTileCols<T>, kTileCols<T>, nullptr);
    }
  }
};

// Cuts memory into arrays that begin at multiples of 64 bytes.
template <class T>
struct Arena {
  T* next;
  T* take(int64_t elements) { return std::exchange(next, next + round_up(elements, 16)); }
};

}  // namespace fluxion::cpu::FLUXION_TARGET
