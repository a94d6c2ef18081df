import { requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp, sumOp } from './broadcast';
import { type OpFunction, axisOf, defineOp, defineOpWithOutputs, withDefaults } from './define';
import { div, exp, mul, sub } from './elementwise';
import { floating } from './promote';
import { aboutRun, dimsOf, keptShape, runsOf, spreadOp } from './reduce-sum';

export interface LogsumexpOptions {
  /** Leave reduced dimensions in the shape, with size 1. Default false. */
  keepdim?: boolean;
}

const logSumExpOp = defineOpWithOutputs<Axis>('log_sum_exp', {
  saveInputs: [0],
  saveOutputs: [0, 1, 2],
  vjp: ({ g, input, output }) => {
    const x = input(0);
    if (gradEnabled()) return [mul(g, exp(sub(x, output(0))))];
    // From the maximum and the sum beside it: log sum e^x has lost the digits behind a large maximum.
    return [spreadOp([x, div(g, output(2)), output(1)], { kind: 'exponential' })];
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
    const records = gradEnabled() && y.requiresGrad;
    const outputs = logSumExpOp([aboutRun(y, run)], { dim: 1 }, records ? 7 : 1);
    outputs[1]?.dispose(); // what the tape has saved is its own
    outputs[2]?.dispose();
    y = reshapeOp([outputs[0]!], { shape: after });
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
