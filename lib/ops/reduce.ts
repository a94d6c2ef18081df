import { FluxionError, requireArgument, show } from '../errors';
import { carriesGradients, isComplex } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { noGrad } from '../autograd/tidy';
import { expandReduced, reshapeOp, sumOp } from './broadcast';
import {
  type OpFunction,
  type VjpContext,
  axisOf,
  defineOp,
  listOf,
  requireTensor,
  withDefaults,
} from './define';
import { abs, add, cast, div, eq, exp, log, mul, sqrt, square, sub, where } from './elementwise';
import { floating, mulConjOp, realOp } from './promote';

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

export interface VarianceOptions extends ReduceOptions {
  /** The divisor is n - correction. Default 1: the unbiased estimate. */
  correction?: number;
}

export interface NormOptions extends ReduceOptions {
  /** 1, 2 or Infinity. Default 2. */
  p?: number;
}

export interface LogsumexpOptions {
  /** Leave reduced dimensions in the shape, with size 1. Default false. */
  keepdim?: boolean;
}

interface Reduction {
  /** Empty: all. */
  dims: number[];
  keepdim: boolean;
}

function dimsOf(op: string, x: Tensor, dim: number | readonly number[]): number[] {
  const dims = listOf(op, 'dim', dim).map((d) => axisOf(op, d, x.ndim));
  return x.ndim === 0 ? [] : dims;
}

function reductionOf(op: string, x: Tensor, options: ReduceOptions | undefined): Reduction {
  requireTensor(op, x);
  const { dim, keepdim } = withDefaults<Required<ReduceOptions>>(op, options, {
    dim: [],
    keepdim: false,
  });
  return { dims: dimsOf(op, x, dim), keepdim };
}

function countReduced(shape: readonly number[], dims: readonly number[]): number {
  return (dims.length > 0 ? dims.map((d) => shape[d]!) : shape).reduce((a, b) => a * b, 1);
}

// ---------------------------------------------------------------------------------------------------
// Sums and moments

/**
 * Sum over dimensions. uint8 sums to int32. An empty sum is 0. Accumulated pairwise or in float64, so the
 * error does not grow with the number of terms. Differentiable. Cost: one read.
 */
export function sum(x: Tensor, options?: ReduceOptions): Tensor {
  return sumOp([x], reductionOf('sum', x, options));
}

const meanOp = defineOp<Reduction>('mean', {
  vjp: ({ g, shape, params: { dims, keepdim } }) => [
    expandReduced(div(g, countReduced(shape(0), dims)), shape(0), dims, keepdim),
  ],
});

/** Means and deviations of integers are no integers: the caller says which float they are to be. */
function requireInexact(op: string, x: Tensor): void {
  requireTensor(op, x);
  if (carriesGradients(x.dtype)) return;
  throw new FluxionError(
    'FLUXION_DTYPE_MISMATCH',
    op,
    `input must be floating-point or complex, got ${x.dtype}; cast(x, 'float32') converts it`,
  );
}

/**
 * Mean over dimensions; NaN over none. Differentiable. Cost: one read.
 *
 * Errors: FLUXION_DTYPE_MISMATCH for integers, here and for variance, std and norm, as in PyTorch.
 */
export function mean(x: Tensor, options?: ReduceOptions): Tensor {
  requireInexact('mean', x);
  return meanOp([x], reductionOf('mean', x, options));
}

function varianceOf(op: string, x: Tensor, options: VarianceOptions | undefined): Tensor {
  requireInexact(op, x);
  const { dim, keepdim, correction } = withDefaults<Required<VarianceOptions>>(op, options, {
    dim: [],
    keepdim: false,
    correction: 1,
  });
  requireArgument(
    Number.isFinite(correction),
    op,
    () => `correction must be a finite number, got ${show(correction)}`,
  );
  const dims = dimsOf(op, x, dim);
  const centred = sub(x, meanOp([x], { dims, keepdim: true }));
  const divisor = Math.max(0, countReduced(x.shape, dims) - correction);
  const squares = isComplex(x.dtype)
    ? realOp([mulConjOp([centred, centred], undefined)], undefined)
    : square(centred);
  return div(sumOp([squares], { dims, keepdim }), divisor);
}

/**
 * Variance over dimensions: sum |x - mean|^2 / (n - correction), in two passes. NaN or Infinity where
 * n <= correction. Differentiable. Errors: as {@link mean}.
 *
 * Also exported as `var`, a reserved word in JavaScript: `import { var as variance }`, or the method `x.var()`.
 */
export function variance(x: Tensor, options?: VarianceOptions): Tensor {
  return varianceOf('variance', x, options);
}
export { variance as var };

/** Standard deviation: the square root of {@link variance}. Its gradient where the variance is 0 is 0. */
export function std(x: Tensor, options?: VarianceOptions): Tensor {
  const squares = varianceOf('std', x, options);
  const zero = eq(squares, 0);
  return where(zero, 0, sqrt(where(zero, 1, squares)));
}

/**
 * Vector norm over dimensions: (sum |x|^p)^(1/p) for p = 1 and 2, max |x| for p = Infinity. The gradient at
 * the zero vector is 0. No guard against overflow of x^2.
 *
 * Errors: FLUXION_UNSUPPORTED for another p.
 */
export function norm(input: Tensor, options?: NormOptions): Tensor {
  requireInexact('norm', input);
  const x = floating('norm', isComplex(input.dtype) ? abs(input) : input);
  const { p, dim, keepdim } = withDefaults<Required<NormOptions>>('norm', options, {
    p: 2,
    dim: [],
    keepdim: false,
  });
  const reduction = { dims: dimsOf('norm', x, dim), keepdim };
  if (p === 1) return sumOp([abs(x)], reduction);
  if (p === Infinity) return maxOp([abs(x)], reduction);
  if (p !== 2) {
    throw new FluxionError(
      'FLUXION_UNSUPPORTED',
      'norm',
      `p must be 1, 2 or Infinity, got ${show(p)}`,
    );
  }
  const squares = sumOp([square(x)], reduction);
  const zero = eq(squares, 0);
  return where(zero, 0, sqrt(where(zero, 1, squares)));
}

// ---------------------------------------------------------------------------------------------------
// Extrema

/** The cotangent goes to where the extremum is, in equal shares where there are several. */
function shareAmongTies({ g, input, output, params }: VjpContext<Reduction>): [Tensor] {
  const x = input(0);
  const spread = (t: Tensor) => expandReduced(t, x.shape, params.dims, params.keepdim);
  const ties = cast(eq(x, spread(output(0))), g.dtype);
  return [mul(ties, spread(div(g, sumOp([ties], params))))];
}

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

// ---------------------------------------------------------------------------------------------------
// Exponentials

/**
 * log sum e^x over `dim`, without overflow. -Infinity where all values are. Integers are taken as float32.
 * Differentiable; the gradient is softmax(x).
 */
export function logsumexp(
  input: Tensor,
  dim: number | readonly number[],
  options?: LogsumexpOptions,
): Tensor {
  const x = floating('logsumexp', input);
  const { keepdim } = withDefaults('logsumexp', options, { keepdim: false });
  const dims = dimsOf('logsumexp', x, dim);
  // Any shift gives the same value, so it is a constant for the gradient. An infinite one would give NaN.
  const shift = noGrad(() => {
    // Over no values there is nothing to shift by: the sum is 0, its logarithm -Infinity.
    if (x.size === 0) return sumOp([x], { dims, keepdim: true });
    const top = maxOp([x], { dims, keepdim: true });
    return where(eq(abs(top), Infinity), 0, top);
  });
  const result = add(log(sumOp([exp(sub(x, shift))], { dims, keepdim: true })), shift);
  if (keepdim) return result;
  const reduced = new Set(dims.length > 0 ? dims : x.shape.keys());
  return reshapeOp([result], { shape: x.shape.filter((_, i) => !reduced.has(i)) });
}

interface Axis {
  dim: number;
}

const sumAlong = (x: Tensor, { dim }: Axis) => sumOp([x], { dims: [dim], keepdim: true });

// y (g - sum g y)
const softmaxVjp: OpFunction<Axis> = defineOp<Axis>('softmax_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g: h, needs, input, params }) => {
    const [g, y] = [input(0), input(1)];
    const dy = () =>
      sub(mul(h, sub(g, sumAlong(mul(g, y), params))), mul(g, sumAlong(mul(h, y), params)));
    return [needs(0) ? softmaxVjp([h, y], params) : null, needs(1) ? dy() : null];
  },
});

const softmaxOp = defineOp<Axis>('softmax', {
  saveOutputs: [0],
  vjp: ({ g, output, params }) => [softmaxVjp([g, output(0)], params)],
});

// g - e^y sum g
const logSoftmaxVjp: OpFunction<Axis> = defineOp<Axis>('log_softmax_vjp', {
  saveInputs: [0, 1],
  vjp: ({ g: h, needs, input, params }) => {
    const [g, y] = [input(0), input(1)];
    const hp = mul(h, exp(y));
    return [
      needs(0) ? sub(h, sumAlong(hp, params)) : null,
      needs(1) ? mul(hp, mul(sumAlong(g, params), -1)) : null,
    ];
  },
});

const logSoftmaxOp = defineOp<Axis>('log_softmax', {
  saveOutputs: [0],
  vjp: ({ g, output, params }) => [logSoftmaxVjp([g, output(0)], params)],
});

/** Softmax of a tensor without dimensions is that of its one element. */
function along(op: string, run: OpFunction<Axis>, input: Tensor, dim: number): Tensor {
  const x = floating(op, input);
  const axis = { dim: axisOf(op, dim, x.ndim) };
  if (x.ndim > 0) return run([x], axis);
  return reshapeOp([run([reshapeOp([x], { shape: [1] })], axis)], { shape: [] });
}

/**
 * e^x / sum e^x along `dim`, without overflow. Integers are taken as float32. Differentiable (fused). Cost:
 * one read and one write.
 */
export function softmax(x: Tensor, dim: number): Tensor {
  return along('softmax', softmaxOp, x, dim);
}

/** log softmax(x) along `dim`: x - log sum e^x. Else as {@link softmax}. */
export function logSoftmax(x: Tensor, dim: number): Tensor {
  return along('logSoftmax', logSoftmaxOp, x, dim);
}
