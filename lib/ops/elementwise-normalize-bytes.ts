import type { Tensor } from '../tensor/tensor';
import { defineOp } from './define';

const normalizeBytesOp = defineOp('normalize_bytes', {
  reason: 'its input is bytes; statistics of images are constants',
});

/**
 * Bytes of images [N, C, ...] as float32, for each channel: (byte / 255 - mean[c]) / std[c].
 *
 * mean and std are float32 [C]. Rounded to float32 after each of the three steps, as PyTorch's ToTensor and
 * Normalize do. Not differentiable. Cost: one read of the bytes, one write.
 *
 * Errors: FLUXION_DTYPE_MISMATCH, FLUXION_SHAPE_MISMATCH.
 */
export function normalizeBytes(images: Tensor, mean: Tensor, std: Tensor): Tensor {
  return normalizeBytesOp([images, mean, std], undefined);
}
