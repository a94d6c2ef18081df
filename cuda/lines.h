// Launches over lines along an axis (device/line.cuh): teams, blocks and whether lines are near.
#pragma once

#include "device/line.cuh"
#include "fold.h"

namespace fluxion::cuda {

inline constexpr int kLineBlock = 1024;  // threads of the largest block

struct LinePlan {
  LineSpace space{};
  bool near = false;  // a line fits the registers of its team
  Grid grid{};

  // `aligned`: all arrays begin at packs of 16 bytes; `pack` elements each.
  LinePlan(int64_t outer, int64_t n, int64_t inner, int pack, bool aligned) {
    LineSpace& s = space;
    s.n = n;
    s.inner = inner;
    s.lines = outer * inner;
    s.tiles = 1;
    if (s.lines == 0) return;
    const int64_t wanted = blocks_of(std::max<int64_t>(n, 1), kLineElements);
    if (inner == 1) {
      choose_rows(wanted);
      s.packs = aligned && n % pack == 0;
    } else {
      choose_columns(wanted);
    }
    const int64_t blocks = inner == 1 ? blocks_of(s.lines, s.width) : outer * s.tiles;
    grid = {blocks, s.team * s.width};
  }

  template <class... T>
  Grid with_shared() const {
    Grid grid_with = grid;
    grid_with.shared = (shared_bytes<T>(line_shared(space)) + ... + 0);
    return grid_with;
  }

 private:
  void choose_rows(int64_t wanted) {
    LineSpace& s = space;
    near = wanted <= kLineBlock;
    if (wanted <= kWarp) {
      s.team = static_cast<int>(power_of_two_from(wanted));
      s.width = kLineThreads / s.team;
    } else {
      s.team = near ? static_cast<int>(blocks_of(wanted, kWarp)) * kWarp : kLongLineThreads;
      s.width = 1;
    }
  }
  void choose_columns(int64_t wanted) {
    LineSpace& s = space;
    near = wanted <= kLineBlock / kWarp;
    s.team = static_cast<int>(near ? power_of_two_from(wanted) : kLongLineThreads / kWarp);
    const int64_t most = std::max(kWarp, kLineThreads / s.team);
    s.width = static_cast<int>(std::min(most, power_of_two_from(s.inner)));
    s.team = std::max(s.team, kWarp / s.width);
    s.tiles = blocks_of(s.inner, s.width);
  }
};

// [outer, n, inner] of a shape along an axis.
struct LineShape {
  int64_t outer = 1, n = 1, inner = 1;
  LineShape(const Shape& shape, int64_t dim) {
    for (int i = 0; i < shape.ndim; ++i) (i < dim ? outer : i == dim ? n : inner) *= shape[i];
  }
};

template <class... T>
bool aligned_packs(const T*... data) {
  return ((reinterpret_cast<uintptr_t>(data) % 16 == 0) && ...);
}

}  // namespace fluxion::cuda
