import {
  type Tensor,
  implicitDiffusion1d,
  implicitDiffusion2d,
  implicitDiffusion3d,
  tridiagonalSolve,
} from '../../lib';
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

type Splitting = 'lie' | 'strang' | 'douglas';

/** Options of a step; those that the dimension has no room for are absent. */
interface Step {
  dt: number;
  dx?: number;
  dy?: number;
  dz?: number;
  boundary: Boundary;
  scheme: Scheme;
  splitting?: Splitting;
}

/** One channel: values, extents and strides along x, y, z, and dt k / spacing^2 of each axis. */
interface Channel {
  data: Float64Array;
  extents: number[];
  strides: number[];
  rates: number[];
}

/** A matrix applied, or a system solved, along every line of an axis. */
function alongAxis(
  u: Channel,
  axis: number,
  map: (line: number[], matrix: number[][]) => number[],
  matrix: number[][],
): Channel {
  const data = Float64Array.from(u.data);
  const [n, stride] = [u.extents[axis]!, u.strides[axis]!];
  for (let p = 0; p < data.length; p++) {
    if (Math.floor(p / stride) % n !== 0) continue;
    const line = Array.from({ length: n }, (_, i) => u.data[p + i * stride]!);
    map(line, matrix).forEach((v, i) => (data[p + i * stride] = v));
  }
  return { ...u, data };
}

const multiply = (line: number[], matrix: number[][]) =>
  matrix.map((row) => row.reduce((sum, a, j) => sum + a * line[j]!, 0));

/** (I + factor * dt A) along an axis, and the solution with it. */
const applied = (u: Channel, axis: number, factor: number, boundary: Boundary) =>
  alongAxis(u, axis, multiply, matrixOf(u.extents[axis]!, factor * u.rates[axis]!, boundary));
const solved = (u: Channel, axis: number, factor: number, boundary: Boundary) =>
  alongAxis(
    u,
    axis,
    (line, matrix) => solveDense(matrix, line),
    matrixOf(u.extents[axis]!, factor * u.rates[axis]!, boundary),
  );

function stepAxis(u: Channel, axis: number, share: number, { boundary, scheme }: Step): Channel {
  const implicit = scheme === 'crank-nicolson' ? 0.5 : 1;
  const right = implicit === 1 ? u : applied(u, axis, share * (1 - implicit), boundary);
  return solved(right, axis, -share * implicit, boundary);
}

/** Douglas (Gunn) as it is written: v_0 = u + dt sum A u, (I - theta dt A_i) v_i = v_{i-1} - theta dt A_i u. */
function stepDouglas(u: Channel, { boundary, scheme }: Step): Channel {
  const theta = scheme === 'crank-nicolson' ? 0.5 : 1;
  const changes = u.extents.map((_, axis) =>
    applied(u, axis, 1, boundary).data.map((v, p) => v - u.data[p]!),
  );
  let v: Channel = { ...u, data: u.data.map((x, p) => changes.reduce((s, d) => s + d[p]!, x)) };
  changes.forEach((d, axis) => {
    const right = { ...v, data: v.data.map((x, p) => x - theta * d[p]!) };
    v = solved(right, axis, -theta, boundary);
  });
  return v;
}

function stepChannel(u: Channel, step: Step): Channel {
  if (step.splitting === 'douglas') return stepDouglas(u, step);
  const axes = u.extents.map((_, axis) => axis);
  const last = axes.length - 1;
  const order = step.splitting === 'strang' ? [...axes, ...axes.slice(0, last).reverse()] : axes;
  const share = (axis: number) => (step.splitting === 'strang' && axis < last ? 0.5 : 1);
  return order.reduce((v, axis) => stepAxis(v, axis, share(axis), step), u);
}

function reference(u: Values, k: Values, step: Step): Values {
  const channels = u.shape[1]!;
  const extents = u.shape.slice(2).reverse();
  const strides = extents.map((_, axis) => extents.slice(0, axis).reduce((a, b) => a * b, 1));
  const dx = step.dx ?? 1;
  const spacing = [dx, step.dy ?? dx, step.dz ?? dx];
  const cells = extents.reduce((a, b) => a * b, 1);
  const data = new Float64Array(u.data.length);
  // k of shape [], [C] or [C, axes]
  const diffusivity = (c: number, axis: number) =>
    k.data[k.shape.length === 2 ? extents.length * c + axis : k.shape.length === 1 ? c : 0]!;
  for (let begin = 0; begin < data.length; begin += cells) {
    const c = (begin / cells) % channels;
    const rates = extents.map((_, a) => (step.dt * diffusivity(c, a)) / spacing[a]! ** 2);
    const channel = { data: u.data.slice(begin, begin + cells), extents, strides, rates };
    data.set(stepChannel(channel, step).data, begin);
  }
  return { shape: u.shape, data };
}

const diffusivityInput = (shape: readonly number[]): Input => ({ shape, range: [0.2, 2] });

type Diffuse = (u: Tensor, k: Tensor | number, options: Step) => Tensor;
const DIFFUSE = [implicitDiffusion1d, implicitDiffusion2d, implicitDiffusion3d] as Diffuse[];

function diffusionCase(u: readonly number[], k: readonly number[], step: Step): Case {
  const axes = u.length - 2;
  const { boundary, scheme, splitting = 'lie', dt } = step;
  return {
    name: `implicitDiffusion${axes}d [${u.join(',')}] k [${k.join(',')}] ${boundary} ${scheme} ${splitting} dt ${dt}`,
    ops: [`implicit_diffusion_${axes}d`],
    inputs: [{ shape: u }, diffusivityInput(k)],
    run: (x, diffusivity) => DIFFUSE[axes - 1]!(x, diffusivity, step),
    reference: (x, diffusivity) => reference(x, diffusivity, step),
    linearIn: [0],
    tolerance: { float32: 1e-5 },
  };
}

/** A row for each boundary and scheme. */
const everyWay = (row: (boundary: Boundary, scheme: Scheme) => Case[]): Case[] =>
  BOUNDARIES.flatMap((boundary) => SCHEMES.flatMap((scheme) => row(boundary, scheme)));

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

const PLANES: Case[] = [
  ...everyWay((boundary, scheme) =>
    SIZES.map(([h, w]) =>
      diffusionCase([2, 3, h, w], [3, 2], { dt: 0.6, dx: 0.8, dy: 1.3, boundary, scheme }),
    ),
  ),
  ...everyWay((boundary, scheme) =>
    (['strang', 'douglas'] as const).flatMap((splitting) => [
      diffusionCase([2, 2, 5, 17], [2, 2], {
        dt: 0.6,
        dx: 0.8,
        dy: 1.3,
        boundary,
        scheme,
        splitting,
      }),
      diffusionCase([1, 1, 2, 1], [1, 2], { dt: 0.7, boundary, scheme, splitting }),
    ]),
  ),
  diffusionCase([1, 1, 3, 127], [1], { dt: 1, boundary: 'periodic', scheme: 'crank-nicolson' }),
  diffusionCase([1, 1, 100, 3], [1], { dt: 1, boundary: 'dirichlet', scheme: 'backward-euler' }),
  diffusionCase([1, 1, 64, 64], [1], { dt: 1, boundary: 'periodic', scheme: 'crank-nicolson' }),
  diffusionCase([1, 1, 64, 64], [1], { dt: 1, boundary: 'neumann', scheme: 'backward-euler' }),
  diffusionCase([2, 4, 7, 9], [4], { dt: 1, boundary: 'neumann', scheme: 'backward-euler' }),
  diffusionCase([1, 2, 6, 5], [], { dt: 2, boundary: 'periodic', scheme: 'crank-nicolson' }),
  diffusionCase([1, 2, 12, 70], [2, 2], { dt: 100, boundary: 'neumann', scheme: 'backward-euler' }),
  {
    name: 'implicitDiffusion2d with a number as diffusivity',
    ops: ['implicit_diffusion_2d'],
    inputs: [{ shape: [1, 2, 5, 6] }],
    run: (x) => implicitDiffusion2d(x, 0.7, { dt: 0.5, dx: 0.5 }),
    reference: (x) =>
      reference(
        x,
        { shape: [], data: Float64Array.of(0.7) },
        { dt: 0.5, dx: 0.5, boundary: 'neumann', scheme: 'backward-euler' },
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

// Batches and channels that share vectors in every way: fewer lines than lanes, more, 17 and 35 channels.
const LINES: Case[] = [
  ...everyWay((boundary, scheme) =>
    [1, 2, 3, 15, 16, 17, 31].map((n) =>
      diffusionCase([3, 5, n], [5, 1], { dt: 0.6, dx: 0.8, boundary, scheme }),
    ),
  ),
  ...[64, 100, 127].map((n) =>
    diffusionCase([1, 2, n], [2], { dt: 3, boundary: 'periodic', scheme: 'crank-nicolson' }),
  ),
  ...[1, 17, 35].map((c) =>
    diffusionCase([2, c, 6], [c], { dt: 1, boundary: 'neumann', scheme: 'backward-euler' }),
  ),
  diffusionCase([2, 35, 6], [35], { dt: 1, boundary: 'periodic', scheme: 'crank-nicolson' }),
  diffusionCase([2, 4, 9], [], { dt: 1, boundary: 'dirichlet', scheme: 'crank-nicolson' }),
];

const VOLUMES: Case[] = [
  ...everyWay((boundary, scheme) => [
    diffusionCase([2, 2, 3, 2, 5], [2, 3], {
      dt: 0.6,
      dx: 0.8,
      dy: 1.3,
      dz: 0.9,
      boundary,
      scheme,
    }),
    diffusionCase([1, 1, 1, 1, 1], [1, 3], { dt: 0.6, boundary, scheme }),
    diffusionCase([1, 1, 2, 17, 3], [1], { dt: 0.6, boundary, scheme }),
    ...(['strang', 'douglas'] as const).map((splitting) =>
      diffusionCase([1, 2, 3, 4, 5], [2, 3], {
        dt: 0.6,
        dx: 0.8,
        dz: 1.4,
        boundary,
        scheme,
        splitting,
      }),
    ),
  ]),
  diffusionCase([1, 1, 16, 5, 16], [1, 3], {
    dt: 2,
    boundary: 'periodic',
    scheme: 'crank-nicolson',
  }),
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

export const DIFFUSION: Case[] = [...PLANES, ...LINES, ...VOLUMES, ...TRIDIAGONAL];
