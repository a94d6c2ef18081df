import { FluxionError, show } from '../errors';
import { type Handle, releaseHandle, retain } from './handle';
import { sameShape } from './shape';
import type { Tensor } from './tensor';

/**
 * Gives a tensor new contents in place of its own, as optimizers and running statistics do. The tensor
 * keeps its identity, requiresGrad and grad; what the tape has saved of the old contents stays as it was.
 * `fresh` keeps its own reference and may be disposed of.
 */
export function assign(tensor: Tensor, fresh: Tensor): void {
  const handle = fresh.live('assign');
  if (!sameShape(handle.shape, tensor.shape) || handle.dtype !== tensor.dtype) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'assign',
      `value must be ${tensor.dtype} of shape ${show([...tensor.shape])}, got ${handle.dtype} of shape ${show([...handle.shape])}`,
    );
  }
  replaceHandle(tensor, handle);
}

/** As {@link assign} for contents of another dtype: Module.to. */
export function replaceHandle(tensor: Tensor, handle: Handle): void {
  const old = tensor.live('assign');
  tensor.handle = retain(handle);
  releaseHandle(old);
}
