// Bytes of images to float32, normalised for each channel: y = (x / 255 - mean[c]) / std[c]. One rounding to
// float32 for each of the three steps, so that a loop on the host gives the same bits.
#include "ops/op.h"

namespace fluxion {

void infer_normalize_bytes(const NoParams&, Infer& infer) {
  infer.require_dtype(0, "images", DType::u8);
  infer.require(infer.shape(0).ndim >= 2, ErrorCode::ShapeMismatch,
                "images must have shape [N, C, ...], got " + describe(infer.shape(0)));
  Shape channels;
  channels.push(infer.shape(0)[1]);
  for (const int i : {1, 2}) {
    const char* argument = i == 1 ? "mean" : "std";
    infer.require_dtype(i, argument, DType::f32);
    infer.require_shape(i, argument, channels);
  }
  infer.need_contiguous();
  infer.output(DType::f32, infer.shape(0));
  infer.work = infer.shape(0).size();
}

}  // namespace fluxion
