import {
  type Tensor,
  abs,
  add,
  cast,
  clamp,
  cos,
  div,
  elu,
  eq,
  erf as erfOf,
  exp,
  ge,
  gelu,
  gt,
  le,
  leakyRelu,
  log,
  log1p,
  lt,
  maximum,
  minimum,
  mul,
  ne,
  neg,
  pow,
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
  sub,
  tanh,
  where,
} from '../../lib';
import { type Case, type Input, type Values, at, build, distinct, sizeOf } from './case';

// Around the widest SIMD register (16 float32), with a tail, and in two dimensions for strided views.
const SHAPES = [[1], [15], [16], [17], [5, 37]];
/** Enough elements for every thread to have a share. */
const LARGE = [300, 257];

const map = (x: Values, f: (v: number) => number): Values => ({
  shape: x.shape,
  data: x.data.map(f),
});

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

type Row = Omit<Case, 'name' | 'ops' | 'inputs' | 'run' | 'reference'> & {
  input?: Omit<Input, 'shape'>;
};

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
const positive = { input: { range: [0.1, 4] as const } };
const wide = { input: { range: [-30, 30] as const } };

const FUNCTIONS: Case[] = [
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

type Pair = (a: number, b: number) => number;

/** Equal shapes, broadcasting both ways, and a number on either side. */
function binary(
  name: string,
  run: (a: Tensor | number, b: Tensor | number) => Tensor,
  f: Pair,
  { input = {}, ...rest }: Row = {},
): Case[] {
  const two = (a: number[], b: number[], out: number[]): Case => ({
    name: `${name} [${String(a)}] [${String(b)}]`,
    ops: [name],
    inputs: [
      { shape: a, ...input },
      { shape: b, ...input },
    ],
    run,
    reference: (x, y) => build(out, (i) => f(at(x, i), at(y, i))),
    bench: [
      {
        shapes: [
          [1024, 1024],
          [1024, 1024],
        ],
        elements: 3 * 2 ** 20,
        flops: 2 ** 20,
      },
    ],
    ...rest,
  });
  const { linearIn: _, ...one } = rest;
  const scalar = 0.75;
  return [
    ...SHAPES.map((s) => two(s, s, s)),
    two([4, 1, 5], [3, 1], [4, 3, 5]),
    two([3, 17], [17], [3, 17]),
    two([17, 1], [17, 33], [17, 33]),
    two([], [3, 4], [3, 4]),
    two([2, 1], [1, 1], [2, 1]),
    two([0, 3], [1, 3], [0, 3]),
    ...(name === 'add' || name === 'maximum' ? [two(LARGE, [257], LARGE)] : []),
    {
      ...one,
      name: `${name} [17] and a number`,
      ops: [name],
      inputs: [{ shape: [17], ...input }],
      run: (x) => run(x, scalar),
      reference: (x) => map(x, (v) => f(v, scalar)),
    },
    {
      ...one,
      name: `${name} of a number and [17]`,
      ops: [name],
      inputs: [{ shape: [17], ...input }],
      run: (x) => run(scalar, x),
      reference: (x) => map(x, (v) => f(scalar, v)),
    },
  ];
}

const unequal: Row = {
  input: { generate: (n, random) => distinct(n, random).map((v) => v + random() / 9) },
};
const noGradient = (range: readonly [number, number]): Row => ({
  input: {
    generate: (n, random) =>
      Float64Array.from({ length: n }, () =>
        Math.floor(range[0] + (range[1] - range[0]) * random()),
      ),
  },
  gradient: 'a uint8 result',
});

const ARITHMETIC: Case[] = [
  binary('add', add, (a, b) => a + b),
  binary('sub', sub, (a, b) => a - b),
  binary('mul', mul, (a, b) => a * b, { linearIn: [0, 1] }),
  binary('div', div, (a, b) => a / b, { ...positive, linearIn: [0] }),
  binary('pow', pow, Math.pow, { ...positive, tolerance: { float32: 4e-6 } }),
  binary('maximum', maximum, Math.max, unequal),
  binary('minimum', minimum, Math.min, unequal),
  binary('eq', eq, (a, b) => Number(a === b), noGradient([0, 3])),
  binary('ne', ne, (a, b) => Number(a !== b), noGradient([0, 3])),
  binary('lt', lt, (a, b) => Number(a < b), noGradient([0, 3])),
  binary('le', le, (a, b) => Number(a <= b), noGradient([0, 3])),
  binary('gt', gt, (a, b) => Number(a > b), noGradient([0, 3])),
  binary('ge', ge, (a, b) => Number(a >= b), noGradient([0, 3])),
].flat();

const WHERE: Case[] = [
  [[17], [17], [17]],
  [
    [3, 1],
    [1, 5],
    [3, 5],
  ],
  [[], [4], [4]],
].map((shapes) => ({
  name: `where ${shapes.map((s) => `[${String(s)}]`).join(' ')}`,
  ops: ['where'],
  inputs: shapes.map((shape, i) =>
    i === 0 ? { shape, dtype: 'uint8', range: [0, 2] } : { shape },
  ),
  run: where,
  reference: (c, a, b) => build(shapes[2]!, (i) => (at(c, i) ? at(a, i) : at(b, i))),
}));

const NUMBER_WHERE: Case = {
  name: 'where with a fraction as a number',
  ops: ['where'],
  inputs: [{ shape: [19], dtype: 'uint8', range: [0, 2] }, { shape: [19] }],
  run: (c, x) => where(c, x, -1.5),
  reference: (c, x) => build([19], (i) => (at(c, i) ? at(x, i) : -1.5)),
};

// Values at the edges of the functions. No gradient there.
const EDGES = [0, -0, 1, -1, Infinity, -Infinity, NaN, 1e-30, -1e-30, 30, -30];

const EDGE_CASES: Case[] = FUNCTIONS.filter((c) => c.name.endsWith('[17]')).map((c) => ({
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

const int = (shape: number[]): Input => ({ shape, dtype: 'int32', range: [-9, 10] });
const INTEGERS: Case[] = (
  [
    ['add', add, (a, b) => a + b],
    ['sub', sub, (a, b) => a - b],
    ['mul', mul, (a, b) => a * b],
    ['maximum', maximum, Math.max],
    ['minimum', minimum, Math.min],
    ['lt', lt, (a, b) => Number(a < b)],
    ['div', div, (a, b) => a / b],
  ] as [string, (a: Tensor, b: Tensor) => Tensor, Pair][]
).map(([name, run, f]) => ({
  name: `${name} of int32`,
  ops: [name],
  inputs: [
    int([5, 7]),
    { ...int([7]), generate: (n) => Array.from({ length: n }, (_, i) => i - 3 || 4) },
  ],
  run,
  reference: (a, b) => build([5, 7], (i) => f(at(a, i), at(b, i))),
}));

const MIXED: Case[] = [
  {
    name: 'add of int32 and a float tensor',
    ops: ['add', 'cast'],
    inputs: [{ ...int([17]) }, { shape: [17] }],
    run: (a, b) => add(a, b),
    reference: (a, b) => build([17], (i) => at(a, i) + at(b, i)),
  },
  {
    name: 'add of int32 and a fraction',
    ops: ['add', 'cast'],
    inputs: [int([17])],
    run: (a) => add(a, 0.5),
    reference: (a) => map(a, (v) => v + 0.5),
  },
  {
    name: 'sum of a product with itself',
    ops: ['mul', 'add'],
    inputs: [{ shape: [sizeOf([3, 5])] }],
    run: (x) => add(mul(x, x), x),
    reference: (x) => map(x, (v) => v * v + v),
  },
];

export const ELEMENTWISE: Case[] = [
  ...FUNCTIONS,
  ...ARITHMETIC,
  ...WHERE,
  NUMBER_WHERE,
  ...EDGE_CASES,
  ...INTEGERS,
  ...MIXED,
];
