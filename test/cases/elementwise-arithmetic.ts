import {
  type Tensor,
  add,
  div,
  eq,
  ge,
  gt,
  le,
  lt,
  maximum,
  minimum,
  mul,
  ne,
  pow,
  sub,
  where,
} from '../../lib';
import { type Case, type Input, at, build, distinct, sizeOf } from './case';
import { LARGE, type Row, SHAPES, map, positive } from './elementwise-rows';

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

export const ARITHMETIC_CASES: Case[] = [
  ...ARITHMETIC,
  ...WHERE,
  NUMBER_WHERE,
  ...INTEGERS,
  ...MIXED,
];
