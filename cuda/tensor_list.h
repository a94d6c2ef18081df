// Launches over many tensors (device/tensor_list.cuh): of the items of a variadic op those of one dtype, in
// groups whose table fits the memory of a list.
#pragma once

#include <vector>

#include "device/tensor_list.cuh"
#include "kernel.h"
#include "tuning.h"

namespace fluxion::cuda {

inline constexpr size_t kListedAtMost = (size_t{64} << 10) / sizeof(ListedTensors);

// The items of an op that gives new contents to some of its inputs (ops/optimizer.h): `item` inputs each, and
// behind all of them `updated` destinations each.
struct UpdatedItems {
  const Kernel& call;
  int item, updated, count;

  UpdatedItems(const Kernel& kernel, int inputs_of_item, int updated_of_item)
      : call(kernel),
        item(inputs_of_item),
        updated(updated_of_item),
        count(kernel.n_inputs / (item + updated)) {}
  const TensorView& from(int i, int j) const { return call.in(i * item + j); }
  const TensorView& to(int i, int j) const { return call.in(count * item + i * updated + j); }
};

struct TensorGroup {
  std::vector<ListedTensors> list;
  int64_t blocks = 0;

  void add(const UpdatedItems& items, int i) {
    ListedTensors each{};
    each.n = items.from(i, 0).size();
    each.first_block = blocks;
    uintptr_t bits = 0;
    for (int j = 0; j < items.item; ++j) {
      each.from[j] = items.from(i, j).data;
      bits |= reinterpret_cast<uintptr_t>(each.from[j]);
    }
    for (int j = 0; j < items.updated; ++j) {
      each.to[j] = items.to(i, j).data;
      bits |= reinterpret_cast<uintptr_t>(each.to[j]);
    }
    each.aligned = bits % 16 == 0;
    blocks += blocks_of(each.n, kStepElements);
    list.push_back(each);
  }
};

// Calls f(TypeTag<T>{}, list in device memory, entries, blocks) for every group; groups of float32 first.
template <class F>
void for_groups(const UpdatedItems& items, const F& f) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    TensorGroup group;
    const auto finish = [&] {
      if (group.list.empty()) return;
      const ListedTensors* list =
          items.call.list(group.list.data(), static_cast<int64_t>(group.list.size()));
      dispatch_floating(dtype, [&](auto tag) {
        f(tag, list, static_cast<int>(group.list.size()), group.blocks);
      });
      group = TensorGroup{};
    };
    for (int i = 0; i < items.count; ++i) {
      if (items.from(i, 0).dtype != dtype || items.from(i, 0).size() == 0) continue;
      group.add(items, i);
      if (group.list.size() == kListedAtMost) finish();
    }
    finish();
  }
}

}  // namespace fluxion::cuda
