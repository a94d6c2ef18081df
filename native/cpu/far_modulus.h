// sqrt(re^2 + im^2) where the squares leave the range: in double, or of parts scaled by a power of two, which is exact.
// As in C, infinity wins over NaN. Not std::hypot, whose symbol would raise the glibc floor from 2.34 to 2.35.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace fluxion::cpu {

inline double far_modulus(float re, float im) {
  if (std::isinf(re) || std::isinf(im)) return std::numeric_limits<double>::infinity();
  const double x = re, y = im;
  return std::sqrt(x * x + y * y);
}
inline double far_modulus(double re, double im) {
  if (std::isinf(re) || std::isinf(im)) return std::numeric_limits<double>::infinity();
  const double larger = std::max(std::fabs(re), std::fabs(im));
  if (!(larger > 0)) return std::fabs(re + im);  // zero or NaN
  const int power = std::ilogb(larger);
  const double x = std::scalbn(re, -power), y = std::scalbn(im, -power);
  return std::scalbn(std::sqrt(x * x + y * y), power);
}

}  // namespace fluxion::cpu
