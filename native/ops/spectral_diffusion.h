// Spectral and stencil diffusion: parameters of the ops.
#pragma once

#include "ops/diffusion.h"
#include "ops/fft_plane.h"
#include "ops/op.h"

namespace fluxion {

enum class SpectralScheme : int32_t { backward_euler, crank_nicolson, exponential };
inline constexpr const char* kSpectralSchemeNames[] = {"backward-euler", "crank-nicolson",
                                                       "exponential"};

enum class SpectralSymbol : int32_t { discrete, continuous };
inline constexpr const char* kSpectralSymbolNames[] = {"discrete", "continuous"};

struct SpectralDiffusionParams {
  double dt, dx, dy, dz;
  Boundary boundary;
  SpectralScheme scheme;
  SpectralSymbol symbol;
  double power;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
    v("dx", dx);
    v("dy", dy);
    v("dz", dz);
    v.choice("boundary", boundary, kBoundaryNames);
    v.choice("scheme", scheme, kSpectralSchemeNames);
    v.choice("symbol", symbol, kSpectralSymbolNames);
    v("power", power);
  }
};

struct StencilDiffusionParams {
  double dt;
  template <class V>
  void visit(V& v) {
    v("dt", dt);
  }
};

// Elements of the line that stands in for n cells: a sine transform runs as one of twice the length.
inline int64_t spectral_line_length(int64_t n, Boundary boundary) {
  return boundary == Boundary::dirichlet ? 2 * n + 2 : n;
}

// The cells of [N, C, L], [N, C, H, W] or [N, C, D, H, W]; axis 0 is x, the last dimension.
struct SpectralGrid {
  int64_t batch, channels;
  int dims;
  int64_t n[3] = {1, 1, 1};
  int64_t rows, cells;  // lines along x of a plane or volume, and its cells
  explicit SpectralGrid(const Shape& shape)
      : batch(shape[0]), channels(shape[1]), dims(shape.ndim - 2) {
    for (int i = 0; i < dims; ++i) n[i] = shape[shape.ndim - 1 - i];
    rows = n[1] * n[2];
    cells = rows * n[0];
  }
  int64_t axis_cells() const { return n[0] + n[1] + n[2]; }
  // Distance between rows in scratch, in elements: a multiple of the widest vector.
  template <class T>
  int64_t pitch() const {
    return padded(n[0], sizeof(T));
  }
  static int64_t padded(int64_t count, size_t element) {
    const int64_t lanes = 64 / static_cast<int64_t>(element);
    return (count + lanes - 1) / lanes * lanes;
  }
};

// Bytes of the scratch of a thread: tables of the symbol, buffers of lines, planes between the axes.
struct SpectralScratch {
  int64_t lane_rows;  // rows of whole pairs of vectors
  int64_t columns, longest;
  size_t element, table, plane, transform;
  bool gradient;
  SpectralScratch(const SpectralGrid& grid, Boundary boundary, size_t bytes, bool vjp)
      : columns(grid.n[0]), longest(0), element(bytes), plane(0), transform(0), gradient(vjp) {
    const int64_t pair = 2 * 64 / static_cast<int64_t>(element);
    lane_rows = (grid.rows + pair - 1) / pair * pair;
    for (int i = 0; i < grid.dims; ++i) {
      const int64_t length = spectral_line_length(grid.n[i], boundary);
      longest = length > longest ? length : longest;
      const size_t own = fft_scratch_bytes(length);
      transform = own > transform ? own : transform;
    }
    table = static_cast<size_t>(lane_rows * columns) * element;
    if (grid.dims > 1)
      plane = static_cast<size_t>(grid.rows * SpectralGrid::padded(columns, element)) * element;
  }
  // Factors, their slopes, 3 numbers for each column.
  size_t symbol_bytes() const {
    const size_t column = static_cast<size_t>(SpectralGrid::padded(columns, element)) * element;
    return (gradient ? 2 : 1) * table + 3 * column;
  }
  // Two lines, coefficients of two; the transform's own, which holds coefficients too.
  size_t line_bytes() const {
    const size_t pair = 2 * static_cast<size_t>(longest) * 64;
    return 2 * pair + (transform > pair ? transform : pair);
  }
  size_t bytes() const { return symbol_bytes() + line_bytes() + (gradient ? 2 : 1) * plane; }
};

// Of stencil diffusion: cos and sin of the angle of every bin, along x (columns) and y (padded bins), and the
// weights of the latter.
inline int64_t stencil_angles(int64_t rows, int64_t columns) {
  return 2 * columns + 3 * plane_fft_pitch(rows, sizeof(float));
}
inline size_t stencil_table_bytes(int64_t rows, int64_t columns) {
  return static_cast<size_t>(stencil_angles(rows, columns)) * sizeof(double);
}

// Bytes of the scratch of a thread: factors and (gradient) products of spectra [columns][pitch], one or two
// half spectra, and what the transforms need.
struct StencilScratch {
  size_t table, spectrum, transform;
  bool gradient;
  StencilScratch(int64_t rows, int64_t columns, size_t element, bool vjp)
      : spectrum(plane_fft_spectrum_bytes(rows, columns, element)),
        transform(plane_fft_scratch_bytes(rows, columns, element)),
        gradient(vjp) {
    table = spectrum / 2;
  }
  size_t bytes() const { return (gradient ? 2 : 1) * (table + spectrum) + transform; }
};

}  // namespace fluxion
