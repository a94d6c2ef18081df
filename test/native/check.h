// The smallest test harness: CHECK counts, and finish() reports and gives the exit status.
#pragma once

#include <cstdio>

namespace fluxion::test {

inline int passed = 0;
inline int failed = 0;

inline bool check(bool holds, const char* what, const char* file, int line) {
  if (holds) {
    ++passed;
  } else if (++failed <= 20) {  // the first ones say enough
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
  }
  return holds;
}

inline int finish() {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace fluxion::test

#define CHECK(condition) fluxion::test::check((condition), #condition, __FILE__, __LINE__)
