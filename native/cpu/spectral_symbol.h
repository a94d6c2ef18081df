// Tables of the factors of spectral diffusion and of their derivatives in the diffusivity, in the layout of
// the transform along x: [vector of rows][k along x][lane]. line_scale, which makes synthesis invert analysis
// and is the weight of inner products too, is part of both. Read once per instruction set,
// after simd.h, vector_math.h, line_spectrum.h.

namespace fluxion::cpu::FLUXION_TARGET {

// Of all coefficients of each axis, in double: eigenvalue and scale.
class SymbolAxes {
 public:
  SymbolAxes(const SpectralDiffusionParams& p, const SpectralGrid& grid, double* memory) {
    const double spacing[3] = {p.dx, p.dy, p.dz};
    for (int i = 0; i < 3; ++i) {
      lambda_[i] = memory;
      scale_[i] = memory + grid.n[i];
      for (int64_t k = 0; k < grid.n[i]; ++k) {
        const bool real = i < grid.dims;  // an axis that is not there has one cell
        memory[k] = real ? eigenvalue(p, grid.n[i], k, spacing[i]) : 0;
        memory[grid.n[i] + k] = real ? line_scale(p.boundary, grid.n[i], k) : 1;
      }
      memory += 2 * grid.n[i];
    }
    end_ = memory;
  }
  double lambda(int axis, int64_t k) const { return lambda_[axis][k]; }
  double scale(int axis, int64_t k) const { return scale_[axis][k]; }
  double* end() const { return end_; }  // the workspace behind

 private:
  static double eigenvalue(const SpectralDiffusionParams& p, int64_t n, int64_t k, double dx) {
    const double pi = 3.14159265358979323846, cells = static_cast<double>(n);
    double angle = pi * static_cast<double>(k) / cells;  // between neighbouring cells
    if (p.boundary == Boundary::dirichlet) angle = pi * static_cast<double>(k + 1) / (cells + 1);
    if (p.boundary == Boundary::periodic)
      angle = 2 * pi * static_cast<double>(std::min(k, n - k)) / cells;
    const double w = p.symbol == SpectralSymbol::continuous ? angle : 2 * std::sin(angle / 2);
    return w * w / (dx * dx);
  }

  const double *lambda_[3], *scale_[3];
  double* end_;
};

// How the diffusivity of a channel enters: z = factor * (sum axis_i lambda_i)^power.
struct ChannelRates {
  double axis[3] = {}, factor = 0;
  double derivative[3] = {};  // dz/dk_i over dt (...)^(power - 1) lambda_i, or over dt (...)^power
  ChannelRates() = default;
  ChannelRates(const SpectralDiffusionParams& p, bool anisotropic, int dims, const double* k)
      : factor(anisotropic ? p.dt : p.dt * k[0]) {
    for (int i = 0; i < dims; ++i) {
      const bool plain = !anisotropic || p.power == 1;
      axis[i] = !anisotropic ? 1 : (plain ? k[i] : std::pow(k[i], 1 / p.power));
      derivative[i] = plain ? 1 : std::pow(k[i], 1 / p.power - 1);
    }
  }
};

// Numbers of one vector of rows; scale is 0 for rows that are not there.
template <class T>
struct RowLanes {
  T base[kLanes<T>];    // sum of axis_i lambda_i over the axes but x
  T factor[kLanes<T>];  // ChannelRates::factor
  T scale[kLanes<T>];
};

template <class T>
struct SymbolTables {
  T *factor = nullptr, *slope = nullptr;                   // slope: null without gradient
  T *base = nullptr, *scale = nullptr, *lambda = nullptr;  // [columns]
  int64_t columns = 0;
  SymbolTables() = default;
  SymbolTables(void* memory, const SpectralScratch& sizes) : columns(sizes.columns) {
    const int64_t table = sizes.lane_rows * columns;
    const int64_t column = SpectralGrid::padded(columns, sizeof(T));
    factor = static_cast<T*>(memory);
    slope = sizes.gradient ? factor + table : nullptr;
    base = factor + (sizes.gradient ? 2 : 1) * table;
    scale = base + column;
    lambda = scale + column;
  }
  // Coefficients of the rows row.. with their factors.
  ScaledPair<T> scaled(const LinePair<T>& c, int64_t row, int count_b) const {
    const T* a = factor + row * columns;
    return {c.a, c.b, c.stride, a, count_b ? a + kLanes<T> * columns : a};
  }
};

template <class T>
inline Vec<T> exponential(Vec<T> x) {
  T lane[kLanes<T>];
  store(lane, x);
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = vexp(lane[i]);
  return load(lane);
}

inline float positive_power(float x, float p) { return vpow_positive(x, p); }
inline double positive_power(double x, double p) { return std::pow(x, p); }

// x^p for x >= 0, kept finite: a factor that has vanished times it is 0, not NaN.
template <class T>
inline Vec<T> powers(Vec<T> x, T p) {
  constexpr T largest = std::numeric_limits<T>::max() / 4;
  constexpr T smallest = std::numeric_limits<T>::min();
  T lane[kLanes<T>];
  store(lane, x);
  for (int i = 0; i < kLanes<T>; ++i) {
    const T y = positive_power(lane[i] > smallest ? lane[i] : T(1), p);
    const T finite = y < largest ? y : largest;
    lane[i] = lane[i] > smallest ? finite : T(0);
  }
  return load(lane);
}

// One vector of rows of the tables. Slope: factor'(z) dz/dk, where dz/dk is dt b^power of an isotropic
// diffusivity and dt b^(power - 1) of another, whose lambda_i come later.
template <class T, SpectralScheme kScheme>
inline void fill_rows(T power, T dt, bool anisotropic, const SymbolTables<T>& t,
                      const RowLanes<T>& rows, T* factor, T* slope) {
  constexpr int w = kLanes<T>;
  const Vec<T> row_base = load(rows.base), row_factor = load(rows.factor);
  const Vec<T> row_scale = load(rows.scale);
  const Vec<T> one = broadcast(T(1));
  for (int64_t k = 0; k < t.columns; ++k) {
    const Vec<T> b = t.base[k] + row_base;
    const Vec<T> raised = power == T(1) ? b : powers<T>(b, power);
    const Vec<T> z = row_factor * raised;
    Vec<T> value,
        first;  // the factor, and a root of minus its derivative or (exponential) all of it
    if constexpr (kScheme == SpectralScheme::backward_euler) {
      value = first = one / (one + z);
    } else if constexpr (kScheme == SpectralScheme::crank_nicolson) {
      first = one / (one + T(0.5) * z);
      value = first + first - one;
    } else {
      value = exponential<T>(-z);
      first = one;
    }
    const Vec<T> scale = t.scale[k] * row_scale;
    store(factor + k * w, value * scale);
    if (!slope) continue;
    Vec<T> inner = raised;
    if (anisotropic && power == T(1)) inner = one;
    if (anisotropic && power != T(1)) {
      const auto positive = b > Vec<T>{};
      inner = positive ? raised / (positive ? b : one) : Vec<T>{};
    }
    const Vec<T> second = kScheme == SpectralScheme::exponential ? value : first;
    store(slope + k * w, (inner * first) * second * (-dt * scale));
  }
}

template <class T>
inline void fill_rows(const SpectralDiffusionParams& p, bool anisotropic, const SymbolTables<T>& t,
                      const RowLanes<T>& rows, T* factor, T* slope) {
  const T power = static_cast<T>(p.power), dt = static_cast<T>(p.dt);
  switch (p.scheme) {
    case SpectralScheme::backward_euler:
      return fill_rows<T, SpectralScheme::backward_euler>(power, dt, anisotropic, t, rows, factor,
                                                          slope);
    case SpectralScheme::crank_nicolson:
      return fill_rows<T, SpectralScheme::crank_nicolson>(power, dt, anisotropic, t, rows, factor,
                                                          slope);
    case SpectralScheme::exponential:
      return fill_rows<T, SpectralScheme::exponential>(power, dt, anisotropic, t, rows, factor,
                                                       slope);
  }
}

template <class T>
inline void fill_columns(const SymbolAxes& axes, double rate, const SymbolTables<T>& t) {
  for (int64_t k = 0; k < t.columns; ++k) {
    t.base[k] = static_cast<T>(rate * axes.lambda(0, k));
    t.scale[k] = static_cast<T>(axes.scale(0, k));
    t.lambda[k] = static_cast<T>(axes.lambda(0, k));
  }
}

// The tables of one channel for planes and volumes; rows that are not there get 0.
template <class T>
inline void fill_plane_tables(const SpectralDiffusionParams& p, const SymbolAxes& axes,
                              const SpectralGrid& grid, bool anisotropic, const ChannelRates& rates,
                              const SymbolTables<T>& t) {
  fill_columns(axes, rates.axis[0], t);
  for (int64_t first = 0; first < grid.rows; first += kLanes<T>) {
    RowLanes<T> rows;
    for (int i = 0; i < kLanes<T>; ++i) {
      const int64_t row = std::min(first + i, grid.rows - 1);
      const int64_t y = row % grid.n[1], z = row / grid.n[1];
      const double present = first + i < grid.rows ? 1 : 0;
      rows.base[i] =
          static_cast<T>(rates.axis[1] * axes.lambda(1, y) + rates.axis[2] * axes.lambda(2, z));
      rows.factor[i] = static_cast<T>(rates.factor);
      rows.scale[i] = static_cast<T>(present * axes.scale(1, y) * axes.scale(2, z));
    }
    const int64_t at = first * t.columns;
    fill_rows(p, anisotropic, t, rows, t.factor + at, t.slope ? t.slope + at : nullptr);
  }
}

// The tables of two vectors of lines, each of a channel of its own.
template <class T>
inline void fill_line_tables(const SpectralDiffusionParams& p, const SymbolAxes& axes,
                             const ChannelRates* rates, const SymbolTables<T>& t) {
  fill_columns(axes, 1, t);
  for (int half = 0; half < 2; ++half) {
    RowLanes<T> rows;
    for (int i = 0; i < kLanes<T>; ++i) {
      rows.base[i] = T(0);
      rows.factor[i] = static_cast<T>(rates[half * kLanes<T> + i].factor);
      rows.scale[i] = T(1);
    }
    const int64_t at = half * kLanes<T> * t.columns;
    fill_rows(p, false, t, rows, t.factor + at, t.slope ? t.slope + at : nullptr);
  }
}

// For each lane (row) of two vectors, sums along x of P = slope u g, and of P lambda_x.
template <class T>
struct LaneSums {
  Vec<T> a, b, along_a, along_b;
};

template <class T>
inline LaneSums<T> slope_products(const SymbolTables<T>& t, int64_t row, int count_b,
                                  const LinePair<T>& u, const LinePair<T>& g) {
  constexpr int w = kLanes<T>;
  const T* slope_a = t.slope + row * t.columns;
  const T* slope_b = count_b ? slope_a + w * t.columns : slope_a;
  LaneSums<T> sums = {};
  for (int64_t k = 0; k < t.columns; ++k) {
    const Vec<T> a = load(slope_a + k * w) * load(u.a + k * w) * load(g.a + k * w);
    const Vec<T> b = load(slope_b + k * w) * load(u.b + k * w) * load(g.b + k * w);
    sums.a += a;
    sums.b += b;
    sums.along_a += t.lambda[k] * a;
    sums.along_b += t.lambda[k] * b;
  }
  return sums;
}

// Adds the sums of rows row.. to those of the plane: one number, or one for each axis.
template <class T>
inline void add_axis_sums(const SymbolAxes& axes, const SpectralGrid& grid, bool anisotropic,
                          const LaneSums<T>& lanes, int64_t row, double* sums) {
  constexpr int w = kLanes<T>;
  T each[2 * w], along[2 * w];
  store(each, lanes.a);
  store(each + w, lanes.b);
  store(along, lanes.along_a);
  store(along + w, lanes.along_b);
  for (int i = 0; i < 2 * w && row + i < grid.rows; ++i) {
    if (!anisotropic) {
      sums[0] += static_cast<double>(each[i]);
      continue;
    }
    sums[0] += static_cast<double>(along[i]);
    sums[1] += static_cast<double>(each[i]) * axes.lambda(1, (row + i) % grid.n[1]);
    if (grid.dims == 3)
      sums[2] += static_cast<double>(each[i]) * axes.lambda(2, (row + i) / grid.n[1]);
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
