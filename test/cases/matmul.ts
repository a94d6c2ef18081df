import { bmm, linear, matmul } from '../../lib';
import { type Bench, type Case, type Values, at, build, show, SUMS } from './case';

/** Result shape and value of a batched product, naively. */
function product(a: Values, b: Values): Values {
  const batch = Math.max(a.shape.length, b.shape.length) - 2;
  const sizeAt = (x: Values, i: number) => x.shape[i - batch + x.shape.length - 2] ?? 1;
  const leading = Array.from({ length: batch }, (_, i) => Math.max(sizeAt(a, i), sizeAt(b, i)));
  const depth = a.shape.at(-1)!;
  return build([...leading, a.shape.at(-2)!, b.shape.at(-1)!], (index) => {
    const [i, j] = [index.at(-2)!, index.at(-1)!];
    const outer = index.slice(0, -2);
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += at(a, [...outer, i, k]) * at(b, [...outer, k, j]);
    return sum;
  });
}

const reshaped = (x: Values, shape: readonly number[]): Values => ({ shape, data: x.data });

function matmulCase(a: number[], b: number[], bench?: Bench[]): Case {
  return {
    name: `matmul ${show(a)} ${show(b)}`,
    ops: ['matmul'],
    inputs: [{ shape: a }, { shape: b }],
    run: matmul,
    reference: (x, y) => {
      const row = x.shape.length === 1 ? reshaped(x, [1, x.shape[0]!]) : x;
      const column = y.shape.length === 1 ? reshaped(y, [y.shape[0]!, 1]) : y;
      const full = product(row, column);
      const batch = full.shape.slice(0, -2);
      const kept = [
        ...(row === x ? [full.shape.at(-2)!] : []),
        ...(column === y ? [full.shape.at(-1)!] : []),
      ];
      return reshaped(full, [...batch, ...kept]);
    },
    tolerance: SUMS,
    linearIn: [0, 1],
    bench,
  };
}

const MATMUL: Case[] = [
  matmulCase(
    [8, 48],
    [48, 48],
    [
      { shapes: [[1024, 1024], [1024, 1024]], elements: 3 * 2 ** 20, flops: 2 ** 31 }, // prettier-ignore
      { shapes: [[64, 576], [576, 4096]], elements: 64 * 576 + 640 * 4096, flops: 2 * 64 * 576 * 4096 }, // prettier-ignore
    ],
  ),
  matmulCase([1, 1], [1, 1]),
  matmulCase([9, 33], [33, 49]),
  matmulCase([70, 19], [19, 1]),
  matmulCase([1, 19], [19, 70]),
  matmulCase([3, 0], [0, 5]),
  matmulCase([4, 3, 7], [4, 7, 5]),
  matmulCase([4, 3, 7], [7, 5]),
  matmulCase([2, 1, 3, 4], [5, 4, 6]),
  matmulCase([17], [17]),
  matmulCase([3, 5, 17], [17]),
  matmulCase([5], [3, 5, 4]),
  matmulCase([5], [5, 4]),
  matmulCase([2, 0, 3], [2, 3, 4]),
  matmulCase([0, 3], [3, 4]),
  matmulCase([2, 3, 0], [0, 4]),
  matmulCase([0], [0]),
  matmulCase([2, 1, 16], [2, 16, 33]),
  matmulCase([2, 33, 16], [2, 16, 1]),
  matmulCase([3, 1, 2, 100], [1, 2, 100, 3]),
  // more rows than one tile of a GPU has, a few columns, a depth that is cut
  matmulCase([70, 20], [20, 130]),
  matmulCase([40, 36], [36, 68]),
  matmulCase([130, 9], [9, 5]),
  matmulCase([2, 300], [300, 3]),
  {
    name: 'bmm',
    ops: ['matmul'],
    inputs: [{ shape: [3, 5, 4] }, { shape: [3, 4, 18] }],
    run: bmm,
    reference: product,
    tolerance: SUMS,
  },
  {
    name: 'linear',
    ops: ['linear'],
    inputs: [{ shape: [2, 5, 17] }, { shape: [9, 17] }, { shape: [9] }],
    run: (x, weight, bias) => linear(x, weight, { bias }),
    reference: (x, w, b) =>
      build([2, 5, 9], ([i, j, o]) => {
        let sum = b.data[o!]!;
        for (let k = 0; k < 17; k++) sum += at(x, [i!, j!, k]) * at(w, [o!, k]);
        return sum;
      }),
    tolerance: SUMS,
  },
];

export const MATRIX_PRODUCT: Case[] = [...MATMUL];
