// Resampling of regular grids: parameters, and the weights of one axis, which infer (memory) and the kernels
// (tables) share.
//
// Output i of an axis reads a window of the input around the coordinate s = ratio (i + 1/2) - 1/2 (ratio i
// where the corners are aligned): 1 element (nearest), 2 (linear), 4 (cubic convolution, a = -3/4), or the
// mean of all that the output covers (area). Windows at the ends are shifted inside; their starts never
// decrease with i. So an axis is a banded matrix, and so is its transpose.
#pragma once

#include <algorithm>
#include <cmath>

#include "ops/op.h"

namespace fluxion {

enum class Resampling : int32_t { Nearest, NearestExact, Linear, Cubic, Area };
inline constexpr const char* kResamplingNames[] = {"nearest", "nearest-exact", "linear", "cubic",
                                                   "area"};

struct InterpolateParams {
  Shape size;  // of the output: the last one, two or three dimensions
  Resampling mode = Resampling::Nearest;
  bool align_corners = false;
  double scale_d = 0, scale_h = 0, scale_w = 0;  // 0: the quotient of the sizes
  template <class V>
  void visit(V& v) {
    v("size", size);
    v.choice("mode", mode, kResamplingNames);
    v("alignCorners", align_corners);
    v("scaleD", scale_d);
    v("scaleH", scale_h);
    v("scaleW", scale_w);
  }
};

struct InterpolateVjpParams : InterpolateParams {
  Shape input_shape;
  template <class V>
  void visit(V& v) {
    InterpolateParams::visit(v);
    v("inputShape", input_shape);
  }
};

struct InterpolationAxis {
  int64_t in, out;
  double ratio;
  int32_t mode;  // Resampling, as a plain integer: the struct is part of a key, byte by byte
  int16_t aligned;
  int16_t single;  // coordinates of the nearest element in float32, as PyTorch finds them

  InterpolationAxis(const InterpolateParams& p, double scale, int64_t from, int64_t to, bool is_f32)
      : in(from), out(to), mode(static_cast<int32_t>(p.mode)), aligned(p.align_corners) {
    single = is_f32 ? 1 : 0;
    if (aligned) {
      ratio = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
    } else {
      ratio = scale > 0 ? 1 / scale : static_cast<double>(in) / static_cast<double>(out);
    }
  }

  Resampling kind() const { return static_cast<Resampling>(mode); }
  bool identity() const {
    return in == out && (ratio == 1 || kind() == Resampling::Area || in == 1);
  }

  // Elements that an output reads at most.
  int64_t width() const {
    switch (kind()) {
      case Resampling::Linear:
        return std::min<int64_t>(2, in);
      case Resampling::Cubic:
        return std::min<int64_t>(4, in);
      case Resampling::Area:
        return std::min((in + out - 1) / out + 1, in);
      default:
        return 1;
    }
  }

  // The first of the width() elements of output i.
  int64_t start(int64_t i) const { return std::clamp<int64_t>(first(i), 0, in - width()); }

  // The weight of element j in output i, for j in its window.
  double weight(int64_t i, int64_t j) const {
    const int64_t begin = first(i);
    if (kind() == Resampling::Area) {
      const int64_t end = ((i + 1) * in + out - 1) / out;
      return j >= begin && j < end ? 1 / static_cast<double>(end - begin) : 0;
    }
    if (kind() == Resampling::Linear) {
      const double t = std::clamp(coordinate(i) - static_cast<double>(begin), 0.0, 1.0);
      return begin + 1 < in ? (j == begin ? 1 - t : j == begin + 1 ? t : 0) : (j == begin ? 1 : 0);
    }
    if (kind() != Resampling::Cubic) return 1;
    const double t = coordinate(i) - static_cast<double>(begin + 1);
    const double taps[4] = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    double sum = 0;  // beyond the ends stands the outermost element
    for (int k = 0; k < 4; ++k)
      if (std::clamp<int64_t>(begin + k, 0, in - 1) == j) sum += taps[k];
    return sum;
  }

 private:
  static constexpr double kCubic = -0.75;
  static double near(double t) { return ((kCubic + 2) * t - (kCubic + 3)) * t * t + 1; }
  static double far(double t) {
    return ((kCubic * t - 5 * kCubic) * t + 8 * kCubic) * t - 4 * kCubic;
  }

  double coordinate(int64_t i) const {
    if (aligned) return ratio * static_cast<double>(i);
    const double s = ratio * (static_cast<double>(i) + 0.5) - 0.5;
    return s < 0 && kind() != Resampling::Cubic ? 0 : s;
  }
  // The first element read, before windows are shifted inside.
  int64_t first(int64_t i) const {
    switch (kind()) {
      case Resampling::Linear:
        return std::min(static_cast<int64_t>(std::floor(coordinate(i))), in - 1);
      case Resampling::Cubic:
        return static_cast<int64_t>(std::floor(coordinate(i))) - 1;
      case Resampling::Area:
        return i * in / out;
      default:
        return nearest(i);
    }
  }
  int64_t nearest(int64_t i) const {
    const bool exact = kind() == Resampling::NearestExact;
    float at;
    if (single) {
      const float r = static_cast<float>(ratio), position = static_cast<float>(i);
      at = exact ? std::max(r * (position + 0.5f) - 0.5f, 0.0f) : r * position;
    } else {
      const double position = static_cast<double>(i);
      at = static_cast<float>(exact ? std::max(ratio * (position + 0.5) - 0.5, 0.0)
                                    : ratio * position);
    }
    if (exact) at += 0.5f;
    return std::min(static_cast<int64_t>(std::floor(at)), in - 1);
  }
};

// Outputs that read one element, at most: the width of the transposed band.
inline int64_t transposed_width(const InterpolationAxis& axis) {
  int64_t widest = 0, low = 0, high = 0;
  for (int64_t j = 0; j < axis.in; ++j) {
    while (high < axis.out && axis.start(high) <= j) ++high;
    while (low < high && axis.start(low) + axis.width() <= j) ++low;
    widest = std::max(widest, high - low);
  }
  return std::max<int64_t>(widest, 1);
}

// Rows of an image that are kept, stretched, while outputs need them: growing axes read a few at a time.
inline constexpr int64_t kKeptRows = 64;

// What one application does along the axes, forward (adjoint = false) or backward; missing axes have size 1.
struct InterpolationPlan {
  int64_t planes;  // images times channels
  InterpolationAxis d, h, w;
  bool adjoint;

  InterpolationPlan(const InterpolateParams& p, const Shape& x, bool adjoint_, bool is_f32)
      : planes(x[0] * x[1]),
        d(axis(p, x, 3, p.scale_d, is_f32)),
        h(axis(p, x, 2, p.scale_h, is_f32)),
        w(axis(p, x, 1, p.scale_w, is_f32)),
        adjoint(adjoint_) {
    // What is not resampled along an axis is one more plane or row.
    if (d.identity()) {
      planes *= d.in;
      d.in = d.out = 1;
    }
    if (h.identity() && d.in == 1 && d.out == 1) {
      h.in = h.out = planes * h.in;
      h.ratio = 1;
      planes = 1;
    }
  }

  int64_t from(const InterpolationAxis& a) const { return adjoint ? a.out : a.in; }
  int64_t to(const InterpolationAxis& a) const { return adjoint ? a.in : a.out; }
  int64_t width(const InterpolationAxis& a) const {
    return a.identity() ? 1 : adjoint ? transposed_width(a) : a.width();
  }
  bool depth() const { return d.in != 1 || d.out != 1; }
  // Rows are stretched before they are combined where that is fewer rows, and likewise planes.
  bool rows_first() const { return from(h) <= to(h) && width(h) <= kKeptRows; }
  bool planes_first() const { return from(d) <= to(d); }

  int64_t scratch_elements() const {
    if (!rows_first()) return padded(from(w));
    return (width(h) + 1) * padded(to(w));
  }
  // The field between the passes over planes and over depth.
  int64_t workspace_elements() const {
    if (!depth()) return 0;
    return planes_first() ? planes * from(d) * to(h) * to(w) : planes * to(d) * from(h) * from(w);
  }
  static int64_t padded(int64_t n) { return (n + 31) / 32 * 32; }

 private:
  static InterpolationAxis axis(const InterpolateParams& p, const Shape& x, int back, double scale,
                                bool is_f32) {
    const int i = p.size.ndim - back;
    return {p, scale, i < 0 ? 1 : x[x.ndim - back], i < 0 ? 1 : p.size[i], is_f32};
  }
};

}  // namespace fluxion
