// Complex tensors through real inputs and results: pairs in the last dimension become complex numbers on the way
// in (viewAsComplex) and pairs again on the way out. A gradient of the pairs is the gradient in Re and Im, so
// the suites check the convention dL/d Re z + i dL/d Im z itself.
import {
  type Tensor,
  abs,
  add,
  angle,
  complex,
  conj,
  div,
  exp,
  expand,
  imag,
  mul,
  neg,
  norm,
  permute,
  real,
  sub,
  variance,
  viewAsComplex,
  viewAsReal,
} from '../../lib';
import type { Case, Input } from './case';
import { at, build } from './case';
import { COMPLEX_LAYOUT } from './complex-layout';
import {
  type Pair,
  type Shape,
  buildPairs,
  minus,
  nonzero,
  numbers,
  over,
  pairAt,
  plus,
  times,
} from './complex-pairs';

const broadcast = (a: Shape, b: Shape): number[] => {
  const n = Math.max(a.length, b.length);
  return Array.from({ length: n }, (_, i) =>
    Math.max(a[i - n + a.length] ?? 1, b[i - n + b.length] ?? 1),
  );
};

function binary(
  name: string,
  ops: string[],
  [a, b]: readonly [Shape, Shape],
  run: (a: Tensor, b: Tensor) => Tensor,
  value: (a: Pair, b: Pair) => Pair,
  { second = numbers(b), ...rest }: Partial<Case> & { second?: Input } = {},
): Case {
  return {
    name: `complex ${name} [${a.join(', ')}] [${b.join(', ')}]`,
    ops,
    inputs: [numbers(a), second],
    run: (x, y) => viewAsReal(run(viewAsComplex(x), viewAsComplex(y))),
    reference: (x, y) => buildPairs(broadcast(a, b), (i) => value(pairAt(x, i), pairAt(y, i))),
    ...rest,
  };
}

function unary(
  name: string,
  ops: string[],
  shape: Shape,
  run: (z: Tensor) => Tensor,
  value: (z: Pair) => Pair,
  { input = numbers(shape), ...rest }: Partial<Case> & { input?: Input } = {},
): Case {
  return {
    name: `complex ${name} [${shape.join(', ')}]`,
    ops,
    inputs: [input],
    run: (x) => viewAsReal(run(viewAsComplex(x))),
    reference: (x) => buildPairs(shape, (i) => value(pairAt(x, i))),
    ...rest,
  };
}

/** A real result of each complex number. */
function part(
  name: string,
  op: string,
  shape: Shape,
  run: (z: Tensor) => Tensor,
  value: (z: Pair) => number,
  rest: Partial<Case> & { input?: Input } = {},
): Case {
  const { input = numbers(shape), ...more } = rest;
  return {
    name: `complex ${name} [${shape.join(', ')}]`,
    ops: [op],
    inputs: [input],
    run: (x) => run(viewAsComplex(x)),
    reference: (x) => build(shape, (i) => value(pairAt(x, i))),
    ...more,
  };
}

const linear = { linearIn: [0, 1] };

const ARITHMETIC: Case[] = [
  binary('add', ['add'], [[17], [17]], add, plus),
  binary('sub', ['sub'], [[3, 5], [5]], sub, minus),
  binary(
    'mul',
    ['mul'],
    [
      [2, 16],
      [2, 16],
    ],
    mul,
    times,
    linear,
  ),
  binary('mul', ['mul'], [[31], [31]], mul, times, linear),
  binary(
    'mul',
    ['mul'],
    [
      [3, 1, 2],
      [4, 1],
    ],
    mul,
    times,
    linear,
  ),
  binary('mul', ['mul'], [[], [3]], mul, times, linear),
  binary('mul', ['mul'], [[0], [0]], mul, times),
  binary(
    'mul of transposed',
    ['mul'],
    [
      [3, 4],
      [3, 4],
    ],
    mulTransposed,
    times,
    linear,
  ),
  binary('div', ['div'], [[15], [15]], div, over, { second: nonzero([15]) }),
  binary('div', ['div'], [[2, 3], [3]], div, over, { second: nonzero([3]) }),
  unary('neg', ['neg'], [5], neg, ([a, b]) => [-a, -b], { linearIn: [0] }),
  unary('conj', ['conj'], [2, 9], conj, ([a, b]) => [a, -b], { linearIn: [0] }),
  unary(
    'square',
    ['mul'],
    [6],
    (z) => mul(z, z),
    (z) => times(z, z),
  ),
  unary(
    'times a number',
    ['mul'],
    [6],
    (z) => mul(2.5, z),
    ([a, b]) => [2.5 * a, 2.5 * b],
  ),
  unary(
    'number less z',
    ['sub'],
    [6],
    (z) => sub(1, z),
    ([a, b]) => [1 - a, -b],
  ),
  unary(
    'number over z',
    ['div'],
    [6],
    (z) => div(2, z),
    (z) => over([2, 0], z),
    {
      input: nonzero([6]),
    },
  ),
  unary(
    'exp',
    ['exp'],
    [33],
    exp,
    ([a, b]) => [Math.exp(a) * Math.cos(b), Math.exp(a) * Math.sin(b)],
    { tolerance: { float32: 4e-6 } },
  ),
  {
    // The gradient in the real factor is the real part of what flows back.
    name: 'complex mul with a real tensor',
    ops: ['mul', 'cast'],
    inputs: [numbers([4, 5]), { shape: [5] }],
    run: (z, x) => viewAsReal(mul(viewAsComplex(z), x)),
    reference: (z, x) => buildPairs([4, 5], (i) => times(pairAt(z, i), [x.data[i[1]!]!, 0])),
    linearIn: [0, 1],
  },
];

/** The product of transposed views, transposed back: neither operand is contiguous. */
function mulTransposed(a: Tensor, b: Tensor): Tensor {
  return permute(mul(permute(a, [1, 0]), permute(b, [1, 0])), [1, 0]);
}

const REAL_OPERAND: Case[] = [
  {
    name: 'complex div by a real tensor',
    ops: ['div'],
    inputs: [numbers([4, 5]), { shape: [4, 1], range: [0.5, 2] }],
    run: (z, x) => viewAsReal(div(viewAsComplex(z), x)),
    reference: (z, x) => buildPairs([4, 5], (i) => over(pairAt(z, i), [x.data[i[0]!]!, 0])),
    linearIn: [0],
  },
  unary(
    'div by a number',
    ['div'],
    [6],
    (z) => div(z, 3),
    ([a, b]) => [a / 3, b / 3],
    { linearIn: [0] },
  ),
];

const PARTS: Case[] = [
  {
    name: 'complex from parts',
    ops: ['complex'],
    inputs: [{ shape: [3, 7] }, { shape: [7] }],
    run: (re, im) => viewAsReal(complex(re, im)),
    reference: (re, im) => buildPairs([3, 7], (i) => [at(re, i), at(im, i)]),
  },
  part('real', 'real', [3, 5], real, ([a]) => a, { linearIn: [0] }),
  part('imag', 'imag', [3, 5], imag, ([, b]) => b, { linearIn: [0] }),
  part('abs', 'abs', [31], abs, ([a, b]) => Math.hypot(a, b), { input: nonzero([31]) }),
  part('angle', 'angle', [17], angle, ([a, b]) => Math.atan2(b, a), { input: nonzero([17]) }),
  part(
    'norm',
    'abs',
    [4],
    (z) => expand(norm(z), [4]),
    () => NaN,
    {
      reference: (x) => {
        const value = Math.sqrt(x.data.reduce((s, v) => s + v * v, 0));
        return build([4], () => value);
      },
    },
  ),
  part(
    'variance',
    'mul_conj',
    [5],
    (z) => expand(variance(z), [5]),
    () => NaN,
    {
      reference: (x) => {
        const mid = [0, 1].map((p) => x.data.reduce((s, v, i) => s + (i % 2 === p ? v : 0), 0) / 5);
        const value = x.data.reduce((s, v, i) => s + (v - mid[i % 2]!) ** 2, 0) / 4;
        return build([5], () => value);
      },
    },
  ),
];

export const COMPLEX: Case[] = [...ARITHMETIC, ...REAL_OPERAND, ...PARTS, ...COMPLEX_LAYOUT];
