import { native } from '../native';
import { FluxionError, show } from '../errors';
import { type Handle, releaseHandle, retain, runMany, runOne } from './handle';
import { opNumber } from './op-table';
import { isPinned } from './recording';
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
  if (isPinned(handle.device)) {
    // A replay finds the tensor where it is: the new contents are written there.
    ownHandle(tensor);
    runMany(ASSIGN, [tensor.live('assign'), handle], undefined, 0, 0);
    return;
  }
  const old = tensor.live('assign');
  tensor.handle = retain(handle);
  releaseHandle(old);
}

const RESHAPE = opNumber('reshape');
const ASSIGN = opNumber('assign');

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

/** Writes the values of another tensor of the same device into the memory of a tensor, whoever shares it. */
export function overwrite(tensor: Tensor, values: Tensor): void {
  native.overwrite(tensor.live('assign').id, values.live('assign').id);
}
