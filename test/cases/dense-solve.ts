import {
  type Tensor,
  add,
  cholesky,
  eye,
  inv,
  matmul,
  solve,
  solveTriangular,
  transpose,
} from '../../lib';
import { type Case, type Values, build } from './case';

type Index = readonly number[];

/** Solves one system in plain JavaScript: Gaussian elimination with partial pivoting. */
function eliminate(a: number[][], b: number[][]): number[][] {
  const n = a.length;
  const rows = a.map((row, i) => [...row, ...b[i]!]);
  for (let j = 0; j < n; j++) {
    let best = j;
    for (let i = j; i < n; i++) if (Math.abs(rows[i]![j]!) > Math.abs(rows[best]![j]!)) best = i;
    [rows[j], rows[best]] = [rows[best]!, rows[j]!];
    for (let i = 0; i < n; i++) {
      if (i === j) continue;
      const factor = rows[i]![j]! / rows[j]![j]!;
      rows[i] = rows[i]!.map((value, k) => value - factor * rows[j]![k]!);
    }
  }
  return rows.map((row, i) => row.slice(n).map((value) => value / row[i]!));
}

/** Matrix `b` of the batch. */
function matrix({ shape, data }: Values, b: number): number[][] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => data[(b * rows + i) * columns + j]!),
  );
}

function batched(shape: Index, one: (b: number) => number[][]): Values {
  const [rows, columns] = shape.slice(-2) as [number, number];
  const count = shape.slice(0, -2).reduce((p, n) => p * n, 1);
  const all = Array.from({ length: count }, (_, b) => one(b).flat()).flat();
  let i = 0;
  return rows * columns === 0 ? build(shape, () => 0) : build(shape, () => all[i++]!);
}

/** Numbers in [-1, 1) with n + 1 added on the diagonal, rows turned by one so that pivoting has to move them. */
function regular(n: number, turn = 1) {
  return (size: number, random: () => number) =>
    Float64Array.from({ length: size }, (_, p) => {
      const [i, j] = [Math.floor(p / n) % n, p % n];
      return Math.fround(2 * random() - 1 + ((i + turn) % n === j ? n + 1 : 0));
    });
}

function between(low: number, high: number) {
  return (size: number, random: () => number) =>
    Float64Array.from({ length: size }, () => Math.fround(low + (high - low) * random()));
}

const tolerance = { float32: 2e-5, float64: 1e-12 };

function solved(batch: Index, n: number, k: number): Case {
  const [a, b] = [
    [...batch, n, n],
    [...batch, n, k],
  ];
  return {
    name: `solve [${a.join()}], [${b.join()}]`,
    ops: ['solve', 'lu_solve'],
    inputs: [{ shape: a, generate: regular(n) }, { shape: b }],
    run: (x, y) => solve(x, y),
    reference: (x, y) => batched(b, (i) => eliminate(matrix(x, i), matrix(y, i))),
    tolerance,
    linearIn: [1],
  };
}

const symmetric = (x: Tensor) =>
  add(matmul(x, transpose(x, -1, -2)), eye(x.shape.at(-1)!, { dtype: x.dtype, device: x.device }));

function factored(shape: Index, upper: boolean): Case {
  const n = shape.at(-1)!;
  return {
    name: `cholesky [${shape.join()}]${upper ? ', upper' : ''}`,
    ops: ['cholesky', 'solve_triangular'],
    // Not to be replaced by equal columns: of those, x x^T + 1 is ill-conditioned.
    inputs: [{ shape, generate: between(-1, 1) }],
    run: (x) => cholesky(symmetric(x), { upper }),
    reference: (x) =>
      batched(shape, (b) => {
        const m = matrix(x, b);
        const l = m.map((row) => row.map(() => 0));
        for (let i = 0; i < n; i++) {
          for (let j = 0; j <= i; j++) {
            let s = i === j ? 1 : 0;
            for (let k = 0; k < n; k++) s += m[i]![k]! * m[j]![k]!;
            for (let k = 0; k < j; k++) s -= l[i]![k]! * l[j]![k]!;
            l[i]![j] = i === j ? Math.sqrt(s) : s / l[j]![j]!;
          }
        }
        return upper ? l.map((row, i) => row.map((_, j) => l[j]![i]!)) : l;
      }),
    tolerance,
  };
}

function triangular(upper: boolean, unitriangular: boolean, left: boolean): Case {
  const n = 9;
  const kept = (m: number[][]) =>
    m.map((row, i) =>
      row.map((value, j) => (i === j ? (unitriangular ? 1 : value) : j > i === upper ? value : 0)),
    );
  const turned = (m: number[][]) => m[0]!.map((_, j) => m.map((row) => row[j]!));
  const b = left ? [2, n, 3] : [2, 3, n];
  return {
    name: `solveTriangular, ${upper ? 'upper' : 'lower'}${unitriangular ? ', unit' : ''}${left ? '' : ', right'}`,
    ops: ['solve_triangular'],
    inputs: [
      {
        shape: [2, n, n],
        generate: (size, random) => regular(n, 0)(size, random).map((v) => (v > 2 ? v : v / 4)),
      },
      { shape: b },
    ],
    run: (x, y) => solveTriangular(x, y, { upper, unitriangular, left }),
    reference: (x, y) =>
      batched(b, (i) => {
        const a = kept(matrix(x, i));
        return left
          ? eliminate(a, matrix(y, i))
          : turned(eliminate(turned(a), turned(matrix(y, i))));
      }),
    tolerance,
    linearIn: [1],
  };
}

export const DENSE_SOLVE: Case[] = [
  solved([], 1, 1),
  solved([], 2, 3),
  solved([2], 3, 1),
  solved([3, 2], 7, 5),
  solved([2], 16, 17),
  solved([], 31, 2),
  solved([2], 100, 3),
  solved([], 131, 66),
  solved([0], 3, 2),
  solved([2], 0, 2),
  {
    name: 'solve for a vector',
    ops: ['solve'],
    inputs: [{ shape: [5, 5], generate: regular(5) }, { shape: [5] }],
    run: (a, b) => solve(a, b),
    reference: (a, b) => {
      const x = eliminate(
        matrix(a, 0),
        [...b.data].map((v) => [v]),
      );
      return build([5], ([i]) => x[i!]![0]!);
    },
    tolerance,
    linearIn: [1],
  },
  {
    name: 'solve for vectors of a batch',
    ops: ['solve'],
    inputs: [{ shape: [3, 4, 4], generate: regular(4) }, { shape: [3, 4] }],
    run: (a, b) => solve(a, b),
    reference: (a, b) =>
      build([3, 4], ([i, j]) => {
        const side = Array.from({ length: 4 }, (_, r) => [b.data[i! * 4 + r]!]);
        return eliminate(matrix(a, i!), side)[j!]![0]!;
      }),
    tolerance,
  },
  {
    name: 'solve of one matrix for a batch',
    ops: ['solve'],
    inputs: [{ shape: [3, 3], generate: regular(3) }, { shape: [2, 4, 3, 2] }],
    run: (a, b) => solve(a, b),
    reference: (a, b) => batched([2, 4, 3, 2], (i) => eliminate(matrix(a, 0), matrix(b, i))),
    tolerance,
    linearIn: [1],
  },
  {
    name: 'solve from the right',
    ops: ['solve'],
    inputs: [{ shape: [3, 3], generate: regular(3, 0) }, { shape: [2, 3] }],
    run: (a, b) => solve(a, b, { left: false }),
    reference: (a, b) => {
      const turned = (m: number[][]) => m[0]!.map((_, j) => m.map((row) => row[j]!));
      return batched([2, 3], () => turned(eliminate(turned(matrix(a, 0)), turned(matrix(b, 0)))));
    },
    tolerance,
    linearIn: [1],
  },
  ...[
    [1, 1],
    [2, 3, 3],
    [17, 17],
    [130, 130],
  ].map((shape): Case => {
    const n = shape.at(-1)!;
    const unit = Array.from({ length: n }, (_, i) =>
      Array.from({ length: n }, (_, j) => +(i === j)),
    );
    return {
      name: `inv [${shape.join()}]`,
      ops: ['inv'],
      inputs: [{ shape, generate: regular(n) }],
      run: (a) => inv(a),
      reference: (a) => batched(shape, (b) => eliminate(matrix(a, b), unit)),
      tolerance,
    };
  }),
  ...[
    [1, 1],
    [2, 3, 3],
    [3, 8, 8],
    [17, 17],
    [70, 70],
    [140, 140],
    [0, 4, 4],
  ].map((shape) => factored(shape, false)),
  factored([2, 5, 5], true),
  ...[true, false].flatMap((upper) =>
    [true, false].flatMap((unit) => [
      triangular(upper, unit, true),
      triangular(upper, unit, false),
    ]),
  ),
];
