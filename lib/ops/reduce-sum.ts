import { FluxionError } from '../errors';
import { carriesGradients } from '../tensor/dtype';
import { gradEnabled } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { expandReduced, reshapeOp, sumOp } from './broadcast';
import { type VjpContext, axisOf, defineOp, listOf, requireTensor, withDefaults } from './define';
import { cast, div, eq, mul } from './elementwise';

// Dimensions count from the back when negative. Sums are cut into slices by the shape alone, so every
// reduction has the same bits for any number of threads.

export interface ReduceOptions {
  /** Dimension or dimensions to reduce. Default all. */
  dim?: number | readonly number[];
  /** Leave reduced dimensions in the shape, with size 1. Default false. */
  keepdim?: boolean;
}

export interface ArgReduceOptions {
  /** Dimension to reduce. Default: all, and the result indexes the flattened tensor. */
  dim?: number;
  /** Leave the reduced dimension in the shape, with size 1. Default false. */
  keepdim?: boolean;
}

/** @internal */
export interface Reduction {
  /** Empty: all. */
  dims: number[];
  keepdim: boolean;
}

/** @internal */
export function dimsOf(op: string, x: Tensor, dim: number | readonly number[]): number[] {
  const dims = listOf(op, 'dim', dim).map((d) => axisOf(op, d, x.ndim));
  return x.ndim === 0 ? [] : dims;
}

/** @internal */
export function reductionOf(op: string, x: Tensor, options: ReduceOptions | undefined): Reduction {
  requireTensor(op, x);
  const { dim, keepdim } = withDefaults<Required<ReduceOptions>>(op, options, {
    dim: [],
    keepdim: false,
  });
  return { dims: dimsOf(op, x, dim), keepdim };
}

/** @internal */
export function countReduced(shape: readonly number[], dims: readonly number[]): number {
  return (dims.length > 0 ? dims.map((d) => shape[d]!) : shape).reduce((a, b) => a * b, 1);
}

/** The shape of a reduction's results with the reduced dimensions left in, to broadcast with x. */
export function keptShape(shape: readonly number[], { dims }: Reduction): number[] {
  return shape.map((n, i) => (dims.length === 0 || dims.includes(i) ? 1 : n));
}
/** @internal */
export const kept = (t: Tensor, shape: readonly number[], r: Reduction): Tensor =>
  reshapeOp([t], { shape: keptShape(shape, r) });

/** @internal */
export const spreadOp = defineOp<{ kind: 'centred' | 'exponential' | 'equal' }>('spread', {
  reason: 'it has no derivative (derivatives of this order are not available)',
});

/** Runs of dimensions that follow each other, the last run first. */
export function runsOf(dims: readonly number[]): number[][] {
  const runs: number[][] = [];
  for (const d of [...dims].sort((a, b) => b - a)) {
    const run = runs[runs.length - 1];
    if (run && run[0] === d + 1) run.unshift(d);
    else runs.push([d]);
  }
  return runs;
}

/** x as [outer, count, inner] about one run of dimensions. */
export function aboutRun(x: Tensor, run: readonly number[]): Tensor {
  const [first, last] = [run[0]!, run[run.length - 1]!];
  const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  return reshapeOp([x], {
    shape: [
      product(x.shape.slice(0, first)),
      product(x.shape.slice(first, last + 1)),
      product(x.shape.slice(last + 1)),
    ],
  });
}

// ---------------------------------------------------------------------------------------------------
// Sums

/**
 * Sum over dimensions. uint8 sums to int32. An empty sum is 0. Accumulated pairwise or in float64, so the
 * error does not grow with the number of terms. Differentiable. Cost: one read.
 */
export function sum(x: Tensor, options?: ReduceOptions): Tensor {
  return sumOp([x], reductionOf('sum', x, options));
}

/** @internal */
export const meanOp = defineOp<Reduction>('mean', {
  vjp: ({ g, shape, params: { dims, keepdim } }) => [
    expandReduced(div(g, countReduced(shape(0), dims)), shape(0), dims, keepdim),
  ],
});

/**
 * Throws for integers: their means and deviations are no integers, and the caller says which float they are to be.
 *
 * @internal
 */
export function requireInexact(op: string, x: Tensor): Tensor {
  requireTensor(op, x);
  if (carriesGradients(x.dtype)) return x;
  throw new FluxionError(
    'FLUXION_DTYPE_MISMATCH',
    op,
    `x must be floating-point or complex, got ${x.dtype}; x.to('float32') converts it`,
  );
}

/**
 * Mean over dimensions; NaN over none. Differentiable. Cost: one read.
 *
 * Errors: FLUXION_DTYPE_MISMATCH for integers, here and for variance, std and norm, as in PyTorch.
 */
export function mean(x: Tensor, options?: ReduceOptions): Tensor {
  return meanOp([requireInexact('mean', x)], reductionOf('mean', x, options));
}

// ---------------------------------------------------------------------------------------------------
// Extrema

/** The cotangent goes to where the extremum y is, in equal shares where there are several. */
export function shareOfTies(x: Tensor, y: Tensor, g: Tensor, params: Reduction): Tensor {
  const top = kept(y, x.shape, params);
  const ties = eq(x, top);
  const share = kept(div(g, cast(sumOp([ties], params), g.dtype)), x.shape, params);
  if (gradEnabled()) return mul(cast(ties, g.dtype), share);
  return spreadOp([x, share, top], { kind: 'equal' });
}

const shareAmongTies = ({ g, input, output, params }: VjpContext<Reduction>): [Tensor] => [
  shareOfTies(input(0), output(0), g, params),
];

const maxOp = defineOp<Reduction>('max', {
  saveInputs: [0],
  saveOutputs: [0],
  vjp: shareAmongTies,
});
const minOp = defineOp<Reduction>('min', {
  saveInputs: [0],
  saveOutputs: [0],
  vjp: shareAmongTies,
});

/**
 * The largest value over dimensions; NaN where there is one. Values only: for positions see {@link argmax}.
 * Ties share the gradient equally (as PyTorch's amax). Cost: one read.
 *
 * Errors: FLUXION_INVALID_ARGUMENT where a reduced dimension is empty.
 */
export function max(x: Tensor, options?: ReduceOptions): Tensor {
  return maxOp([x], reductionOf('max', x, options));
}

/** The smallest value over dimensions; else as {@link max}. */
export function min(x: Tensor, options?: ReduceOptions): Tensor {
  return minOp([x], reductionOf('min', x, options));
}

const argmaxOp = defineOp<{ dim: number; keepdim: boolean }>('argmax', {});
const argminOp = defineOp<{ dim: number; keepdim: boolean }>('argmin', {});

function argReduce(
  op: string,
  run: typeof argmaxOp,
  x: Tensor,
  options?: ArgReduceOptions,
): Tensor {
  requireTensor(op, x);
  const { dim, keepdim } = withDefaults<{ dim: number | null; keepdim: boolean }>(op, options, {
    dim: null,
    keepdim: false,
  });
  if (dim !== null) axisOf(op, dim, x.ndim);
  if (dim !== null && x.ndim > 0) return run([x], { dim: axisOf(op, dim, x.ndim), keepdim });
  const flat = run([reshapeOp([x], { shape: [x.size] })], { dim: 0, keepdim: false });
  return keepdim ? reshapeOp([flat], { shape: x.shape.map(() => 1) }) : flat;
}

/** Position (int32) of the first largest value, or of the first NaN. No gradient. */
export function argmax(x: Tensor, options?: ArgReduceOptions): Tensor {
  return argReduce('argmax', argmaxOp, x, options);
}

/** Position (int32) of the first smallest value, or of the first NaN. No gradient. */
export function argmin(x: Tensor, options?: ArgReduceOptions): Tensor {
  return argReduce('argmin', argminOp, x, options);
}
