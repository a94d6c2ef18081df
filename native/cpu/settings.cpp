#include "cpu/settings.h"

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cpu/cpu_backend.h"
#include "cpu/kernel_table.h"

namespace fluxion::cpu {

bool read_settings(Settings* settings, char* reason, size_t reason_bytes) {
  const unsigned cores = std::thread::hardware_concurrency();
  *settings = {cores ? static_cast<int>(cores) : 1, best_isa()};
  if (const char* text = std::getenv("FLUXION_NUM_THREADS")) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || n < 1 || n > 256) {
      std::snprintf(reason, reason_bytes,
                    "FLUXION_NUM_THREADS must be a number in [1, 256], got '%s'", text);
      return false;
    }
    settings->threads = static_cast<int>(n);
  }
  if (const char* name = std::getenv("FLUXION_ISA")) {
    settings->isa = find_isa(name);
    if (settings->isa < 0) {
      std::snprintf(reason, reason_bytes,
                    "FLUXION_ISA must be one of those of this machine (%s), got '%s'",
                    instruction_sets().c_str(), name);
      return false;
    }
  }
  return true;
}

std::string instruction_sets() {
  std::string names;
  for (int i = 0; i <= best_isa(); ++i) names += (i ? " " : "") + std::string(kIsaNames[i]);
  return names;
}

}  // namespace fluxion::cpu
