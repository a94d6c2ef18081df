// <condition_variable>, with wait() bound to its first version, which every libstdc++ since GCC 4.4 has. The current one
// (GLIBCXX_3.4.30, GCC 12) differs in noexcept alone and would keep the addon from loading on distributions that have
// glibc 2.34 but the libstdc++ of GCC 11. scripts/check-binary.mjs checks the floors.
#pragma once

#include <condition_variable>

#if defined(__GLIBC__) && defined(__GLIBCXX__) && (defined(__x86_64__) || defined(__aarch64__))
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE, "
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
#endif
