// y = (x / 255 - mean[c]) / std[c] for bytes x [N, C, ...] to float32, with the three roundings of a loop on the
// host: a division, a subtraction and a division, none of which fuses with its neighbour.
// Decomposition: device/map.cuh, the numbers of a channel as broadcast operands. Bytes: 5 an element.
#include "map.h"
#include "ops/op.h"

namespace fluxion::cuda {
namespace {

struct NormalizeByte {
  __device__ float operator()(uint8_t x, float mean, float std) const {
    return (static_cast<float>(x) / 255.0f - mean) / std;
  }
};

}  // namespace

void k_normalize_bytes(const NoParams&, const Kernel& call) {
  const Shape& shape = call.in(0).shape;
  // [C] is seen as [C, 1, ...]: aligned at the last axis it broadcasts to the images.
  TensorView channels[2] = {call.in(1), call.in(2)};
  for (TensorView& view : channels) {
    for (int axis = 2; axis < shape.ndim; ++axis) {
      view.shape.push(1);
      view.strides.push(0);
    }
  }
  map_operands<float>(call, NormalizeByte{}, shape, call.out(0).as<float>(),
                      {&call.in(0), &channels[0], &channels[1]},
                      std::index_sequence_for<int, int, int>{}, operand_of<uint8_t>(call.in(0)),
                      operand_of<float>(channels[0]), operand_of<float>(channels[1]));
}

}  // namespace fluxion::cuda
