import { implicitDiffusion2d, tridiagonalSolve } from '../../lib';
import { type Case, type Input, type Values, at, build } from './case';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';
type Scheme = 'backward-euler' | 'crank-nicolson';

const BOUNDARIES: Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const SCHEMES: Scheme[] = ['backward-euler', 'crank-nicolson'];

/** Solves a dense system by Gaussian elimination with row pivoting. */
function solveDense(matrix: number[][], rhs: number[]): number[] {
  const n = rhs.length;
  const rows = matrix.map((row, i) => [...row, rhs[i]!]);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++)
      if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = rows[i]![n]!;
    for (let j = i + 1; j < n; j++) sum -= rows[i]![j]! * x[j]!;
    x[i] = sum / rows[i]![i]!;
  }
  return x;
}

/** The matrix I + factor * (second difference) of n cells. */
function matrixOf(n: number, factor: number, boundary: Boundary): number[][] {
  const rows = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)),
  );
  const couple = (i: number, j: number, weight: number) => (rows[i]![j]! += factor * weight);
  for (let i = 0; i < n; i++) {
    for (const j of [i - 1, i + 1]) {
      couple(i, i, -1);
      if (j >= 0 && j < n) couple(i, j, 1);
      else if (boundary === 'neumann') couple(i, i, 1);
      else if (boundary === 'periodic') couple(i, (j + n) % n, 1);
    }
  }
  return rows;
}

interface Step {
  dt: number;
  dx: number;
  dy: number;
  boundary: Boundary;
  scheme: Scheme;
}

/** One direction of the step on one line, by dense elimination. */
function stepLine(line: number[], r: number, { boundary, scheme }: Step): number[] {
  const implicit = scheme === 'crank-nicolson' ? 0.5 : 1;
  const n = line.length;
  const explicit = matrixOf(n, (1 - implicit) * r, boundary).map((row) =>
    row.reduce((sum, a, j) => sum + a * line[j]!, 0),
  );
  return solveDense(matrixOf(n, -implicit * r, boundary), explicit);
}

function reference(u: Values, k: Values, step: Step): Values {
  const [n, channels, height, width] = u.shape as [number, number, number, number];
  const data = Float64Array.from(u.data);
  // k of shape [], [C] or [C, 2]
  const diffusivity = (c: number, axis: 0 | 1) =>
    k.data[k.shape.length === 2 ? 2 * c + axis : k.shape.length === 1 ? c : 0]!;
  const sweep = (start: number, count: number, stride: number, r: number) => {
    const line = Array.from({ length: count }, (_, i) => data[start + i * stride]!);
    stepLine(line, r, step).forEach((v, i) => (data[start + i * stride] = v));
  };
  for (let p = 0; p < n * channels; p++) {
    const c = p % channels;
    const base = p * height * width;
    const [rx, ry] = [
      (step.dt * diffusivity(c, 0)) / step.dx ** 2,
      (step.dt * diffusivity(c, 1)) / step.dy ** 2,
    ];
    for (let i = 0; i < height; i++) sweep(base + i * width, width, 1, rx);
    for (let j = 0; j < width; j++) sweep(base + j, height, width, ry);
  }
  return { shape: u.shape, data };
}

const diffusivityInput = (shape: readonly number[]): Input => ({ shape, range: [0.2, 2] });

function diffusionCase(u: readonly number[], k: readonly number[], step: Step): Case {
  const { dt, ...rest } = step;
  return {
    name: `implicitDiffusion2d [${u.join(',')}] k [${k.join(',')}] ${step.boundary} ${step.scheme} dt ${dt}`,
    ops: ['implicit_diffusion_2d'],
    inputs: [{ shape: u }, diffusivityInput(k)],
    run: (x, diffusivity) => implicitDiffusion2d(x, diffusivity, { dt, ...rest }),
    reference: (x, diffusivity) => reference(x, diffusivity, step),
    linearIn: [0],
    tolerance: { float32: 1e-5 },
  };
}

// Sizes around the vector widths, all boundaries and schemes, all forms of the diffusivity.
const SIZES: [number, number][] = [
  [1, 1],
  [1, 5],
  [2, 3],
  [3, 2],
  [15, 17],
  [16, 16],
  [31, 33],
];

const IMPLICIT: Case[] = [
  ...BOUNDARIES.flatMap((boundary) =>
    SCHEMES.flatMap((scheme) =>
      SIZES.map(([h, w]) =>
        diffusionCase([2, 3, h, w], [3, 2], { dt: 0.6, dx: 0.8, dy: 1.3, boundary, scheme }),
      ),
    ),
  ),
  diffusionCase([2, 4, 7, 9], [4], {
    dt: 1,
    dx: 1,
    dy: 1,
    boundary: 'neumann',
    scheme: 'backward-euler',
  }),
  diffusionCase([1, 2, 6, 5], [], {
    dt: 2,
    dx: 1,
    dy: 1,
    boundary: 'periodic',
    scheme: 'crank-nicolson',
  }),
  diffusionCase([1, 2, 12, 70], [2, 2], {
    dt: 100,
    dx: 1,
    dy: 1,
    boundary: 'neumann',
    scheme: 'backward-euler',
  }),
  {
    name: 'implicitDiffusion2d with a number as diffusivity',
    ops: ['implicit_diffusion_2d'],
    inputs: [{ shape: [1, 2, 5, 6] }],
    run: (x) => implicitDiffusion2d(x, 0.7, { dt: 0.5, dx: 0.5 }),
    reference: (x) =>
      reference(
        x,
        { shape: [], data: Float64Array.of(0.7) },
        { dt: 0.5, dx: 0.5, dy: 0.5, boundary: 'neumann', scheme: 'backward-euler' },
      ),
    linearIn: [0],
  },
  {
    name: 'implicitDiffusion2d of an empty batch',
    ops: ['implicit_diffusion_2d'],
    inputs: [{ shape: [0, 2, 5, 6] }, diffusivityInput([2])],
    run: (x, k) => implicitDiffusion2d(x, k, { dt: 1 }),
    reference: (x) => x,
    gradient: 'there is nothing to differentiate',
  },
];

function tridiagonalReference(
  given: Values[],
  shape: readonly number[],
  axis: number,
  periodic: boolean,
): Values {
  const n = shape[axis]!;
  const outer = shape.map((size, i) => (i === axis ? 1 : size));
  const solution = new Map<string, number[]>();
  const solve = (index: readonly number[]): number[] => {
    const key = outer.map((size, i) => (size === 1 ? 0 : index[i]!)).join();
    const known = solution.get(key);
    if (known) return known;
    const value = (v: Values, i: number) =>
      at(
        v,
        index.map((q, a) => (a === axis ? i : q)),
      );
    const [lower, diag, upper, rhs] = given as [Values, Values, Values, Values];
    const matrix = Array.from({ length: n }, () => new Array<number>(n).fill(0));
    for (let i = 0; i < n; i++) {
      matrix[i]![i]! += value(diag, i);
      if (i > 0 || periodic) matrix[i]![(i - 1 + n) % n]! += value(lower, i);
      if (i < n - 1 || periodic) matrix[i]![(i + 1) % n]! += value(upper, i);
    }
    const x = solveDense(
      matrix,
      Array.from({ length: n }, (_, i) => value(rhs, i)),
    );
    solution.set(key, x);
    return x;
  };
  return build(shape, (index) => solve(index)[index[axis]!]!);
}

function tridiagonalCase(
  shapes: readonly (readonly number[])[],
  shape: readonly number[],
  axis: number,
  periodic: boolean,
): Case {
  return {
    name: `tridiagonalSolve ${shapes.map((s) => `[${s.join(',')}]`).join(' ')} axis ${axis}${periodic ? ' periodic' : ''}`,
    ops: ['tridiagonal_solve'],
    inputs: shapes.map((s, i) => ({ shape: s, range: i === 1 ? [2.5, 4] : [-1, 1] })),
    run: (l, d, u, b) => tridiagonalSolve(l, d, u, b, { axis, periodic }),
    reference: (...given) =>
      tridiagonalReference(given, shape, axis < 0 ? axis + shape.length : axis, periodic),
    linearIn: [3],
    tolerance: { float32: 1e-5 },
  };
}

const same = (shape: readonly number[]) => [shape, shape, shape, shape];

const TRIDIAGONAL: Case[] = [
  ...[1, 2, 3, 15, 16, 17].flatMap((n) =>
    [false, true].map((periodic) => tridiagonalCase(same([3, n]), [3, n], -1, periodic)),
  ),
  tridiagonalCase(same([17, 5]), [17, 5], -1, false),
  tridiagonalCase(same([4, 6, 3]), [4, 6, 3], 1, false),
  tridiagonalCase([[1], [5], [1], [2, 3, 5]], [2, 3, 5], 2, false),
  tridiagonalCase([[5], [3, 1], [2, 1, 1], [2, 3, 5]], [2, 3, 5], 2, false),
  tridiagonalCase([[5], [1, 5], [5], [4, 5]], [4, 5], -1, true),
];

export const DIFFUSION: Case[] = [...IMPLICIT, ...TRIDIAGONAL];
