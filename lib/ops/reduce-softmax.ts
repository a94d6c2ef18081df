import { requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp, sumOp } from './broadcast';
import { type OpFunction, axisOf, defineOp, withDefaults } from './define';
import { eq, exp, mul, sub, where } from './elementwise';
import { floating } from './promote';
import { aboutRun, dimsOf, keptShape, runsOf, spreadOp } from './reduce-sum';

export interface LogsumexpOptions {
  /** Leave reduced dimensions in the shape, with size 1. Default false. */
  keepdim?: boolean;
}

const logSumExpOp = defineOp<Axis>('log_sum_exp', {
  saveInputs: [0],
  saveOutputs: [0],
  vjp: ({ g, input, output }) => {
    const [x, y] = [input(0), output(0)];
    // The gradient of a row of -Infinity is that of no row: 0.
    const shift = where(eq(y, -Infinity), 0, y);
    if (gradEnabled()) return [mul(g, exp(sub(x, shift)))];
    return [spreadOp([x, g, shift], { kind: 'exponential' })];
  },
});

/**
 * log sum e^x over `dim`, without overflow. -Infinity where all values are. Integers are taken as float32.
 * Differentiable; the gradient is softmax(x). Cost: one read, twice from the first-level cache.
 */
export function logsumexp(
  input: Tensor,
  dim: number | readonly number[],
  options?: LogsumexpOptions,
): Tensor {
  const x = floating('logsumexp', input);
  const { keepdim } = withDefaults('logsumexp', options, { keepdim: false });
  const given = dimsOf('logsumexp', x, dim);
  const dims = given.length > 0 ? given : [...x.shape.keys()];
  requireArgument(
    new Set(dims).size === dims.length,
    'logsumexp',
    () => `dim must name each dimension once, got ${show([...dims])}`,
  );
  const shape = keepdim
    ? keptShape(x.shape, { dims, keepdim })
    : x.shape.filter((_, i) => !dims.includes(i));
  let y = x;
  for (const run of runsOf(dims)) {
    const after = y.shape.map((n, i) => (run.includes(i) ? 1 : n));
    y = reshapeOp([logSumExpOp([aboutRun(y, run)], { dim: 1 })], { shape: after });
  }
  return y.shape.length === shape.length && keepdim ? y : reshapeOp([y], { shape });
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
