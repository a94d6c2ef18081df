// Memory of the CPU device: blocks, aligned to 64 bytes, in large pages where they are of some size.
#pragma once

#include <cstddef>

namespace fluxion::cpu {

// Null when there is none. Any thread may ask.
void* allocate_block(size_t bytes);
// The size is that of the request.
void release_block(void* memory, size_t bytes);

}  // namespace fluxion::cpu
