import { FluxionError, requireArgument, show } from '../errors';
import { upload } from '../tensor/handle';
import { MAX_DIMS, requireShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { expandOp, reshapeOp } from './broadcast';
import { type OpFunction, axisOf, defineOp, listOf, requireTensor, withDefaults } from './define';
import { mul, ne } from './elementwise';
import { cast } from './promote';
import { cat, reshape, slice, unsqueeze } from './shape';
import { sliceOp } from './shape-slice';

// ---------------------------------------------------------------------------------------------------
// Indexing by a tensor

interface IndexSelectVjpParams {
  dim: number;
  size: number;
  skip: number;
}

const indexSelectVjp: OpFunction<IndexSelectVjpParams> = defineOp<IndexSelectVjpParams>(
  'index_select_vjp',
  {
    saveInputs: [1],
    vjp: ({ g, input, params: { dim, skip } }) => {
      const read = indexSelectOp([g, input(1)], { dim });
      if (skip < 0) return [read, null];
      const shape = g.shape.map((_, i) => (i === dim ? -1 : 1));
      return [mul(read, cast(reshape(ne(input(1), skip), shape), read.dtype)), null];
    },
  },
);

const indexSelectOp: OpFunction<{ dim: number }> = defineOp<{ dim: number }>('index_select', {
  saveInputs: [1],
  vjp: ({ g, input, shape, params: { dim } }) => [
    indexSelectVjp([g, input(1)], { dim, size: shape(0)[dim]!, skip: -1 }),
    null,
  ],
});

/** uint8 indices widen to int32; an index of another dtype is an error of the op. */
function asIndex(op: string, index: Tensor, argument = 'index'): Tensor {
  requireTensor(op, index, argument);
  return index.dtype === 'uint8' ? cast(index, 'int32') : index;
}

/** A tensor without dimensions counts as one of a single element, as in PyTorch. */
const atLeast1d = (x: Tensor) => (x.ndim > 0 ? x : reshapeOp([x], { shape: [1] }));

/**
 * The parts of `x` at the positions `index` (int32, one dimension or a single position without dimensions) of
 * dimension `dim`. Differentiable in x; the adjoint adds up repeated positions in a fixed order. Cost: one
 * read and one write of the result.
 *
 * Errors: FLUXION_INVALID_ARGUMENT at the next read for an index outside [0, size).
 */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  requireTensor('indexSelect', x);
  const axis = axisOf('indexSelect', dim, x.ndim);
  const chosen = atLeast1d(asIndex('indexSelect', index));
  const result = indexSelectOp([atLeast1d(x), chosen], { dim: axis });
  return x.ndim > 0 || result.size !== 1 ? result : reshapeOp([result], { shape: [] });
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
 * larger; an empty one may have any shape. Differentiable in x; the adjoint adds up repeated positions in a
 * fixed order.
 *
 * Errors: FLUXION_INVALID_ARGUMENT at the next read for an index outside [0, size).
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  requireTensor('gather', x);
  const axis = axisOf('gather', dim, x.ndim);
  const chosen = asIndex('gather', index);
  const result = gatherOp([atLeast1d(x), atLeast1d(chosen)], { dim: axis });
  return chosen.ndim > 0 ? result : reshapeOp([result], { shape: [] });
}

const scatterAddOp: OpFunction<{ dim: number }> = defineOp<{ dim: number }>('scatter_add', {
  saveInputs: (_, needs) => (needs(2) ? [1] : []),
  vjp: ({ g, input, needs, params: { dim } }) => [
    needs(0) ? g : null,
    null,
    needs(2) ? gatherOp([g, input(1)], { dim }) : null,
  ],
});

/** The first elements of `src`, as many as `shape` has. */
function leading(op: string, src: Tensor, shape: readonly number[]): Tensor {
  if (src.ndim !== shape.length || src.shape.some((n, i) => n < shape[i]!)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `src must be at least as large as index of shape ${show([...shape])}, got ${show([...src.shape])}`,
    );
  }
  if (src.shape.every((n, i) => n === shape[i])) return src;
  return sliceOp([src], {
    starts: shape.map(() => 0),
    stops: [...shape],
    steps: shape.map(() => 1),
  });
}

/**
 * x with src added at positions along `dim`: out[index[i][j]][j] += src[i][j] for dim 0, and so on; the adjoint
 * of {@link gather}.
 *
 * - `index` (int32) has the dimensions of x and of src; it is not larger than src, nor, except in `dim`,
 *   than x. Elements of src that have no index are not read.
 * - Deterministic: what goes to one place is added in the order of the index.
 * - Gradients in x and src. Cost: one read of all operands and one write.
 * - Errors: FLUXION_DTYPE_MISMATCH where src is not of the dtype of x; FLUXION_INVALID_ARGUMENT at the next
 *   read for an index outside [0, size).
 */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  requireTensor('scatterAdd', x);
  requireTensor('scatterAdd', src, 'src');
  const axis = axisOf('scatterAdd', dim, x.ndim);
  const at = atLeast1d(asIndex('scatterAdd', index));
  const added = at.size === 0 ? zeroLike(src, at) : leading('scatterAdd', atLeast1d(src), at.shape);
  const result = scatterAddOp([atLeast1d(x), at, added], { dim: axis });
  return x.ndim > 0 ? result : reshapeOp([result], { shape: [] });
}

/** Nothing of src, in the shape of an empty index. */
const zeroLike = (src: Tensor, index: Tensor) =>
  reshapeOp([slice(reshapeOp([src], { shape: [src.size] }), 0, 0, 0)], { shape: index.shape });

export interface EmbeddingOptions {
  /** A row of the weights that takes no gradient, counted from the back when negative. Default none. */
  paddingIdx?: number | null;
}

// The row that takes no gradient is no matter of the forward pass, so it is not a parameter of the op.
function embeddingWith(skip: number): OpFunction {
  return defineOp('embedding', {
    saveInputs: [0],
    vjp: ({ g, input, shape }) => {
      const [size, width] = shape(1) as [number, number];
      const rows = reshapeOp([g], { shape: [input(0).size, width] });
      const index = reshapeOp([input(0)], { shape: [input(0).size] });
      return [null, indexSelectVjp([rows, index], { dim: 0, size, skip })];
    },
  });
}

const embeddingOp = embeddingWith(-1);

/**
 * Rows of a table: out[.., :] = weight[input[..], :].
 *
 * - `input` int32 of any shape; `weight` [count, width]. Returns [.., width].
 * - The gradient in weight adds up repeated rows in a fixed order; row `paddingIdx` takes none. Cost: one
 *   read and one write of the result.
 * - Errors: FLUXION_INVALID_ARGUMENT for a paddingIdx outside [-count, count), and at the next read for an
 *   index outside [0, count).
 */
export function embedding(input: Tensor, weight: Tensor, options?: EmbeddingOptions): Tensor {
  requireTensor('embedding', weight, 'weight');
  const { paddingIdx } = withDefaults<Required<EmbeddingOptions>>('embedding', options, {
    paddingIdx: null,
  });
  const index = asIndex('embedding', input, 'input');
  const count = weight.shape[0] ?? 0;
  requireArgument(
    paddingIdx === null ||
      (Number.isInteger(paddingIdx) && paddingIdx >= -count && paddingIdx < count),
    'embedding',
    () => `paddingIdx must be an integer in [${-count}, ${count}), got ${show(paddingIdx)}`,
  );
  const skip = paddingIdx === null ? -1 : paddingIdx < 0 ? paddingIdx + count : paddingIdx;
  return (skip < 0 ? embeddingOp : embeddingWith(skip))([index, weight], undefined);
}

// ---------------------------------------------------------------------------------------------------
// Rearranging, composed of the above

/** Turns the order of elements round along dimensions. Differentiable. Cost: one copy a dimension. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  requireTensor('flip', x);
  const axes = listOf('flip', 'dims', dims).map((d) => axisOf('flip', d, x.ndim, 'dims'));
  requireArgument(
    new Set(axes).size === axes.length,
    'flip',
    () => `dims must name each dimension once, got ${show(dims)}`,
  );
  if (x.ndim === 0) return x;
  return axes.reduce((y, axis) => {
    const n = x.shape[axis]!;
    const order = upload(
      Int32Array.from({ length: n }, (_, i) => n - 1 - i),
      'int32',
      [n],
      x.live('flip').device,
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
