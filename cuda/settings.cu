#include "settings.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#if !defined(__CUDACC__)
#include "host_runtime.h"
#endif

namespace fluxion::cuda {
namespace {

// The number that stands in the environment, one of `allowed`; the first of them where there is none.
bool read_choice(const char* name, std::initializer_list<int> allowed, int* value, char* reason,
                 size_t reason_bytes) {
  *value = *allowed.begin();
  const char* text = std::getenv(name);
  if (!text) return true;
  char list[32] = {};
  for (const int each : allowed) {
    char number[12];
    std::snprintf(number, sizeof number, "%d", each);
    if (std::strcmp(text, number) == 0) {
      *value = each;
      return true;
    }
    if (list[0] != 0) std::strcat(list, ", ");
    std::strcat(list, number);
  }
  std::snprintf(reason, reason_bytes, "%s must be one of %s, got '%s'", name, list, text);
  return false;
}

}  // namespace

bool read_settings(Settings* settings, char* reason, size_t reason_bytes) {
  int synchronous = 0;
  if (!read_choice("FLUXION_CUDA_TF32", {0, 1, 3}, &settings->tensor_terms, reason, reason_bytes) ||
      !read_choice("FLUXION_CUDA_SYNC", {0, 1}, &synchronous, reason, reason_bytes)) {
    return false;
  }
  settings->synchronous = synchronous != 0;
#if defined(__CUDACC__)
  return true;
#else
  return host::read_settings(reason, reason_bytes);
#endif
}

}  // namespace fluxion::cuda
