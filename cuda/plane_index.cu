// The fault of planes too large to be counted in 32 bits.
#include "plane_index.h"

namespace fluxion::cuda {
namespace {

// Half of what 32 bits count, so that a position beside a plane can be counted too.
constexpr int64_t kCells = int64_t{1} << 30;

__global__ void refuse(FaultSite site, int64_t cells) {
  if (threadIdx.x == 0) record_fault(site, cells, kCells);
}

}  // namespace

bool countable_plane(const Kernel& call, int64_t cells) {
  if (cells <= kCells) return true;
  call.launch(refuse, {1, kWarp},
              call.fault_site(ErrorCode::Unsupported,
                              "a channel of %lld cells: on this device at most %lld"),
              cells);
  return false;
}

}  // namespace fluxion::cuda
