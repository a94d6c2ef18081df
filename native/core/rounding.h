// Integer division and rounding upwards.
#pragma once

#include <cstdint>

namespace fluxion {

inline int64_t ceil_div(int64_t n, int64_t d) { return (n + d - 1) / d; }
inline int64_t round_up(int64_t n, int64_t multiple) { return ceil_div(n, multiple) * multiple; }

}  // namespace fluxion
