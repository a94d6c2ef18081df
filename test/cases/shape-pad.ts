import { type PadMode, type Tensor, cumsum, pad, tril, triu } from '../../lib';
import { type Case, type Values, at, build } from './case';
import { moved } from './shape';

type Index = readonly number[];

/** Where position i of a padded dimension of n elements comes from; undefined: from nowhere. */
function source(mode: PadMode, i: number, n: number): number | undefined {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case 'reflect':
      return i < 0 ? -i : 2 * (n - 1) - i;
    case 'replicate':
      return i < 0 ? 0 : n - 1;
    case 'circular':
      return (i + n) % n;
    default:
      return undefined;
  }
}

function padded(shape: Index, padding: Index, mode: PadMode, value?: number): Case[] {
  const pairs = shape.map((_, i) => {
    const p = 2 * (shape.length - 1 - i);
    return [padding[p] ?? 0, padding[p + 1] ?? 0] as const;
  });
  const out = shape.map((n, i) => pairs[i]![0] + n + pairs[i]![1]);
  const reference = (x: Values) =>
    build(out, (index) => {
      const from = index.map((i, d) => {
        const [before, after] = pairs[d]!;
        if (mode !== 'circular') return source(mode, i - before, shape[d]!);
        // What is taken away is not there to wrap round to.
        const first = Math.max(0, -before);
        const left = shape[d]! - first - Math.max(0, -after);
        return first + source(mode, i - before - first, left)!;
      });
      return from.includes(undefined) ? (value ?? 0) : at(x, from as number[]);
    });
  const run = (x: Tensor) => pad(x, padding, value === undefined ? { mode } : { mode, value });
  const name = `pad [${shape.join()}] by [${padding.join()}], ${mode}`;
  const one: Case = { name, ops: ['pad'], inputs: [{ shape }], run, reference };
  return [
    { ...one, ...(value === undefined ? { linearIn: [0] } : {}) },
    { ...one, name: `${name}, int32`, inputs: [{ shape, dtype: 'int32', range: [-9, 9] }] },
  ];
}

const COPYING: readonly PadMode[] = ['reflect', 'replicate', 'circular'];

const PADDED: Case[] = [
  ...COPYING.flatMap((mode) => [
    ...padded([7], [6, 3], mode),
    ...padded([2, 3, 16], [1, 2], mode),
    ...padded([2, 4, 5], [2, 1, 3, 0], mode),
    ...padded([1, 2, 3, 4, 3], [1, 2, 2, 1, 2, 0], mode),
    ...padded([3, 17], [0, 0, 2, 1], mode),
    ...padded([6, 5], [-1, 3, 2, -2], mode),
    ...padded([5, 4], [-2, -1, -3, 0], mode),
    ...padded([0, 3], [1, 2], mode),
  ]),
  ...padded([1], [3, 4], 'replicate'),
  ...padded([1, 1], [1, 1, 1, 1], 'circular'),
  ...padded([4, 5], [-1, 2, 1, -2], 'constant'),
  ...padded([4, 5], [-2, 3, -3, 2], 'constant', 7),
  ...padded([0, 2], [1, 1, 2, 1], 'constant', 3),
  ...padded([3, 4, 31], [0, 0, 1, 2], 'constant'),
].flat();

const TRIANGLES: Case[] = [
  ...[-3, -1, 0, 1, 9].flatMap((diagonal): Case[] => {
    const keep = (low: boolean) => (x: Values) =>
      build(x.shape, (index) => {
        const [i, j] = index.slice(-2) as [number, number];
        return (low ? j - i <= diagonal : j - i >= diagonal) ? at(x, index) : 0;
      });
    return [
      {
        name: `tril [2,5,3], diagonal ${diagonal}`,
        ops: ['tril'],
        inputs: [{ shape: [2, 5, 3] }],
        run: (x) => tril(x, { diagonal }),
        reference: keep(true),
        linearIn: [0],
      },
      {
        name: `triu [3,17], diagonal ${diagonal}`,
        ops: ['triu'],
        inputs: [{ shape: [3, 17] }],
        run: (x) => triu(x, { diagonal }),
        reference: keep(false),
        linearIn: [0],
      },
    ];
  }),
  ...moved(
    'triu of one element',
    'triu',
    [1, 1],
    [1, 1],
    (x) => triu(x),
    (i) => i,
  ),
];

function summed(shape: Index, dim: number, dtype?: 'int32' | 'uint8'): Case {
  const axis = dim < 0 ? dim + shape.length : dim;
  return {
    name: `cumsum [${shape.join()}] along ${dim}${dtype ? `, ${dtype}` : ''}`,
    ops: ['cumsum'],
    inputs: [{ shape, ...(dtype ? { dtype, range: [0, 200] as const } : {}) }],
    run: (x) => cumsum(x, dim),
    reference: (x) =>
      build(shape, (index) => {
        let sum = 0;
        for (let i = 0; i <= (index[axis] ?? 0); i++) sum += at(x, index.with(axis, i));
        return sum;
      }),
    ...(dtype ? {} : { linearIn: [0] }),
  };
}

const SUMS: Case[] = [
  summed([127], 0),
  summed([1], 0),
  summed([0, 3], 0),
  summed([17, 31], -1),
  summed([16, 15], 0),
  summed([2, 3, 300], 1),
  summed([3, 2, 2, 5], -2),
  summed([9, 4], 1, 'int32'),
  summed([9, 4], 0, 'uint8'),
  {
    ...summed([1], 0),
    name: 'cumsum without dimensions',
    inputs: [{ shape: [] }],
    run: (x) => cumsum(x, -1),
    reference: (x) => x,
  },
];

export const SHAPE_PAD: Case[] = [...PADDED, ...TRIANGLES, ...SUMS];
