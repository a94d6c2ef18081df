import { FluxionError, requireArgument, show } from '../errors';
import { toTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { expandTo, reshapeOp } from './broadcast';
import { requireTensor } from './define';

/** @internal Throws unless a diffusivity is a tensor of the dtype of the field. */
export function requireDiffusivity(
  op: string,
  u: Tensor,
  diffusivity: unknown,
): asserts diffusivity is Tensor {
  requireTensor(op, diffusivity, 'diffusivity');
  if (diffusivity.dtype === u.dtype) return;
  throw new FluxionError(
    'FLUXION_DTYPE_MISMATCH',
    op,
    `diffusivity must be ${u.dtype} as the input, got ${diffusivity.dtype}`,
  );
}

/**
 * @internal A diffusivity that is constant in each channel, in the form of the ops: [C, 1] for a number, a
 * tensor without dimensions or [C], and [C, d] with the values along x, y and z as given.
 */
export function diffusivityTable(op: string, u: Tensor, diffusivity: Tensor | number): Tensor {
  const channels = u.shape[1]!;
  const axes = u.ndim - 2;
  if (typeof diffusivity === 'number') {
    requireArgument(
      Number.isFinite(diffusivity) && diffusivity >= 0,
      op,
      () => `diffusivity must be a finite number >= 0, got ${show(diffusivity)}`,
    );
    const value = toTypedArray(u.dtype, [diffusivity]);
    const one = new Tensor(upload(value, u.dtype, [1, 1], u.live(op).device));
    return expandTo(one, [channels, 1]);
  }
  requireDiffusivity(op, u, diffusivity);
  if (sameShape(diffusivity.shape, [channels, axes])) return diffusivity;
  if (diffusivity.ndim === 0) return expandTo(diffusivity, [channels, 1]);
  if (sameShape(diffusivity.shape, [channels])) {
    return reshapeOp([diffusivity], { shape: [channels, 1] });
  }
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    op,
    `diffusivity must have shape [${channels}] or [${channels}, ${axes}], got ${show([...diffusivity.shape])}`,
  );
}
