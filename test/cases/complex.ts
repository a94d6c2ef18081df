// Complex tensors through real inputs and results: pairs in the last dimension become complex numbers on the way
// in (viewAsComplex) and pairs again on the way out. A gradient of the pairs is the gradient in Re and Im, so
// the suites check the convention dL/d Re z + i dL/d Im z itself.
import {
  type Tensor,
  abs,
  add,
  angle,
  cat,
  clone,
  complex,
  conj,
  div,
  exp,
  expand,
  gather,
  imag,
  indexSelect,
  mean,
  mul,
  neg,
  norm,
  pad,
  permute,
  real,
  roll,
  slice,
  sub,
  sum,
  to,
  variance,
  viewAsComplex,
  viewAsReal,
  where,
} from '../../lib';
import type { Case, Input, Values } from './case';
import { at, build, sizeOf } from './case';

type Pair = readonly [number, number];
type Shape = readonly number[];

const plus = ([a, b]: Pair, [c, d]: Pair): Pair => [a + c, b + d];
const minus = ([a, b]: Pair, [c, d]: Pair): Pair => [a - c, b - d];
const times = ([a, b]: Pair, [c, d]: Pair): Pair => [a * c - b * d, a * d + b * c];
const over = ([a, b]: Pair, [c, d]: Pair): Pair => {
  const n = c * c + d * d;
  return [(a * c + b * d) / n, (b * c - a * d) / n];
};

const numbers = (shape: Shape): Input => ({ shape: [...shape, 2] });
/** Numbers whose parts stay away from 0, and so they themselves. */
const nonzero = (shape: Shape): Input => ({ shape: [...shape, 2], range: [0.5, 2] });

/** The complex number at an index of a tensor of pairs, which may broadcast. */
function pairAt(z: Values, index: Shape): Pair {
  return [at(z, [...index, 0]), at(z, [...index, 1])];
}

function buildPairs(shape: Shape, value: (index: Shape) => Pair): Values {
  return build([...shape, 2], (index) => value(index.slice(0, -1))[index.at(-1)!]!);
}

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

/** A movement of complex elements, checked by what it does to the positions of the pairs. */
function move(
  name: string,
  ops: string[],
  shape: Shape,
  run: (z: Tensor) => Tensor,
  out: Shape,
  from: (index: Shape) => Shape | null,
): Case {
  return {
    name: `complex ${name} [${shape.join(', ')}]`,
    ops,
    inputs: [numbers(shape)],
    run: (x) => viewAsReal(run(viewAsComplex(x))),
    reference: (x) =>
      buildPairs(out, (i) => {
        const source = from(i);
        return source ? pairAt(x, source) : [0, 0];
      }),
    linearIn: [0],
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

function reduction(
  name: string,
  op: string,
  shape: Shape,
  dim: number[],
  run: (z: Tensor, options: { dim: number[] }) => Tensor,
): Case {
  const kept = shape.map((n, i) => (dim.includes(i) ? 1 : n));
  const count = dim.reduce((n, d) => n * shape[d]!, 1);
  return {
    name: `complex ${name} [${shape.join(', ')}] over [${dim.join(', ')}]`,
    ops: [op],
    inputs: [numbers(shape)],
    run: (x) => viewAsReal(run(viewAsComplex(x), { dim })),
    reference: (x) => {
      const sums = new Float64Array(2 * sizeOf(kept));
      const one = { shape: [...kept, 2], data: sums };
      build(shape, (i) => {
        const [a, b] = pairAt(x, i);
        const place = i.reduce((p, k, d) => p * kept[d]! + (dim.includes(d) ? 0 : k), 0);
        sums[2 * place]! += op === 'mean' ? a / count : a;
        sums[2 * place + 1]! += op === 'mean' ? b / count : b;
        return 0;
      });
      return { ...one, shape: [...shape.filter((_, d) => !dim.includes(d)), 2] };
    },
    linearIn: [0],
  };
}

const REDUCTIONS: Case[] = [
  reduction('sum', 'sum', [127], [0], sum),
  reduction('sum', 'sum', [3, 4, 5], [1], sum),
  reduction('sum', 'sum', [3, 4, 5], [0, 2], sum),
  reduction('sum of transposed', 'sum', [4, 6], [1], (z, { dim }) =>
    sum(permute(clone(permute(z, [1, 0])), [1, 0]), { dim }),
  ),
  reduction('mean', 'mean', [2, 31], [1], mean),
  reduction('mean', 'mean', [16, 3], [0], mean),
];

const index = (...values: number[]): Input => ({
  shape: [values.length],
  dtype: 'int32',
  generate: () => values,
});

const MOVES: Case[] = [
  move(
    'clone of transposed',
    ['copy'],
    [5, 7],
    (z) => clone(permute(z, [1, 0])),
    [7, 5],
    ([i, j]) => [j!, i!],
  ),
  move(
    'clone of transposed',
    ['copy'],
    [33, 20],
    (z) => clone(permute(z, [1, 0])),
    [20, 33],
    ([i, j]) => [j!, i!],
  ),
  move(
    'slice',
    ['slice', 'slice_vjp'],
    [3, 8],
    (z) => slice(z, 1, 1, 8, 3),
    [3, 3],
    ([i, j]) => [i!, 1 + 3 * j!],
  ),
  move(
    'pad',
    ['pad'],
    [2, 3],
    (z) => pad(z, [1, 2]),
    [2, 6],
    ([i, j]) => (j! >= 1 && j! < 4 ? [i!, j! - 1] : null),
  ),
  move(
    'roll',
    ['cat'],
    [6],
    (z) => roll(z, 2),
    [6],
    ([i]) => [(i! + 4) % 6],
  ),
  move(
    'expand',
    ['expand'],
    [1, 3],
    (z) => clone(expand(z, [4, 3])),
    [4, 3],
    ([, j]) => [0, j!],
  ),
  {
    name: 'complex cat with a real tensor',
    ops: ['cat'],
    inputs: [numbers([2, 3]), { shape: [2, 2] }],
    run: (z, x) => viewAsReal(cat([viewAsComplex(z), x], { dim: 1 })),
    reference: (z, x) =>
      buildPairs([2, 5], ([i, j]) =>
        j! < 3 ? pairAt(z, [i!, j!]) : [x.data[2 * i! + j! - 3]!, 0],
      ),
  },
  {
    name: 'complex indexSelect',
    ops: ['index_select', 'index_select_vjp'],
    inputs: [numbers([4, 3]), index(2, 0, 2)],
    run: (z, at) => viewAsReal(indexSelect(viewAsComplex(z), 0, at)),
    reference: (z, { data }) => buildPairs([3, 3], ([i, j]) => pairAt(z, [data[i!]!, j!])),
    linearIn: [0],
  },
  {
    name: 'complex gather',
    ops: ['gather', 'gather_vjp'],
    inputs: [numbers([5]), index(4, 1, 1, 0)],
    run: (z, at) => viewAsReal(gather(viewAsComplex(z), 0, at)),
    reference: (z, { data }) => buildPairs([4], ([i]) => pairAt(z, [data[i!]!])),
    linearIn: [0],
  },
  {
    name: 'complex where',
    ops: ['where'],
    inputs: [
      { shape: [9], dtype: 'uint8', generate: (n) => Array.from({ length: n }, (_, i) => i % 2) },
      numbers([9]),
      numbers([1]),
    ],
    run: (c, a, b) => viewAsReal(where(c, viewAsComplex(a), viewAsComplex(b))),
    reference: (c, a, b) =>
      buildPairs([9], ([i]) => (c.data[i!] ? pairAt(a, [i!]) : pairAt(b, [0]))),
  },
  {
    name: 'complex views of pairs at an odd offset',
    ops: ['view_as_complex', 'view_as_real'],
    inputs: [{ shape: [9] }],
    run: (x) => viewAsReal(viewAsComplex(slice(x, 0, 1, 9).reshape([4, 2]))),
    reference: ({ data }) => build([4, 2], ([i, j]) => data[1 + 2 * i! + j!]!),
    linearIn: [0],
  },
  {
    name: 'complex128 through complex64',
    ops: ['cast'],
    inputs: [numbers([3])],
    run: (x) => to(viewAsReal(to(viewAsComplex(x), 'complex64')), x.dtype),
    reference: (x) => x,
    gradient: 'differences are smaller than the rounding to complex64',
  },
];

export const COMPLEX: Case[] = [...ARITHMETIC, ...PARTS, ...REDUCTIONS, ...MOVES];
