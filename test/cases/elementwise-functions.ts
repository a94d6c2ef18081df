import {
  type Tensor,
  abs,
  cast,
  clamp,
  cos,
  elu,
  erf as erfOf,
  exp,
  gelu,
  leakyRelu,
  log,
  log1p,
  neg,
  reciprocal,
  relu,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from '../../lib';
import { type Case, distinct } from './case';
import { LARGE, type Row, SHAPES, map, positive } from './elementwise-rows';

/** erf by the series of positive terms 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (2n+1)!!. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const logistic = (v: number) => 1 / (1 + Math.exp(-v));

/** One case for each shape. */
function unary(
  id: string,
  name: string,
  run: (x: Tensor) => Tensor,
  f: (v: number) => number,
  { input, ...rest }: Row = {},
): Case[] {
  return [...SHAPES, ...(name === 'exp' || name === 'neg' ? [LARGE] : [])].map((shape) => ({
    name: `${name} [${String(shape)}]`,
    ops: [id],
    inputs: [{ shape, ...input }],
    run,
    reference: (x) => map(x, f),
    bench: [{ shapes: [[1024, 1024]], elements: 2 * 2 ** 20, flops: 2 ** 20 }],
    ...rest,
  }));
}

const kinked = { input: { generate: distinct } };
const wide = { input: { range: [-30, 30] as const } };

export const FUNCTIONS: Case[] = [
  unary('neg', 'neg', neg, (v) => -v, { linearIn: [0] }),
  unary('abs', 'abs', abs, Math.abs, kinked),
  unary('sign', 'sign', sign, Math.sign, { ...kinked, gradient: 'zero wherever it exists' }),
  unary('exp', 'exp', exp, Math.exp),
  unary('log', 'log', log, Math.log, positive),
  unary('log1p', 'log1p', log1p, Math.log1p, { input: { range: [-0.5, 3] } }),
  unary('sqrt', 'sqrt', sqrt, Math.sqrt, positive),
  unary('rsqrt', 'rsqrt', rsqrt, (v) => 1 / Math.sqrt(v), positive),
  unary('reciprocal', 'reciprocal', reciprocal, (v) => 1 / v, positive),
  unary('erf', 'erf', erfOf, erf),
  unary('sin', 'sin', sin, Math.sin, wide),
  unary('cos', 'cos', cos, Math.cos, wide),
  unary('tanh', 'tanh', tanh, Math.tanh, { input: { range: [-5, 5] } }),
  unary('sigmoid', 'sigmoid', sigmoid, logistic, wide),
  unary('relu', 'relu', relu, (v) => Math.max(v, 0), kinked),
  unary(
    'leaky_relu',
    'leakyRelu',
    (x) => leakyRelu(x),
    (v) => (v > 0 ? v : 0.01 * v),
    kinked,
  ),
  unary(
    'leaky_relu',
    'leakyRelu, slope 0.3',
    (x) => leakyRelu(x, { negativeSlope: 0.3 }),
    (v) => (v > 0 ? v : 0.3 * v),
    kinked,
  ),
  unary(
    'elu',
    'elu',
    (x) => elu(x),
    (v) => (v > 0 ? v : Math.expm1(v)),
    kinked,
  ),
  unary(
    'elu',
    'elu, alpha 0.5',
    (x) => elu(x, { alpha: 0.5 }),
    (v) => (v > 0 ? v : 0.5 * Math.expm1(v)),
    kinked,
  ),
  unary(
    'gelu',
    'gelu',
    (x) => gelu(x),
    (v) => (v / 2) * (1 + erf(v / Math.SQRT2)),
    { input: { range: [-5, 5] } },
  ),
  unary(
    'gelu',
    'gelu, tanh',
    (x) => gelu(x, { approximate: 'tanh' }),
    (v) => (v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))),
    { input: { range: [-5, 5] } },
  ),
  unary('silu', 'silu', silu, (v) => v * logistic(v), wide),
  unary(
    'softplus',
    'softplus',
    (x) => softplus(x),
    (v) => (v > 20 ? v : Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))),
    wide,
  ),
  unary(
    'softplus',
    'softplus, beta 2 up to 3',
    (x) => softplus(x, { beta: 2, threshold: 3 }),
    (v) => (2 * v > 3 ? v : Math.log1p(Math.exp(2 * v)) / 2),
    kinked,
  ),
  unary(
    'clamp',
    'clamp',
    (x) => clamp(x, { min: -1, max: 1.5 }),
    (v) => Math.min(Math.max(v, -1), 1.5),
    kinked,
  ),
  unary(
    'clamp',
    'clamp from below',
    (x) => clamp(x, { min: 0.25 }),
    (v) => Math.max(v, 0.25),
    kinked,
  ),
  unary('mul', 'square', square, (v) => v * v),
  unary(
    'cast',
    'cast to float64',
    (x) => cast(x, 'float64'),
    (v) => v,
    {
      gradient: 'of one dtype already in float64',
    },
  ),
  unary('cast', 'cast to int32', (x) => cast(x, 'int32'), Math.trunc, {
    input: { range: [-300, 300] },
    gradient: 'an integer result',
  }),
  unary(
    'cast',
    'cast to uint8',
    (x) => cast(x, 'uint8'),
    (v) => Math.min(Math.max(Math.trunc(v), 0), 255),
    {
      input: { range: [-300, 300] },
      gradient: 'an integer result',
    },
  ),
].flat();

// Values at the edges of the functions. No gradient there.
const EDGES = [0, -0, 1, -1, Infinity, -Infinity, NaN, 1e-30, -1e-30, 30, -30];

export const EDGE_CASES: Case[] = FUNCTIONS.filter((c) => c.name.endsWith('[17]')).map((c) => ({
  ...c,
  name: `${c.name.replace(' [17]', '')} at the edges`,
  inputs: [{ shape: [EDGES.length], generate: () => EDGES }],
  gradient: 'not differentiable there',
  linearIn: undefined,
  reference: (x) => {
    const regular = c.reference(x);
    const name = c.name.split(' ')[0]!;
    // The references are not written for infinities.
    if (name === 'gelu')
      return map(x, (v) =>
        v < -20
          ? v === -Infinity
            ? NaN
            : 0
          : v > 20
            ? v
            : v === 0
              ? v
              : regular.data[x.data.indexOf(v)]!,
      );
    if (name === 'cast' && c.name.includes('int32')) {
      return map(x, (v) =>
        Number.isNaN(v) ? 0 : Math.min(Math.max(Math.trunc(v), -(2 ** 31)), 2 ** 31 - 1),
      );
    }
    if (name === 'cast' && c.name.includes('uint8'))
      return map(regular, (v) => (Number.isNaN(v) ? 0 : v));
    return regular;
  },
}));
