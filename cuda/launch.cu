// What kernel.h declares, and how a kernel gets into the stream or into a graph of it.
#include "graph.h"
#include "ops/registry.h"
#include "queue.h"

namespace fluxion::cuda {

FaultSite Kernel::fault_site(ErrorCode code, const char* pattern) const {
  return {queue->fault_slot(), static_cast<int>(code), static_cast<int>(op), pattern};
}
void Kernel::refuse(const char* message) const { queue->refuse(message); }
int Kernel::multiprocessors() const { return queue->multiprocessors(); }
int Kernel::tensor_terms() const { return queue->tensor_terms(); }
size_t Kernel::shared_limit() const { return queue->shared_limit(); }
void Kernel::fill(void* memory, int byte, size_t bytes) const { queue->fill(memory, byte, bytes); }
void Kernel::copy(void* to, const void* from, size_t bytes) const { queue->copy(to, from, bytes); }
void* Kernel::scratch_bytes(size_t bytes) const { return queue->scratch(bytes); }
const void* Kernel::table_bytes(const std::string& key, size_t bytes,
                                const std::function<void(void*)>& fill_table) const {
  return queue->table(key, bytes, fill_table);
}
const void* Kernel::list_bytes(const void* values, size_t bytes) const {
  return queue->list(values, bytes);
}

// Beyond it the driver would see another grid: the sizes are cut to 32 bits.
bool Queue::fits(const Grid& grid) {
  if (grid.blocks < int64_t{1} << 31 && grid.blocks_y < 1 << 16) return true;
  refuse("tensors of so many parts have no kernel on a GPU; split them");
  return false;
}

#if defined(__CUDACC__)

void Kernel::enqueue(const Grid& grid, const void* kernel, void** args) const {
  queue->enqueue(grid, kernel, args);
}

void Queue::enqueue(const Grid& grid, const void* kernel, void** args) {
  if (op_failed_ || !fits(grid)) return;
  const char* name = kOps[static_cast<int>(op_)].name;
  constexpr size_t kAlwaysAllowed = size_t{48} << 10;
  if (grid.shared > kAlwaysAllowed &&
      !check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(grid.shared)),
             name)) {
    return;
  }
  const dim3 blocks(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.blocks_y), 1);
  const dim3 threads(static_cast<unsigned>(grid.threads), 1, 1);
  if (updating_) {
    if (update_at_ >= updating_->nodes.size()) return void(++update_at_);  // `update` then fails
    cudaKernelNodeParams params{};
    params.func = const_cast<void*>(kernel);
    params.gridDim = blocks;
    params.blockDim = threads;
    params.sharedMemBytes = static_cast<unsigned>(grid.shared);
    params.kernelParams = args;
    check(cudaGraphExecKernelNodeSetParams(updating_->executable, updating_->nodes[update_at_++],
                                           &params),
          name);
    return;
  }
  if (!check(cudaLaunchKernel(kernel, blocks, threads, args, grid.shared, stream_), name)) return;
  if (!capturing_) return;
  cudaStreamCaptureStatus status;
  const cudaGraphNode_t* last = nullptr;
  size_t count = 0;
  if (check(cudaStreamGetCaptureInfo(stream_, &status, nullptr, nullptr, &last, nullptr, &count),
            name)) {
    capturing_->nodes.push_back(count == 1 ? last[0] : nullptr);
  }
  ++capturing_->kernels;
}

#else

void Kernel::enqueue(const Grid& grid, std::function<void()> kernel) const {
  queue->enqueue(grid, std::move(kernel));
}

void Queue::enqueue(const Grid& grid, std::function<void()> kernel) {
  if (op_failed_ || !fits(grid)) return;
  const char* name = kOps[static_cast<int>(op_)].name;
  if (updating_) {
    check(host::replace_kernel(updating_->executable, update_at_++, std::move(kernel)), name);
    return;
  }
  check(host::launch(stream_, static_cast<unsigned>(grid.blocks),
                     static_cast<unsigned>(grid.blocks_y), static_cast<unsigned>(grid.threads),
                     grid.shared, std::move(kernel)),
        name);
  if (capturing_) ++capturing_->kernels;
}

#endif

}  // namespace fluxion::cuda
