// Streams through many arrays are slowed by the address translation more than by the memory where pages have 4 KB
// (an optimizer step over 60 tensors by 14 %), so blocks lie in large pages:
//   from 2 MB on       in a mapping of their own
//   from 16 KB on      one behind another in slabs of 8 MB, which go back to the system when all their blocks are
//                      released; until then the pages of a released block do
//   smaller            in the heap
// The engine keeps released blocks by size (backend/device.cpp), so nothing here has to be fast or to reuse.
#include "cpu/block_memory.h"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/rounding.h"

namespace fluxion::cpu {
namespace {

constexpr size_t kLine = 64;

#if defined(__linux__)
constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20, kSlab = size_t{8} << 20;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kSlabBlock =
    kHugePage;  // in the heap, where the sanitizer sees the ends of a block
#else
constexpr size_t kSlabBlock = size_t{16} << 10;
#endif

char* map_pages(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

char* map_large_pages(size_t bytes) {
  char* p = map_pages(bytes);
  if (p) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

class Slabs {
 public:
  void* allocate(size_t bytes) {
    const size_t taken = static_cast<size_t>(round_up(static_cast<int64_t>(bytes + kLine), kLine));
    std::lock_guard<std::mutex> lock(mutex_);
    if (!slab_ || used_ + taken > kSlab) {
      char* fresh = map_aligned();
      if (!fresh) return nullptr;
      if (slab_ && blocks_[address(slab_)] == 0) unmap(slab_);
      slab_ = fresh;
      used_ = 0;
      blocks_[address(slab_)] = 0;
    }
    void* block = slab_ + used_;
    used_ += taken;
    ++blocks_[address(slab_)];
    return block;
  }

  void release(void* memory, size_t bytes) {
    char* const block = static_cast<char*>(memory);
    char* const slab = block - address(block) % kSlab;
    std::lock_guard<std::mutex> lock(mutex_);
    if (--blocks_[address(slab)] > 0) return give_back(block, bytes);
    if (slab != slab_) return unmap(slab);
    used_ = 0;
  }

 private:
  static uintptr_t address(const char* p) { return reinterpret_cast<uintptr_t>(p); }

  // At a multiple of its size, so that a block finds its slab.
  static char* map_aligned() {
    char* p = map_pages(2 * kSlab);
    if (!p) return nullptr;
    const size_t before = (kSlab - address(p) % kSlab) % kSlab;
    if (before > 0) munmap(p, before);
    munmap(p + before + kSlab, kSlab - before);
    madvise(p + before, kSlab, MADV_HUGEPAGE);
    return p + before;
  }

  static void give_back(char* block, size_t bytes) {
    char* const first = block + (kPage - address(block) % kPage) % kPage;
    char* const end = block + bytes - address(block + bytes) % kPage;
    if (first < end) madvise(first, static_cast<size_t>(end - first), MADV_DONTNEED);
  }

  void unmap(char* slab) {
    blocks_.erase(address(slab));
    munmap(slab, kSlab);
  }

  std::mutex mutex_;
  std::unordered_map<uintptr_t, int> blocks_;  // how many of a slab are not released
  char* slab_ = nullptr;                       // that of the next block, which begins at used_
  size_t used_ = 0;
};

Slabs& slabs() {
  static Slabs* const all = new Slabs;  // outlives every device
  return *all;
}
#endif

}  // namespace

void* allocate_block(size_t bytes) {
#if defined(__linux__)
  if (bytes >= kHugePage) return map_large_pages(bytes);
  if (bytes >= kSlabBlock) return slabs().allocate(bytes);
#endif
  return std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine);
}

void release_block(void* memory, size_t bytes) {
#if defined(__linux__)
  if (bytes >= kHugePage) {
    munmap(memory, bytes);
    return;
  }
  if (bytes >= kSlabBlock) return slabs().release(memory, bytes);
#endif
  (void)bytes;
  std::free(memory);
}

}  // namespace fluxion::cpu
