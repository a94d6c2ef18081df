import { flip, gather, indexSelect, repeat, roll } from '../../lib';
import { type Case, type Input, at, build } from './case';
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

export const SHAPE_INDEX: Case[] = [...REARRANGED, ...INDEXING];
