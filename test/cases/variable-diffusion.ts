import type { Tensor } from '../../lib';
import {
  type FaceMean,
  type VariableDiffusionStep,
  variableDiffusion,
} from '../../lib/ops/diffusion-variable';
import { type Case, type Values } from './case';

type Step = VariableDiffusionStep & { faceMean: FaceMean };
type Field = Float64Array;

const mean = (a: number, b: number, faceMean: FaceMean) =>
  faceMean === 'arithmetic' ? (a + b) / 2 : a + b === 0 ? 0 : (2 * a * b) / (a + b);

/** Solves a dense system by elimination; the matrices here are diagonally dominant. */
function solveDense(matrix: number[][], rhs: number[]): number[] {
  const n = rhs.length;
  const rows = matrix.map((row, i) => [...row, rhs[i]!]);
  for (let k = 0; k < n; k++) {
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      if (factor !== 0) for (let j = k; j <= n; j++) rows[i]![j]! -= factor * rows[k]![j]!;
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

/** The matrix of A on a line, from its definition: what each face moves between its two cells. */
function lineMatrix(k: number[], spacing: number, { boundary, faceMean }: Step): number[][] {
  const n = k.length;
  const a = k.map(() => new Array<number>(n).fill(0));
  const couple = (i: number, j: number, f: number) => {
    a[i]![i]! -= f;
    a[j]![j]! -= f;
    a[i]![j]! += f;
    a[j]![i]! += f;
  };
  for (let i = 0; i + 1 < n; i++) couple(i, i + 1, mean(k[i]!, k[i + 1]!, faceMean));
  if (boundary === 'periodic') couple(n - 1, 0, mean(k[n - 1]!, k[0]!, faceMean));
  if (boundary === 'dirichlet') {
    a[0]![0]! -= k[0]!;
    a[n - 1]![n - 1]! -= k[n - 1]!;
  }
  return a.map((row) => row.map((v) => v / spacing ** 2));
}

/** One plane [...cells] with its diffusivity; `shape` holds the cells, last axis x. */
class Plane {
  constructor(
    readonly shape: readonly number[],
    readonly k: Field,
    readonly step: Step,
  ) {}

  /** Applies f(line, matrix of A) to all lines along axis a (0 is x). */
  lines(u: Field, a: number, f: (line: number[], matrix: number[][]) => number[]): Field {
    const axis = this.shape.length - 1 - a;
    const n = this.shape[axis]!;
    const stride = this.shape.slice(axis + 1).reduce((p, m) => p * m, 1);
    const spacing = [this.step.dx, this.step.dy, this.step.dz][a]!;
    const out = new Float64Array(u.length);
    for (let start = 0; start < u.length; start++) {
      if (Math.floor(start / stride) % n !== 0) continue;
      const take = (from: Field) => Array.from({ length: n }, (_, i) => from[start + i * stride]!);
      const result = f(take(u), lineMatrix(take(this.k), spacing, this.step));
      result.forEach((v, i) => (out[start + i * stride] = v));
    }
    return out;
  }

  apply(u: Field, a: number): Field {
    return this.lines(u, a, (line, matrix) =>
      matrix.map((row) => row.reduce((sum, v, j) => sum + v * line[j]!, 0)),
    );
  }

  /** (I - tau A_a)^-1 u. */
  solve(u: Field, a: number, tau: number): Field {
    return this.lines(u, a, (line, matrix) =>
      solveDense(
        matrix.map((row, i) => row.map((v, j) => (i === j ? 1 : 0) - tau * v)),
        line,
      ),
    );
  }

  run(u: Field): Field {
    const { dt, scheme, splitting } = this.step;
    const axes = [...this.shape.keys()];
    const theta = scheme === 'crank-nicolson' ? 0.5 : 1;
    const plus = (x: Field, y: Field, factor: number) => x.map((v, i) => v + factor * y[i]!);
    if (splitting === 'douglas') {
      let v = axes.reduce((sum, a) => plus(sum, this.apply(u, a), dt), u);
      for (const a of axes) v = this.solve(plus(v, this.apply(u, a), -theta * dt), a, theta * dt);
      return v;
    }
    const sweep = (v: Field, a: number, tau: number) =>
      this.solve(plus(v, this.apply(v, a), (1 - theta) * tau), a, theta * tau);
    const last = axes.length - 1;
    const order =
      splitting === 'lie'
        ? axes.map((a) => [a, 1] as const)
        : [...axes, ...axes.slice(0, last).reverse()].map(
            (a) => [a, a === last ? 1 : 0.5] as const,
          );
    return order.reduce((v, [a, fraction]) => sweep(v, a, fraction * dt), u);
  }
}

function reference(u: Values, k: Values, step: Step): Values {
  const [samples, channels, ...cells] = u.shape;
  const size = cells.reduce((p, n) => p * n, 1);
  const data = new Float64Array(u.data.length);
  for (let n = 0; n < samples!; n++) {
    for (let c = 0; c < channels!; c++) {
      const begin = (n * channels! + c) * size;
      const index = [Math.min(n, k.shape[0]! - 1), Math.min(c, k.shape[1]! - 1)];
      const from = (index[0]! * k.shape[1]! + index[1]!) * size;
      const plane = new Plane(cells, k.data.slice(from, from + size), step);
      data.set(plane.run(u.data.slice(begin, begin + size)), begin);
    }
  }
  return { shape: u.shape, data };
}

const BASE: Step = {
  ...{ dt: 0.6, dx: 0.8, dy: 1.3, dz: 0.9 },
  ...{ boundary: 'neumann', scheme: 'backward-euler', splitting: 'lie', faceMean: 'harmonic' },
};

function row(cells: readonly number[], batch: string, change: Partial<Step>, zeros = false): Case {
  const step = { ...BASE, ...change };
  const [samples, channels, kSamples, kChannels] = batch.split(',').map(Number);
  const run = (u: Tensor, k: Tensor) =>
    variableDiffusion('variableDiffusion', u, k, step, step.faceMean);
  return {
    name: `variable diffusion [${cells.join(',')}] ${batch} ${Object.values(change).join(' ')}${zeros ? ' with walls' : ''}`,
    ops: ['variable_diffusion'],
    inputs: [
      { shape: [samples!, channels!, ...cells] },
      {
        shape: [kSamples!, kChannels!, ...cells],
        range: [0.2, 2],
        ...(zeros && {
          generate: (size, random) =>
            Float64Array.from({ length: size }, (_, i) => (i % 5 < 2 ? 0 : 0.3 + random())),
          differentiable: false,
        }),
      },
    ],
    run,
    reference: (u, k) => reference(u, k, step),
    linearIn: [0],
    tolerance: { float32: 1e-5 },
  };
}

const BOUNDARIES = ['neumann', 'dirichlet', 'periodic'] as const;
const SCHEMES = ['backward-euler', 'crank-nicolson'] as const;
const SPLITTINGS = ['lie', 'strang', 'douglas'] as const;
const MEANS = ['harmonic', 'arithmetic'] as const;

// Sizes and batches take turns through all combinations of the options.
const PLANES = [
  [2, 3],
  [3, 2],
  [7, 5],
  [1, 4],
  [4, 1],
  [5, 17],
  [16, 3],
  [1, 1],
  [6, 15],
];
const VOLUMES = [
  [2, 3, 4],
  [3, 1, 5],
  [1, 2, 2],
  [2, 5, 3],
  [4, 2, 1],
];
const LINES = [1, 2, 3, 15, 16, 17, 31, 9];
const BATCHES = ['2,3,2,3', '2,3,1,3', '2,3,2,1', '2,3,1,1', '1,2,1,2'];

const OPTIONS = BOUNDARIES.flatMap((boundary) =>
  SCHEMES.flatMap((scheme) =>
    SPLITTINGS.flatMap((splitting) =>
      MEANS.map((faceMean) => ({ boundary, scheme, splitting, faceMean })),
    ),
  ),
);

const turn = <V>(list: readonly V[], i: number) => list[i % list.length]!;

export const VARIABLE_DIFFUSION: Case[] = [
  ...OPTIONS.map((o, i) => row(turn(PLANES, i), turn(BATCHES, i), o)),
  ...OPTIONS.map((o, i) => row(turn(VOLUMES, i), turn(BATCHES, i + 1), o)),
  ...OPTIONS.map((o, i) => row([turn(LINES, i)], turn(BATCHES, i + 2), o)),
  row([17, 33], '1,2,1,1', {}),
  row([31, 16], '1,1,1,1', { boundary: 'periodic', splitting: 'strang' }),
  row([3, 64], '1,1,1,1', { dt: 1e3 }),
  row([64, 3], '1,1,1,1', { dt: 1e3, boundary: 'dirichlet' }),
  row([2, 100], '1,1,1,1', { scheme: 'crank-nicolson' }),
  row([127, 2], '1,1,1,1', { boundary: 'periodic' }),
  row([5, 6], '2,2,1,2', {}, true),
  row([5, 6], '2,2,2,2', { faceMean: 'arithmetic', boundary: 'periodic' }, true),
  // Many planes on one diffusivity: its gradient is a sum of partials.
  row([3, 4], '9,5,1,1', {}),
  row([3, 4], '9,5,1,5', { splitting: 'douglas' }),
  row([5], '35,2,1,1', {}),
];
