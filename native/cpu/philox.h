// Philox 4x32-10: ten rounds of a keyed bijection of 128-bit counters. Salmon, Moraes, Dror, Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011; the constants are theirs.
#pragma once

#include <cstdint>

namespace fluxion::cpu {

struct PhiloxBlock {
  uint32_t x0, x1, x2, x3;
};

// The rounds are unrolled by recursion: a loop here would keep the loop over counters from being vectorised.
template <int kRounds = 10>
inline __attribute__((always_inline)) PhiloxBlock philox(PhiloxBlock c, uint32_t key0,
                                                         uint32_t key1) {
  if constexpr (kRounds == 0) {
    return c;
  } else {
    const uint64_t a = uint64_t{0xD2511F53u} * c.x0, b = uint64_t{0xCD9E8D57u} * c.x2;
    return philox<kRounds - 1>(
        {static_cast<uint32_t>(b >> 32) ^ c.x1 ^ key0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c.x3 ^ key1, static_cast<uint32_t>(a)},
        key0 + 0x9E3779B9u, key1 + 0xBB67AE85u);  // golden ratio, sqrt(3) - 1
  }
}

}  // namespace fluxion::cpu
