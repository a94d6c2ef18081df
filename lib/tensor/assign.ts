import { FluxionError, show } from '../errors';
import { type Handle, releaseHandle, retain, runOne } from './handle';
import { opNumber } from './op-table';
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

const RESHAPE = opNumber('reshape');

/**
 * Makes a tensor the only owner of its handle, before an op that gives it new contents: the tape and copies
 * of a state that hold the same handle keep the old ones. Nothing is copied here; the memory now has two
 * owners, and the op writes the new contents elsewhere.
 */
export function ownHandle(tensor: Tensor): void {
  const shared = tensor.live('assign');
  if (shared.references === 1) return;
  tensor.handle = runOne(RESHAPE, [shared], { shape: shared.shape });
  releaseHandle(shared);
}
