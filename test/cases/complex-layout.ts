// Complex sums and everything that moves complex elements; see complex.ts.
import {
  type Tensor,
  cat,
  clone,
  expand,
  gather,
  indexSelect,
  mean,
  pad,
  permute,
  roll,
  slice,
  sum,
  to,
  viewAsComplex,
  viewAsReal,
  where,
} from '../../lib';
import type { Case, Input } from './case';
import { build, sizeOf } from './case';
import { type Shape, buildPairs, numbers, pairAt } from './complex-pairs';

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

export const COMPLEX_LAYOUT: Case[] = [...REDUCTIONS, ...MOVES];
