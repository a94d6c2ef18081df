import {
  type Tensor,
  cat,
  clone,
  expand,
  flatten,
  full,
  pad,
  permute,
  reshape,
  select,
  slice,
  split,
  squeeze,
  stack,
  transpose,
  unsqueeze,
} from '../../lib';
import { type Case, type Input, type Values, at, build } from './case';

type Index = readonly number[];

/** A case of one input whose result element at an index is x at from(index). */
export function moved(
  name: string,
  op: string,
  shape: Index,
  out: Index,
  run: (x: Tensor) => Tensor,
  from: (index: Index) => Index,
): Case[] {
  const one: Case = {
    name,
    ops: [op],
    inputs: [{ shape }],
    run,
    reference: (x) => build(out, (i) => at(x, from(i))),
    linearIn: [0],
  };
  const bytes: Case = {
    ...one,
    name: `${name}, uint8`,
    inputs: [{ shape, dtype: 'uint8', range: [0, 200] }],
    linearIn: undefined,
  };
  return [one, bytes];
}

/** A case that keeps the row-major order of the elements. */
function reshaped(name: string, shape: Index, out: Index, run: (x: Tensor) => Tensor): Case {
  return {
    name,
    ops: ['reshape'],
    inputs: [{ shape }],
    run,
    reference: ({ data }) => ({ shape: out, data }),
    linearIn: [0],
  };
}

const RESHAPES: Case[] = [
  reshaped('reshape [4,6] to [3,8]', [4, 6], [3, 8], (x) => reshape(x, [3, 8])),
  reshaped('reshape [2,3,4] to [6,-1]', [2, 3, 4], [6, 4], (x) => reshape(x, [6, -1])),
  reshaped('reshape [2,1,4] to [2,2,2]', [2, 1, 4], [2, 2, 2], (x) => reshape(x, [2, 2, 2])),
  reshaped('reshape [1] to []', [1], [], (x) => reshape(x, [])),
  reshaped('reshape [0,3] to [3,0]', [0, 3], [3, 0], (x) => reshape(x, [3, 0])),
  reshaped('flatten [2,3,4]', [2, 3, 4], [24], (x) => flatten(x)),
  reshaped('flatten [2,3,4] from 1', [2, 3, 4], [2, 12], (x) => flatten(x, { startDim: 1 })),
  reshaped('flatten []', [], [1], (x) => flatten(x)),
  reshaped('squeeze [1,3,1]', [1, 3, 1], [3], (x) => squeeze(x)),
  reshaped('squeeze [1,3,1] at -1', [1, 3, 1], [1, 3], (x) => squeeze(x, { dim: -1 })),
  reshaped('squeeze [1,3,1] at 0 and 1', [1, 3, 1], [3, 1], (x) => squeeze(x, { dim: [0, 1] })),
  reshaped('unsqueeze [3,4] at -1', [3, 4], [3, 4, 1], (x) => unsqueeze(x, -1)),
  reshaped('unsqueeze [3,4] at 1', [3, 4], [3, 1, 4], (x) => unsqueeze(x, 1)),
  reshaped('reshape of permuted [3,4,5]', [3, 20], [20, 3], (x) =>
    permute(reshape(permute(reshape(x, [3, 4, 5]), [1, 2, 0]), [20, 3]), [1, 0]).permute([1, 0]),
  ),
];
// The last one reads the elements in another order than it was given them.
RESHAPES[RESHAPES.length - 1]!.reference = (x) => build([20, 3], ([i, j]) => at(x, [j!, i!]));

const VIEWS: Case[] = [
  moved(
    'permute [2,3,4]',
    'permute',
    [2, 3, 4],
    [4, 2, 3],
    (x) => permute(x, [2, 0, 1]),
    ([a, b, c]) => [b!, c!, a!],
  ),
  moved(
    'permute with -1',
    'permute',
    [3, 17],
    [17, 3],
    (x) => permute(x, [-1, 0]),
    ([a, b]) => [b!, a!],
  ),
  moved(
    'transpose [2,3,4]',
    'permute',
    [2, 3, 4],
    [4, 3, 2],
    (x) => transpose(x, 0, -1),
    ([a, b, c]) => [c!, b!, a!],
  ),
  moved(
    'expand [3,1]',
    'expand',
    [3, 1],
    [2, 3, 4],
    (x) => expand(x, [2, -1, 4]),
    ([, b]) => [b!, 0],
  ),
  moved(
    'expand []',
    'expand',
    [],
    [3],
    (x) => expand(x, [3]),
    () => [],
  ),
  moved(
    'slice [5,7]',
    'slice',
    [5, 7],
    [5, 4],
    (x) => slice(x, 1, 2, 6),
    ([a, b]) => [a!, b! + 2],
  ),
  moved(
    'slice by 3',
    'slice',
    [17, 2],
    [5, 2],
    (x) => slice(x, 0, 1, -2, 3),
    ([a, b]) => [1 + 3 * a!, b!],
  ),
  moved(
    'slice out of range',
    'slice',
    [5],
    [2],
    (x) => slice(x, 0, -2, 99),
    ([a]) => [a! + 3],
  ),
  moved(
    'slice to nothing',
    'slice',
    [5, 2],
    [0, 2],
    (x) => slice(x, 0, 4, 1),
    (i) => i,
  ),
  moved(
    'slice of a slice',
    'slice',
    [17],
    [3],
    (x) => slice(slice(x, 0, 1, 16, 2), 0, 2, 8, 2),
    ([a]) => [5 + 4 * a!],
  ),
  moved(
    'select [4,5]',
    'slice',
    [4, 5],
    [4],
    (x) => select(x, 1, -2),
    ([a]) => [a!, 3],
  ),
  moved(
    'split [7,3], second',
    'slice',
    [7, 3],
    [3, 3],
    (x) => split(x, 3)[1]!,
    ([a, b]) => [a! + 3, b!],
  ),
  moved(
    'split [7,3], last',
    'slice',
    [7, 3],
    [1, 3],
    (x) => split(x, 3)[2]!,
    ([a, b]) => [a! + 6, b!],
  ),
  moved(
    'split [3,7] by sizes',
    'slice',
    [3, 7],
    [3, 4],
    (x) => split(x, [1, 4, 2], { dim: 1 })[1]!,
    ([a, b]) => [a!, b! + 1],
  ),
  moved('clone [5,7]', 'copy', [5, 7], [5, 7], clone, (i) => i),
  moved('clone [300,257]', 'copy', [300, 257], [300, 257], clone, (i) => i),
].flat();

/** Joins references along a dimension. */
function joined(parts: readonly Values[], dim: number): Values {
  const size = parts.reduce((n, p) => n + p.shape[dim]!, 0);
  const shape = parts[0]!.shape.map((n, i) => (i === dim ? size : n));
  return build(shape, (index) => {
    let offset = index[dim]!;
    const part = parts.find((p) => offset < p.shape[dim]! || ((offset -= p.shape[dim]!), false))!;
    return at(
      part,
      index.map((n, i) => (i === dim ? offset : n)),
    );
  });
}

const inputs = (...shapes: number[][]): Input[] => shapes.map((shape) => ({ shape }));

const JOINS: Case[] = [
  {
    name: 'cat [2,3] [4,3]',
    ops: ['cat'],
    inputs: inputs([2, 3], [4, 3]),
    run: (...x) => cat(x),
    reference: (...x) => joined(x, 0),
    linearIn: [],
  },
  {
    name: 'cat along -1',
    ops: ['cat'],
    inputs: inputs([3, 16], [3, 1], [3, 0], [3, 17]),
    run: (...x) => cat(x, { dim: -1 }),
    reference: (...x) => joined(x, 1),
  },
  {
    name: 'cat of one',
    ops: ['cat'],
    inputs: inputs([5]),
    run: (...x) => cat(x),
    reference: (x) => x,
    linearIn: [0],
  },
  {
    name: 'cat of int32 and float',
    ops: ['cat', 'cast'],
    inputs: [{ shape: [3], dtype: 'int32', range: [-5, 5] }, { shape: [4] }],
    run: (...x) => cat(x),
    reference: (...x) => joined(x, 0),
  },
  {
    name: 'cat of 40 tensors',
    ops: ['cat'],
    inputs: Array.from({ length: 40 }, (_, i) => ({ shape: [i % 3, 2] })),
    run: (...x) => cat(x),
    reference: (...x) => joined(x, 0),
  },
  {
    name: 'cat of more tensors than an op takes',
    ops: ['cat'],
    inputs: inputs([2]),
    run: (x) => cat(Array<Tensor>(1500).fill(x)),
    reference: (x) => build([3000], ([i]) => at(x, [i! % 2])),
    linearIn: [0],
  },
  {
    name: 'stack along 1',
    ops: ['cat'],
    inputs: inputs([3, 4], [3, 4]),
    run: (...x) => stack(x, { dim: 1 }),
    reference: (a, b) => build([3, 2, 4], ([i, k, j]) => at(k ? b : a, [i!, j!])),
  },
  {
    name: 'pad of an image',
    ops: ['pad'],
    inputs: inputs([2, 3, 4]),
    run: (x) => pad(x, [1, 2, 0, 3]),
    reference: (x) =>
      build([2, 6, 7], ([a, b, c]) => (b! < 3 && c! >= 1 && c! < 5 ? at(x, [a!, b!, c! - 1]) : 0)),
    linearIn: [0],
  },
  {
    name: 'pad with a value',
    ops: ['pad'],
    inputs: inputs([5]),
    run: (x) => pad(x, [2, 1], { value: -1.5 }),
    reference: (x) => build([8], ([i]) => (i! >= 2 && i! < 7 ? at(x, [i! - 2]) : -1.5)),
  },
  {
    name: 'pad with nothing',
    ops: ['pad'],
    inputs: inputs([2, 2]),
    run: (x) => pad(x, []),
    reference: (x) => x,
    linearIn: [0],
  },
  {
    name: 'full',
    ops: ['full'],
    inputs: inputs([3]),
    run: (x) => full([3, 5], 2.5, { dtype: x.dtype, device: x.device }),
    reference: () => build([3, 5], () => 2.5),
    gradient: 'a constant',
  },
];

export const SHAPE: Case[] = [...RESHAPES, ...VIEWS, ...JOINS];
