import { FluxionError, requireArgument, show } from '../errors';
import { upload } from '../tensor/handle';
import { MAX_DIMS, requireShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { expandOp, reshapeOp } from './broadcast';
import {
  type OpFunction,
  axisOf,
  defineOp,
  listOf,
  requireDims,
  requireTensor,
  withDefaults,
} from './define';
import { cast } from './promote';
import { cat, slice, unsqueeze } from './shape';

// ---------------------------------------------------------------------------------------------------
// Indexing by a tensor

const indexSelectVjp: OpFunction<{ dim: number; size: number }> = defineOp<{
  dim: number;
  size: number;
}>('index_select_vjp', {
  saveInputs: [1],
  vjp: ({ g, input, params: { dim } }) => [indexSelectOp([g, input(1)], { dim }), null],
});

const indexSelectOp: OpFunction<{ dim: number }> = defineOp<{ dim: number }>('index_select', {
  saveInputs: [1],
  vjp: ({ g, input, shape, params: { dim } }) => [
    indexSelectVjp([g, input(1)], { dim, size: shape(0)[dim]! }),
    null,
  ],
});

/** uint8 indices widen to int32; an index of another dtype is an error of the op. */
function asIndex(op: string, index: Tensor): Tensor {
  requireTensor(op, index, 'index');
  return index.dtype === 'uint8' ? cast(index, 'int32') : index;
}

/**
 * The parts of `x` at the positions `index` (int32, one dimension) of dimension `dim`. Differentiable in x;
 * the adjoint adds up repeated positions in a fixed order. Cost: one read and one write of the result.
 *
 * Errors: FLUXION_INVALID_ARGUMENT at the next read for an index outside [0, size).
 */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  requireDims('indexSelect', x);
  const axis = axisOf('indexSelect', dim, x.ndim);
  return indexSelectOp([x, asIndex('indexSelect', index)], { dim: axis });
}

interface GatherVjpParams {
  dim: number;
  inputShape: readonly number[];
}

const gatherVjp: OpFunction<GatherVjpParams> = defineOp<GatherVjpParams>('gather_vjp', {
  saveInputs: [1],
  vjp: ({ g, input, params: { dim } }) => [gatherOp([g, input(1)], { dim }), null],
});

const gatherOp: OpFunction<{ dim: number }> = defineOp<{ dim: number }>('gather', {
  saveInputs: [1],
  vjp: ({ g, input, shape, params: { dim } }) => [
    gatherVjp([g, input(1)], { dim, inputShape: shape(0) }),
    null,
  ],
});

/**
 * out[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on: one index (int32) for each element of the
 * result, which has the shape of `index`. `index` has the dimensions of x and, except in `dim`, is not
 * larger. Differentiable in x; the adjoint adds up repeated positions in a fixed order.
 *
 * Errors: FLUXION_INVALID_ARGUMENT at the next read for an index outside [0, size).
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  requireDims('gather', x);
  return gatherOp([x, asIndex('gather', index)], { dim: axisOf('gather', dim, x.ndim) });
}

// ---------------------------------------------------------------------------------------------------
// Rearranging, composed of the above

/** Turns the order of elements round along dimensions. Differentiable. Cost: one copy a dimension. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  requireDims('flip', x);
  return listOf('flip', 'dims', dims).reduce((y, dim) => {
    const axis = axisOf('flip', dim, x.ndim, 'dims');
    const n = x.shape[axis]!;
    const order = upload(
      Int32Array.from({ length: n }, (_, i) => n - 1 - i),
      'int32',
      [n],
    );
    return indexSelectOp([y, new Tensor(order)], { dim: axis });
  }, x);
}

/**
 * Repeats a tensor repeats[i] times along dimension i; repeats may have more entries than x dimensions, which
 * stand for new ones in front. Differentiable. Cost: a copy for each dimension that grows.
 */
export function repeat(x: Tensor, repeats: readonly number[]): Tensor {
  requireTensor('repeat', x);
  requireShape('repeat', repeats);
  const added = repeats.length - x.ndim;
  if (added < 0) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'repeat',
      `repeats must have at least ${x.ndim} entries, got ${show(repeats)}`,
    );
  }
  const full = reshapeOp([x], { shape: [...Array<number>(added).fill(1), ...x.shape] });
  return repeats.reduce((y, times, i) => {
    if (times === 1) return y;
    if (y.ndim === MAX_DIMS) return cat(Array<Tensor>(times).fill(y), { dim: i });
    const { shape } = y;
    const wide = expandOp([unsqueeze(y, i)], { shape: shape.toSpliced(i, 0, times) });
    return reshapeOp([wide], { shape: shape.with(i, shape[i]! * times) });
  }, full);
}

export interface RollOptions {
  /** Dimensions to roll along, one for each shift. Default: the flattened tensor. */
  dims?: number | readonly number[];
}

/**
 * Moves elements by `shifts` places along dimensions; those that leave at one end enter at the other.
 * Differentiable. Cost: one copy a dimension.
 */
export function roll(x: Tensor, shifts: number | readonly number[], options?: RollOptions): Tensor {
  requireTensor('roll', x);
  const { dims } = withDefaults<{ dims: number | readonly number[] | null }>('roll', options, {
    dims: null,
  });
  const by = listOf('roll', 'shifts', shifts);
  const flat = dims === null;
  const along = dims === null ? [0] : listOf('roll', 'dims', dims);
  requireArgument(
    by.length === along.length && by.every(Number.isInteger),
    'roll',
    () => `shifts must be ${along.length} integers, one for each of dims, got ${show(shifts)}`,
  );
  const rolled = along.reduce(
    (y, dim, i) => {
      const axis = axisOf('roll', dim, y.ndim, 'dims');
      const n = y.shape[axis]!;
      const cut = n === 0 ? 0 : ((-by[i]! % n) + n) % n;
      if (cut === 0) return y;
      return cat([slice(y, axis, cut), slice(y, axis, 0, cut)], { dim: axis });
    },
    flat ? reshapeOp([x], { shape: [x.size] }) : x,
  );
  return flat ? reshapeOp([rolled], { shape: x.shape }) : rolled;
}
