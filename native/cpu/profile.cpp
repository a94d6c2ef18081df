#include "cpu/profile.h"

#include <chrono>

#include "cpu/kernel.h"

namespace fluxion::cpu {
namespace {

// Elements that lie behind a view: an axis of stride 0 repeats them.
uint64_t bytes_behind(const TensorView& view) {
  if (!view.data || view.scalar) return 0;
  uint64_t count = size_of(view.dtype);
  for (int i = 0; i < view.ndim(); ++i) {
    if (view.strides.dim[i] != 0 || view.shape[i] == 0)
      count *= static_cast<uint64_t>(view.shape[i]);
  }
  return count;
}

void write_shape(ProfileRecord& record, int slot, const TensorView* view) {
  record.ndim[slot] = -1;
  if (!view || !view->data || view->scalar) return;
  record.ndim[slot] = static_cast<int8_t>(view->ndim());
  for (int i = 0; i < view->ndim(); ++i)
    record.size[slot][i] = static_cast<int32_t>(view->shape[i]);
}

}  // namespace

int64_t Profile::clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Profile::start(size_t capacity) {
  records_.clear();
  records_.reserve(capacity);
  capacity_ = capacity;
  dropped_ = 0;
  started_ = clock();
  on_ = true;
}

void Profile::stop() {
  on_ = false;
  records_ = {};
}

ProfileRecord* Profile::next(int32_t op, int64_t begin, bool inlined) {
  if (records_.size() == capacity_) {
    ++dropped_;
    return nullptr;
  }
  ProfileRecord& record = records_.emplace_back();
  record.op = op;
  record.inlined = inlined;
  record.begin = begin;
  record.end = clock();
  return &record;
}

void Profile::add(const Kernel& call, int64_t begin, bool inlined) {
  ProfileRecord* record = next(static_cast<int32_t>(call.op), begin, inlined);
  if (!record) return;
  record->bytes = 0;
  for (int i = 0; i < call.n_inputs; ++i) record->bytes += bytes_behind(call.in(i));
  const TensorView* first = nullptr;
  for (int i = 0; i < call.n_outputs; ++i) {
    record->bytes += bytes_behind(call.out(i));
    if (!first && call.out(i).data) first = &call.out(i);
  }
  const int last = ProfileRecord::kShapes - 1;
  for (int i = 0; i < last; ++i) write_shape(*record, i, i < call.n_inputs ? &call.in(i) : nullptr);
  write_shape(*record, last, first);
}

void Profile::add_copy(int32_t kind, size_t bytes, int64_t begin, bool inlined) {
  ProfileRecord* record = next(kind, begin, inlined);
  if (!record) return;
  record->bytes = 2 * bytes;
  for (int8_t& ndim : record->ndim) ndim = -1;
}

}  // namespace fluxion::cpu
