import { embedding, flip, gather, indexSelect, repeat, roll, scatterAdd } from '../../lib';
import { type Case, type Input, type Values, at, build, indicesOf } from './case';
import { moved } from './shape';

const REARRANGED: Case[] = [
  moved(
    'flip [3,5]',
    'index_select',
    [3, 5],
    [3, 5],
    (x) => flip(x, [1]),
    ([a, b]) => [a!, 4 - b!],
  ),
  moved(
    'flip both',
    'index_select',
    [3, 5],
    [3, 5],
    (x) => flip(x, [0, -1]),
    ([a, b]) => [2 - a!, 4 - b!],
  ),
  moved(
    'repeat [2,3]',
    'expand',
    [2, 3],
    [4, 9],
    (x) => repeat(x, [2, 3]),
    ([a, b]) => [a! % 2, b! % 3],
  ),
  moved(
    'repeat in front',
    'expand',
    [3],
    [2, 3],
    (x) => repeat(x, [2, 1]),
    ([, b]) => [b!],
  ),
  moved(
    'roll [5]',
    'cat',
    [5],
    [5],
    (x) => roll(x, 2),
    ([a]) => [(a! + 3) % 5],
  ),
  moved(
    'roll [3,4], flattened',
    'cat',
    [3, 4],
    [3, 4],
    (x) => roll(x, -5),
    ([a, b]) => {
      const p = (4 * a! + b! + 5) % 12;
      return [Math.floor(p / 4), p % 4];
    },
  ),
  moved(
    'roll [3,4], both',
    'cat',
    [3, 4],
    [3, 4],
    (x) => roll(x, [1, -1], { dims: [0, 1] }),
    ([a, b]) => [(a! + 2) % 3, (b! + 1) % 4],
  ),
].flat();

const index = (shape: number[], size: number): Input => ({
  shape,
  dtype: 'int32',
  range: [0, size],
});

const INDEXING: Case[] = [
  ...[0, 1, 2].map((dim): Case => {
    const shape = [4, 5, 3];
    const out = shape.map((n, i) => (i === dim ? 7 : n));
    return {
      name: `indexSelect along ${dim}`,
      ops: ['index_select'],
      inputs: [{ shape }, index([7], shape[dim]!)],
      run: (x, i) => indexSelect(x, dim, i),
      reference: (x, chosen) =>
        build(out, (i) =>
          at(
            x,
            i.map((n, d) => (d === dim ? at(chosen, [n]) : n)),
          ),
        ),
      linearIn: [0],
    };
  }),
  ...[0, 1].map((dim): Case => {
    const out = dim === 0 ? [6, 4] : [3, 9];
    return {
      name: `gather along ${dim}`,
      ops: ['gather'],
      inputs: [{ shape: [3, 5] }, index(out, dim === 0 ? 3 : 5)],
      run: (x, i) => gather(x, dim, i),
      reference: (x, chosen) =>
        build(out, (i) =>
          at(
            x,
            i.map((n, d) => (d === dim ? at(chosen, i) : n)),
          ),
        ),
      linearIn: [0],
    };
  }),
  {
    name: 'indexSelect by uint8',
    ops: ['index_select', 'cast'],
    inputs: [{ shape: [4] }, { shape: [3], dtype: 'uint8', range: [0, 4] }],
    run: (x, i) => indexSelect(x, 0, i),
    reference: (x, i) => build([3], (j) => at(x, [at(i, j)])),
    linearIn: [0],
  },
  {
    name: 'indexSelect of many rows',
    ops: ['index_select'],
    inputs: [{ shape: [50, 64] }, index([1000], 50)],
    run: (x, i) => indexSelect(x, 0, i),
    reference: (x, chosen) => build([1000, 64], ([r, c]) => at(x, [at(chosen, [r!]), c!])),
    linearIn: [0],
  },
];

/** x with src added at the positions of an index along dim. */
function added(dim: number) {
  return (x: Values, chosen: Values, src: Values): Values => {
    const out = { shape: x.shape, data: x.data.slice() };
    for (const i of indicesOf(chosen.shape)) {
      const to = i.map((n, d) => (d === dim ? at(chosen, i) : n));
      const position = to.reduce((p, n, d) => p * x.shape[d]! + n, 0);
      out.data[position] =
        out.data[position]! + src.data[i.reduce((p, n, d) => p * src.shape[d]! + n, 0)]!;
    }
    return out;
  };
}

function scattered(x: number[], chosen: number[], src: number[], dim: number): Case {
  return {
    name: `scatterAdd [${src.join()}] by [${chosen.join()}] to [${x.join()}] along ${dim}`,
    ops: ['scatter_add'],
    inputs: [{ shape: x }, index(chosen, x[dim]!), { shape: src }],
    run: (a, i, b) => scatterAdd(a, dim - x.length, i, b),
    reference: added(dim),
  };
}

const ADDED: Case[] = [
  scattered([4, 5], [7, 3], [7, 3], 0),
  scattered([4, 5], [3, 31], [4, 33], 1),
  scattered([3, 2, 4], [3, 5, 2], [3, 6, 4], 1),
  scattered([17], [64], [64], 0),
  scattered([3, 4], [0, 4], [2, 4], 0),
  {
    name: 'scatterAdd of int32',
    ops: ['scatter_add'],
    inputs: [
      { shape: [5], dtype: 'int32', range: [-9, 9] },
      index([9], 5),
      { shape: [9], dtype: 'int32', range: [-9, 9] },
    ],
    run: (x, i, src) => scatterAdd(x, 0, i, src),
    reference: added(0),
  },
  {
    name: 'scatterAdd without dimensions',
    ops: ['scatter_add'],
    inputs: [{ shape: [] }, index([], 1), { shape: [] }],
    run: (x, i, src) => scatterAdd(x, 0, i, src),
    reference: (x, _, src) => build([], () => x.data[0]! + src.data[0]!),
  },
];

const EMBEDDINGS: Case[] = [
  {
    name: 'embedding [2,3] of [7,5]',
    ops: ['embedding'],
    inputs: [index([2, 3], 7), { shape: [7, 5] }],
    run: (i, weight) => embedding(i, weight),
    reference: (i, weight) => build([2, 3, 5], ([a, b, c]) => at(weight, [at(i, [a!, b!]), c!])),
    linearIn: [1],
  },
  {
    name: 'embedding of one index',
    ops: ['embedding'],
    inputs: [{ shape: [], dtype: 'uint8', range: [0, 3] }, { shape: [3, 1] }],
    run: (i, weight) => embedding(i, weight),
    reference: (i, weight) => build([1], () => at(weight, [i.data[0]!, 0])),
    linearIn: [1],
  },
  {
    name: 'embedding of nothing',
    ops: ['embedding'],
    inputs: [index([0, 2], 3), { shape: [3, 4] }],
    run: (i, weight) => embedding(i, weight),
    reference: () => build([0, 2, 4], () => 0),
    linearIn: [1],
  },
];

const CORNERS: Case[] = [
  {
    name: 'gather without dimensions',
    ops: ['gather'],
    inputs: [{ shape: [] }, index([], 1)],
    run: (x, i) => gather(x, -1, i),
    reference: (x) => x,
    linearIn: [0],
  },
  {
    name: 'gather of nothing, by an index of any shape',
    ops: ['gather'],
    inputs: [{ shape: [2, 3] }, index([4, 9, 0], 1)],
    run: (x, i) => gather(x, 0, i),
    reference: () => build([4, 9, 0], () => 0),
  },
  {
    name: 'gather along -1 by fewer rows',
    ops: ['gather'],
    inputs: [{ shape: [4, 5] }, index([2, 1], 5)],
    run: (x, i) => gather(x, -1, i),
    reference: (x, i) => build([2, 1], ([a, b]) => at(x, [a!, i.data[a! + b!]!])),
    linearIn: [0],
  },
  {
    name: 'indexSelect by one index without dimensions',
    ops: ['index_select'],
    inputs: [{ shape: [3, 4] }, index([], 4)],
    run: (x, i) => indexSelect(x, -1, i),
    reference: (x, i) => build([3, 1], ([a]) => at(x, [a!, i.data[0]!])),
    linearIn: [0],
  },
  {
    name: 'indexSelect of a number',
    ops: ['index_select'],
    inputs: [{ shape: [] }, index([1], 1)],
    run: (x, i) => indexSelect(x, 0, i),
    reference: (x) => x,
    linearIn: [0],
  },
  {
    name: 'indexSelect of nothing',
    ops: ['index_select'],
    inputs: [{ shape: [3, 4] }, index([0], 1)],
    run: (x, i) => indexSelect(x, 1, i),
    reference: () => build([3, 0], () => 0),
  },
];

export const SHAPE_INDEX: Case[] = [
  ...REARRANGED,
  ...INDEXING,
  ...ADDED,
  ...EMBEDDINGS,
  ...CORNERS,
];
