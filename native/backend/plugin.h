// Looking for a device back end outside the addon (CUDA): a shared library with the C ABI of backend.h.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"

namespace fluxion {

struct PluginReport {
  const BackendApi* api = nullptr;
  std::vector<DeviceDescription> devices;
  std::string reason;  // why there are none
};

// Opens the library at `path` (or FLUXION_CUDA_PLUGIN where that is set), refuses another ABI or another
// list of ops, and asks for its devices. The library stays loaded. Never throws.
PluginReport probe_plugin(const std::string& path);

}  // namespace fluxion
