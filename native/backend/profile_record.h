// What a device says about one op or copy that its queue ran while a profile was taken.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor_view.h"

namespace fluxion {

// In the place of an op: a copy to the host, one from it, a captured step.
inline constexpr int32_t kProfileRead = -1, kProfileWrite = -2, kProfileReplay = -3;

struct ProfileRecord {
  static constexpr int kShapes =
      5;                 // of the first inputs and, last, of the first output that is computed
  int32_t op;            // OpId, or one of the above
  bool inlined;          // ran on the calling thread
  int64_t begin, end;    // ns of the host's steady clock
  uint64_t bytes;        // of distinct elements of all operands
  int8_t ndim[kShapes];  // -1: absent
  int32_t size[kShapes][8];

  void describe_copy(size_t n) {
    bytes = n;
    for (int8_t& each : ndim) each = -1;
  }

  void describe(const TensorView* inputs, int n_inputs, const TensorView* outputs, int n_outputs) {
    bytes = 0;
    for (int i = 0; i < n_inputs; ++i) bytes += bytes_behind(inputs[i]);
    const TensorView* first = nullptr;
    for (int i = 0; i < n_outputs; ++i) {
      bytes += bytes_behind(outputs[i]);
      if (!first && outputs[i].data) first = &outputs[i];
    }
    for (int i = 0; i + 1 < kShapes; ++i) write_shape(i, i < n_inputs ? &inputs[i] : nullptr);
    write_shape(kShapes - 1, first);
  }

 private:
  // Elements that lie behind a view: an axis of stride 0 repeats them.
  static uint64_t bytes_behind(const TensorView& view) {
    if (!view.data || view.scalar) return 0;
    uint64_t count = size_of(view.dtype);
    for (int i = 0; i < view.ndim(); ++i) {
      if (view.strides.dim[i] != 0 || view.shape[i] == 0)
        count *= static_cast<uint64_t>(view.shape[i]);
    }
    return count;
  }

  void write_shape(int slot, const TensorView* view) {
    ndim[slot] = -1;
    if (!view || !view->data || view->scalar) return;
    ndim[slot] = static_cast<int8_t>(view->ndim());
    for (int i = 0; i < view->ndim(); ++i) size[slot][i] = static_cast<int32_t>(view->shape[i]);
  }
};

}  // namespace fluxion
