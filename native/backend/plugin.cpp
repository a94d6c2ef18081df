// The plug-in is opened on the first question after a device, so that a CPU user never loads it.
#include "backend/plugin.h"

#include <cstdlib>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "ops/registry.h"

namespace fluxion {
namespace {

#if defined(_WIN32)
void* open_library(const char* path, std::string* reason) {
  HMODULE library = LoadLibraryA(path);
  if (!library) *reason = format("cannot load %s: error %lu", path, GetLastError());
  return reinterpret_cast<void*>(library);
}
void* find_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
void* open_library(const char* path, std::string* reason) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) *reason = dlerror();
  return library;
}
void* find_symbol(void* library, const char* name) { return dlsym(library, name); }
#endif

}  // namespace

PluginReport probe_plugin(const std::string& given) {
  PluginReport report;
  const char* override_path = std::getenv("FLUXION_CUDA_PLUGIN");
  const std::string path = override_path ? override_path : given;
  if (path.empty()) {
    report.reason = "the CUDA plug-in is not installed (npm install fluxion-cuda-linux-x64)";
    return report;
  }
  void* library = open_library(path.c_str(), &report.reason);
  if (!library) return report;
  const BackendEntry entry =
      reinterpret_cast<BackendEntry>(find_symbol(library, kBackendEntryName));
  if (!entry) {
    report.reason = format("%s does not export %s", path.c_str(), kBackendEntryName);
    return report;
  }
  const BackendApi* api = entry();
  if (api->abi != kBackendAbi || api->fingerprint != registry_fingerprint()) {
    report.reason = format("%s was built for another version of fluxion (ABI %u, expected %u)",
                           path.c_str(), api->abi, kBackendAbi);
    return report;
  }
  char reason[256] = {};
  const int count = api->device_count(reason, sizeof reason);
  for (int i = 0; i < count; ++i) {
    DeviceDescription device{};
    if (api->describe(i, &device)) report.devices.push_back(device);
  }
  report.reason = reason;
  report.api = api;
  return report;
}

}  // namespace fluxion
